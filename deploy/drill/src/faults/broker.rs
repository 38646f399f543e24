//! RabbitMQ stopped, killed, frozen, emptied, wiped, short of memory or disk.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::{Instant, sleep};

use super::{
    SOON,
    counters::{AUDITED, BLOCKED, DEAD, RECONNECTS, RELAYED, RESCUED},
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    tasks::Mix,
    world::{Server, until},
};

/// A purged queue is noticed within this.
const NOTICED_MAX: Duration = Duration::from_mins(1);
const FROZEN: Duration = Duration::from_mins(1);
/// Name, how it is raised, how it is lifted.
const ALARMS: [(&str, &[&str], &[&str]); 2] = [
    (
        "the memory alarm",
        &["set_vm_memory_high_watermark", "0.0001"],
        &["set_vm_memory_high_watermark", "absolute", "1GB"],
    ),
    ("the disk alarm", &["set_disk_free_limit", "999GB"], &["set_disk_free_limit", "200MB"]),
];
const ALARMED: Duration = Duration::from_secs(5);

pub(crate) fn faults() -> Vec<Fault> {
    let backlog = |id, name, inject| Fault { mix: Mix::Backlog, rate: 140, ..usual(id, name, inject) };
    vec![
        Fault {
            rises: &[RECONNECTS, RELAYED],
            ..usual("F19", "broker stopped and started", |drill| restart(drill, false).boxed_local())
        },
        Fault {
            rises: &[RECONNECTS, RELAYED],
            ..usual("F19b", "broker killed -9 and started", |drill| restart(drill, true).boxed_local())
        },
        Fault {
            rises: &[RECONNECTS, RELAYED],
            stays: &[DEAD],
            ..usual("F20", "broker frozen 60 s", |drill| freeze(drill).boxed_local())
        },
        Fault {
            rises: &[RECONNECTS],
            ..usual("F20b", "broker frozen, then killed -9", |drill| freeze_and_kill(drill).boxed_local())
        },
        Fault {
            rises: &[AUDITED],
            within: NOTICED_MAX,
            ..backlog("F21", "queue purged mid-run", |drill| purge(drill).boxed_local())
        },
        Fault {
            rises: &[AUDITED],
            ..backlog("F22", "queue deleted with its messages", |drill| delete(drill).boxed_local())
        },
        Fault {
            rises: &[RECONNECTS, AUDITED],
            ..backlog("F22b", "vhost deleted and made anew", |drill| vhost(drill).boxed_local())
        },
        Fault {
            rises: &[RECONNECTS, AUDITED],
            ..backlog("F22c", "broker's data wiped", |drill| wipe(drill).boxed_local())
        },
        Fault {
            rises: &[BLOCKED],
            stays: &[RESCUED, DEAD],
            ..usual("F23", "memory alarm, then disk alarm", |drill| alarms(drill).boxed_local())
        },
        Fault { rises: &[RECONNECTS], ..usual("F25", "broker closes connections", |drill| close(drill).boxed_local()) },
    ]
}

async fn restart(drill: &Drill, kill: bool) -> anyhow::Result<Hit> {
    let before = drill.accepted().await;
    if kill {
        drill.world.stack.kill("rabbitmq").await;
    } else {
        drill.world.stack.stop("rabbitmq").await;
    }
    sleep(Duration::from_secs(3)).await;
    let accepted = drill.accepted().await - before;
    drill.world.start_server(Server::Rabbitmq).await?;
    Ok(Hit::new(accepted, "tasks accepted without a broker"))
}

async fn freeze(drill: &Drill) -> anyhow::Result<Hit> {
    let before = drill.accepted().await;
    drill.world.stack.freeze("rabbitmq");
    sleep(FROZEN).await;
    let accepted = drill.accepted().await - before;
    drill.world.stack.thaw("rabbitmq");
    Ok(Hit::new(accepted, "tasks accepted meanwhile"))
}

/// What the frozen broker was sent is in nobody's hands when it dies.
async fn freeze_and_kill(drill: &Drill) -> anyhow::Result<Hit> {
    let before = drill.accepted().await;
    drill.world.stack.freeze("rabbitmq");
    sleep(Duration::from_secs(4)).await;
    drill.world.stack.kill("rabbitmq").await;
    let accepted = drill.accepted().await - before;
    drill.world.start_server(Server::Rabbitmq).await?;
    Ok(Hit::new(accepted, "tasks accepted meanwhile"))
}

/// Waits until so many messages lie ready, so that there is something to lose.
pub(super) async fn backlog(drill: &Drill) -> anyhow::Result<u32> {
    let (broker, queue) = (drill.world.broker().await, drill.world.place.queue());
    until(SOON, "a backlog lies in the broker", async || {
        let ready = broker.ready(queue).await;
        Ok((ready >= 60).then_some(ready))
    })
    .await
}

async fn purge(drill: &Drill) -> anyhow::Result<Hit> {
    backlog(drill).await?;
    let before = drill.world.counter(AUDITED).await;
    let purged = drill.world.broker().await.purge(drill.world.place.queue()).await;
    let began = Instant::now();
    drill.load.lock().await.stop().await; // a queue that is never empty is another story: it is overtaken
    until(SOON * 2, "the audit notices", async || Ok((drill.world.counter(AUDITED).await > before).then_some(())))
        .await?;
    Ok(Hit::new(purged, "messages purged").recovered(began.elapsed()))
}

async fn delete(drill: &Drill) -> anyhow::Result<Hit> {
    let ready = backlog(drill).await?;
    let queue = caraway_testkit::Broker::queue_name(drill.world.place.queue());
    drill.world.stack.rabbitmqctl(&["delete_queue", &queue]).await;
    go_on_and_stop(drill, Hit::new(ready, "messages deleted")).await
}

/// What is new goes on at once; what was lost waits for the audit, which finds it in a queue that is empty at last.
async fn go_on_and_stop(drill: &Drill, hit: Hit) -> anyhow::Result<Hit> {
    let recovered = drill.recovery().await?;
    drill.load.lock().await.stop().await;
    Ok(hit.recovered(recovered))
}

async fn vhost(drill: &Drill) -> anyhow::Result<Hit> {
    let ready = backlog(drill).await?;
    let stack = &drill.world.stack;
    stack.rabbitmqctl(&["delete_vhost", "/"]).await;
    stack.rabbitmqctl(&["add_vhost", "/"]).await;
    stack.rabbitmqctl(&["set_permissions", "-p", "/", "caraway", ".*", ".*", ".*"]).await;
    go_on_and_stop(drill, Hit::new(ready, "messages deleted")).await
}

async fn wipe(drill: &Drill) -> anyhow::Result<Hit> {
    let ready = backlog(drill).await?;
    drill.world.stack.kill("rabbitmq").await;
    drill.world.stack.wipe_data("rabbitmq");
    drill.world.start_server(Server::Rabbitmq).await?;
    go_on_and_stop(drill, Hit::new(ready, "messages wiped")).await
}

/// Each alarm must be felt by publishers; when it is lifted, work goes on.
async fn alarms(drill: &Drill) -> anyhow::Result<Hit> {
    let (mut accepted, mut slowest) = (0, Duration::ZERO);
    for (name, raise, lift) in ALARMS {
        let before = (drill.world.counter(BLOCKED).await, drill.accepted().await);
        drill.world.stack.rabbitmqctl(raise).await;
        drill.rises(BLOCKED, before.0, name).await?;
        sleep(ALARMED).await;
        let meanwhile = drill.accepted().await - before.1;
        anyhow::ensure!(meanwhile > 0, "nothing was accepted under {name}");
        drill.world.stack.rabbitmqctl(lift).await;
        slowest = slowest.max(drill.recovery().await?);
        accepted += meanwhile;
    }
    Ok(Hit::new(accepted, "tasks accepted under two alarms").recovered(slowest))
}

async fn close(drill: &Drill) -> anyhow::Result<Hit> {
    for _ in 0..3 {
        drill.world.stack.rabbitmqctl(&["close_all_connections", "a drill"]).await;
        sleep(Duration::from_secs(2)).await;
    }
    Ok(Hit::new(3, "times all connections closed"))
}
