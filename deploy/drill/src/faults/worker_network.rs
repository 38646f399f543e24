//! A worker that loses one of its servers, or one answer of it.

use std::time::Duration;

use caraway_testkit::{Proxy, Trap, Way};
use futures::FutureExt as _;
use tokio::time::sleep;

use super::{
    KILLED_MAX,
    counters::{DEAD, RECONNECTS, REFUSED, REPEATS, RESCUED},
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    rows,
};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            rises: &[REPEATS],
            stays: &[RESCUED],
            ..usual("F13", "answer of a record's COMMIT lost", |drill| lose_answer(drill, rows::RECORDS).boxed_local())
        },
        Fault {
            rises: &[REPEATS],
            stays: &[RESCUED],
            ..usual("F13b", "answer of a claim's COMMIT lost", |drill| lose_answer(drill, rows::CLAIMS).boxed_local())
        },
        Fault {
            rises: &[RECONNECTS],
            stays: &[RESCUED],
            ..usual("F14", "worker loses RabbitMQ only", |drill| lose_broker(drill).boxed_local())
        },
        Fault {
            rises: &[RESCUED, DEAD, REFUSED],
            within: KILLED_MAX,
            ..usual("F15", "worker loses PostgreSQL only, 45 s", |drill| lose_database(drill).boxed_local())
        },
    ]
}

async fn lose_answer(drill: &Drill, statement: &'static str) -> anyhow::Result<Hit> {
    let ways: Vec<&Proxy> = drill.world.workers.iter().map(|worker| &worker.postgres).collect();
    for round in 1..=3 {
        for way in &ways {
            way.arm(Trap::AfterCommit(statement));
        }
        drill.fired(&ways, round * 3).await?;
    }
    Ok(Hit::new(drill.fired(&ways, 9).await?, "commits whose answer was lost"))
}

async fn lose_broker(drill: &Drill) -> anyhow::Result<Hit> {
    let (worker, held) = drill.world.busiest().await?;
    for _ in 0..3 {
        worker.amqp.set(Way::Cut);
        sleep(Duration::from_secs(2)).await;
        worker.amqp.set(Way::Open);
        sleep(Duration::from_secs(2)).await;
    }
    Ok(Hit::new(held, "tasks held when it was cut off"))
}

async fn lose_database(drill: &Drill) -> anyhow::Result<Hit> {
    let (worker, held) = drill.world.freeze_busiest().await?;
    worker.postgres.set(Way::Stalled);
    worker.thaw().await;
    let released = drill.released(worker.pid().await).await?;
    sleep(Duration::from_secs(45).saturating_sub(released)).await;
    worker.postgres.set(Way::Open);
    Ok(Hit::new(held, "tasks held").recovered(released))
}
