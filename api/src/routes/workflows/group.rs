//! `POST /v1/groups`: tasks beside each other, one answer, the results in the order given.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use caraway_shared::workflow::Kind;
use utoipa::ToSchema;

use super::{
    sketch::{Asked, Options, PROBLEMS, Sketch, Sketched, take, tasks},
    taken::Taken,
};
use crate::{
    extract::{Fields, IdempotencyKey, OfAllQueues, PreferWait, Traceparent},
    problem::Problem,
    routes::tasks::submission::schema::SubmissionSchema,
    state::ApiState,
};

/// Tasks to be run beside each other.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Group)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct GroupSchema {
    /// None is done at once, with `[]`.
    #[schema(max_items = 10000)]
    tasks: Vec<SubmissionSchema>,
    /// Failures stand in the results; where nothing is said, the first one cancels the others and fails the group.
    return_exceptions: Option<bool>,
    /// Tasks at work at once, at most.
    #[schema(minimum = 1, maximum = 10000)]
    max_in_flight: Option<i32>,
}

/// Run tasks beside each other
///
/// Up to 10,000 tasks, one answer, and their results in the order given, whatever the order in which they end: Python's
/// `asyncio.gather`, across hosts. The first failure cancels the others; with `return_exceptions` it stands in the results. What
/// is accepted is a workflow with a node for each task, whose keys are `0`, `1`, `2` and so on.
#[utoipa::path(
    post,
    path = "/v1/groups",
    operation_id = "submit_group",
    tag = "workflows",
    params(IdempotencyKey, PreferWait, Traceparent),
    request_body(content = GroupSchema, example = json!({"tasks": [{"name": "add", "args": [1, 2]}, {"name": "add", "args": [3, 4]}]})),
    responses(Taken),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, IdempotencyKey::PROBLEMS, PROBLEMS]))),
)]
pub(crate) async fn group(
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
    let tasks = tasks(&mut fields, "tasks");
    let options = Options::of_group(&mut fields);
    let tasks = fields.finish(tasks)?;
    let node = |(index, task)| {
        Sketched::free(format!("{index}"), format!("/tasks/{index}"), Cow::Borrowed(task), options.return_exceptions)
    };
    Ok(Sketch { kind: Kind::Group, options, nodes: tasks.into_iter().enumerate().map(node).collect() })
}
