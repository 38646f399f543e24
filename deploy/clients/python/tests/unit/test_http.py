"""Reading answers, without a socket."""

import unittest

from caraway._call import Call, Reply, make
from caraway._errors import TransportError
from caraway._http import read_reply
from caraway._settings import origin


def read(data: bytes, method: str = "GET") -> tuple[Reply, bool]:
    """Feeds an answer piece by piece, as a transport does."""
    reading = read_reply(method)
    want = next(reading)
    try:
        while True:
            if want is None:
                size = data.find(b"\n") + 1 or len(data)
            else:
                size = len(data) if want < 0 else want
            piece, data = data[:size], data[size:]
            want = reading.send(piece)
    except StopIteration as end:
        answer: tuple[Reply, bool] = end.value
        return answer


class Answers(unittest.TestCase):
    def test_a_length(self) -> None:
        reply, keep = read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"1\"\r\n\r\n[1]")
        self.assertEqual((reply.status, reply.json(), reply.headers["etag"], keep), (200, [1], '"1"', True))

    def test_chunks_and_what_comes_before_the_answer(self) -> None:
        data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1;x=y\r\n]\r\n0\r\nA: b\r\n\r\n"
        self.assertEqual(read(data)[0].json(), [1])

    def test_the_end_of_the_connection_ends_a_body_without_length(self) -> None:
        reply, keep = read(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        self.assertEqual((reply.body, keep), (b"all of it", False))

    def test_close_is_heeded(self) -> None:
        self.assertFalse(read(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")[1])

    def test_nonsense_is_a_transport_error(self) -> None:
        for data in (
            b"",
            b"SSH-2.0\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1 + b"".join(b"H%d: x\r\n" % n for n in range(300)) + b"\r\n",
        ):
            with self.assertRaises(TransportError, msg=data[:60]):
                read(data)


class Requests(unittest.TestCase):
    def test_names_are_quoted(self) -> None:
        self.assertEqual(make("GET", "/v1/locks/{}", ("a/b?ä",)).path, "/v1/locks/a%2Fb%3F%C3%A4")

    def test_a_key_and_a_prefix(self) -> None:
        data = origin("https://host:8443/below/", "cwy_1").encode(Call("POST", "/v1/tasks", b"{}"))
        self.assertTrue(data.startswith(b"POST /below/v1/tasks HTTP/1.1\r\nHost: host:8443\r\n"), data)
        self.assertIn(b"\r\nAuthorization: Bearer cwy_1\r\n", data)
        self.assertTrue(data.endswith(b"Content-Length: 2\r\n\r\n{}"))

    def test_a_line_break_in_a_header_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            origin("http://host", None).encode(Call("GET", "/", headers={"X": "a\r\nB: c"}))

    def test_settings_that_make_no_sense(self) -> None:
        for url in ("ftp://host", "http://", "http://host:x", "http://u:p@host", "http://host?a=b"):
            with self.assertRaises(ValueError, msg=url):
                origin(url, None)
