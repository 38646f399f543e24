//! What the broker says to a publisher, or does not: confirms swallowed, refused, messages returned.

use std::time::Duration;

use caraway_testkit::{Broker, Proxy, Trap};
use futures::FutureExt as _;
use tokio::time::sleep;

use super::counters::{REFUSED_MESSAGES, RELAYED, RESCUED, STALE, UNROUTABLE};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    tasks::Mix,
};

/// More than the broker sends in that time.
const SWALLOWED_MAX: usize = 5000;
/// As `publisher.rs` has it.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
const POLICY: &str = "drill-full";

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            mix: Mix::Backlog,
            rate: 160,
            rises: &[RELAYED, STALE],
            stays: &[RESCUED],
            ..usual("F4", "confirms lost on their way", |drill| swallow(drill).boxed_local())
        },
        Fault {
            mix: Mix::Backlog,
            rate: 140,
            rises: &[REFUSED_MESSAGES, RELAYED],
            ..usual("F5", "broker refuses publishes (queue full)", |drill| refuse(drill).boxed_local())
        },
        Fault {
            rises: &[UNROUTABLE, RELAYED],
            ..usual("F6", "messages unroutable, queue gone", |drill| unroutable(drill, &["normal"]).boxed_local())
        },
        Fault {
            rises: &[UNROUTABLE, RELAYED],
            ..usual("F7", "one class of three unroutable in a pipeline", |drill| {
                unroutable(drill, &["low", "high"]).boxed_local()
            })
        },
    ]
}

/// Every confirm for longer than a publisher waits: single ones would be covered by later ones that say "up to".
async fn swallow(drill: &Drill) -> anyhow::Result<Hit> {
    super::broker::backlog(drill).await?; // a task that is claimed before its mark is missed needs none
    let ways: Vec<&Proxy> = drill.world.apis.iter().map(|api| &api.amqp).collect();
    for way in &ways {
        (0..SWALLOWED_MAX).for_each(|_| way.arm(Trap::SwallowConfirm));
    }
    sleep(CONFIRM_TIMEOUT + Duration::from_secs(3)).await;
    for way in &ways {
        way.disarm();
    }
    Ok(Hit::new(drill.fired(&ways, 1).await?, "confirms swallowed"))
}

/// A queue that may hold ten messages, and says no to more.
async fn refuse(drill: &Drill) -> anyhow::Result<Hit> {
    let before = drill.accepted().await;
    let queue = format!("^caraway\\.v1\\.{}\\.", drill.world.place.queue());
    let definition = r#"{"max-length":10,"overflow":"reject-publish"}"#;
    drill.world.stack.rabbitmqctl(&["set_policy", POLICY, &queue, definition, "--apply-to", "queues"]).await;
    sleep(Duration::from_secs(8)).await;
    drill.world.stack.rabbitmqctl(&["clear_policy", POLICY]).await;
    Ok(Hit::new(drill.accepted().await - before, "tasks accepted while the queue was full"))
}

async fn unroutable(drill: &Drill, classes: &[&str]) -> anyhow::Result<Hit> {
    let normal = Broker::queue_name(drill.world.place.queue());
    let mut deleted = 0;
    for _ in 0..4 {
        for class in classes {
            let queue = normal.replace(".normal", &format!(".{class}"));
            drill.world.stack.rabbitmqctl(&["delete_queue", &queue]).await;
            deleted += 1;
        }
        sleep(Duration::from_secs(1)).await;
    }
    Ok(Hit::new(deleted, "queues deleted"))
}
