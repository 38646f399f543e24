//! (2) ACCEPT: a validated spec becomes a committed row, and only then an answer.
//!
//! Invariants: nobody is told "accepted" before the commit returned; a client that goes away, or that has waited long
//! enough, leaves the write whole, because a writer task owns it; publishing is offered, never awaited: RabbitMQ may be
//! down and the relay has what this process forgets.

use std::{sync::Arc, time::Duration};

use caraway_shared::{
    broker::Publisher,
    store::{
        Store, Writer,
        tasks::{Accept, Owed, TaskView},
    },
    task::{Epoch, Pointer, State, TaskSpec},
    telemetry::names,
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::problem::{Code, Problem};

/// Accepts that may wait for their commit; past it clients hear 503 at once. At 256 rows a commit this is a second or
/// two of work.
const WAITING_MAX: usize = 4096;
/// How long a client waits for a commit before it is told that nobody knows.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way in for tasks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Acceptor {
    writer: Writer<Accept>,
    publisher: Publisher,
    places: Arc<Semaphore>,
}

impl Acceptor {
    /// Starts the accept writer on the current runtime.
    pub(crate) fn start(store: Store, publisher: Publisher) -> Self {
        Self { writer: Writer::start(store, Accept), publisher, places: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Accepts one task, and answers with its document.
    pub(crate) async fn accept(&self, spec: TaskSpec) -> Result<TaskView, Problem> {
        let created_at = self.commit(&spec).await?;
        fail::fail_point!("api.accept.committed", |_| std::process::abort());
        metrics::counter!(names::ACCEPTED).increment(1);
        if spec.delay.is_none() {
            self.publisher.offer(vec![owed(&spec)]);
        }
        view(&spec, created_at)
    }

    async fn commit(&self, spec: &TaskSpec) -> Result<Timestamp, Problem> {
        let _place = self.places.try_acquire().map_err(|_| overloaded())?;
        let write = self.writer.try_write(vec![spec.clone()]);
        let written = tokio::time::timeout(PATIENCE, write).await.map_err(|_| Problem::outcome_unknown())??;
        written.first().copied().ok_or_else(|| Problem::internal("the accept writer answered for no row"))
    }
}

fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "too many tasks wait to be stored; try again in a moment")
}

fn owed(spec: &TaskSpec) -> Owed {
    Owed {
        pointer: Pointer { id: spec.id, epoch: Epoch(0) },
        queue: spec.queue.clone(),
        class: spec.priority.class(),
        alone: false,
    }
}

/// What `GET` would answer right after the commit, without asking the database again.
fn view(spec: &TaskSpec, created_at: Timestamp) -> Result<TaskView, Problem> {
    let run_at = spec.delay.map(|delay| created_at.checked_add(delay)).transpose().map_err(Problem::internal)?;
    Ok(TaskView {
        id: spec.id,
        name: spec.name.to_string(),
        version: spec.version,
        queue: spec.queue.to_string(),
        priority: spec.priority.get().into(),
        state: if run_at.is_some() { State::Scheduled } else { State::Queued },
        waiting_reason: None,
        attempt: 0,
        max_attempts: spec.max_attempts,
        created_at,
        run_at,
        queued_at: run_at.is_none().then_some(created_at),
        started_at: None,
        finished_at: None,
        expires_at: None,
        cancel_requested_at: None,
        timeout: spec.timeout.map(|timeout| timeout.as_secs_f64()),
        worker: None,
        progress: None,
        result: None,
        error: None,
        root_id: Some(spec.id.0),
        parent_id: None,
        batch_id: None,
        retry_of: None,
        traceparent: spec.traceparent.clone(),
    })
}
