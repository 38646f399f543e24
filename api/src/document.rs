//! (8) ASK: a task's document, from the cache where the task is terminal, else from its row.
//!
//! Invariant: only a terminal document is ever kept, so the copy and the row cannot disagree.

use std::time::Duration;

use bytes::Bytes;
use caraway_shared::{
    cache::Cache,
    store::{Store, StoreError, tasks::TaskView},
    task::{OwnerId, TaskId},
};

use crate::{callers::Caller, extract::task_not_found, problem::Problem, state::ApiState};

/// A task as its row tells it.
pub(crate) struct Document {
    /// To be looked into.
    pub(crate) view: TaskView,
    /// Ready to be sent.
    pub(crate) bytes: Bytes,
}

/// The document as bytes, ready to be sent.
pub(crate) async fn load(state: &ApiState, owner: OwnerId, id: TaskId) -> Result<Bytes, Problem> {
    match state.cache.task(owner, id).await {
        Some(kept) => Ok(kept),
        None => Ok(from_row(state, owner, id).await?.bytes),
    }
}

/// The document, to be looked into. A copy that an older version kept in another shape is passed over.
pub(crate) async fn view(state: &ApiState, owner: OwnerId, id: TaskId) -> Result<TaskView, Problem> {
    let kept = state.cache.task(owner, id).await;
    match kept.and_then(|kept| serde_json::from_slice(&kept).ok()) {
        Some(view) => Ok(view),
        None => Ok(from_row(state, owner, id).await?.view),
    }
}

/// That this caller's key is good for the queue of its task. Costs nothing where the key is good for all queues.
pub(crate) async fn check_queue(state: &ApiState, caller: &Caller, id: TaskId) -> Result<(), Problem> {
    if caller.covers_all() {
        return Ok(());
    }
    caller.covers(&view(state, caller.owner, id).await?.queue)
}

async fn from_row(state: &ApiState, owner: OwnerId, id: TaskId) -> Result<Document, Problem> {
    read(&state.store, &state.cache, owner, id).await?.ok_or_else(task_not_found)
}

/// The document as the row tells it now, of which a copy is kept if it is terminal; `None` if the owner has no such task.
pub(crate) async fn read(
    store: &Store,
    cache: &Cache,
    owner: OwnerId,
    id: TaskId,
) -> Result<Option<Document>, StoreError> {
    let Some(view) = store.show_task(owner, id).await? else { return Ok(None) };
    let bytes = Bytes::from(serde_json::to_vec(&view).map_err(|error| StoreError::Data(error.to_string()))?);
    if view.state.is_terminal() {
        let ttl = view.result_ttl.and_then(|ttl| Duration::try_from_secs_f64(ttl).ok()).unwrap_or(Duration::MAX);
        cache.keep_task(owner, id, &bytes, ttl).await;
    }
    Ok(Some(Document { view, bytes }))
}
