//! HTTP as cheap as it can be, for tests in which the client must not be what is measured: one connection, one request at a
//! time, nothing parsed but what is asked for.

use std::io;

use caraway_testkit::Program;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection that is kept.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
}

impl Answer {
    /// A header's value, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.split("\r\n").skip(1);
        lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The version in the `ETag`.
    pub(crate) fn version(&self) -> Option<i64> {
        self.header("etag")?.trim_matches('"').strip_prefix('v')?.parse().ok()
    }
}

impl Wire {
    /// To an API at this URL.
    pub(crate) async fn open(url: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// The same, to one that must be there.
    pub(crate) async fn open_to(api: &Program) -> Self {
        Self::open(&api.url()).await.expect("the API is there")
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
    }

    pub(crate) async fn put(&mut self, path: &str, json: &str) -> io::Result<Answer> {
        self.send("PUT", path, json).await
    }

    /// With a body, or with an empty one.
    pub(crate) async fn send(&mut self, method: &str, path: &str, json: &str) -> io::Result<Answer> {
        let length = json.len();
        self.ask(&format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
        ))
        .await
    }

    async fn ask(&mut self, request: &str) -> io::Result<Answer> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
            let answer = Answer { status, head };
            let length: usize = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let left = (end + 4 + length).saturating_sub(self.buffer.len());
            if left > 0 {
                let have = self.buffer.len();
                self.buffer.resize(have + left, 0);
                self.stream.read_exact(&mut self.buffer[have..]).await?;
            }
            return Ok(answer);
        }
    }
}
