//! What operators look at: health, metrics, queues, workers, task types.

use caraway_shared::store::{LoadedQueue, NewSession};
use serde_json::json;

use crate::server::{Api, QUEUE};

#[tokio::test]
async fn health_lists_every_server_and_needs_only_postgres() {
    let api = Api::start().await;
    assert_eq!(api.get("/livez").await.json(), json!({"status": "alive"}));
    assert_eq!(api.get("/readyz").await.json(), json!({"status": "degraded"}), "RabbitMQ is out of reach");
    let checks = json!({"postgres": "up", "rabbitmq": "down", "redis": "up"});
    let verbose = api.get("/readyz?verbose").await;
    assert_eq!((verbose.status.as_u16(), verbose.json()), (200, json!({"status": "degraded", "checks": checks})));
    api.stop().await;
}

#[tokio::test]
async fn metrics_count_and_their_labels_are_bounded() {
    let api = Api::start().await;
    api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    for number in 0..20 {
        api.get(&format!("/nowhere/{number}")).await;
        api.get(&format!("/v1/tasks/{number}")).await;
    }
    let metrics = api.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = metrics.text();
    assert!(text.contains("caraway_tasks_accepted_total 1\n"), "{text}");
    let counts: Vec<_> = text.lines().filter(|line| line.starts_with("caraway_http_request_seconds_count")).collect();
    let count = |route: &str, status: &str| {
        let labels = [format!("route=\"{route}\""), format!("status=\"{status}\"")];
        counts
            .iter()
            .find(|line| labels.iter().all(|label| line.contains(label)))
            .and_then(|line| line.rsplit(' ').next())
    };
    assert_eq!(count("/v1/tasks", "202"), Some("1"), "{counts:#?}");
    assert_eq!(count("/v1/tasks/{id}", "404"), Some("20"));
    assert_eq!(count("unmatched", "404"), Some("20"));
    assert_eq!(counts.len(), 3, "one series a route and status: {counts:#?}");
    api.stop().await;
}

#[tokio::test]
async fn every_problem_type_has_an_address() {
    let api = Api::start().await;
    let problem = api.get("/nowhere").await.assert_problem(404, "not_found");
    let explained = api.get(problem["type"].as_str().unwrap()).await.json();
    assert_eq!(
        (&explained["code"], &explained["status"], &explained["title"]),
        (&problem["code"], &problem["status"], &problem["title"])
    );
    let all = api.get("/problems").await.json();
    assert!(all["data"].as_array().unwrap().contains(&explained));
    api.get("/problems/no_such_problem").await.assert_problem(404, "not_found");
    api.stop().await;
}

#[tokio::test]
async fn what_exists_is_listed() {
    let api = Api::start().await;
    api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    let queues = vec![LoadedQueue { name: QUEUE.into(), slots: 4, busy: 0, overdue: 0, withheld: 0 }];
    let session = NewSession { name: "host:7".into(), host: "host".into(), slot: None, replaces: Vec::new(), queues };
    api.store.open_session(&session).await.unwrap();

    let queues = api.get("/v1/queues").await.json();
    let ours = queues["data"].as_array().unwrap().iter().find(|queue| queue["name"] == QUEUE).unwrap();
    assert_eq!(
        ["depth", "running", "workers", "slots"].map(|field| ours[field].clone()),
        [json!(1), json!(0), json!(1), json!(4)]
    );
    assert!(ours.get("paused").is_none(), "nobody heeds it yet, so it is not told: {ours}");
    assert!(ours["oldest_age"].as_f64().unwrap() >= 0.0);
    let workers = api.get("/v1/workers").await.json();
    assert_eq!((&workers["data"][0]["name"], &workers["data"][0]["queues"][0]["slots"]), (&json!("host:7"), &json!(4)));
    let types = api.get("/v1/task-types").await.json();
    assert_eq!(
        types["data"][0],
        json!({"name": "add", "version": 1, "parameters": ["x", "y"], "queue": QUEUE, "timeout": null, "cpu": false})
    );
    api.stop().await;
}
