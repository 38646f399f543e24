//! Step 6: record the outcome. Returns only when it is committed, or refused because the epoch is over; the slot is
//! held until then.

use std::time::Duration;

use caraway_shared::{
    cache::wakeups::Announcer,
    store::{
        WriteError, Writer,
        tasks::{Record, RecordRow, Recorded},
        workflows::{Follow, Steps},
    },
    task::{Event, Outcome, TaskError},
    telemetry::names,
};

/// Between two tries to end a task of which the database refuses even that: a bug of ours, or a rule of the operator's.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Such a pause doubles up to this one.
const REFUSED_PAUSE_MAX: Duration = Duration::from_mins(1);

/// Records one outcome, for as long as it takes, and tells who waits for it.
pub(crate) async fn record(writers: &Writers, announcer: &Announcer, row: RecordRow) {
    let (id, epoch, event, member) = (row.id, row.epoch, row.outcome.event(), row.member);
    let mut written = writers.write(row).await;
    let mut pause = REFUSED_PAUSE;
    while let Err(WriteError::Refused(error)) = &written {
        // the database cannot hold this outcome; the task must end all the same, and keeps its slot until it does
        tracing::error!(task.id = %id, task.epoch = epoch.0, error, "an outcome is refused by the database; the task fails");
        let outcome = Outcome::Fail(TaskError::new("internal", "the database refused how the task ended"));
        let row = RecordRow { id, epoch, outcome, progress: None, member, follow: Follow::default() };
        written = Box::pin(writers.write(row)).await; // rare: not in every task's future
        if written.is_err() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(REFUSED_PAUSE_MAX);
        }
    }
    match written {
        Ok(Recorded::Done(state)) => {
            metrics::counter!(names::ENDED, "state" => state.as_str()).increment(1);
            if state.is_terminal() {
                announcer.ended(id);
            }
            fail::fail_point!("worker.announced", |_| std::process::abort());
            tracing::debug!(task.id = %id, task.epoch = epoch.0, task.state = %state, "recorded");
        }
        Ok(Recorded::Refused) => refused(id, epoch, event),
        Err(error) => tracing::error!(task.id = %id, task.epoch = epoch.0, %error, "an outcome was not recorded"),
    }
}

/// The two ways to record.
pub(crate) struct Writers {
    /// For nearly all tasks.
    pub(crate) plain: Writer<Record>,
    /// For those that are nodes of a workflow, or leave tasks behind.
    pub(crate) steps: Writer<Steps>,
}

impl Writers {
    async fn write(&self, row: RecordRow) -> Result<Recorded, WriteError> {
        let answers =
            if row.is_plain() { self.plain.write(vec![row]).await? } else { self.steps.write(vec![row]).await? };
        Ok(answers.into_iter().next().unwrap_or(Recorded::Refused))
    }
}

fn refused(id: caraway_shared::task::TaskId, epoch: caraway_shared::task::Epoch, event: Event) {
    metrics::counter!(names::REFUSED).increment(1);
    tracing::warn!(task.id = %id, task.epoch = epoch.0, ?event, "a late outcome is refused: its epoch is over");
}
