//! A task as it was accepted: what a request turns into once every field of it was checked.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{OwnerId, Priority, QueueName, RetryPolicy, TaskId, TaskName};

/// The limits of the HTTP contract, in one place.
pub mod limits {
    /// A request body.
    pub const BODY_BYTES_MAX: usize = 1 << 20;
    /// `args` and `kwargs` together.
    pub const INPUT_BYTES_MAX: usize = 256 << 10;
    /// A result.
    pub const RESULT_BYTES_MAX: usize = 1 << 20;
    /// How deep a value of a user's may nest, its own brackets included: arguments, metadata, cached data, payloads, progress.
    pub const NESTING_MAX: usize = 32;
    /// How deep a request's body may nest: a value, and the deepest place where one may stand, in a task of a workflow.
    pub const BODY_NESTING_MAX: usize = NESTING_MAX + 8;
    /// Attempts of a task.
    pub const ATTEMPTS_MAX: i32 = 100;
    /// Attempts where nothing is said.
    pub const ATTEMPTS_DEFAULT: i32 = 5;
    /// Tasks in one batch.
    pub const BATCH_MAX: usize = 1000;
    /// Bytes of `metadata`.
    pub const METADATA_BYTES_MAX: usize = 16 << 10;
    /// Bytes of what a handler says of its progress.
    pub const PROGRESS_BYTES_MAX: usize = 16 << 10;
    /// Tags on a task.
    pub const TAGS_MAX: usize = 20;
    /// Bytes of a tag.
    pub const TAG_BYTES_MAX: usize = 64;
}

/// When a task may start, by the database's clock.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Start {
    /// At once.
    Now,
    /// This much after acceptance.
    After(Duration),
    /// Not before; a time that has passed is now.
    At(Timestamp),
}

/// What a task says about the hard time limit of an attempt, or its type does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TimeLimit {
    /// Nothing: a task takes its type's, a type takes the worker's.
    #[default]
    Inherited,
    /// There is none.
    Unlimited,
    /// This long.
    After(Duration),
}

impl TimeLimit {
    /// The limit in force, beside the one that is inherited.
    pub fn or(self, inherited: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Inherited => inherited,
            Self::Unlimited => None,
            Self::After(limit) => Some(limit),
        }
    }
}

/// A validated task, ready to be stored.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// Made by the API.
    pub id: TaskId,
    /// Whose it is.
    pub owner: OwnerId,
    /// Which handler.
    pub name: TaskName,
    /// The handler's version when the task was accepted.
    pub version: i32,
    /// Where it queues.
    pub queue: QueueName,
    /// How urgent.
    pub priority: Priority,
    /// `{"args": […], "kwargs": {…}}`, its parts as the client wrote them. Empty where it is that of the task which this
    /// one repeats: then it is copied where it lies.
    pub input: Bytes,
    /// 1–100.
    pub max_attempts: i32,
    /// Which errors are tried again, and when.
    pub retry: RetryPolicy,
    /// The hard time limit of one attempt.
    pub timeout: Option<Duration>,
    /// When it may start.
    pub start: Start,
    /// W3C trace context, handed on.
    pub traceparent: Option<String>,
    /// What few tasks have.
    pub extra: Extra,
}

/// What few tasks have: one JSON document in the accept statement, so that the many pay nothing for it. The field names
/// are the statement's.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Extra {
    /// Not started after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When an attempt is asked to end, before its hard limit; seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_timeout: Option<f64>,
    /// How long the finished task is kept, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_ttl: Option<f64>,
    /// The result is not kept at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drop_result: bool,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whatever the client wants to keep beside it, in its own bytes: to the database it is a string.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub metadata: Option<Box<RawValue>>,
    /// The task that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Uuid>,
    /// The batch it came in. No part of the document: in a batch all have one.
    #[serde(skip)]
    pub batch_id: Option<Uuid>,
    /// The task that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<Uuid>,
    /// Accepted as `waiting`, and for what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<&'static str>,
    /// The workflow of which it is a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<Uuid>,
    /// Its place there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<i32>,
}

#[expect(clippy::ref_option, reason = "as serde gives it")]
fn as_text<S: Serializer>(json: &Option<Box<RawValue>>, serializer: S) -> Result<S::Ok, S::Error> {
    json.as_deref().map(RawValue::get).serialize(serializer)
}

impl Extra {
    /// Whether there is nothing to say in the document.
    pub fn is_empty(&self) -> bool {
        let Self {
            expires_at,
            soft_timeout,
            result_ttl,
            drop_result,
            tags,
            metadata,
            parent_id,
            batch_id: _,
            retry_of,
            waits_for,
            workflow_id,
            node,
        } = self;
        expires_at.is_none()
            && soft_timeout.is_none()
            && result_ttl.is_none()
            && !drop_result
            && tags.is_empty()
            && metadata.is_none()
            && parent_id.is_none()
            && retry_of.is_none()
            && waits_for.is_none()
            && workflow_id.is_none()
            && node.is_none()
    }

    /// The statement's document; `None` where there is nothing to say.
    pub fn to_json(&self) -> Option<String> {
        if self.is_empty() { None } else { serde_json::to_string(self).ok() }
    }
}
