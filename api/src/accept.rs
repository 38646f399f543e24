//! (2) ACCEPT: a validated spec becomes a committed row, and only then an answer.
//!
//! Invariants: nobody is told "accepted" before the commit returned; a client that goes away, or that has waited long
//! enough, leaves the write whole, because a writer task owns it; publishing is offered by that task, a whole commit at a
//! time, and never awaited: RabbitMQ may be down and the relay has what this process forgets.

use std::{sync::Arc, time::Duration};

use caraway_shared::{
    broken::Rule,
    broker::{HandOver, Publisher},
    store::{
        Store, WriteError, Writer,
        tasks::{
            Accept, AcceptGuarded, Accepted, Admitted, Asked, Debt, Fate, Guarded, Key, Offer, Owed, Refusal, TaskView,
        },
    },
    task::{OwnerId, State, TaskSpec},
    telemetry::names,
};
use tokio::sync::Semaphore;

use crate::{
    callers::Caller,
    problem::{Code, Problem},
    quotas::Keeper,
};

/// Accepts that may wait for their commit; past it clients hear 503 at once. At 256 rows a commit this is a second or
/// two of work.
const WAITING_MAX: usize = 4096;
/// How long a client waits for a commit before it is told that nobody knows.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries of a request whose guard somebody else keeps.
const CONTENDED_PAUSE: Duration = Duration::from_millis(250);

/// The way in for tasks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Acceptor {
    plain: Writer<Accept>,
    guarded: Writer<AcceptGuarded>,
    publisher: Publisher,
    quotas: Keeper,
    places: Arc<Semaphore>,
}

impl Acceptor {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::Overloaded, Code::QuotaExceeded];

    /// Starts the accept writers on the current runtime.
    pub(crate) fn start(store: &Store, publisher: Publisher, hand_over: HandOver, quotas: Keeper) -> Self {
        let offer = || -> Offer {
            let publisher = publisher.clone();
            Box::new(move |owed| publisher.offer(owed))
        };
        let plain = Writer::start(store, Accept { offer: offer(), takers: Box::new(hand_over) });
        let guarded = Writer::start(store, AcceptGuarded { offer: offer() });
        Self { plain, guarded, publisher, quotas, places: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Accepts a request's tasks; a fate for each, in order. All of them must be within the quota of their user; what was
    /// answered before is answered all the same.
    pub(crate) async fn accept(&self, caller: &Caller, request: Guarded) -> Result<Admitted, Problem> {
        fail::fail_point!("api.accept.received", |_| std::process::abort());
        let _within = match self.quotas.tasks(caller, request.specs().count()).await {
            Ok(place) => place,
            Err(problem) => return self.answered_before(request.owner, request.key, problem).await,
        };
        if Rule::PublishAfterCommit.is_broken() {
            self.announce_early(&request).await;
        }
        let admitted = self.commit(request).await?;
        if let Admitted::Fresh(fates) = &admitted {
            count(fates);
        }
        fail::fail_point!("api.accept.announced", |_| std::process::abort());
        Ok(admitted)
    }

    /// A request that cannot be done now may have been done before, while what it names was still there: its key tells. What
    /// was decided then, or the problem that there is now.
    pub(crate) async fn answered_before(
        &self,
        owner: OwnerId,
        key: Option<Key>,
        problem: Problem,
    ) -> Result<Admitted, Problem> {
        // what a key is not for, it learns nothing of
        if key.is_none() || problem.status().is_server_error() || problem.code() == Code::QueueForbidden {
            return Err(problem);
        }
        let tasks = vec![Asked::Refused(refusal(&problem)?)];
        match self.commit(Guarded { owner, key, tasks, atomic: true, once: false, grant: None }).await? {
            Admitted::Fresh(_) => Err(problem), // which frees the key
            answered => Ok(answered),
        }
    }

    /// Publishes what somebody else has accepted. Never waits.
    pub(crate) fn publish(&self, owed: Vec<Owed>) {
        metrics::counter!(names::ACCEPTED).increment(u64::try_from(owed.len()).unwrap_or(0));
        self.publisher.offer(owed);
    }

    /// For a negative control: what is published before its commit meets a worker that finds no row.
    async fn announce_early(&self, request: &Guarded) {
        let due = request.specs().filter_map(|(task, _)| {
            let (state, created_at, debt) = (State::Queued, jiff::Timestamp::now(), Some(Debt(0)));
            Owed::accepted(task, &Accepted { state, created_at, run_at: None, root_id: task.id.0, debt })
        });
        self.publisher.offer(due.collect());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    async fn commit(&self, request: Guarded) -> Result<Admitted, Problem> {
        let _place = self.places.try_acquire().map_err(|_| overloaded())?;
        let write = async { if request.is_plain() { self.plain(&request).await } else { self.guarded(request).await } };
        Ok(tokio::time::timeout(PATIENCE, write).await.map_err(|_| Problem::outcome_unknown())??)
    }

    /// A request whose guard somebody else keeps is tried again as long as its client waits; the others of its batch have
    /// gone on without it.
    async fn guarded(&self, request: Guarded) -> Result<Admitted, WriteError> {
        loop {
            match self.guarded.try_write(vec![request.clone()]).await {
                Err(WriteError::Contended(_)) => tokio::time::sleep(CONTENDED_PAUSE).await,
                written => return Ok(written?.into_iter().next().unwrap_or(Admitted::InFlight)),
            }
        }
    }

    /// Nothing stands in the way of these tasks.
    async fn plain(&self, request: &Guarded) -> Result<Admitted, WriteError> {
        let tasks: Vec<Arc<TaskSpec>> = request.specs().map(|(task, _)| Arc::clone(task)).collect();
        let accepted = self.plain.try_write(tasks).await?;
        let mut views = request.specs().zip(accepted).map(|((task, _), accepted)| TaskView::accepted(task, accepted));
        Ok(Admitted::Fresh(request.all_in(&mut views)))
    }
}

/// What is told of one refused task among others, and kept.
pub(crate) fn refusal(problem: &Problem) -> Result<Refusal, Problem> {
    let document = serde_json::from_slice(&problem.document(None)).map_err(Problem::internal)?;
    Ok(Refusal { status: problem.status().as_u16(), problem: document })
}

fn count(fates: &[Fate]) {
    let accepted = fates.iter().filter(|fate| matches!(fate, Fate::Accepted(_))).count();
    metrics::counter!(names::ACCEPTED).increment(u64::try_from(accepted).unwrap_or(0));
}

fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "too many tasks wait to be stored; try again in a moment")
}
