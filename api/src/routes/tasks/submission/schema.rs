//! The body of a submission for the OpenAPI document. `submission.rs` reads the body field by field and not into these
//! types, so that it can point at everything that is wrong at once; tests hold the two against each other.

use std::collections::{BTreeMap, BTreeSet};

use caraway_shared::task::{Backoff, OnConflict, Priority, QueueName, Scope, TaskId, TaskName};
use jiff::Timestamp;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A task to be run.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Submission, examples(example_least, example_most))]
#[expect(dead_code, reason = "the shape of a body, for the OpenAPI document")]
pub(crate) struct SubmissionSchema {
    /// Which task type; `GET /v1/task-types` lists what workers have announced.
    name: TaskName,
    /// Arguments by place. `args` and `kwargs` may hold 256 KiB together, and nest 32 deep.
    args: Option<Vec<Value>>,
    /// Arguments by name.
    kwargs: Option<BTreeMap<String, Value>>,
    /// Where it queues; by default where its type does.
    queue: Option<QueueName>,
    /// How urgent, 9 most. Strict between the classes 7–9, 3–6 and 0–2; 4 where nothing is said.
    priority: Option<Priority>,
    /// Seconds until it may start, up to the year 9999. Not beside `run_at`.
    #[schema(minimum = 0, maximum = 249_305_040_000.0)]
    delay: Option<f64>,
    /// When it may start, from 1970 to 9999; a time that has passed is now. (The last 26 hours of 9999 count as their beginning.)
    run_at: Option<Timestamp>,
    /// It expires if it has not started by then, also while it is scheduled: for its first attempt or for another. Later than its
    /// start, and in the future.
    expires_at: Option<Timestamp>,
    /// The hard time limit of an attempt, seconds; by default its type's, which is an hour unless its workers say otherwise. Null:
    /// none.
    #[schema(exclusive_minimum = 0)]
    timeout: Option<f64>,
    /// When an attempt is asked to end, seconds; not above the hard limit.
    #[schema(exclusive_minimum = 0)]
    soft_timeout: Option<f64>,
    retry: Option<RetryBody>,
    unique: Option<UniqueBody>,
    /// How long the finished task is kept, seconds, up to 90 days; by default a day if it succeeded, else a week.
    #[schema(minimum = 0, maximum = 7_776_000)]
    result_ttl: Option<f64>,
    /// Whether the result is kept; it is where nothing is said.
    store_result: Option<bool>,
    /// Words to find it by.
    #[schema(max_items = 20)]
    tags: Option<BTreeSet<Tag>>,
    /// Whatever you want to keep beside it, up to 16 KiB.
    metadata: Option<BTreeMap<String, Value>>,
    /// The task that submits this one; it must exist.
    parent_id: Option<TaskId>,
}

/// A tag: at most 64 bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(min_length = 1, max_length = 64)]
struct Tag(String);

/// How often, when, and after which errors a task is tried again.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Retry)]
#[expect(dead_code, reason = "the shape of a body, for the OpenAPI document")]
struct RetryBody {
    /// Attempts in all; 5 where nothing is said.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<i32>,
    backoff: Option<Backoff>,
    /// How much of the wait is left to chance; 1 where nothing is said: anything between nothing and the whole wait.
    #[schema(minimum = 0, maximum = 1)]
    jitter: Option<f64>,
    /// Only errors with one of these codes are tried again; all that are retryable where nothing is said. `worker_lost` and
    /// `timed_out` are such codes too.
    #[schema(max_items = 20)]
    retry_on: Option<Vec<CodePattern>>,
    /// Errors with one of these codes are not tried again, `worker_lost` and `timed_out` included.
    #[schema(max_items = 20)]
    no_retry_on: Option<Vec<CodePattern>>,
    /// No attempt begins later than this after acceptance, seconds.
    #[schema(minimum = 0)]
    max_retry_duration: Option<f64>,
}

/// An error code, at most 128 bytes; up to two `*` stand for anything.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 128, pattern = r"^[^*]*(\*[^*]*){0,2}$")]
#[expect(dead_code, reason = "the shape of a body, for the OpenAPI document")]
struct CodePattern(String);

/// Keeps other tasks that count as the same away. By `key`, or `by` what they are; `by: ["name", "args"]` where neither is
/// said.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Unique)]
#[expect(dead_code, reason = "the shape of a body, for the OpenAPI document")]
struct UniqueBody {
    /// Tasks with the same key are the same, whatever they do. At most 255 bytes.
    #[schema(min_length = 1, max_length = 255)]
    key: Option<String>,
    /// Tasks that agree in all of these are the same: `name`, `queue`, `args` (all arguments), `args.PARAMETER`.
    #[schema(min_items = 1, max_items = 20)]
    by: Option<Vec<UniquePart>>,
    /// How long: until it starts, until it ends, or for a `period`.
    r#while: Option<Scope>,
    /// Seconds from its acceptance, up to 366 days; with `while: period` and nothing else.
    #[schema(exclusive_minimum = 0, maximum = 31_622_400)]
    period: Option<f64>,
    /// What becomes of the second one.
    on_conflict: Option<OnConflict>,
}

/// A part of a task that makes it the same as another.
#[derive(ToSchema)]
#[schema(pattern = r"^(name|queue|args|args\..*)$")]
#[expect(dead_code, reason = "the shape of a body, for the OpenAPI document")]
struct UniquePart(String);

fn example_least() -> Value {
    json!({"name": "add", "args": [1, 2]})
}

fn example_most() -> Value {
    json!({
        "name": "add", "args": [1], "kwargs": {"y": 2}, "queue": "default", "priority": 7, "delay": 0.5,
        "expires_at": "2999-01-01T00:00:00Z", "timeout": 60, "soft_timeout": 50,
        "retry": {
            "max_attempts": 3, "backoff": {"type": "exponential", "initial": 2, "factor": 2, "max": 600}, "jitter": 1,
            "retry_on": ["net_*"], "no_retry_on": ["invalid_*"], "max_retry_duration": 3600
        },
        "unique": {"by": ["name", "args.x"], "while": "incomplete", "on_conflict": "return_existing"},
        "result_ttl": 86400, "store_result": true, "tags": ["invoices"], "metadata": {"order": 42}
    })
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::{super::Submission, *};

    fn schema() -> Value {
        serde_json::to_value(SubmissionSchema::schema()).unwrap()
    }

    #[test]
    fn the_examples_are_taken() {
        for example in [example_least(), example_most()] {
            Submission::read(example.to_string().as_bytes()).unwrap();
        }
    }

    /// Null is as good as nothing for every field; one that the reader does not know would be an `unknown_field`.
    #[test]
    fn every_field_of_the_schema_is_read() {
        for field in schema()["properties"].as_object().unwrap().keys().filter(|field| *field != "name") {
            Submission::read(json!({"name": "add", field: null}).to_string().as_bytes()).unwrap();
        }
        for (field, inner) in [
            ("retry", serde_json::to_value(RetryBody::schema()).unwrap()),
            ("unique", serde_json::to_value(UniqueBody::schema()).unwrap()),
        ] {
            for part in inner["properties"].as_object().unwrap().keys() {
                Submission::read(json!({"name": "add", field: {part: null}}).to_string().as_bytes()).unwrap();
            }
        }
    }
}
