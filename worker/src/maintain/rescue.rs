//! The rescuer: finds dead sessions and takes back what they held.

use std::{sync::Arc, time::Duration};

use caraway_shared::{
    store::{StoreError, tasks::Rescued},
    telemetry::names,
};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::beats::Beats;
use crate::startup::Engine;

const EVERY: Duration = Duration::from_secs(3);
/// Rows in one round; more wait for the next, which follows at once.
const ROWS_MAX: i64 = 500;

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let started = Instant::now();
    let mut beats = Beats::default();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = round(&engine, &mut beats, started).await {
            tracing::warn!(%error, "the rescuer cannot work now");
        }
    }
}

async fn round(engine: &Engine, beats: &mut Beats, started: Instant) -> Result<(), StoreError> {
    let living = engine.store.living_sessions().await?;
    for dead in beats.observe(started.elapsed(), &living) {
        if engine.store.declare_dead(dead).await? {
            metrics::counter!(names::SESSIONS_DEAD).increment(1);
            tracing::warn!(session.id = dead.id.0, "a session missed its beats and is dead");
            fail::fail_point!("rescuer.declared");
        }
    }
    loop {
        let rescued = engine.store.rescue(ROWS_MAX).await?;
        if rescued.total() > 0 {
            count(rescued);
        }
        if rescued.total() < ROWS_MAX.unsigned_abs() {
            return engine.store.clear_holds().await;
        }
    }
}

fn count(rescued: Rescued) {
    metrics::counter!(names::RESCUED).increment(rescued.total());
    metrics::counter!(names::POISONED).increment(rescued.poison);
    tracing::warn!(
        tasks.again = rescued.again,
        tasks.poison = rescued.poison,
        tasks.spent = rescued.spent,
        tasks.cancelled = rescued.cancelled,
        "tasks of dead sessions are taken back"
    );
}
