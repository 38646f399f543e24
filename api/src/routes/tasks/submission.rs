//! A submission's body, field by field: what a client may say about a task, and the limits of each.

mod retry;
pub(crate) mod schema;
mod times;
mod unique;

use bytes::Bytes;
use caraway_shared::{
    store::TaskType,
    task::{
        Extra, OwnerId, Priority, QueueName, Start, TaskId, TaskName, TaskSpec, TimeLimit, Unique, limits,
        nests_too_deep,
    },
};
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

pub(crate) use self::times::start;
use self::{retry::Retry, unique::UniqueBy};
use crate::{
    extract::{Fields, typed},
    problem::{Code, Problem},
};

const NAME: &str = "must be a name: a letter, then up to 127 letters, digits, '_', '.' or '-'";

/// What the body said, every value checked for itself. Whether the names exist is asked later.
#[derive(Debug)]
pub(crate) struct Submission<'a> {
    /// Where it stands in the body.
    pointer: String,
    pub(crate) name: TaskName,
    pub(crate) queue: Option<QueueName>,
    priority: Priority,
    timeout: TimeLimit,
    start: Start,
    retry: Retry,
    unique: Option<UniqueBy>,
    extra: Extra,
    args: Option<&'a RawValue>,
    kwargs: Option<&'a RawValue>,
}

impl<'a> Submission<'a> {
    /// Reads a body that is known to be good JSON.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        Self::read_from(Fields::of(body)?)
    }

    /// Reads a part of a body, which stands at this JSON pointer.
    pub(crate) fn read_at(pointer: String, part: &'a RawValue) -> Result<Self, Problem> {
        Self::read_from(Fields::at_pointer(pointer, part)?)
    }

    fn read_from(mut fields: Fields<'a>) -> Result<Self, Problem> {
        let name = fields.required("name", NAME, typed);
        let args = fields.optional("args", "must be an array", |args| starts_with(args, '['));
        let kwargs = fields.optional("kwargs", "must be an object", |kwargs| starts_with(kwargs, '{'));
        let (args, kwargs) = (fields.bounded("args", args), fields.bounded("kwargs", kwargs));
        let queue = fields.optional("queue", NAME, typed);
        let priority = fields.optional("priority", "must be a whole number from 0 to 9", |value| {
            typed(value).and_then(|number| Priority::new(number).ok())
        });
        let timeout = times::time_limit(&mut fields);
        let start = times::start(&mut fields);
        let retry = fields.object("retry", Retry::read).unwrap_or_default();
        let unique = fields.object("unique", UniqueBy::read).flatten();
        if start != Start::Now && unique.as_ref().is_some_and(UniqueBy::may_wait) {
            fields.refuse("unique", "cannot keep_latest beside delay or run_at");
        }
        let extra = extra(&mut fields);
        let pointer = fields.pointer().to_owned();
        let submission = name.map(|name| Self {
            pointer,
            name,
            queue,
            priority: priority.unwrap_or_default(),
            timeout,
            start,
            retry,
            unique,
            extra,
            args,
            kwargs,
        });
        let submission = fields.finish(submission)?;
        submission.check_input_bytes()?;
        Ok(submission)
    }

    /// Where a part of it stands in the body: a JSON pointer.
    pub(crate) fn at(&self, part: &str) -> String {
        format!("{}/{part}", self.pointer)
    }

    /// The positional arguments as the client wrote them.
    pub(crate) fn args(&self) -> &'a str {
        self.args.map_or("[]", RawValue::get)
    }

    /// The named arguments as the client wrote them.
    pub(crate) fn kwargs(&self) -> &'a str {
        self.kwargs.map_or("{}", RawValue::get)
    }

    /// The task that it belongs to, whose existence is asked later.
    pub(crate) fn parent(&self) -> Option<TaskId> {
        self.extra.parent_id.map(TaskId)
    }

    /// The task to store, and what makes it unique.
    pub(crate) fn into_spec(
        self,
        id: TaskId,
        known: &TaskType,
        owner: OwnerId,
        traceparent: Option<String>,
    ) -> Result<(TaskSpec, Option<Unique>), Problem> {
        let input = self.input();
        let queue = self.queue.clone().unwrap_or_else(|| known.queue.clone());
        let unique = self.unique.as_ref().map(|unique| unique.resolve(&self, &queue, known)).transpose()?;
        let spec = TaskSpec {
            id,
            owner,
            name: self.name,
            version: known.version,
            queue,
            priority: self.priority,
            input,
            max_attempts: self.retry.max_attempts,
            retry: self.retry.policy,
            timeout: self.timeout.or(known.timeout),
            start: self.start,
            traceparent,
            extra: self.extra,
        };
        match times::contradiction(&spec, Timestamp::now()) {
            Some(fault) => Err(Problem::faults(vec![fault])),
            None => Ok((spec, unique)),
        }
    }

    /// What is stored and handed to the handler: the client's own bytes, never parsed and written anew.
    fn input(&self) -> Bytes {
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
        let larger = if self.args().len() >= self.kwargs().len() { "args" } else { "kwargs" };
        let problem = Problem::new(Code::InputTooLarge, detail).with("bytes_max", limits::INPUT_BYTES_MAX);
        Err(problem.at(self.at(larger)))
    }
}

fn extra(fields: &mut Fields<'_>) -> Extra {
    let keep = fields.optional::<bool>("store_result", "must be true or false", typed);
    Extra {
        expires_at: fields.instant("expires_at"),
        soft_timeout: fields.optional("soft_timeout", times::LIMIT, times::limit).map(|limit| limit.as_secs_f64()),
        result_ttl: fields.optional("result_ttl", "must be a number of seconds, 0 to 90 days", times::result_ttl),
        drop_result: keep == Some(false),
        tags: fields.optional("tags", "must be up to 20 different strings of 1 to 64 bytes", tags).unwrap_or_default(),
        metadata: fields.optional("metadata", "must be an object of at most 16 KiB, up to 32 levels deep", metadata),
        parent_id: fields.optional::<Uuid>("parent_id", "must be a task's id", typed),
        batch_id: None,
        retry_of: None,
        waits_for: None,
        workflow_id: None,
        node: None,
    }
}

fn tags(value: &RawValue) -> Option<Vec<String>> {
    let tags = typed::<Vec<String>>(value)?;
    let mut sorted = tags.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let sizes = tags.iter().all(|tag| (1..=limits::TAG_BYTES_MAX).contains(&tag.len()));
    (sizes && tags.len() <= limits::TAGS_MAX && sorted.len() == tags.len()).then_some(tags)
}

/// In the client's own bytes.
fn metadata(value: &RawValue) -> Option<Box<RawValue>> {
    starts_with(value, '{')
        .filter(|value| value.get().len() <= limits::METADATA_BYTES_MAX && !nests_too_deep(value.get()))
        .map(ToOwned::to_owned)
}

fn starts_with(value: &RawValue, first: char) -> Option<&RawValue> {
    Some(value).filter(|value| value.get().starts_with(first))
}

#[cfg(test)]
mod tests;
