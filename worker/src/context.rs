//! What a handler is given besides its arguments.

use std::sync::Arc;

use bytes::Bytes;
use caraway_shared::{
    coordination::Coordination,
    store::{Item, NewItem},
    task::{Budget, Epoch, JsonFault, OwnerId, TaskId, check_json, derived, limits},
};
use serde::Serialize;
use serde_json::value::to_raw_value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Failure,
    execute::Limits,
    follow::{Collector, NewTask},
    patient_store::PatientStore,
    running::Ticket,
};

/// A handler's view of its own run. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub(crate) ticket: Ticket,
    pub(crate) owner: OwnerId,
    pub(crate) budget: Arc<Budget>,
    pub(crate) limits: Limits,
    pub(crate) traceparent: Option<Arc<str>>,
    pub(crate) store: PatientStore,
    pub(crate) follow: Collector,
    pub(crate) coordination: Arc<Coordination>,
}

impl Context {
    /// The task's id. With [`epoch`](Self::epoch) it is the idempotency token for effects outside.
    pub fn task_id(&self) -> TaskId {
        self.ticket.id
    }

    /// How often the task was claimed: a fencing token that rises with every run of it.
    pub fn epoch(&self) -> Epoch {
        self.ticket.epoch
    }

    /// Whose task it is.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// This attempt's number, from 1.
    pub fn attempt(&self) -> i32 {
        self.budget.attempt
    }

    /// When the hard time limit ends this run.
    pub fn deadline(&self) -> Option<Instant> {
        self.limits.hard
    }

    /// When the soft time limit asks this run to end.
    pub fn soft_deadline(&self) -> Option<Instant> {
        self.limits.soft
    }

    /// The W3C trace context that the task was submitted with.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// Fires when the run should end: its cancellation was requested, the worker shuts down, or a time limit is
    /// reached (the soft one asks, the hard one ends it).
    pub fn stopped(&self) -> &CancellationToken {
        self.ticket.token()
    }

    /// Whether [`stopped`](Self::stopped) has fired.
    pub fn is_stopped(&self) -> bool {
        self.ticket.token().is_cancelled()
    }

    /// Says how far it is: anything that serializes, up to 16 KiB and 32 levels; more is dropped, with a warning in the
    /// log. Only the last word counts: it is shown with the task within about a second, and is as safe as the task's
    /// outcome once that is recorded.
    pub fn progress(&self, progress: &impl Serialize) {
        let Ok(said) = to_raw_value(progress) else { return };
        let bytes = said.get().len();
        if bytes > limits::PROGRESS_BYTES_MAX
            || matches!(check_json(said.get().as_bytes()), Err(JsonFault::Malformed(_)))
        {
            tracing::warn!(task.id = %self.task_id(), progress.bytes = bytes, "progress is too large, and is dropped");
        } else {
            self.ticket.say(said);
        }
    }

    /// Submits a task: it is there exactly if this run succeeds, in the same commit. At most 1,000 of them, and of nodes that
    /// are spawned, with 4 MiB of arguments.
    pub async fn submit(&self, task: NewTask) -> Result<TaskId, Failure> {
        self.follow.submit(task).await
    }

    /// Adds nodes to the workflow of which this task is one, each under a key that is unique among those that it adds. They are
    /// there exactly if this run succeeds, in the same commit; whatever depends on this node waits for them too, and finds
    /// their results behind its own dependencies'. A task that is no node cannot.
    pub async fn spawn(
        &self,
        nodes: impl IntoIterator<Item = (impl Into<String>, NewTask)>,
    ) -> Result<Vec<TaskId>, Failure> {
        self.follow.spawn(nodes.into_iter().map(|(key, task)| (key.into(), task)).collect()).await
    }

    /// An item of the task's owner, without its content. A pause of the database is waited for, as by the others below: it spends
    /// no attempt, and ends when this run must end.
    pub async fn item(&self, id: Uuid) -> Result<Option<Item>, Failure> {
        self.store.ask(|store| store.item(self.owner, id)).await
    }

    /// A whole item's content, as large as the API lets items be: 100 MiB by default.
    pub async fn item_content(&self, id: Uuid) -> Result<Option<Bytes>, Failure> {
        self.store.ask(|store| store.item_content(self.owner, id)).await
    }

    /// Stores an output of this task under a name of its own within the task. The id comes from the task's and that
    /// name (RFC 9562, version 8), so a repeated attempt stores nothing twice.
    pub async fn put_item(&self, role: &str, content_type: &str, content: Bytes) -> Result<NewItem, Failure> {
        use sha2::Digest;
        let item = NewItem {
            id: derived(self.ticket.id.0, role),
            owner: self.owner,
            content_type: content_type.into(),
            sha256: sha2::Sha256::digest(&content).into(),
            task: Some(self.ticket.id),
            content,
        };
        self.store.ask(|store| store.put_item(&item)).await?;
        Ok(item)
    }
}
