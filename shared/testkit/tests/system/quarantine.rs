//! Messages that mean nothing are put aside for people, and stop nobody.

use caraway_testkit::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn unreadable_and_unknown_messages_are_put_aside() {
    let mut stage = Stage::start("quarantine").await;
    let broker = stage.place.broker().await;
    let queue = stage.place.queue();
    let garbage = [vec![], b"garbage".to_vec(), vec![1; 20], vec![7; 64 << 10]];
    for body in &garbage {
        broker.publish(queue, body).await;
    }
    let stranger = pointer(Uuid::now_v7(), 0);
    broker.publish(queue, &stranger).await;

    let task = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    assert_eq!(stage.client.wait(task, SOON).await["state"], "succeeded");

    let kept = eventually(SOON, "five messages are in quarantine", async || {
        let kept = stage.database.quarantined(queue).await;
        if kept.len() == garbage.len() + 1 { Ok(kept) } else { Err(format!("{} are", kept.len())) }
    })
    .await;
    let unreadable = kept.iter().filter(|(reason, _)| reason == "unreadable").count();
    assert_eq!(unreadable, garbage.len());
    assert!(kept.contains(&("unknown_task".into(), stranger)));
    assert!(kept.iter().all(|(_, body)| body.len() <= 4096), "no more is kept of a body than people need");
    assert!(stage.worker.counters().await.sum("caraway_quarantined_total") >= 5);
    assert_eq!(broker.ready(queue).await, 0, "what was put aside is gone from the queue");
}

/// The message of one pointer, written down by hand: version, id, epoch.
pub(crate) fn pointer(task: Uuid, epoch: i32) -> Vec<u8> {
    [&[1], &task.as_bytes()[..], &epoch.to_be_bytes()].concat()
}
