//! `POST /v1/chains`: tasks one after the other, each with the result of the one before.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use caraway_shared::workflow::{Kind, LEVELS_MAX, When};
use utoipa::ToSchema;

use super::{
    sketch::{Asked, FirstArgument, Options, PROBLEMS, Sketch, Sketched, fault, take, tasks, with_first_argument},
    taken::Taken,
};
use crate::{
    extract::{Fields, IdempotencyKey, OfAllQueues, PreferWait, Traceparent, typed},
    problem::Problem,
    routes::tasks::submission::schema::SubmissionSchema,
    state::ApiState,
};

/// Tasks to be run one after the other.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Chain)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct ChainSchema {
    #[schema(max_items = 100)]
    steps: Vec<StepSchema>,
}

/// A step of a chain.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChainStep)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct StepSchema {
    task: SubmissionSchema,
    /// It does not get the result of the step before as its first argument.
    immutable: Option<bool>,
}

/// Run tasks one after the other
///
/// Up to 100 steps. Each gets the result of the one before as its first argument, unless it says `immutable`. One that fails
/// cancels those after it. What is accepted is a workflow whose nodes are `0`, `1`, `2` and so on.
#[utoipa::path(
    post,
    path = "/v1/chains",
    operation_id = "submit_chain",
    tag = "workflows",
    params(IdempotencyKey, PreferWait, Traceparent),
    request_body(content = ChainSchema, example = json!({"steps": [{"task": {"name": "add", "args": [1, 2]}}, {"task": {"name": "add", "args": [3]}}]})),
    responses(Taken),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, IdempotencyKey::PROBLEMS, PROBLEMS]))),
)]
pub(crate) async fn chain(
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
    let steps = tasks(&mut fields, "steps");
    let steps = fields.finish(steps)?;
    if steps.len() > LEVELS_MAX {
        return Err(fault("/steps".into(), format!("has {} steps; {LEVELS_MAX} are allowed", steps.len())));
    }
    let mut nodes = Vec::with_capacity(steps.len());
    for (index, step) in steps.into_iter().enumerate() {
        let mut fields = Fields::at_pointer(format!("/steps/{index}"), step)?;
        let immutable = fields.optional("immutable", "must be true or false", typed::<bool>).unwrap_or_default();
        let task = fields.required("task", "must be a task", Some);
        let task = fields.finish(task)?;
        let pointer = format!("/steps/{index}/task");
        nodes.push(match index.checked_sub(1) {
            None => Sketched::free("0".into(), pointer, Cow::Borrowed(task), false),
            Some(before) if immutable => Sketched::free(index.to_string(), pointer, Cow::Borrowed(task), false)
                .after([before.to_string()], When::Succeeded),
            Some(before) => {
                let task = with_first_argument(task, &format!(r#"{{"$ref":"nodes.{before}.result"}}"#));
                Sketched::free(index.to_string(), pointer, Cow::Owned(task), false)
                    .with_first(FirstArgument::Reference)
                    .after([before.to_string()], When::Succeeded)
            }
        });
    }
    Ok(Sketch { kind: Kind::Chain, options: Options::default(), nodes })
}
