//! Workers and the schema: they never migrate, they wait for what they need, and end where it is not for them.

use caraway_testkit::{Place, Stack, eventually};
use serde_json::json;

use crate::stage::SOON;

#[tokio::test]
async fn a_worker_waits_for_the_schema_unready_and_says_so_once() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "schema-wait").await;
    let mut worker = place.ledger_worker("worker-1", 4).spawn();
    let waits = "the schema is older than this program needs";
    eventually(SOON, "the worker says that it waits", async || {
        if worker.log().contains(waits) { Ok(()) } else { Err(worker.log()) }
    })
    .await;
    let (status, text) = worker.readiness().await;
    assert!(status == 503 && text.contains("schema"), "{status} {text}");
    let database = place.database().await;
    assert_eq!(database.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, 0);

    let api = place.api().start().await;
    worker.wait_ready().await;
    assert_eq!(worker.log().matches(waits).count(), 1, "{}", worker.log());
    let client = place.client(&api);
    let task = client.run("sleep", json!({ "seconds": 0 })).await;
    assert_eq!(client.wait(task, SOON).await["state"], "succeeded");
}

#[tokio::test]
async fn a_worker_works_with_a_newer_schema_that_says_so_and_with_no_other() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "schema-newer").await;
    let _api = place.api().start().await;
    let database = place.database().await;
    let newer = "INSERT INTO refinery_schema_history VALUES (9999, 'newer', '2030-01-01T00:00:00Z', '7')";
    database.execute(newer, &[]).await.expect("the statement works");
    let mut worker = place.ledger_worker("worker-1", 4).start().await;
    assert!(worker.terminate(SOON).await.success());

    let contract = "UPDATE schema_compatibility SET oldest_version = 9999";
    database.execute(contract, &[]).await.expect("the statement works");
    worker.respawn();
    assert!(!worker.wait_exit(SOON).await.success());
    assert!(worker.log().contains("use a newer version of Caraway"), "{}", worker.log());
}
