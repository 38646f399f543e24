//! `POST /v1/map`: one task over many arguments.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use caraway_shared::workflow::{EXPANDED_BYTES_MAX, Kind, NODES_MAX};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::{
    sketch::{Asked, FirstArgument, Options, PROBLEMS, Sketch, Sketched, fault, take, typed_list, with_first_argument},
    taken::Taken,
};
use crate::{
    extract::{Fields, IdempotencyKey, OfAllQueues, PreferWait, Traceparent, typed},
    problem::{Code, Problem},
    routes::tasks::submission::schema::SubmissionSchema,
    state::ApiState,
};

/// One task to be run over many arguments.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Map)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct MapSchema {
    task: SubmissionSchema,
    /// The first argument of each task; without any, all is done at once, with `[]`.
    items: Vec<Value>,
    /// So many of them go to one task, as a list.
    #[schema(minimum = 1, maximum = 10000)]
    chunk: Option<usize>,
    /// Failures stand in the results; where nothing is said, the first one cancels the others and fails the map.
    return_exceptions: Option<bool>,
    /// Tasks at work at once, at most.
    #[schema(minimum = 1, maximum = 10000)]
    max_in_flight: Option<i32>,
}

/// Run one task over many arguments
///
/// A task for each of the items, which it gets as its first argument; with `chunk`, a task for so many of them at a time, which
/// it gets as a list. Otherwise it is a group: up to 10,000 tasks, whose results come in the order of the items.
#[utoipa::path(
    post,
    path = "/v1/map",
    operation_id = "submit_map",
    tag = "workflows",
    params(IdempotencyKey, PreferWait, Traceparent),
    request_body(content = MapSchema, example = json!({"task": {"name": "add", "kwargs": {"y": 1}}, "items": [1, 2, 3]})),
    responses(Taken),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, IdempotencyKey::PROBLEMS, PROBLEMS]))),
)]
pub(crate) async fn map(
    request: HttpRequest,
    state: Data<ApiState>,
    OfAllQueues(caller): OfAllQueues,
    key: IdempotencyKey,
    wait: PreferWait,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    take(Asked { request, state, caller, key, wait, payload }, read).await
}

fn read(body: &[u8]) -> Result<Sketch<'_>, Problem> {
    let mut fields = Fields::of(body)?;
    let task = fields.required("task", "must be a task", Some);
    let items = fields.required("items", "must be a list", typed_list);
    let chunk = fields.optional("chunk", "must be a whole number from 1 to 10000", |value| {
        typed::<usize>(value).filter(|chunk| (1..=NODES_MAX).contains(chunk))
    });
    let options = Options::of_group(&mut fields);
    let (task, items) = fields.finish(task.zip(items))?;
    let first: Vec<(FirstArgument, String)> = match chunk {
        None => {
            items.iter().enumerate().map(|(index, item)| (FirstArgument::Item(index), item.get().to_owned())).collect()
        }
        Some(chunk) => {
            let chunks = items.chunks(chunk).enumerate();
            chunks.map(|(index, items)| (FirstArgument::Items(index * chunk), list(items))).collect()
        }
    };
    if first.len() > NODES_MAX {
        return Err(fault("/items".into(), format!("makes {} tasks; {NODES_MAX} are allowed", first.len())));
    }
    check_expanded(task, &first)?;
    let node = |(index, (first, argument)): (usize, &(FirstArgument, String))| {
        let task = Cow::Owned(with_first_argument(task, argument));
        Sketched::free(index.to_string(), "/task".into(), task, options.return_exceptions).with_first(*first)
    };
    Ok(Sketch { kind: Kind::Map, options, nodes: first.iter().enumerate().map(node).collect() })
}

/// Refuses what would be too large once the task is written out for each of the items, before it is.
fn check_expanded(task: &RawValue, first: &[(FirstArgument, String)]) -> Result<(), Problem> {
    let tasks = task.get().len().saturating_mul(first.len());
    let bytes = first.iter().fold(tasks, |sum, (_, first)| sum.saturating_add(first.len()));
    if bytes <= EXPANDED_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "the task written out for each of the {} items has {bytes} bytes, and {EXPANDED_BYTES_MAX} are allowed; store what is \
         large as an item and send its id",
        first.len()
    );
    Err(Problem::new(Code::InputTooLarge, detail).with("bytes_max", EXPANDED_BYTES_MAX))
}

fn list(items: &[&RawValue]) -> String {
    format!("[{}]", items.iter().map(|item| item.get()).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_measured_before_it_is_written_out() {
        let body = |task_bytes: usize, items: usize| {
            let task = format!(r#"{{"name":"a","args":["{}"]}}"#, "x".repeat(task_bytes));
            format!(r#"{{"task":{task},"items":[{}]}}"#, vec!["0"; items].join(","))
        };
        let (large, good) = (body(250_000, 1000), body(1000, 10_000));
        let problem = read(large.as_bytes()).err().unwrap();
        assert_eq!(problem.code(), Code::InputTooLarge);
        assert_eq!(read(good.as_bytes()).ok().unwrap().nodes.len(), 10_000);
    }
}
