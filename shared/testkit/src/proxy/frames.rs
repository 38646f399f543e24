//! As much of two protocols as the proxy's traps need: where a message begins, and which it is.

use std::collections::HashMap;

/// Of a PostgreSQL message only the beginning is kept: a statement's text, never a body of a megabyte.
const KEPT_MAX: usize = 16 * 1024;
/// Type, length.
const POSTGRES_HEADER: usize = 5;
/// Type, channel, length; one more byte ends the frame.
const AMQP_HEADER: usize = 7;
const AMQP_METHOD: u8 = 1;
/// Class `basic`, method `ack`.
const AMQP_BASIC_ACK: [u8; 4] = [0, 60, 0, 80];

/// One PostgreSQL connection: which statements the transaction under way has run.
#[derive(Default)]
pub(super) struct Postgres {
    requests: Messages,
    answers: Messages,
    /// Prepared statements by name.
    prepared: HashMap<Vec<u8>, String>,
    /// Run since the connection was last idle.
    run: Vec<String>,
    failed: bool,
}

impl Postgres {
    /// Notes which statements a client runs.
    pub(super) fn request(&mut self, bytes: &[u8]) {
        let untyped = !self.requests.started; // the first message of a client has no type
        for (kind, body) in self.requests.take(bytes, untyped) {
            match kind {
                b'P' => {
                    let (name, rest) = cut_string(&body);
                    let (text, _) = cut_string(rest);
                    self.prepared.insert(name.to_vec(), String::from_utf8_lossy(text).into_owned());
                }
                b'B' => {
                    let (_, rest) = cut_string(&body);
                    self.run.extend(self.prepared.get(cut_string(rest).0).cloned());
                }
                b'Q' => self.run.push(String::from_utf8_lossy(cut_string(&body).0).into_owned()),
                _ => (),
            }
        }
    }

    /// The statements that were committed when these bytes were sent.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut committed = Vec::new();
        for (kind, body) in self.answers.take(bytes, false) {
            match (kind, body.first()) {
                (b'E', _) => self.failed = true,
                // ready for the next statement, and in no transaction
                (b'Z', Some(b'I')) => {
                    let run = std::mem::take(&mut self.run);
                    if !std::mem::take(&mut self.failed) {
                        committed.extend(run);
                    }
                }
                _ => (),
            }
        }
        committed
    }
}

/// Cuts a stream of typed, length-prefixed messages.
#[derive(Default)]
struct Messages {
    started: bool,
    /// Type and length, as far as they have come.
    header: Vec<u8>,
    /// The beginning of the body.
    body: Vec<u8>,
    /// Bytes of the body still to come.
    left: usize,
}

impl Messages {
    /// The messages that end within these bytes: type and the beginning of the body.
    fn take(&mut self, mut bytes: &[u8], untyped: bool) -> Vec<(u8, Vec<u8>)> {
        if untyped && !bytes.is_empty() {
            self.header.push(0); // a type of our own
        }
        self.started |= !bytes.is_empty();
        let mut whole = Vec::new();
        while !bytes.is_empty() {
            if self.header.len() < POSTGRES_HEADER {
                let (part, rest) = bytes.split_at((POSTGRES_HEADER - self.header.len()).min(bytes.len()));
                self.header.extend_from_slice(part);
                bytes = rest;
                self.left = self.length();
            } else {
                let (part, rest) = bytes.split_at(self.left.min(bytes.len()));
                let kept = part.len().min(KEPT_MAX.saturating_sub(self.body.len()));
                self.body.extend_from_slice(&part[..kept]);
                self.left -= part.len();
                bytes = rest;
            }
            if self.header.len() == POSTGRES_HEADER && self.left == 0 {
                whole.push((self.header[0], std::mem::take(&mut self.body)));
                self.header.clear();
            }
        }
        whole
    }

    /// Of the body, once the header is whole: the message's own length counts itself.
    fn length(&self) -> usize {
        let bytes = self.header.get(1..POSTGRES_HEADER).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX).saturating_sub(4))
    }
}

fn cut_string(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

/// One AMQP connection: the frame of the broker that has not ended.
#[derive(Default)]
pub(super) struct Amqp {
    begun: Vec<u8>,
}

impl Amqp {
    /// The whole frames among what the broker sent, without the confirms that `swallow` asks for.
    pub(super) fn answer(&mut self, bytes: &[u8], mut swallow: impl FnMut() -> bool) -> Vec<u8> {
        self.begun.extend_from_slice(bytes);
        let mut passed = Vec::with_capacity(self.begun.len());
        let mut rest = &self.begun[..];
        while let Some(length) = frame_length(rest).filter(|length| *length <= rest.len()) {
            let (frame, later) = rest.split_at(length);
            let confirm = frame[0] == AMQP_METHOD && frame[AMQP_HEADER..].starts_with(&AMQP_BASIC_ACK);
            if !(confirm && swallow()) {
                passed.extend_from_slice(frame);
            }
            rest = later;
        }
        self.begun = rest.to_vec();
        passed
    }
}

fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length: [u8; 4] = bytes.get(3..AMQP_HEADER)?.try_into().ok()?;
    Some(AMQP_HEADER + usize::try_from(u32::from_be_bytes(length)).ok()? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    fn session(size: usize) -> Vec<Vec<String>> {
        let mut connection = Postgres::default();
        let startup = [&12_u32.to_be_bytes()[..], &[0, 3, 0, 0, b'x', b'y', b'z', 0]].concat();
        let big = [b"\0s1\0".to_vec(), vec![7; 40_000]].concat();
        let requests =
            [startup, message(b'P', b"s1\0INSERT INTO task\0\0\0"), message(b'B', b"\0s1\0rest"), message(b'B', &big)]
                .concat();
        requests.chunks(size).for_each(|chunk| connection.request(chunk));
        let answers =
            [message(b'C', b"INSERT 0 1\0"), message(b'Z', b"T"), message(b'D', &vec![9; 50_000]), message(b'Z', b"I")];
        answers.iter().map(|answer| answer.chunks(size).flat_map(|part| connection.answer(part)).collect()).collect()
    }

    #[test]
    fn a_statement_counts_as_committed_when_the_server_is_idle_again() {
        for size in [1, 2, 7, 1000, 100_000] {
            let said = session(size);
            assert_eq!(said.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 2], "chunks of {size}");
            assert!(said[3].iter().all(|statement| statement == "INSERT INTO task"));
        }
    }

    #[test]
    fn what_failed_was_not_committed() {
        let mut connection = Postgres::default();
        connection.requests.started = true;
        connection.request(&message(b'Q', b"COMMIT\0"));
        assert!(connection.answer(&[message(b'E', b"x"), message(b'Z', b"I")].concat()).is_empty());
        connection.request(&message(b'Q', b"COMMIT\0"));
        assert_eq!(connection.answer(&message(b'Z', b"I")), ["COMMIT"]);
    }

    #[test]
    fn only_confirms_are_swallowed() {
        let frame = |kind: u8, body: &[u8]| {
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            [&[kind, 0, 1], &length[..], body, &[0xCE]].concat()
        };
        let ack = frame(1, &[0, 60, 0, 80, 1, 2, 3]);
        let other = frame(1, &[0, 60, 0, 60, 9]);
        let stream = [other.clone(), ack.clone(), frame(8, &[]), ack.clone()].concat();
        for size in [1, 3, 100] {
            let (mut connection, mut left) = (Amqp::default(), 1);
            let mut swallow = || {
                left -= 1;
                left == 0
            };
            let passed: Vec<u8> = stream.chunks(size).flat_map(|part| connection.answer(part, &mut swallow)).collect();
            assert_eq!(passed, [other.clone(), frame(8, &[]), ack.clone()].concat(), "chunks of {size}");
        }
    }
}
