//! Many who wait for the same task.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;

use crate::{answer::Answer, eventually::eventually_async, server::Api};

const WAITERS: u32 = 300;
/// The one that all share, and one for each who comes while the first is under way; not one for each who waits.
const LOOKS_MAX: f64 = 20.0;

async fn metric(api: &Api, name: &str) -> f64 {
    let metrics = api.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn all_who_wait_for_a_task_share_the_read_of_its_end() {
    let api = Api::start().await;
    let id = api.submit(r#"{"name":"add","args":[1,2]}"#).await;
    let waits: Vec<_> = (0..WAITERS)
        .map(|_| {
            let request = api.client.get(format!("{}/v1/tasks/{id}?wait=35", api.url)).timeout(Duration::from_secs(40));
            tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await })
        })
        .collect();
    eventually_async("all wait", async || {
        let open = metric(&api, "caraway_waits_open").await;
        ((open - f64::from(WAITERS)).abs() < 0.5).then_some(())
    })
    .await;
    let before = metric(&api, "caraway_wait_looks_total").await;
    assert_eq!(api.post(&format!("/v1/tasks/{id}/cancel"), "", "").await.status, StatusCode::OK);
    for answer in join_all(waits).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::OK, &serde_json::json!("cancelled")));
    }
    let looks = metric(&api, "caraway_wait_looks_total").await - before;
    println!("waits: {WAITERS} were told of one end after {looks} looks at the row");
    assert!((1.0..=LOOKS_MAX).contains(&looks), "{looks}");
    api.stop().await;
}
