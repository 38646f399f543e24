//! Workflows: what a graph counts while those who count die, and children that end otherwise at the last moment.

use std::time::Duration;

use anyhow::ensure;
use futures::FutureExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{counters::RESCUED, kill_and_restart};
use crate::{
    client::Http,
    drill::Drill,
    fault::{Fault, Hit, usual},
    world::until,
};

const CHORDS: usize = 3;
const CHILDREN: usize = 2000;
const KILLS: u64 = 4;
const PATIENCE: Duration = Duration::from_mins(3);
/// Nobody serves it: a child there never starts.
const NOWHERE: &str = "images";

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            rises: &[RESCUED],
            ..usual("F43", "workers killed while chords of 2,000 children run", |drill| {
                kill_counters(drill).boxed_local()
            })
        },
        usual("F44", "children cancelled, expired and failed at the last moment", |drill| {
            end_late(drill).boxed_local()
        }),
    ]
}

async fn kill_counters(drill: &Drill) -> anyhow::Result<Hit> {
    let queue = drill.world.place.queue();
    let child = json!({ "name": "echo", "args": [1], "queue": queue });
    let body = json!({ "name": "gather", "queue": queue });
    let mut chords = Vec::new();
    for _ in 0..CHORDS {
        let chord = json!({ "tasks": vec![&child; CHILDREN], "body": body });
        chords.push(start(drill, "/v1/chords", &chord, CHILDREN + 1).await?);
    }
    let mut held = 0;
    for kill in 0..KILLS {
        let open = "SELECT coalesce(sum(open), 0)::bigint FROM workflow";
        let left = i64::try_from(CHORDS * CHILDREN).unwrap_or(0) / i64::try_from(KILLS + 1).unwrap_or(1);
        let below = left * i64::try_from(KILLS - kill).unwrap_or(0);
        until(PATIENCE, "the chords go on", async || {
            Ok((drill.world.rows.number(open, &[]).await? <= below).then_some(()))
        })
        .await?;
        let (victim, _) = drill.world.busiest().await?;
        held += kill_and_restart(drill, &victim).await?.1;
    }
    for chord in chords {
        let runs = body_of(drill, chord, CHILDREN).await?;
        ensure!(runs == 1, "the body of {chord} ran {runs} times");
    }
    Ok(Hit::new(held, "tasks held by killed workers"))
}

/// One child is cancelled, one expires, one fails, in the moment in which they are the last ones; the body runs once.
async fn end_late(drill: &Drill) -> anyhow::Result<Hit> {
    let queue = drill.world.place.queue();
    let mut chords = Vec::new();
    for index in 0..20_u64 {
        let late = jiff::Timestamp::now() + Duration::from_millis(1500 + 100 * index);
        let tasks = json!([
            { "name": "echo", "args": [1], "queue": queue },
            { "name": "echo", "args": [2], "queue": NOWHERE },
            { "name": "echo", "args": [3], "queue": NOWHERE, "expires_at": late.to_string() },
            { "name": "echo", "args": ["fail", 1.5], "queue": queue }
        ]);
        let chord = json!({ "tasks": tasks, "return_exceptions": true, "body": { "name": "gather", "queue": queue } });
        chords.push(start(drill, "/v1/chords", &chord, 5).await?);
    }
    let sql = "SELECT task_id FROM workflow_node WHERE workflow_id = $1 AND node = 1";
    for chord in &chords {
        let client = drill.world.rows.open().await?;
        let task: Uuid = client.query_one(sql, &[chord]).await?.try_get(0)?;
        let urls = drill.world.urls().await;
        let url = urls.first().map_or("", String::as_str);
        Http::new()?.cancel(url, task).await.map_err(anyhow::Error::msg)?;
    }
    for chord in &chords {
        let runs = body_of(drill, *chord, 4).await?;
        ensure!(runs == 1, "the body of {chord} ran {runs} times");
    }
    Ok(Hit::new(chords.len(), "chords whose children ended in four ways"))
}

async fn start(drill: &Drill, path: &str, body: &Value, tasks: usize) -> anyhow::Result<Uuid> {
    drill.explained.lock().await.rows += tasks;
    let urls = drill.world.urls().await;
    Http::new()?.create(urls.first().map_or("", String::as_str), path, body).await
}

/// How often the body of a chord ran, once the chord has ended.
async fn body_of(drill: &Drill, chord: Uuid, children: usize) -> anyhow::Result<usize> {
    let ended = "SELECT count(*) FROM workflow WHERE id = $1 AND finished_at IS NOT NULL";
    until(PATIENCE, "a chord ends", async || Ok((drill.world.rows.number(ended, &[&chord]).await? > 0).then_some(())))
        .await?;
    let client = drill.world.rows.open().await?;
    let sql = "SELECT task_id FROM workflow_node WHERE workflow_id = $1 AND node = $2";
    let task: Uuid = client.query_one(sql, &[&chord, &i32::try_from(children)?]).await?.try_get(0)?;
    Ok(drill.world.place.ledger().read().get(&task).map_or(0, Vec::len))
}
