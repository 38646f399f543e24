//! Messages that should not be: doubled, shuffled, forged, unreadable.

use std::time::Duration;

use futures::FutureExt as _;
use rand::seq::SliceRandom as _;
use uuid::Uuid;

use super::{
    SOON,
    counters::{RESCUED, STALE},
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    history::Entry,
    world::until,
};

/// Of the message format.
const VERSION: u8 = 1;
const FORGED: usize = 5;
const UNREADABLE: [&[u8]; 3] = [b"", b"{}", b"\x07garbage"];

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            rises: &[STALE],
            stays: &[RESCUED],
            ..usual("F26", "every message three times, shuffled", |drill| triple(drill).boxed_local())
        },
        usual("F27", "messages without a row, and unreadable ones", |drill| forge(drill).boxed_local()),
    ]
}

/// `version, (id, epoch)`: as any client of the broker could make it.
fn pointer(id: Uuid, epoch: i32) -> Vec<u8> {
    [&[VERSION][..], id.as_bytes(), &epoch.to_be_bytes()].concat()
}

async fn triple(drill: &Drill) -> anyhow::Result<Hit> {
    let broker = drill.world.broker().await;
    let mut published = 0;
    for _ in 0..6 {
        let entries = drill.load.lock().await.entries();
        let last = entries.iter().rev().take(60).filter_map(Entry::id);
        let mut copies: Vec<Uuid> = last.flat_map(|id| [id; 3]).collect();
        copies.shuffle(&mut *drill.random.lock().await);
        for id in copies {
            broker.publish(drill.world.place.queue(), &pointer(id, 0)).await;
            published += 1;
        }
    }
    Ok(Hit::new(published, "copies published"))
}

async fn forge(drill: &Drill) -> anyhow::Result<Hit> {
    let broker = drill.world.broker().await;
    let mut bodies: Vec<Vec<u8>> = (0..FORGED).map(|_| pointer(Uuid::now_v7(), 0)).collect();
    bodies.extend(UNREADABLE.map(<[u8]>::to_vec));
    for body in &bodies {
        broker.publish(drill.world.place.queue(), body).await;
    }
    drill.explained.lock().await.quarantine = bodies.len();
    until(SOON.min(Duration::from_secs(30)), "they are in quarantine", async || {
        Ok((drill.world.rows.quarantine().await?.len() >= bodies.len()).then_some(()))
    })
    .await?;
    Ok(Hit::new(bodies.len(), "messages put into quarantine"))
}
