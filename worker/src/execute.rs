//! Step 5: run a claimed task. A chain: find the handler, bind the arguments, run it within its limits, and turn
//! whatever happened into an ending out of a closed set, and that into the outcome to record.
//!
//! Invariant: nothing a handler does (return, fail, panic, hang, ignore its token) leaves here as anything but an
//! outcome.

use std::time::Duration;

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
    registry::{Registry, Run},
    running::{Stop, Ticket},
};

/// How long a handler that was asked to stop may take before it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The same at shutdown, whose grace has been waited for already.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Runs a claimed task to its outcome.
pub(crate) async fn execute(claim: Claim, ticket: Ticket, registry: &Registry, store: &Store) -> RecordRow {
    let (id, epoch, budget) = (claim.id, claim.epoch, claim.budget);
    let deadline = claim.timeout.and_then(|limit| Instant::now().checked_add(limit));
    let context = Context { ticket: ticket.clone(), owner: claim.owner, budget, deadline, store: store.clone() };
    let ending = match start(&claim, context, registry) {
        Ok(job) => attend(job, &ticket, deadline).await,
        Err(failure) => failure.into_ending(),
    };
    RecordRow { id, epoch, outcome: judge(ending, budget, rand::random()) }
}

type Job = JoinHandle<Result<Bytes, Failure>>;

fn start(claim: &Claim, context: Context, registry: &Registry) -> Result<Job, Failure> {
    // the claim took only names that this worker has
    let task = registry.get(&claim.name).ok_or_else(|| Failure::retryable("no_handler", "no such handler here"))?;
    let run: Run = (task.start)(&claim.input, context)?;
    Ok(if task.about.cpu {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(run))
    } else {
        tokio::spawn(run)
    })
}

/// Waits for the handler, its deadline, or a reason to stop it.
async fn attend(mut job: Job, ticket: &Ticket, deadline: Option<Instant>) -> Ending {
    let limit = async {
        match deadline {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        joined = &mut job => return ending(joined, ticket),
        () = limit => ticket.end(Stop::TimedOut),
        _ = ticket.stopped() => (),
    }
    let grace = match ticket.why() {
        Some(Stop::TimedOut) => Duration::ZERO,
        Some(Stop::Shutdown) => SHUTDOWN_GRACE,
        Some(Stop::Cancelled | Stop::Disowned) | None => STOP_GRACE,
    };
    if let Ok(joined) = timeout(grace, &mut job).await {
        return ending(joined, ticket);
    }
    job.abort(); // an async handler ends at its next await; one that burns CPU goes on and its result is dropped
    stopped(ticket).unwrap_or(Ending::Interrupted)
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
    ticket.why().map(|stop| match stop {
        Stop::Cancelled => Ending::Cancelled,
        Stop::TimedOut => Ending::TimedOut,
        Stop::Shutdown | Stop::Disowned => Ending::Interrupted,
    })
}

fn panic_message(error: JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
