//! `POST /v1/chords`: a group, and a task that gets the list of its results.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use caraway_shared::workflow::{Kind, When};
use utoipa::ToSchema;

use super::{
    sketch::{Asked, FirstArgument, Options, PROBLEMS, Sketch, Sketched, take, tasks, with_first_argument},
    taken::Taken,
};
use crate::{
    extract::{Fields, IdempotencyKey, OfAllQueues, PreferWait, Traceparent},
    problem::Problem,
    routes::tasks::submission::schema::SubmissionSchema,
    state::ApiState,
};

/// Tasks to be run beside each other, and one after them.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Chord)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct ChordSchema {
    /// Without any, the body gets `[]`.
    #[schema(max_items = 10000)]
    tasks: Vec<SubmissionSchema>,
    /// Gets the list of the results before its other arguments; with everything in it, they may have 1 MiB.
    body: SubmissionSchema,
    /// Failures stand in that list; where nothing is said, the first one cancels the others and the body.
    return_exceptions: Option<bool>,
    /// Tasks at work at once, at most.
    #[schema(minimum = 1, maximum = 10000)]
    max_in_flight: Option<i32>,
}

/// Run tasks, then one with their results
///
/// A group, and a body that runs once, when all of its tasks have ended, with the list of their results as its first argument.
/// What is accepted is a workflow with a node for each task, `0`, `1`, `2` and so on, and then the node `body`. If the list, with
/// the body's other arguments, has more than 1 MiB, the body fails with the code `input_too_large`.
#[utoipa::path(
    post,
    path = "/v1/chords",
    operation_id = "submit_chord",
    tag = "workflows",
    params(IdempotencyKey, PreferWait, Traceparent),
    request_body(content = ChordSchema, example = json!({"tasks": [{"name": "add", "args": [1, 2]}, {"name": "add", "args": [3, 4]}], "body": {"name": "echo"}})),
    responses(Taken),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, IdempotencyKey::PROBLEMS, PROBLEMS]))),
)]
pub(crate) async fn chord(
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
    let last = fields.required("body", "must be a task", Some);
    let options = Options::of_group(&mut fields);
    let (tasks, last) = fields.finish(tasks.zip(last))?;
    let when = if options.return_exceptions { When::Finished } else { When::Succeeded };
    let last = with_first_argument(last, r#"{"$ref":"dependencies.results"}"#);
    let last = Sketched::free("body".into(), "/body".into(), Cow::Owned(last), false)
        .with_first(FirstArgument::Reference)
        .after((0..tasks.len()).map(|index| index.to_string()), when);
    let node =
        |(index, task)| Sketched::free(format!("{index}"), format!("/tasks/{index}"), Cow::Borrowed(task), false);
    let mut nodes: Vec<Sketched<'_>> = tasks.into_iter().enumerate().map(node).collect();
    nodes.push(last);
    Ok(Sketch { kind: Kind::Chord, options, nodes })
}
