//! Somebody purges the queue.

use std::time::Duration;

use crate::drill::Drill;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_purged() {
    let mut drill = Drill::start("queue-purged").await;
    let broker = drill.place.broker().await;
    let loading = drill.load();
    let fault = drill.middle(&loading).await;

    let purged = broker.purge(drill.place.queue()).await;
    assert!(purged > 0, "there was nothing to purge: the workers are too fast for this test");
    println!("queue-purged: messages purged {purged}");

    drill.finish(loading, &fault, Duration::from_secs(150)).await;
    drill.assert_rose(&["caraway_audit_owed_again_total", "caraway_relay_published_total"]).await;
}
