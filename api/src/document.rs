//! (8) ASK: a task's document, from the cache where the task is terminal, else from its row.
//!
//! Invariant: only a terminal document is ever kept, so the copy and the row cannot disagree.

use std::time::Duration;

use bytes::Bytes;
use caraway_shared::{
    store::tasks::TaskView,
    task::{OwnerId, TaskId},
};

use crate::{callers::Caller, extract::task_not_found, problem::Problem, state::ApiState};

/// The document as bytes, ready to be sent.
pub(crate) async fn load(state: &ApiState, owner: OwnerId, id: TaskId) -> Result<Bytes, Problem> {
    match state.cache.task(owner, id).await {
        Some(kept) => Ok(kept),
        None => Ok(from_row(state, owner, id).await?.1),
    }
}

/// The document, to be looked into. A copy that an older version kept in another shape is passed over.
pub(crate) async fn view(state: &ApiState, owner: OwnerId, id: TaskId) -> Result<TaskView, Problem> {
    let kept = state.cache.task(owner, id).await;
    match kept.and_then(|kept| serde_json::from_slice(&kept).ok()) {
        Some(view) => Ok(view),
        None => Ok(from_row(state, owner, id).await?.0),
    }
}

/// That this caller's key is good for the queue of its task. Costs nothing where the key is good for all queues.
pub(crate) async fn check_queue(state: &ApiState, caller: &Caller, id: TaskId) -> Result<(), Problem> {
    if caller.covers_all() {
        return Ok(());
    }
    caller.covers(&view(state, caller.owner, id).await?.queue)
}

async fn from_row(state: &ApiState, owner: OwnerId, id: TaskId) -> Result<(TaskView, Bytes), Problem> {
    let task = state.store.show_task(owner, id).await?.ok_or_else(task_not_found)?;
    let document = Bytes::from(serde_json::to_vec(&task).map_err(Problem::internal)?);
    if task.state.is_terminal() {
        let ttl = task.result_ttl.and_then(|ttl| Duration::try_from_secs_f64(ttl).ok()).unwrap_or(Duration::MAX);
        state.cache.keep_task(owner, id, &document, ttl).await;
    }
    Ok((task, document))
}
