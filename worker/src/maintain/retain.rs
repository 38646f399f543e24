//! Retention: removes what is past its time, kind by kind. A kind of which much is past its time goes on at once, at most of the
//! speed that the database has for it; others rest.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use caraway_shared::{
    store::{Chore, StoreError},
    telemetry::names,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::startup::Engine;

/// Rows in one step: some ten milliseconds of the database.
const ROWS_MAX: i64 = 1000;
/// After a step that leaves more to do, this part of the time that it took is left to others.
const PAUSE_PART: u32 = 4;
/// After a step that leaves nothing to do.
const REST: Duration = Duration::from_secs(20);

/// Where each kind stands that has more to do.
#[derive(Default)]
struct Walks(HashMap<Chore, Walk>);

struct Walk {
    from: Uuid,
    rests_until: Option<Instant>,
}

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let mut walks = Walks::default();
    loop {
        if done.run_until_cancelled(engine.lease.held()).await.is_none() {
            return;
        }
        let pause = match round(&engine, &mut walks).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "what is past its time cannot be removed now");
                REST
            }
        };
        if done.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// One step of each kind that does not rest; how long until the next round.
async fn round(engine: &Engine, walks: &mut Walks) -> Result<Duration, StoreError> {
    let (began, mut goes_on) = (Instant::now(), false);
    for chore in Chore::ALL {
        let walk = walks.0.entry(chore).or_insert(Walk { from: Uuid::nil(), rests_until: None });
        if walk.rests_until.is_some_and(|until| until > Instant::now()) {
            continue;
        }
        let step = engine.store.retain(chore, &engine.keep, walk.from, ROWS_MAX).await?;
        if matches!(chore, Chore::Tasks | Chore::BriefTasks) {
            metrics::counter!(names::REMOVED).increment(step.removed);
        }
        *walk = match step.next {
            Some(next) => Walk { from: next, rests_until: None },
            None => Walk { from: Uuid::nil(), rests_until: Some(Instant::now() + REST) },
        };
        goes_on |= step.next.is_some();
    }
    if goes_on {
        return Ok(began.elapsed() / PAUSE_PART);
    }
    let next = walks.0.values().filter_map(|walk| walk.rests_until).min();
    Ok(next.map_or(REST, |next| next.saturating_duration_since(Instant::now())))
}
