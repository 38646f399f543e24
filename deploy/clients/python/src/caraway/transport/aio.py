"""Streams of asyncio. Each event loop has connections of its own, as many idle ones as a thread's pool keeps."""

import asyncio
import ssl
import sys
from weakref import WeakKeyDictionary, WeakSet

from .._call import Exchange, Reply
from .._clock import now
from .._errors import NoAnswer, TransportError
from .._fork import forget_in_child
from .._http import LINE_MAX, Origin, read_reply
from .http import CONNECT_SECONDS, IDLE_MAX, IDLE_SECONDS

_Idle = list["_Connection"]
# What the parent's loops had, kept for ever: their transports must neither be collected nor closed in a child.
_parents: list["_Connection"] = []

if sys.version_info >= (3, 11):
    _timeout = asyncio.timeout
else:
    from ._timeout import timeout as _timeout


class AsyncPool:
    """Connections to one server, by event loop."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._tls = ssl.create_default_context() if origin.tls else None
        self._idle: WeakKeyDictionary[asyncio.AbstractEventLoop, _Idle] = WeakKeyDictionary()
        # Those that are lent, too: a child has copies of all sockets.
        self._all: WeakSet[_Connection] = WeakSet()
        forget_in_child(self)

    def forget(self) -> None:
        """After a fork: the loops and their sockets are the parent's."""
        for connection in list(self._all):
            connection.abandon()
            _parents.append(connection)
        self._all = WeakSet()
        self._idle = WeakKeyDictionary()

    async def exchange(self, step: Exchange) -> Reply:
        """Sends it once, and reads the answer."""
        until = now() + step.seconds
        connection: _Connection | None = None
        try:
            async with _timeout(step.seconds):
                connection = await self._borrow(until)
                reply, keep = await connection.exchange(self._origin, step)
        except asyncio.TimeoutError as error:
            if connection:
                connection.close()
            raise NoAnswer("the server did not answer in time") from error
        except BaseException:
            if connection:
                connection.close()
            raise
        self._give_back(connection, keep)
        return reply

    async def close(self) -> None:
        """Closes what this loop has and nobody uses."""
        for connection in self._idle.pop(asyncio.get_running_loop(), []):
            connection.close()

    async def _borrow(self, until: float) -> "_Connection":
        idle = self._idle.setdefault(asyncio.get_running_loop(), [])
        oldest = now() - IDLE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.used_at >= oldest and connection.is_open():
                return connection
            connection.close()
        connecting = asyncio.open_connection(self._origin.host, self._origin.port, ssl=self._tls, limit=LINE_MAX)
        try:
            async with _timeout(min(CONNECT_SECONDS, max(until - now(), 0.01))):
                connection = _Connection(*await connecting)
                self._all.add(connection)
                return connection
        except asyncio.TimeoutError as error:
            raise NoAnswer(f"{self._origin.host}:{self._origin.port} does not answer") from error
        except OSError as error:
            raise TransportError(f"{self._origin.host}:{self._origin.port} cannot be reached: {error}") from error

    def _give_back(self, connection: "_Connection", keep: bool) -> None:
        idle = self._idle.setdefault(asyncio.get_running_loop(), [])
        if keep and len(idle) < IDLE_MAX:
            connection.used_at = now()
            idle.append(connection)
        else:
            connection.close()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._reused = False
        self.used_at = 0.0

    def is_open(self) -> bool:
        return not (self._reader.at_eof() or self._writer.is_closing())

    def close(self) -> None:
        try:
            self._writer.close()
        except RuntimeError:
            pass  # its loop is closed, and with it the socket

    def abandon(self) -> None:
        """Closes the socket of another process's loop, and touches nothing else of that loop: its selector is shared."""
        held = getattr(self._writer.get_extra_info("socket"), "_sock", None)
        if held is not None:
            held.close()

    async def exchange(self, origin: Origin, step: Exchange) -> tuple[Reply, bool]:
        data = origin.encode(step.call)
        try:
            self._writer.write(data)
            await self._writer.drain()
            answer = await self._read(step.call.method)
        except (TransportError, OSError, EOFError, ValueError) as error:
            failed = error if isinstance(error, TransportError) else TransportError(f"the connection broke: {error}")
            failed.reused = self._reused
            raise failed from error.__cause__
        self._reused = True
        return answer

    async def _read(self, method: str) -> tuple[Reply, bool]:
        reading = read_reply(method)
        want = next(reading)
        try:
            while True:
                if want is None:
                    want = reading.send(await self._reader.readline())
                elif want < 0:
                    want = reading.send(await self._reader.read())
                else:
                    want = reading.send(await self._reader.readexactly(want))
        except StopIteration as end:
            answer: tuple[Reply, bool] = end.value
            return answer
