"""Sockets that block, for threads.

A pool belongs to one process. It lends the warmest connection first and keeps at most 64 that nobody uses. How many are lent
is not bounded here but by the number of threads: one that waits for a lock has a connection, and the release that ends its
wait needs another.
"""

import os
import select
import socket
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

from .._call import Exchange, Reply
from .._clock import now
from .._errors import NoAnswer, TransportError
from .._fork import forget_in_child
from .._http import LINE_MAX, Origin, read_reply

if TYPE_CHECKING:
    import ssl

IDLE_MAX = 64
# The server closes what lies idle for some time; what is older is not worth a try.
IDLE_SECONDS = 30.0
CONNECT_SECONDS = 5.0
_PIECE = 65_536


class Pool:
    """Connections to one server, for all threads of this process."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._tls = _tls() if origin.tls else None
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        # Those that are lent, too: a child has copies of all sockets.
        self._all: WeakSet[_Connection] = WeakSet()
        self._closed = False
        forget_in_child(self)

    def forget(self) -> None:
        """After a fork: the sockets are the parent's. They are closed here and not shut down, which would end the parent's."""
        inherited, self._all, self._idle, self._lock = list(self._all), WeakSet(), [], threading.Lock()
        for connection in inherited:
            connection.close()

    def exchange(self, step: Exchange) -> Reply:
        """Sends it once, and reads the answer."""
        until = now() + step.seconds
        connection = self._borrow(until)
        try:
            reply, keep = connection.exchange(self._origin, step, until)
        except BaseException:
            # The server sees the end of the connection, and takes whoever waits with it out of the line.
            connection.close()
            raise
        if keep:
            self._give_back(connection)
        else:
            connection.close()
        return reply

    def close(self) -> None:
        """Closes what nobody uses, and from now on whatever comes back."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for connection in idle:
            connection.close()

    def _borrow(self, until: float) -> "_Connection":
        oldest = now() - IDLE_SECONDS
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = _Connection(self._origin, self._tls, min(CONNECT_SECONDS, max(until - now(), 0.01)))
                with self._lock:
                    self._all.add(connection)
                return connection
            if connection.used_at >= oldest and connection.is_open():
                return connection
            connection.close()

    def _give_back(self, connection: "_Connection") -> None:
        connection.used_at = now()
        with self._lock:
            if len(self._idle) < IDLE_MAX and not self._closed and connection.process == os.getpid():
                self._idle.append(connection)
                return
        connection.close()


def _tls() -> "ssl.SSLContext":
    import ssl  # not loaded for what needs none

    return ssl.create_default_context()


class _Connection:
    def __init__(self, origin: Origin, tls: "ssl.SSLContext | None", seconds: float) -> None:
        try:
            plain = socket.create_connection((origin.host, origin.port), seconds)
        except TimeoutError as error:
            raise NoAnswer(f"{origin.host}:{origin.port} does not answer") from error
        except OSError as error:
            raise TransportError(f"{origin.host}:{origin.port} cannot be reached: {error}") from error
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket = tls.wrap_socket(plain, server_hostname=origin.host) if tls else plain
        except OSError as error:
            plain.close()
            raise TransportError(f"no TLS connection to {origin.host}:{origin.port}: {error}") from error
        self._buffer = bytearray()
        self._until = 0.0
        self._reused = False
        self.used_at = 0.0
        self.process = os.getpid()

    def is_open(self) -> bool:
        """Whether the server has neither closed it nor sent what nobody asked for."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        try:
            self._socket.close()
        except OSError:
            pass

    def exchange(self, origin: Origin, step: Exchange, until: float) -> tuple[Reply, bool]:
        self._until = until
        data = origin.encode(step.call)
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(data)
            answer = self._read(step.call.method)
        except NoAnswer:
            raise
        except TimeoutError as error:
            raise NoAnswer("the server did not answer in time") from error
        except (TransportError, OSError) as error:
            failed = error if isinstance(error, TransportError) else TransportError(f"the connection broke: {error}")
            failed.reused = self._reused
            raise failed from error.__cause__
        self._reused = True
        return answer

    def _read(self, method: str) -> tuple[Reply, bool]:
        reading = read_reply(method)
        want = next(reading)
        try:
            while True:
                want = reading.send(self._line() if want is None else self._bytes(want))
        except StopIteration as end:
            answer: tuple[Reply, bool] = end.value
            return answer

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_MAX:
                raise TransportError("a line of the answer is too long")
            if not self._more():
                return b""
        return self._take(end + 1)

    def _bytes(self, size: int) -> bytes:
        while size < 0 or len(self._buffer) < size:
            if not self._more():
                if size < 0:
                    break
                raise TransportError("the connection ended within an answer")
        return self._take(len(self._buffer) if size < 0 else size)

    def _more(self) -> bool:
        self._socket.settimeout(self._left())
        piece = self._socket.recv(_PIECE)
        self._buffer += piece
        return bool(piece)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _left(self) -> float:
        left = self._until - now()
        if left <= 0.0:
            raise NoAnswer("the server did not answer in time")
        return left
