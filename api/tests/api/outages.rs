//! Servers that are away: what still works, and how the rest says so.

use std::time::{Duration, Instant};

use caraway_testkit::{Protocol, Proxy, Way};

use crate::{
    eventually::eventually_async,
    server::{Api, NOWHERE, Setup},
};

const ADD: &str = r#"{"name": "add", "args": [1, 2]}"#;

/// An API whose way to PostgreSQL can be cut.
async fn behind_a_proxy() -> (Api, Proxy) {
    let mut setup = Setup::new().await;
    let direct = setup.postgres_url.clone();
    let (before, rest) = direct.split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let proxy = Proxy::to(address, Protocol::Bytes).await;
    setup.postgres_url = format!("{before}@{}/{database}", proxy.address());
    let api = setup.start().await;
    api.announce(&[("add", &["x", "y"])]).await;
    (api, proxy)
}

#[tokio::test]
async fn without_rabbitmq_tasks_are_accepted_and_quickly() {
    let api = Api::start().await; // which has none
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        api.submit(ADD).await;
        took.push(began.elapsed());
    }
    took.sort();
    assert!(took[25] < Duration::from_millis(50), "the median took {:?}", took[25]);
    api.stop().await;
}

#[tokio::test]
async fn without_redis_tasks_are_told_from_their_rows() {
    let mut setup = Setup::new().await;
    setup.redis_url = format!("redis://{NOWHERE}");
    let api = setup.start().await;
    api.announce(&[("add", &["x", "y"])]).await;
    let id = api.submit(ADD).await;
    api.post(&format!("/v1/tasks/{id}/cancel"), "", "").await;
    for _ in 0..3 {
        assert_eq!(api.get(&format!("/v1/tasks/{id}")).await.json()["state"], "cancelled");
    }
    assert!(api.get("/readyz?verbose").await.text().contains(r#""redis":"down""#));
    api.stop().await;
}

#[tokio::test]
async fn without_postgres_it_waits_alive_and_says_so() {
    let mut setup = Setup::new().await;
    let real = std::mem::replace(&mut setup.postgres_url, format!("postgres://x@{NOWHERE}/x"));
    setup.await_ready = false;
    let mut api = setup.start().await;
    api.log.line("the database is not available yet").await;
    assert_eq!(api.get("/livez").await.status, 200);
    assert_eq!(api.get("/readyz?verbose").await.assert_problem(503, "not_ready")["checks"]["postgres"], "down");
    api.post_json("/v1/tasks", ADD).await.assert_problem(503, "database_unavailable");
    api.get("/v1/queues").await.assert_problem(503, "database_unavailable");
    api.signal("TERM");
    assert_eq!(api.ended().await, Some(0));
    api.postgres_url = real;
}

#[tokio::test]
async fn a_frozen_postgres_holds_nobody_for_long_and_nothing_is_claimed_to_be_known() {
    let (api, proxy) = behind_a_proxy().await;
    let id = api.submit(ADD).await;
    proxy.set(Way::Stalled);
    let began = Instant::now();
    let path = format!("/v1/tasks/{id}");
    let (submitted, shown, ready) = tokio::join!(api.post_json("/v1/tasks", ADD), api.get(&path), api.get("/readyz"));
    submitted.assert_problem(503, "outcome_unknown");
    shown.assert_problem(503, "database_unavailable");
    ready.assert_problem(503, "not_ready");
    assert!(began.elapsed() < Duration::from_secs(13), "took {:?}", began.elapsed());
    proxy.reset();
    proxy.set(Way::Open);
    eventually_async("readiness", async || api.get("/readyz").await.status.is_success().then_some(())).await;
    api.submit(ADD).await;
    api.stop().await;
}

#[tokio::test]
async fn when_postgres_goes_away_answers_are_quick_and_when_it_is_back_all_is_well() {
    let (api, proxy) = behind_a_proxy().await;
    let id = api.submit(ADD).await;
    proxy.set(Way::Cut);
    for _ in 0..3 {
        let began = Instant::now();
        let answer = api.post_json("/v1/tasks", ADD).await;
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        answer.assert_problem(503, if code == "outcome_unknown" { "outcome_unknown" } else { "database_unavailable" });
        assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    }
    api.get(&format!("/v1/tasks/{id}")).await.assert_problem(503, "database_unavailable");
    api.get("/readyz").await.assert_problem(503, "not_ready");
    api.post_json("/v1/tasks", r#"{"name": "never_heard_of"}"#).await.assert_problem(503, "database_unavailable");
    api.post("/items", "x", "").await.assert_problem(503, "database_unavailable");
    proxy.set(Way::Open);
    eventually_async("readiness", async || api.get("/readyz").await.status.is_success().then_some(())).await;
    api.submit(ADD).await;
    assert_eq!(api.get(&format!("/v1/tasks/{id}")).await.json()["state"], "queued");
    api.stop().await;
}
