//! A submission's body, field by field: what a client may say about a task, and the limits of each.

use std::time::Duration;

use bytes::Bytes;
use caraway_shared::task::{Backoff, Priority, QueueName, TaskName, limits};
use serde_json::value::RawValue;

use crate::{
    extract::{Fields, typed},
    problem::{Code, Problem},
};

/// Longest time that can be added to now and stay within the year 9999, roughly.
const SECONDS_MAX: f64 = 7_900.0 * 365.25 * 86_400.0;

const NAME: &str = "must be a name: a letter, then up to 127 letters, digits, '_', '.' or '-'";

/// What the body said, every value checked for itself. Whether the names exist is asked later.
#[derive(Debug)]
pub(crate) struct Submission<'a> {
    pub(crate) name: TaskName,
    pub(crate) queue: Option<QueueName>,
    pub(crate) priority: Priority,
    pub(crate) timeout: Option<Duration>,
    pub(crate) delay: Option<Duration>,
    pub(crate) max_attempts: i32,
    pub(crate) backoff: Backoff,
    args: Option<&'a RawValue>,
    kwargs: Option<&'a RawValue>,
}

impl<'a> Submission<'a> {
    /// Reads a body that is known to be good JSON.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        let mut fields = Fields::of(body)?;
        let name = fields.required("name", NAME, typed);
        let args = fields.optional("args", "must be an array", |args| starts_with(args, '['));
        let kwargs = fields.optional("kwargs", "must be an object", |kwargs| starts_with(kwargs, '{'));
        let queue = fields.optional("queue", NAME, typed);
        let priority = fields.optional("priority", "must be a whole number from 0 to 9", |value| {
            typed(value).and_then(|number| Priority::new(number).ok())
        });
        let timeout = fields.optional("timeout", "must be a number of seconds, greater than 0", timeout);
        let delay = fields.optional("delay", "must be a number of seconds, 0 or more, before the year 9999", delay);
        let (max_attempts, backoff) = fields.object("retry", retry).unwrap_or_default();
        let submission = name.map(|name| Self {
            name,
            queue,
            priority: priority.unwrap_or_default(),
            timeout,
            delay: delay.filter(|delay| !delay.is_zero()),
            max_attempts: max_attempts.unwrap_or(limits::ATTEMPTS_DEFAULT),
            backoff: backoff.unwrap_or_default(),
            args,
            kwargs,
        });
        let submission = fields.finish(submission)?;
        submission.check_input_bytes()?;
        Ok(submission)
    }

    /// The positional arguments as the client wrote them.
    pub(crate) fn args(&self) -> &'a str {
        self.args.map_or("[]", RawValue::get)
    }

    /// The named arguments as the client wrote them.
    pub(crate) fn kwargs(&self) -> &'a str {
        self.kwargs.map_or("{}", RawValue::get)
    }

    /// What is stored and handed to the handler: the client's own bytes, never parsed and written anew.
    pub(crate) fn input(&self) -> Bytes {
        format!(r#"{{"args":{},"kwargs":{}}}"#, self.args(), self.kwargs()).into()
    }

    fn check_input_bytes(&self) -> Result<(), Problem> {
        if self.args().len() + self.kwargs().len() <= limits::INPUT_BYTES_MAX {
            return Ok(());
        }
        let detail = format!(
            "args and kwargs may hold {} bytes together; store larger ones as an item and send its id",
            limits::INPUT_BYTES_MAX
        );
        Err(Problem::new(Code::InputTooLarge, detail).with("bytes_max", limits::INPUT_BYTES_MAX))
    }
}

fn starts_with(value: &RawValue, first: char) -> Option<&RawValue> {
    Some(value).filter(|value| value.get().starts_with(first))
}

fn retry(fields: &mut Fields<'_>) -> (Option<i32>, Option<Backoff>) {
    let attempts = fields.optional("max_attempts", "must be a whole number from 1 to 100", |value| {
        typed(value).filter(|attempts| (1..=limits::ATTEMPTS_MAX).contains(attempts))
    });
    let backoff = fields.optional(
        "backoff",
        "must be {type: constant, linear or exponential, initial and max: seconds up to a year, factor: 1 to 1000, \
         jitter: 0 to 1}",
        |value| typed(value).filter(Backoff::is_valid),
    );
    (attempts, backoff)
}

/// Longer than the calendar is as good as the calendar.
fn timeout(value: &RawValue) -> Option<Duration> {
    let seconds = typed::<f64>(value).filter(|seconds| *seconds > 0.0)?;
    whole_milliseconds(seconds.min(SECONDS_MAX)).map(|timeout| timeout.max(Duration::from_millis(1)))
}

fn delay(value: &RawValue) -> Option<Duration> {
    let seconds = typed::<f64>(value).filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))?;
    whole_milliseconds(seconds)
}

/// The database keeps no finer ones, and the answer must not promise more than it keeps.
fn whole_milliseconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64((seconds * 1e3).round() / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(body: &str) -> Vec<String> {
        let document = Submission::read(body.as_bytes()).unwrap_err().document(None);
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        let errors = document["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().into()).collect()
    }

    #[test]
    fn a_name_is_enough() {
        let submission = Submission::read(br#"{"name": "add"}"#).unwrap();
        assert_eq!(submission.input(), r#"{"args":[],"kwargs":{}}"#);
        assert_eq!((submission.priority, submission.max_attempts), (Priority::default(), 5));
        assert_eq!((submission.timeout, submission.delay), (None, None));
    }

    #[test]
    fn arguments_keep_their_bytes() {
        let submission = Submission::read(br#"{"name":"add","args":[1.50, 1e2],"kwargs":{"b" :-0}}"#).unwrap();
        assert_eq!(submission.input(), r#"{"args":[1.50, 1e2],"kwargs":{"b" :-0}}"#);
    }

    #[test]
    fn every_limit_is_pointed_at() {
        let cases = [
            ("{}", "/name"),
            (r#"{"name": "1"}"#, "/name"),
            (r#"{"name": "a", "queue": "a b"}"#, "/queue"),
            (r#"{"name": "a", "priority": 10}"#, "/priority"),
            (r#"{"name": "a", "priority": -1}"#, "/priority"),
            (r#"{"name": "a", "priority": "high"}"#, "/priority"),
            (r#"{"name": "a", "timeout": 0}"#, "/timeout"),
            (r#"{"name": "a", "delay": -1}"#, "/delay"),
            (r#"{"name": "a", "delay": 1e300}"#, "/delay"),
            (r#"{"name": "a", "args": {}}"#, "/args"),
            (r#"{"name": "a", "kwargs": []}"#, "/kwargs"),
            (r#"{"name": "a", "retry": 3}"#, "/retry"),
            (r#"{"name": "a", "retry": {"max_attempts": 0}}"#, "/retry/max_attempts"),
            (r#"{"name": "a", "retry": {"max_attempts": 101}}"#, "/retry/max_attempts"),
            (r#"{"name": "a", "retry": {"backoff": {"jitter": 2}}}"#, "/retry/backoff"),
            (r#"{"name": "a", "retry": {"backoff": {"x": 2}}}"#, "/retry/backoff"),
            (r#"{"name": "a", "retry": {"x": 2}}"#, "/retry/x"),
            (r#"{"name": "a", "id": 1}"#, "/id"),
        ];
        for (body, pointer) in cases {
            assert_eq!(pointers(body), [pointer], "{body}");
        }
    }

    #[test]
    fn times() {
        let read = |body: &str| {
            let submission = Submission::read(body.as_bytes()).unwrap();
            (submission.timeout, submission.delay)
        };
        assert_eq!(
            read(r#"{"name": "a", "timeout": 0.0001, "delay": 0}"#),
            (Some(Duration::from_millis(1)), None),
            "never nothing; no delay is no delay"
        );
        assert!(read(r#"{"name": "a", "timeout": 1e300}"#).0.is_some(), "there is no upper bound on a time limit");
    }
}
