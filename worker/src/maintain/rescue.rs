//! The rescuer: finds dead sessions and takes back what they held, and gives up on attempts that their worker did not end at
//! their time limit. Every worker watches the others by its own beats, so that no rescue waits for the one that has the lease; the
//! rest is done by that one.

use std::{sync::Arc, time::Duration};

use caraway_shared::{
    store::{Sighting, StoreError, tasks::Rescued},
    telemetry::names,
};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{answering::Answering, beats::Beats};
use crate::startup::Engine;

/// Rows in one round; more wait for the next, which follows at once.
const ROWS_MAX: i64 = 500;
/// After a pause of the database workers get this long to record what ended meanwhile, before it is given up as overdue.
const ANSWERING_MIN: Duration = Duration::from_secs(10);

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let started = Instant::now();
    let mut beats = Beats::default();
    let mut answering = Answering::default();
    let mut sightings = engine.sightings.subscribe();
    while let Some(Ok(())) = done.run_until_cancelled(sightings.changed()).await {
        let Some(sighting) = sightings.borrow_and_update().clone() else { continue };
        if let Err(error) = round(&engine, &mut beats, &mut answering, started, &sighting).await {
            tracing::warn!(%error, "the rescuer cannot work now");
        }
    }
}

async fn round(
    engine: &Engine,
    beats: &mut Beats,
    answering: &mut Answering,
    started: Instant,
    sighting: &Sighting,
) -> Result<(), StoreError> {
    let steady = answering.answered(started.elapsed(), sighting.clock);
    let reconciles = engine.lease.is_held();
    if reconciles && steady.time >= ANSWERING_MIN {
        give_up_overdue(engine, steady.trusted).await?;
    }
    let mut some_died = false;
    for dead in beats.observe(started.elapsed(), &sighting.living) {
        if engine.store.declare_dead(dead).await? {
            some_died = true;
            metrics::counter!(names::SESSIONS_DEAD).increment(1);
            tracing::warn!(session.id = dead.id.0, "a session missed its beats and is dead");
            fail::fail_point!("rescuer.declared");
        }
    }
    if !reconciles && !some_died {
        return Ok(());
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

async fn give_up_overdue(engine: &Engine, started_since: Timestamp) -> Result<(), StoreError> {
    let overdue = engine.store.give_up_overdue(started_since, ROWS_MAX).await?;
    if overdue > 0 {
        metrics::counter!(names::OVERDUE).increment(overdue);
        tracing::warn!(tasks = overdue, "attempts ran past their limit and are given up");
    }
    Ok(())
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
