//! HTTP/1.1 as far as a load generator needs it: one kept connection, one request at a time, bodies with a length. A
//! full client would cost more processor time than the server under test has left.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// No answer that we ask for is longer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// `headers` are whole lines with their ends, or nothing.
pub(crate) fn post(path: &str, content_type: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn post_json(path: &str, body: &str) -> Vec<u8> {
    post(path, "application/json", "", body.as_bytes())
}

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer, valid until the next request.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.body).into_owned()
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the server closed the connection");
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break Head::parse(self.buffer.get(..end).unwrap_or_default(), end + 4)?;
            }
        };
        while self.buffer.len() < head.bytes + head.body_bytes {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the server closed the connection in the middle of an answer");
        }
        Ok(Answer { status: head.status, body: self.buffer.get(head.bytes..).unwrap_or_default() })
    }
}

struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    fn parse(head: &[u8], bytes: usize) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(head)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
        let length =
            lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let body_bytes = match length {
            Some((_, value)) => value.trim().parse()?,
            None if status == 204 || status == 304 => 0,
            None => bail!("an answer without a length: {text}"),
        };
        ensure!(body_bytes <= ANSWER_BYTES_MAX, "an answer of {body_bytes} bytes");
        Ok(Self { status, bytes, body_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_head_of_an_answer() {
        let head = Head::parse(b"HTTP/1.1 202 Accepted\r\nCONTENT-length: 17\r\nx: y", 99).unwrap();
        assert_eq!((head.status, head.bytes, head.body_bytes), (202, 99, 17));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", 9).is_err());
    }
}
