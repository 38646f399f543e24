//! Work queues and their dead letters, which are put back.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::Recorder;

const PATH: &str = "/v1/work-queues/box";

#[tokio::test]
async fn work_queues() {
    let mut it = Recorder::start("work-queues").await;
    it.send("made", Method::PUT, PATH, &[], Some(json!({ "order": "priority", "max_attempts": 1, "maxsize": 10 })))
        .await;
    let mut items = Vec::new();
    for (priority, payload) in [(1, json!("b")), (0, json!({ "z": 1.50, "a": 1 })), (2, json!(null))] {
        let item = Uuid::new_v4().to_string();
        it.post(
            "an item",
            &format!("{PATH}/items"),
            json!({ "item_id": item, "priority": priority, "payload": payload }),
        )
        .await;
        items.push(item);
    }
    it.get("its document", PATH).await;
    let lease = lease(&mut it).await;
    it.send("extended", Method::PUT, &lease, &[], Some(json!({ "ttl": 60 }))).await;
    it.post("given back", &format!("{lease}/give-back"), json!({})).await;
    it.send("done too late", Method::DELETE, &lease, &[], None).await;
    it.pages("dead letters", &format!("{PATH}/dead-letters")).await;
    it.post("put back", &format!("{PATH}/dead-letters/put-back"), json!({})).await;
    it.pages("no dead letters", &format!("{PATH}/dead-letters")).await;
    let lease = self::lease(&mut it).await;
    it.send("done", Method::DELETE, &lease, &[], None).await;
    it.send("an item is withdrawn", Method::DELETE, &format!("{PATH}/items/{}", items[2]), &[], None).await;
    it.get("not joined yet", &format!("{PATH}/join?wait=0")).await;
    it.pages("work queues", "/v1/work-queues").await;
    it.post("purged", &format!("{PATH}/purge"), json!({})).await;
    it.send("shut down", Method::POST, &format!("{PATH}/shutdown"), &[], Some(json!({}))).await;
    it.send("open again", Method::DELETE, &format!("{PATH}/shutdown"), &[], None).await;
    it.send("deleted", Method::DELETE, PATH, &[], None).await;
    it.get("after that", PATH).await;
    it.finish();
}

async fn lease(it: &mut Recorder) -> String {
    let lease = Uuid::new_v4().to_string();
    it.post("taken", &format!("{PATH}/leases"), json!({ "lease_id": lease, "owner": "me", "ttl": 60 })).await;
    format!("{PATH}/leases/{lease}")
}
