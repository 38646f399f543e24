//! Batches of slow tasks while workers are killed: each task has to start on a slot that is free, and at once.

use std::time::Duration;

use anyhow::ensure;
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{SLOT_MAX, counters::RESCUED, kill_and_restart};
use crate::{
    client::Http,
    clock::now_ms,
    drill::Drill,
    fault::{Fault, Hit, usual},
    history::{Entry, Kind},
    world::until,
};

const ROUNDS: usize = 3;
/// Tasks of a batch while all workers live, and while one of them is dead: as many as there are free slots beside the load.
const WHOLE: usize = 10;
const WITHOUT_ONE: usize = 4;
/// Longer than a slow task may wait, or one that waits behind another would not show.
const SECONDS: f64 = 5.0;
const PATIENCE: Duration = Duration::from_secs(40);
const STARTED: &str = "SELECT count(*) FROM task WHERE tags[1] LIKE $1 || '%' AND started_at IS NOT NULL";
const ENDED: &str = "SELECT count(*) FROM task WHERE tags[1] LIKE $1 || '%' AND finished_at IS NOT NULL";

const WAITED: &str = "
    SELECT coalesce(max(extract(epoch FROM started_at - created_at) * 1000), 0)::int8 FROM task
    WHERE tags[1] LIKE 'slow-%' AND losses = 0";

pub(crate) fn faults() -> Vec<Fault> {
    vec![Fault {
        rate: 30,
        rises: &[RESCUED],
        within: SLOT_MAX,
        ..usual("F82", "batches of slow tasks while workers are killed", |drill| slow(drill).boxed_local())
    }]
}

async fn slow(drill: &Drill) -> anyhow::Result<Hit> {
    let (mut held, mut slowest) = (0, Duration::ZERO);
    for round in 0..ROUNDS {
        let key = format!("slow-{round}-");
        post(drill, &format!("{key}whole-"), WHOLE).await?;
        wait(drill, STARTED, &key, WHOLE).await?;
        let (victim, _) = drill.world.busiest().await?;
        let without = format!("{key}without-");
        let (killed, posted) = futures::join!(kill_and_restart(drill, &victim), post(drill, &without, WITHOUT_ONE));
        posted?;
        let (released, tasks) = killed?;
        slowest = slowest.max(released);
        held += tasks;
        wait(drill, ENDED, &key, WHOLE + WITHOUT_ONE).await?;
    }
    let waited = drill.world.rows.number(WAITED, &[]).await?;
    let told = format!("tasks held by {ROUNDS} killed workers; the others began after {waited} ms at most");
    Ok(Hit::new(held, told).recovered(slowest))
}

/// Posts one batch of slow tasks, each of which has to start at once.
async fn post(drill: &Drill, key: &str, count: usize) -> anyhow::Result<()> {
    post_as(Kind::Slow, drill, key, count).await
}

/// Posts one batch of tasks of five seconds, and notes what was promised for the checker.
pub(super) async fn post_as(kind: Kind, drill: &Drill, key: &str, count: usize) -> anyhow::Result<()> {
    let queue = drill.world.place.queue();
    let keys: Vec<String> = (0..count).map(|index| format!("{key}{index}")).collect();
    let task = |key: &String| -> Value {
        let retry = json!({ "max_attempts": 10, "backoff": { "type": "constant", "initial": 0.3 } });
        let kwargs = json!({ "seconds": SECONDS });
        json!({ "name": "sleep_deaf", "kwargs": kwargs, "queue": queue, "tags": [key], "retry": retry })
    };
    let (urls, sent_ms) = (drill.world.urls().await, now_ms());
    let tasks: Vec<Value> = keys.iter().map(task).collect();
    let ids = Http::new()?.batch(urls.first().map_or("", String::as_str), &tasks).await?;
    ensure!(ids.len() == count, "{} of {count} were accepted", ids.len());
    let accepted_ms = now_ms();
    let entry = |(key, id)| Entry {
        key,
        keyed: false,
        kind,
        sent_ms,
        ids: vec![id],
        accepted_ms: Some(accepted_ms),
        refused: 0,
        unknown: 0,
        cancel: None,
        words: vec![(accepted_ms, format!("accepted as {id} in a batch"))],
    };
    drill.load.lock().await.note(keys.into_iter().zip(ids).map(entry));
    Ok(())
}

async fn wait(drill: &Drill, sql: &str, key: &str, count: usize) -> anyhow::Result<()> {
    until(PATIENCE, &format!("slow tasks go on: {sql}"), async || {
        let seen = drill.world.rows.number(sql, &[&key]).await?;
        Ok((seen >= i64::try_from(count)?).then_some(()))
    })
    .await
}
