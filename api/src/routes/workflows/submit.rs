//! `POST /v1/workflows`: a graph of tasks.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use caraway_shared::workflow::{Draft, Kind, OnDependencyFailure, When, is_key};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    sketch::{Asked, FirstArgument, Options, PROBLEMS, Sketch, Sketched, max_in_flight, take, tasks, typed_list},
    taken::Taken,
};
use crate::{
    extract::{Fields, IdempotencyKey, OfAllQueues, PreferWait, Traceparent, typed},
    problem::Problem,
    routes::tasks::submission::schema::SubmissionSchema,
    state::ApiState,
};

/// A graph of tasks.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Graph)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct GraphSchema {
    /// Without cycles, and up to 100 one behind the other.
    #[schema(max_items = 10000)]
    nodes: Vec<NodeSchema>,
    /// The first failure that no other node takes care of cancels everything.
    fail_fast: Option<bool>,
    /// Failures stand in the results, and are no failure of the workflow.
    return_exceptions: Option<bool>,
    /// Nodes at work at once, at most.
    #[schema(minimum = 1, maximum = 10000)]
    max_in_flight: Option<i32>,
}

/// A task, and what it waits for.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GraphNode)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct NodeSchema {
    /// What the other nodes call it.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    key: String,
    /// Its arguments may refer to what its dependencies left behind.
    task: SubmissionSchema,
    depends_on: Option<Vec<EdgeSchema>>,
    /// What becomes of it when a dependency ends otherwise than it asks: it is cancelled (where nothing is said), or runs at
    /// once, or ignores that and waits for the others.
    on_dependency_failure: Option<OnDependencyFailure>,
}

/// A dependency.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GraphDependency)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct EdgeSchema {
    /// The key of the node.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    node: String,
    /// How it must end: `succeeded` where nothing is said.
    when: Option<When>,
}

/// Run a graph of tasks
///
/// Up to 10,000 nodes. A node starts when its dependencies have ended as it asks for. Its arguments may hold references:
/// `{"$ref": "nodes.fetch.result.body"}` stands for a part of what the dependency `fetch` returned, `nodes.fetch.error` and
/// `nodes.fetch.state` for how it ended, and `{"$ref": "dependencies.results"}` for the list of the results of all its
/// dependencies. What a node left nothing of is null. With everything resolved, arguments may have 1 MiB; if they have more, or a
/// path leads nowhere, the node fails with the code `input_too_large` or `unresolved_reference`.
///
/// Data that looks like a reference goes into `{"$literal": …}`, in the arguments of every kind of workflow, groups and maps
/// included: the task gets what stands in it, and nothing in there is looked at.
///
/// The workflow has failed if a node ended badly and no other took care of that: by `when: failed` or `finished`, or by
/// `on_dependency_failure: run` or `ignore`.
#[utoipa::path(
    post,
    path = "/v1/workflows",
    operation_id = "submit_workflow",
    tag = "workflows",
    params(IdempotencyKey, PreferWait, Traceparent),
    request_body(content = GraphSchema, example = json!({
            "nodes": [
                {"key": "one", "task": {"name": "add", "args": [1, 2]}},
                {
                    "key": "two",
                    "task": {"name": "add", "args": [{"$ref": "nodes.one.result"}, 3]},
                    "depends_on": [{"node": "one", "when": "succeeded"}]
                }
            ]
        })),
    responses(Taken),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, IdempotencyKey::PROBLEMS, PROBLEMS]))),
)]
pub(crate) async fn submit(
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
    let nodes = tasks(&mut fields, "nodes");
    let mut flag = |name| fields.optional(name, "must be true or false", typed::<bool>).unwrap_or_default();
    let (fail_fast, return_exceptions) = (flag("fail_fast"), flag("return_exceptions"));
    let options = Options { fail_fast, return_exceptions, max_in_flight: max_in_flight(&mut fields) };
    let nodes = fields.finish(nodes)?.into_iter().enumerate();
    let nodes = nodes.map(|(index, node)| read_node(index, node, return_exceptions)).collect::<Result<_, _>>()?;
    Ok(Sketch { kind: Kind::Workflow, options, nodes })
}

fn read_node(index: usize, node: &RawValue, tolerated: bool) -> Result<Sketched<'_>, Problem> {
    let pointer = format!("/nodes/{index}");
    let mut fields = Fields::at_pointer(pointer.clone(), node)?;
    let key = fields.required("key", "must be 1 to 64 letters, digits, '_' or '-'", |value| {
        typed::<String>(value).filter(|key| is_key(key))
    });
    let task = fields.required("task", "must be a task", Some);
    let edges = fields.optional("depends_on", "must be a list", typed_list).unwrap_or_default();
    let form = fields.optional("on_dependency_failure", "must be cancel, run or ignore", typed);
    let (key, task) = fields.finish(key.zip(task))?;
    let mut depends_on = Vec::with_capacity(edges.len());
    for (place, edge) in edges.into_iter().enumerate() {
        let mut fields = Fields::at_pointer(format!("{pointer}/depends_on/{place}"), edge)?;
        let before = fields.required("node", "must be the key of a node", typed::<String>);
        let when = fields.optional("when", "must be succeeded, failed or finished", typed::<When>);
        depends_on.push((fields.finish(before)?, when.unwrap_or_default()));
    }
    let draft = Draft { key, depends_on, on_dependency_failure: form.unwrap_or_default(), tolerated };
    let (pointer, task) = (format!("{pointer}/task"), Cow::Borrowed(task));
    Ok(Sketched { draft, pointer, task, first: FirstArgument::None })
}
