//! A task as it was accepted: what a request turns into once every field of it was checked.

use std::time::Duration;

use bytes::Bytes;

use super::{Backoff, OwnerId, Priority, QueueName, TaskId, TaskName};

/// The limits of the HTTP contract, in one place.
pub mod limits {
    /// A request body.
    pub const BODY_BYTES_MAX: usize = 1 << 20;
    /// `args` and `kwargs` together.
    pub const INPUT_BYTES_MAX: usize = 256 << 10;
    /// A result.
    pub const RESULT_BYTES_MAX: usize = 1 << 20;
    /// A stored item.
    pub const ITEM_BYTES_MAX: usize = 16 << 20;
    /// How deep JSON may nest.
    pub const NESTING_MAX: usize = 32;
    /// Attempts of a task.
    pub const ATTEMPTS_MAX: i32 = 100;
    /// Attempts where nothing is said.
    pub const ATTEMPTS_DEFAULT: i32 = 5;
    /// Tags on a task, and the bytes of one.
    pub const TAGS_MAX: usize = 20;
    /// Bytes of a tag.
    pub const TAG_BYTES_MAX: usize = 64;
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
    /// `{"args": […], "kwargs": {…}}`, its parts as the client wrote them.
    pub input: Bytes,
    /// 1–100.
    pub max_attempts: i32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// The hard time limit of one attempt.
    pub timeout: Option<Duration>,
    /// Not before this much time from now, by the database's clock.
    pub delay: Option<Duration>,
    /// W3C trace context, handed on.
    pub traceparent: Option<String>,
}
