//! Uploads of an API that died leave nothing behind; a task whose item was deleted says so.

use std::{io::Write, net::TcpStream, time::Duration};

use caraway_testkit::{Place, Stack, eventually};
use serde_json::json;

use crate::stage::SOON;

const BYTES: usize = 16 << 20;
/// The sweep looks every fifteen seconds.
const SWEPT_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test]
async fn an_api_killed_in_the_middle_of_an_upload_leaves_nothing() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "uploads").await;
    let mut api = place.api().start().await;
    let database = place.database().await;
    let kept = place.client(&api).upload("text/plain", b"kept".to_vec()).await;

    let address = api.url().replace("http://", "");
    let mut upload = TcpStream::connect(address).expect("the API listens");
    let head = format!("POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BYTES}\r\n\r\n");
    upload.write_all(head.as_bytes()).expect("the API reads");
    upload.write_all(&vec![7; BYTES / 2]).expect("the API reads");
    let chunks = "SELECT count(*) FROM item_chunk c JOIN item i ON i.id = c.item_id WHERE i.sha256 IS NULL";
    eventually(SOON, "half of it is stored", async || {
        let stored = database.number(chunks).await;
        if stored == 32 { Ok(()) } else { Err(format!("{stored} chunks")) }
    })
    .await;
    api.kill().await;
    drop(upload);
    println!("uploads: {} chunks were left by the killed API", database.number(chunks).await);

    let mut worker = place.worker("worker").arguments(place.serving(1)).start().await;
    // nobody knows yet that nobody will finish it
    assert_eq!(database.number("SELECT count(*) FROM item WHERE sha256 IS NULL").await, 1);
    let aged = "UPDATE item SET created_at = now() - interval '301 seconds' WHERE sha256 IS NULL";
    database.execute(aged, &[]).await.expect("time can pass");
    eventually(SWEPT_WITHIN, "it is swept", async || {
        let rows = database.number("SELECT (SELECT count(*) FROM item) + (SELECT count(*) FROM item_chunk)").await;
        if rows == 2 { Ok(()) } else { Err(format!("{rows} rows")) }
    })
    .await;
    assert_eq!(worker.counters().await.sum("caraway_uploads_swept_total"), 1);
    let api = place.api().start().await;
    let answer = reqwest::get(format!("{}/items/{kept}/content", api.url())).await.expect("the API answers");
    assert_eq!(answer.text().await.expect("a text"), "kept");
}

#[tokio::test]
async fn a_task_whose_item_is_deleted_fails_and_says_why() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "deleted-item").await;
    let api = place.api().start().await;
    let _worker = place.worker("worker").arguments(place.serving(1)).start().await;
    let client = place.client(&api);
    let image = client.upload("image/png", b"\x89PNG\r\n\x1a\nand the rest".to_vec()).await;
    let mut task = client.task("process_image", json!({ "image_id": image }));
    task["delay"] = json!(1);
    let task = client.submit(task).await;
    let deleted = reqwest::Client::new().delete(format!("{}/items/{image}", api.url())).send().await;
    assert_eq!(deleted.expect("the API answers").status(), 204);
    let ended = client.wait(task, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("item_not_found")), "{ended}");
    assert_eq!(client.attempts(task).await.len(), 1, "no other attempt could do better");
}
