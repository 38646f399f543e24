//! The audit: finds tasks whose message the broker has lost, without counting messages, which bundles and duplicates
//! make meaningless. A row that was queued a while ago, and still is, is owed again when its broker queue has
//! been empty for two rounds, or when something that came much later was claimed before it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use caraway_shared::{
    broken::Rule,
    broker::{BrokerError, Consumer},
    task::{Class, QueueName},
    telemetry::names,
};
use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

const EVERY: Duration = Duration::from_secs(15);
/// Rows of the backlog in one step, each a commit's: more follow at once.
const ROWS_MAX: i64 = 100;
/// Tasks that one round owes again of a queue and class; the next one goes on. As many as relays publish between two rounds.
const TASKS_MAX: u64 = 200_000;

type Key = (QueueName, Class);

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let mut empty = HashSet::new();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        let audited = done.run_until_cancelled(round(&engine, &mut empty)).await;
        if let Some(Err(error)) = audited {
            tracing::warn!(%error, "the audit cannot work now");
        }
    }
}

/// One round. `empty` holds the broker queues that had no ready message in the last one.
async fn round(engine: &Engine, empty: &mut HashSet<Key>) -> anyhow::Result<()> {
    if Rule::Audit.is_broken() {
        return Ok(());
    }
    let mut still_empty = HashSet::new();
    let mut unclaimed: HashMap<QueueName, Vec<Class>> = HashMap::new();
    for (queue, class) in engine.store.unclaimed().await? {
        unclaimed.entry(queue).or_default().push(class);
    }
    for (queue, unclaimed) in unclaimed {
        let ready: HashMap<Class, u32> = match Consumer::ready(&engine.publishing, &queue).await {
            Ok(ready) => ready.into_iter().collect(),
            Err(BrokerError::Refused(_)) => continue, // the publisher and the lane tell of it
            Err(error) => return Err(error.into()),
        };
        for class in unclaimed {
            let key = (queue.clone(), class);
            let is_empty = ready.get(&class) == Some(&0);
            if is_empty {
                still_empty.insert(key.clone());
            }
            let watermark = engine.watermarks.get(&key.0, class);
            let owed = match (is_empty && empty.contains(&key), watermark) {
                (true, _) => owe_again(engine, &key, None).await?,
                (false, Some(watermark)) => owe_again(engine, &key, Some(watermark)).await?,
                (false, None) => 0,
            };
            if owed > 0 {
                metrics::counter!(names::AUDITED).increment(owed);
                tracing::warn!(queue = %key.0, class = class.as_str(), tasks = owed, "the broker has lost messages; their tasks are owed again");
            }
        }
    }
    *empty = still_empty;
    Ok(())
}

/// Owes again what was lost, the oldest first; how many tasks.
async fn owe_again(engine: &Engine, (queue, class): &Key, overtaken_by: Option<Timestamp>) -> anyhow::Result<u64> {
    let mut owed = 0;
    loop {
        let step = engine.store.owe_again(queue, *class, overtaken_by, ROWS_MAX).await?;
        owed += step.tasks;
        if step.is_through || owed >= TASKS_MAX {
            return Ok(owed);
        }
    }
}
