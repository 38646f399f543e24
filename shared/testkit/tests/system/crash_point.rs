//! Must-show 3: the API dies between the commit of a task and its publishing.

use caraway_testkit::{Place, Stack, Submitted};
use serde_json::json;

use crate::stage::SOON;

#[tokio::test]
async fn an_api_that_dies_between_commit_and_publish_loses_nothing() {
    assert!(
        fail::has_failpoints(),
        "this test needs crash points: run deploy/dev test, or add --features caraway-shared/failpoints"
    );
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "crash-point").await;
    let database = place.database().await;
    // a worker announces the task, and goes: nobody is there who could publish
    let mut first = place.api().start().await;
    place.ledger_worker("worker-1", 4).start().await.terminate(SOON).await;
    first.terminate(SOON).await;

    let mut api = place.api().variable("FAILPOINTS", "api.accept.committed=return").start().await;
    let client = place.client(&api);
    let answer = client.try_submit(&client.task("sleep", json!({ "seconds": 0 }))).await;
    assert!(matches!(answer, Submitted::Unknown(_)), "the API should have died: {answer:?}");
    assert!(!api.wait_exit(SOON).await.success());
    let owed = "SELECT count(*) FROM task t WHERE state = 'queued' AND epoch = 0 AND EXISTS (SELECT FROM owed o WHERE t.id = ANY(o.ids))";
    assert_eq!(database.number(owed).await, 1, "the committed task is there, and its message is owed");
    assert_eq!(place.broker().await.ready(place.queue()).await, 0, "its message is not");

    let mut worker = place.ledger_worker("worker-1", 4).start().await;
    caraway_testkit::eventually(SOON, "the task has run", async || {
        let states = database.states().await;
        if states.get("succeeded") == Some(&1) { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
    assert!(worker.counters().await.sum("caraway_relay_published_total") >= 1);
    assert_eq!(place.ledger().read().len(), 1);
}
