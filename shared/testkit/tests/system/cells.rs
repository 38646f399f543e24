//! An installation that is cell 7: whatever it makes an id or a number for names it, and a program for another cell has no business
//! there.

use caraway_testkit::{Place, Stack};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::SOON;

const CELL: u128 = 7;
/// The numbers of cell 7.
const NUMBERS: std::ops::Range<i64> = (7 << 40) + 1..(8 << 40) + 1;

fn cell(id: &Value) -> u128 {
    let id: Uuid = id.as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{id} is no id"));
    id.as_u128() & 0xFFF
}

#[tokio::test]
async fn every_id_names_the_cell() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "cells").await;
    let api = place.api().variable("CARAWAY_CELL", "7").start().await;
    // a worker need not be told
    let _worker = place.ledger_worker("worker-1", 4).start().await;
    let _pictures = place.worker("pictures").arguments(place.serving(1)).start().await;
    let client = place.client(&api);

    let one = client.run("echo", json!({ "message": "one" })).await;
    client.wait(one, SOON).await;
    client.retry(one).await;
    client.batch(&[client.task("echo", json!({ "message": "two" }))]).await;
    let parent = client.task("spread", json!({ "children": 2, "queue": place.queue() }));
    let nodes = json!([{ "key": "parent", "task": parent, "depends_on": [] }]);
    let workflow = client.workflow("/v1/workflows", &json!({ "nodes": nodes })).await;
    client.workflow_ended(workflow, SOON).await;
    let picture = client.upload("image/png", include_bytes!("../../../../deploy/photos/astronaut.png").to_vec()).await;
    let thumbnail = client.run("process_image", json!({ "image_id": picture })).await;
    let thumbnail = client.wait(thumbnail, SOON).await;

    let (_, page) = client.fetch("/v1/tasks?limit=500").await;
    let lines = page["data"].as_array().expect("a page");
    assert_eq!(
        lines.len(),
        8,
        "two alone, a batch of one, a node, its two children, what it submitted, a picture: {page}"
    );
    for line in lines {
        let (_, task) = client.fetch(&format!("/v1/tasks/{}", line["id"].as_str().expect("an id"))).await;
        for name in ["id", "root_id", "batch_id", "workflow_id", "parent_id", "retry_of"] {
            assert!(task[name].is_null() || cell(&task[name]) == CELL, "{name} of {task}");
        }
    }
    let items = client.fetch("/items").await.1;
    let items: Vec<u128> = items["data"].as_array().expect("a page").iter().map(|item| cell(&item["id"])).collect();
    assert_eq!(items, [CELL; 2], "a picture and its thumbnail: {thumbnail}");

    let number = |document: &Value| document["id"].as_i64().expect("a number");
    assert!(client.workers().await.iter().all(|worker| NUMBERS.contains(&number(worker))));
    let (status, user) = client.post("/v1/users", &json!({ "name": "someone" })).await;
    assert!(status == 201 && NUMBERS.contains(&number(&user)), "{status} {user}");
    let (status, key) = client.post("/v1/api-keys", &json!({ "name": "first", "scopes": ["admin"] })).await;
    assert!(status == 201 && NUMBERS.contains(&number(&key)), "{status} {key}");
    assert!(key["key"].as_str().is_some_and(|text| text.starts_with(&format!("cwy_{}_", number(&key)))), "{key}");
}

#[tokio::test]
async fn a_cell_keeps_its_number() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "cell-kept").await;
    let mut api = place.api().variable("CARAWAY_CELL", "7").start().await;
    for (name, value) in [("worker", "8"), ("other", "0")] {
        let mut worker = place.ledger_worker(name, 1).variable("CARAWAY_CELL", value).spawn();
        assert!(!worker.wait_exit(SOON).await.success());
        let told = format!("the database is that of cell 7, and CARAWAY_CELL says {value}");
        assert!(worker.log().contains(&told), "{}", worker.log());
    }
    assert!(api.terminate(SOON).await.success());
    api.set_variable("CARAWAY_CELL", Some("4096"));
    api.respawn();
    assert!(!api.wait_exit(SOON).await.success(), "4096 is no cell");
    api.set_variable("CARAWAY_CELL", Some("8"));
    api.respawn();
    assert!(!api.wait_exit(SOON).await.success());
    api.set_variable("CARAWAY_CELL", None);
    api.respawn();
    api.wait_ready().await;
    let client = place.client(&api);
    let item = client.upload("text/plain", b"seven".to_vec()).await;
    assert_eq!(item.as_u128() & 0xFFF, CELL, "it takes the database's word");
}
