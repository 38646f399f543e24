//! Step 5: run a claimed task. A chain: find the handler, bind the arguments, run it within its limits, and turn
//! whatever happened into an ending out of a closed set, and that into the outcome to record.
//!
//! Invariant: nothing a handler does (return, fail, panic, hang, ignore its token) leaves here as anything but an
//! outcome. One that hangs may itself go on after that: it is handed on, to be counted (`overdue.rs`).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use caraway_shared::{
    coordination::Coordination,
    ids::Ids,
    store::{
        Store,
        tasks::{Claim, RecordRow},
        workflows::Follow,
    },
    task::{Ending, Outcome, judge},
};
use futures::future::{AbortHandle, Abortable};
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Context, Failure,
    follow::Collector,
    patient_store::PatientStore,
    references::resolved,
    registry::Registry,
    running::{Stop, Ticket},
};

/// How long a handler that was asked to stop may take before it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The same at shutdown, whose grace has been waited for already.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Where handlers run.
#[derive(Clone, Copy)]
pub(crate) struct Executor<'a> {
    pub(crate) registry: &'a Registry,
    /// Whose blocking threads run the handlers that burn CPU.
    pub(crate) threads: &'a Handle,
    pub(crate) store: &'a Store,
    pub(crate) ids: &'a Ids,
    pub(crate) coordination: &'a Arc<Coordination>,
}

/// Runs a claimed task to its outcome. The job comes with it if it was dropped and may go on all the same.
pub(crate) async fn execute(claim: Box<Claim>, ticket: Ticket, executor: Executor<'_>) -> (RecordRow, Option<Job>) {
    let started = Instant::now();
    let (id, epoch, age) = (claim.id, claim.epoch, claim.age);
    let budget = Arc::new(claim.budget.clone());
    let limits = Limits {
        soft: claim.soft_timeout.and_then(|limit| started.checked_add(limit)),
        hard: claim.timeout.and_then(|limit| started.checked_add(limit)),
    };
    let traceparent: Option<Arc<str>> = claim.traceparent.clone().map(Into::into);
    let (store, member) = (PatientStore::new(executor.store.clone(), ticket.clone()), claim.member);
    let follow = Collector::new(id, claim.owner, member, traceparent.clone(), (store.clone(), executor.ids.clone()));
    let context = Context {
        ticket: ticket.clone(),
        owner: claim.owner,
        budget: Arc::clone(&budget),
        limits,
        traceparent,
        store,
        follow: follow.clone(),
        coordination: Arc::clone(executor.coordination),
    };
    let (ending, left) = match start(claim, context, executor) {
        Ok(job) => attend(job, &ticket, limits).await,
        Err(failure) => (failure.into_ending(), None),
    };
    let outcome = judge(ending, &budget, age + started.elapsed(), rand::random());
    let mut follow = follow.close();
    if !matches!(outcome, Outcome::Succeed(_)) {
        follow = Follow::default();
    }
    (RecordRow { id, epoch, outcome, progress: ticket.last_word(), member, follow }, left)
}

/// When a run should end, and when it must.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) soft: Option<Instant>,
    pub(crate) hard: Option<Instant>,
}

type Joined = Result<Result<Bytes, Failure>, JoinError>;

/// A handler at work.
pub(crate) struct Job {
    handle: JoinHandle<Result<Bytes, Failure>>,
    stop: AbortHandle,
}

impl Job {
    /// Drops the handler at its next `.await`, if it comes to one.
    fn abort(&self) {
        self.stop.abort();
        self.handle.abort();
    }

    /// Waits until it has ended, however. Cancel-safe.
    pub(crate) async fn ended(&mut self) {
        if !self.handle.is_finished() {
            let _ = (&mut self.handle).await;
        }
    }
}

/// Everything of a user's, the reading of the arguments included, runs inside the job: a panic there is an ending too. What it
/// depends on is read there as well, so that limits and cancel requests hold for that too.
fn start(claim: Box<Claim>, context: Context, executor: Executor<'_>) -> Result<Job, Failure> {
    // the claim took only names that this worker has
    let missing = || Failure::retryable("no_handler", "no such handler here");
    let task = executor.registry.get(&claim.name).ok_or_else(missing)?;
    let run = Arc::clone(&task.start);
    let (stop, stopped) = AbortHandle::new_pair();
    let run = async move {
        let input = resolved(claim, &context.store).await?;
        run(&input, context)?.await
    };
    let run = Abortable::new(run, stopped);
    let run = async move { run.await.unwrap_or_else(|_| Err(Failure::retryable("stopped", "dropped"))) };
    let handle = if task.about.cpu {
        let runtime = Handle::current();
        executor.threads.spawn_blocking(move || runtime.block_on(run))
    } else {
        tokio::spawn(run)
    };
    Ok(Job { handle, stop })
}

/// Waits for the handler, its limits, or a reason to stop it. At the soft limit the token fires and the handler goes on
/// until the hard one. A job that had to be dropped is given back.
async fn attend(mut job: Job, ticket: &Ticket, limits: Limits) -> (Ending, Option<Job>) {
    let mut soft = limits.soft;
    let why = loop {
        tokio::select! {
            joined = &mut job.handle => return (ending(joined, ticket), None),
            () = until(limits.hard) => {
                break ticket.time_out();
            }
            () = until(soft) => {
                ticket.end(Stop::SoftLimit);
                soft = None;
            }
            why = ticket.stopped() => break why,
        }
    };
    let grace = match why {
        Stop::TimedOut | Stop::Stalled => Duration::ZERO,
        Stop::Shutdown => SHUTDOWN_GRACE,
        Stop::Cancelled | Stop::Disowned | Stop::SoftLimit => STOP_GRACE,
    };
    if let Ok(joined) = timeout(grace, &mut job.handle).await {
        return (ending(joined, ticket), None);
    }
    job.abort();
    (because(why), Some(job))
}

async fn until(limit: Option<Instant>) {
    match limit {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn ending(joined: Joined, ticket: &Ticket) -> Ending {
    match joined {
        Ok(Ok(result)) => Ending::Returned(result),
        // a handler that was asked to stop says so with an error: the request is the reason, not the error
        Ok(Err(failure)) => stopped(ticket).unwrap_or_else(|| failure.into_ending()),
        Err(error) if error.is_panic() => Ending::Panicked(panic_message(error)),
        Err(_) => stopped(ticket).unwrap_or(Ending::Interrupted),
    }
}

fn stopped(ticket: &Ticket) -> Option<Ending> {
    ticket.why().map(because)
}

fn because(stop: Stop) -> Ending {
    match stop {
        Stop::Cancelled => Ending::Cancelled,
        Stop::TimedOut | Stop::SoftLimit => Ending::TimedOut,
        Stop::Shutdown | Stop::Disowned | Stop::Stalled => Ending::Interrupted,
    }
}

fn panic_message(error: JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
