//! Step 5: run a claimed task. A chain: find the handler, bind the arguments, run it within its limits, and turn
//! whatever happened into an ending out of a closed set, and that into the outcome to record.
//!
//! Invariant: nothing a handler does (return, fail, panic, hang, ignore its token) leaves here as anything but an
//! outcome.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use caraway_shared::{
    store::{
        Store,
        tasks::{Claim, RecordRow},
    },
    task::{Ending, judge},
};
use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Context, Failure,
    registry::Registry,
    running::{Stop, Ticket},
};

/// How long a handler that was asked to stop may take before it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The same at shutdown, whose grace has been waited for already.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Runs a claimed task to its outcome.
pub(crate) async fn execute(claim: Claim, ticket: Ticket, registry: &Registry, store: &Store) -> RecordRow {
    let started = Instant::now();
    let (id, epoch, age) = (claim.id, claim.epoch, claim.age);
    let budget = Arc::new(claim.budget.clone());
    let limits = Limits {
        soft: claim.soft_timeout.and_then(|limit| started.checked_add(limit)),
        hard: claim.timeout.and_then(|limit| started.checked_add(limit)),
    };
    let context = Context {
        ticket: ticket.clone(),
        owner: claim.owner,
        budget: Arc::clone(&budget),
        limits,
        traceparent: claim.traceparent.clone().map(Into::into),
        store: store.clone(),
    };
    let ending = match start(&claim, context, registry) {
        Ok(job) => attend(job, &ticket, limits).await,
        Err(failure) => failure.into_ending(),
    };
    let outcome = judge(ending, &budget, age + started.elapsed(), rand::random());
    RecordRow { id, epoch, outcome }
}

/// When a run should end, and when it must.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) soft: Option<Instant>,
    pub(crate) hard: Option<Instant>,
}

type Job = JoinHandle<Result<Bytes, Failure>>;

/// Everything of a user's, the reading of the arguments included, runs inside the job: a panic there is an ending too.
fn start(claim: &Claim, context: Context, registry: &Registry) -> Result<Job, Failure> {
    // the claim took only names that this worker has
    let task = registry.get(&claim.name).ok_or_else(|| Failure::retryable("no_handler", "no such handler here"))?;
    let (start, input) = (Arc::clone(&task.start), claim.input.clone());
    let run = async move { start(&input, context)?.await };
    Ok(if task.about.cpu {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(run))
    } else {
        tokio::spawn(run)
    })
}

/// Waits for the handler, its limits, or a reason to stop it. At the soft limit the token fires and the handler goes on
/// until the hard one.
async fn attend(mut job: Job, ticket: &Ticket, limits: Limits) -> Ending {
    let mut soft = limits.soft;
    let why = loop {
        tokio::select! {
            joined = &mut job => return ending(joined, ticket),
            () = until(limits.hard) => {
                ticket.end(Stop::TimedOut);
                break Stop::TimedOut;
            }
            () = until(soft) => {
                ticket.end(Stop::SoftLimit);
                soft = None;
            }
            why = ticket.stopped() => break why,
        }
    };
    let grace = match why {
        Stop::TimedOut => Duration::ZERO,
        Stop::Shutdown => SHUTDOWN_GRACE,
        Stop::Cancelled | Stop::Disowned | Stop::SoftLimit => STOP_GRACE,
    };
    if let Ok(joined) = timeout(grace, &mut job).await {
        return ending(joined, ticket);
    }
    job.abort(); // an async handler ends at its next await; one that burns CPU goes on and its result is dropped
    because(why)
}

async fn until(limit: Option<Instant>) {
    match limit {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn ending(joined: Result<Result<Bytes, Failure>, JoinError>, ticket: &Ticket) -> Ending {
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
        Stop::Shutdown | Stop::Disowned => Ending::Interrupted,
    }
}

fn panic_message(error: JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
