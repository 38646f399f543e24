"""HTTP/1.1 without input or output: a request becomes bytes, and an answer is read by whoever has bytes to give.

`read_reply` asks for lines and for numbers of bytes; the transport that drives it blocks or awaits.
"""

from collections.abc import Generator
from dataclasses import dataclass

from ._call import Call, Reply
from ._errors import TransportError

LINE_MAX = 65_536
HEADERS_MAX = 200
# An answer that is larger is read as a stream, where that is offered, and refused here.
BODY_MAX = 1 << 30

# None asks for a line, a number for so many bytes, a negative one for all there is until the end.
Reading = Generator["int | None", bytes, "tuple[Reply, bool]"]


@dataclass(frozen=True)
class Origin:
    """Where the server is, and what every request to it says."""

    host: str
    port: int
    tls: bool
    prefix: str
    head: bytes

    def encode(self, call: Call) -> bytes:
        """The request as it goes over the wire."""
        lines = [f"{call.method} {self.prefix}{call.path} HTTP/1.1\r\n".encode(), self.head]
        lines += [_header(name, value) for name, value in call.headers.items()]
        if call.body is not None:
            lines.append(b"Content-Length: %d\r\n\r\n" % len(call.body))
            lines.append(call.body)
        elif call.method == "GET":
            lines.append(b"\r\n")
        else:
            lines.append(b"Content-Length: 0\r\n\r\n")
        return b"".join(lines)


def _header(name: str, value: str) -> bytes:
    if "\r" in value or "\n" in value:
        raise ValueError(f"the header {name} has a line break in it")
    return f"{name}: {value}\r\n".encode("latin-1")


def read_reply(method: str) -> Reading:
    """The answer, and whether the connection can be used again."""
    while True:
        status, version = _status(_line((yield None)))
        headers: dict[str, str] = {}
        while line := _line((yield None)):
            if len(headers) >= HEADERS_MAX:
                raise TransportError("the answer has too many headers")
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        if status >= 200:
            break
    keep = version == b"HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if method == "HEAD" or status in (204, 304):
        return Reply(status, headers, b""), keep
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = yield from _chunks()
    elif (length := headers.get("content-length")) is not None:
        body = (yield _size(length, 10)) if length != "0" else b""
    else:
        body, keep = (yield -1), False
    return Reply(status, headers, body), keep


def _chunks() -> Generator["int | None", bytes, bytes]:
    parts: list[bytes] = []
    total = 0
    while True:
        size = _size(_line((yield None)).split(b";")[0].decode("latin-1"), 16)
        if size == 0:
            break
        total += size
        if total > BODY_MAX:
            raise TransportError("the answer is too large")
        parts.append((yield size))
        _line((yield None))
    while _line((yield None)):
        pass
    return b"".join(parts)


def _line(line: bytes) -> bytes:
    if not line.endswith(b"\n"):
        raise TransportError("the connection ended within an answer" if line else "the connection ended before an answer")
    return line.rstrip(b"\r\n")


def _status(line: bytes) -> tuple[int, bytes]:
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise TransportError("the answer is not HTTP")
    return int(parts[1]), parts[0]


def _size(text: str, base: int) -> int:
    try:
        size = int(text.strip(), base)
    except ValueError:
        size = -1
    if not 0 <= size <= BODY_MAX:
        raise TransportError("the answer has no sensible length")
    return size
