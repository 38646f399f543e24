//! From a body to a stored workflow: what all five ways in have in common.
//!
//! Invariants: a place is taken when the whole body is there, so that no slow client holds one; at most a fixed number of
//! workflows is checked or stored at once, and not all of one user; what is wrong is told with a pointer into the body; either the whole graph is accepted or nothing of it.

use std::{borrow::Cow, collections::HashSet, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use caraway_shared::{
    store::{
        tasks::Key,
        workflows::{Created, NewWorkflow, WorkflowView},
    },
    task::{OwnerId, TaskSpec},
    workflow::{Draft, GraphFault, Kind, NODES_MAX, OnDependencyFailure, Plan, When, may_refer, references},
};
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use crate::{
    callers::Caller,
    extract::{BodyLimit, Fields, IdempotencyKey, PreferWait, read_json, traceparent, typed},
    problem::{Code, Fault, Problem},
    routes::tasks::{submission::Submission, submit::check},
    state::ApiState,
};

/// Ten thousand nodes of some hundred bytes.
const LIMIT: BodyLimit = BodyLimit { bytes_max: 4 << 20, deadline: Duration::from_secs(20) };
/// How long one waits for others.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nodes that are checked before others get their turn on this thread.
const NODES_AT_ONCE: usize = 100;

/// What all ways in may refuse.
pub(super) const PROBLEMS: &[Code] = &[
    Code::Overloaded,
    Code::Contended,
    Code::QuotaExceeded,
    Code::BadRequest,
    Code::MalformedJson,
    Code::BodyTimeout,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::InvalidRequest,
    Code::UnknownField,
    Code::NulCharacter,
    Code::NestedTooDeep,
    Code::EmptyBody,
    Code::InputTooLarge,
    Code::UnknownTask,
    Code::UnknownQueue,
    Code::InvalidArguments,
];

/// A workflow as its body describes it.
pub(super) struct Sketch<'a> {
    pub(super) kind: Kind,
    pub(super) options: Options,
    pub(super) nodes: Vec<Sketched<'a>>,
}

/// What is said of the whole.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) fail_fast: bool,
    pub(super) return_exceptions: bool,
    pub(super) max_in_flight: Option<i32>,
}

/// A node and the task that it is.
pub(super) struct Sketched<'a> {
    pub(super) draft: Draft,
    /// Where its task stands in the body.
    pub(super) pointer: String,
    pub(super) task: Cow<'a, RawValue>,
    pub(super) first: FirstArgument,
}

/// What stands before the arguments that a task has in the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FirstArgument {
    /// Nothing does.
    None,
    /// A reference of ours.
    Reference,
    /// The item at this place of the body's `items`.
    Item(usize),
    /// A list of items, from this place on.
    Items(usize),
}

impl Options {
    /// `return_exceptions` and `max_in_flight`; without the first, the first failure stops everything.
    pub(super) fn of_group(fields: &mut Fields<'_>) -> Self {
        let return_exceptions =
            fields.optional("return_exceptions", "must be true or false", typed::<bool>).unwrap_or_default();
        Self { fail_fast: !return_exceptions, return_exceptions, max_in_flight: max_in_flight(fields) }
    }
}

pub(super) fn max_in_flight(fields: &mut Fields<'_>) -> Option<i32> {
    fields.optional("max_in_flight", "must be a whole number from 1 to 10000", |value| {
        typed::<i32>(value).filter(|max| (1..=10_000).contains(max))
    })
}

/// A list of tasks, which may be empty.
pub(super) fn tasks<'a>(fields: &mut Fields<'a>, name: &str) -> Option<Vec<&'a RawValue>> {
    fields.required(name, &format!("must be a list of up to {NODES_MAX}"), |value| {
        typed_list(value).filter(|tasks| tasks.len() <= NODES_MAX)
    })
}

pub(super) fn typed_list(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

impl<'a> Sketched<'a> {
    /// One that waits for nothing.
    pub(super) fn free(key: String, pointer: String, task: Cow<'a, RawValue>, tolerated: bool) -> Self {
        let draft =
            Draft { key, depends_on: Vec::new(), on_dependency_failure: OnDependencyFailure::Cancel, tolerated };
        Self { draft, pointer, task, first: FirstArgument::None }
    }

    /// Its task has this before its other arguments.
    pub(super) fn with_first(mut self, first: FirstArgument) -> Self {
        self.first = first;
        self
    }

    /// Where a part of the task's input, which a JSON pointer into that names, stands in the body.
    fn locate(&self, part: &str) -> String {
        self.locate_argument(part).unwrap_or_else(|| format!("{}{part}", self.pointer))
    }

    fn locate_argument(&self, part: &str) -> Option<String> {
        let (place, path) = leading_place(part.strip_prefix("/args")?)?;
        match (self.first, place) {
            (FirstArgument::None, _) => None,
            (FirstArgument::Item(index), 0) => Some(format!("/items/{index}{path}")),
            (FirstArgument::Items(from), 0) => {
                leading_place(path).map(|(index, path)| format!("/items/{}{path}", from + index))
            }
            (_, place) => Some(format!("{}/args/{}{path}", self.pointer, place.saturating_sub(1))),
        }
    }

    /// It waits for these as well.
    pub(super) fn after(mut self, keys: impl IntoIterator<Item = String>, when: When) -> Self {
        self.draft.depends_on.extend(keys.into_iter().map(|key| (key, when)));
        self
    }
}

/// The place in a list with which a JSON pointer begins, and what follows it.
fn leading_place(pointer: &str) -> Option<(usize, &str)> {
    let pointer = pointer.strip_prefix('/')?;
    let (place, path) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
    Some((place.parse().ok()?, path))
}

/// The task with one more argument before its others. What is no object, or has no list there, is left for its reader to
/// point at.
pub(super) fn with_first_argument(task: &RawValue, argument: &str) -> Box<RawValue> {
    let spliced = || {
        let mut fields: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(task.get()).ok()?;
        let args = fields.get("args").map(|args| args.get()).filter(|args| *args != "null").unwrap_or("[]");
        let rest = args.trim_ascii().strip_prefix('[')?.strip_suffix(']')?;
        let comma = if rest.trim_ascii().is_empty() { "" } else { "," };
        let args = RawValue::from_string(format!("[{argument}{comma}{rest}]")).ok()?;
        fields.insert("args".into(), &args);
        to_raw_value(&fields).ok()
    };
    spliced().unwrap_or_else(|| task.to_owned())
}

/// A request for a workflow.
pub(super) struct Asked {
    pub(super) request: HttpRequest,
    pub(super) state: Data<ApiState>,
    pub(super) caller: Caller,
    pub(super) key: IdempotencyKey,
    pub(super) wait: PreferWait,
    pub(super) payload: Payload,
}

/// Reads the body, checks the graph and every task of it, stores it, and answers.
pub(super) async fn take(
    asked: Asked,
    read: for<'a> fn(&'a [u8]) -> Result<Sketch<'a>, Problem>,
) -> Result<HttpResponse, Problem> {
    let Asked { request, state, caller, key, wait, payload } = asked;
    let body = read_json(&request, &mut payload.into_inner(), LIMIT).await?;
    if body.is_empty() {
        return Err(Problem::new(Code::EmptyBody, "send a JSON object as the body"));
    }
    let overloaded = |_| Problem::new(Code::Overloaded, "too many workflows at once; try again in a moment");
    let place = state.shares.workflows.take(caller.owner, PATIENCE).await.map_err(overloaded)?;
    let sketch = read(&body)?;
    let key = key.of(&request, &body);
    let checked = match checked(&state, &caller, sketch, traceparent(request.headers())).await {
        Ok(new) => state.quotas.tasks(&caller, new.tasks.len()).await.map(|within| (new, within)),
        Err(problem) => Err(problem),
    };
    let created = match checked {
        Ok((new, _within)) => state.store.create_workflow(new, key.as_ref()).await?,
        Err(problem) => answered_before(&state, caller.owner, key.as_ref(), problem).await?,
    };
    drop((place, body));
    let (view, replayed) = announced(&state, created)?;
    answer(&state, caller.owner, view, replayed, wait).await
}

/// Publishes what was queued; the workflow, and whether it was told before.
pub(super) fn announced(state: &ApiState, created: Created) -> Result<(WorkflowView, bool), Problem> {
    match created {
        Created::Fresh(view, owed) => {
            state.acceptor.publish(owed);
            Ok((*view, false))
        }
        Created::Replayed(view) => Ok((*view, true)),
        Created::KeyReused => Err(Problem::key_reused()),
        Created::InFlight => Err(Problem::key_in_flight()),
    }
}

/// A request that cannot be done now may have been done before: its key tells.
pub(super) async fn answered_before(
    state: &ApiState,
    owner: OwnerId,
    key: Option<&Key>,
    problem: Problem,
) -> Result<Created, Problem> {
    match key.filter(|_| !problem.status().is_server_error()) {
        None => Err(problem),
        Some(key) => state.store.workflow_answer(owner, key).await?.ok_or(problem),
    }
}

/// 202, or with `Prefer: wait=N` 200 if it ends in time.
async fn answer(
    state: &ApiState,
    owner: OwnerId,
    view: WorkflowView,
    replayed: bool,
    wait: PreferWait,
) -> Result<HttpResponse, Problem> {
    let ended = match wait.0 {
        None => Some(view.clone()).filter(|view| view.finished_at.is_some()),
        Some(patience) => {
            let ended = state.waiting.until_workflow_ended(owner, view.id, patience).await;
            ended.unwrap_or_else(|problem| {
                tracing::warn!(workflow.id = %view.id, %problem, "a client cannot wait for its workflow now");
                None
            })
        }
    };
    let mut response = if ended.is_some() { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    response.insert_header((header::LOCATION, format!("/v1/workflows/{}", view.id)));
    if replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    if let Some(wait) = wait.0 {
        response.insert_header(("Preference-Applied", format!("wait={}", wait.as_secs())));
    }
    Ok(response.json(ended.unwrap_or(view)))
}

/// The graph first, then every task by itself.
async fn checked(
    state: &ApiState,
    caller: &Caller,
    sketch: Sketch<'_>,
    traceparent: Option<String>,
) -> Result<NewWorkflow, Problem> {
    let asked = Instant::now();
    let plan = Plan::new(sketch.nodes.iter().map(|node| node.draft.clone()).collect()).map_err(faulty_graph)?;
    let mut tasks = Vec::with_capacity(sketch.nodes.len());
    for (index, node) in sketch.nodes.iter().enumerate() {
        if index % NODES_AT_ONCE == NODES_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        tasks.push(checked_task(state, caller, node, traceparent.clone(), asked).await?);
    }
    let Options { fail_fast, return_exceptions, max_in_flight } = sketch.options;
    let (id, kind) = (state.ids.make(), sketch.kind);
    Ok(NewWorkflow { id, owner: caller.owner, kind, fail_fast, return_exceptions, max_in_flight, plan, tasks })
}

async fn checked_task(
    state: &ApiState,
    caller: &Caller,
    node: &Sketched<'_>,
    traceparent: Option<String>,
    asked: Instant,
) -> Result<TaskSpec, Problem> {
    let pointer = &node.pointer;
    let submission = Submission::read_at(pointer.clone(), &node.task)?;
    let (task, unique) = check(state, caller, submission, traceparent, asked).await?;
    if unique.is_some() {
        return Err(fault(format!("{pointer}/unique"), "cannot be given for a task of a workflow".into()));
    }
    if task.extra.parent_id.is_some() {
        return Err(fault(format!("{pointer}/parent_id"), "cannot be given for a task of a workflow".into()));
    }
    let input = str::from_utf8(&task.input).map_err(Problem::internal)?;
    if may_refer(input) {
        let known: HashSet<&str> = node.draft.depends_on.iter().map(|(key, _)| key.as_str()).collect();
        references(input, |key| known.contains(key))
            .map_err(|wrong| fault(node.locate(&wrong.pointer), wrong.detail))?;
    }
    Ok(task)
}

fn faulty_graph(wrong: GraphFault) -> Problem {
    fault(wrong.pointer, wrong.detail)
}

pub(super) fn fault(pointer: String, detail: String) -> Problem {
    Problem::faults(vec![Fault { pointer, code: Code::InvalidRequest, detail }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_input_is_found_in_the_body() {
        let located = |first, part: &str| {
            let task = RawValue::from_string("{}".into()).unwrap();
            Sketched::free("k".into(), "/task".into(), Cow::Owned(task), false).with_first(first).locate(part)
        };
        assert_eq!(located(FirstArgument::None, "/args/0/x"), "/task/args/0/x");
        assert_eq!(located(FirstArgument::Reference, "/args/1/x"), "/task/args/0/x");
        assert_eq!(located(FirstArgument::Reference, "/kwargs/a/0"), "/task/kwargs/a/0");
        assert_eq!(located(FirstArgument::Item(7), "/args/0"), "/items/7");
        assert_eq!(located(FirstArgument::Item(7), "/args/0/a/b"), "/items/7/a/b");
        assert_eq!(located(FirstArgument::Item(7), "/args/2"), "/task/args/1");
        assert_eq!(located(FirstArgument::Items(4), "/args/0/3/a"), "/items/7/a");
    }

    #[test]
    fn an_argument_goes_before_the_others() {
        let spliced = |task: &str| {
            let task = RawValue::from_string(task.into()).unwrap();
            with_first_argument(&task, "7").get().to_owned()
        };
        assert_eq!(spliced(r#"{"name":"a"}"#), r#"{"args":[7],"name":"a"}"#);
        assert_eq!(spliced(r#"{"name":"a","args":null}"#), r#"{"args":[7],"name":"a"}"#);
        assert_eq!(spliced(r#"{"name":"a","args":[ 1.0, {}]}"#), r#"{"args":[7, 1.0, {}],"name":"a"}"#);
        assert_eq!(spliced(r#"{"args":{}}"#), r#"{"args":{}}"#);
        assert_eq!(spliced("3"), "3");
    }
}
