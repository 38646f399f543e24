//! Work queues, over two API processes on one database.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    answer::Answer,
    coordination::{ask, beside, post},
    eventually::eventually_async,
    hangup::waits,
    server::Api,
};

async fn make(api: &Api, name: &str, settings: Value) {
    let made = ask(api, Method::PUT, &format!("/v1/work-queues/{name}"), Some(settings)).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
}

async fn put(api: &Api, name: &str, payload: Value) -> Uuid {
    let item = Uuid::new_v4();
    let answer =
        post(api, &format!("/v1/work-queues/{name}/items"), json!({"item_id": item, "payload": payload})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    item
}

async fn get(api: &Api, name: &str, body: Value) -> Answer {
    post(api, &format!("/v1/work-queues/{name}/leases?wait=20"), body).await
}

/// Fetches one and says that it is done; what is in it.
async fn take(api: &Api, name: &str) -> Value {
    let got = get(api, name, json!({})).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    let got = got.json();
    let done = lease(api, Method::DELETE, name, &got["lease_id"], "", None).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT);
    got["payload"].clone()
}

async fn lease(api: &Api, method: Method, name: &str, id: &Value, part: &str, body: Option<Value>) -> Answer {
    ask(api, method, &format!("/v1/work-queues/{name}/leases/{}{part}", id.as_str().unwrap()), body).await
}

async fn counts(api: &Api, name: &str) -> Value {
    api.get(&format!("/v1/work-queues/{name}")).await.json()
}

#[tokio::test]
async fn items_leave_in_the_order_of_the_queue() {
    let api = Api::start().await;
    for (order, put_in, expected) in [
        ("fifo", [(3.0, "a"), (1.0, "b"), (2.0, "c"), (1.0, "d")], ["a", "b", "c", "d"]),
        ("lifo", [(3.0, "a"), (1.0, "b"), (2.0, "c"), (1.0, "d")], ["d", "c", "b", "a"]),
        ("priority", [(3.0, "a"), (1.0, "b"), (-2.5, "c"), (1.0, "d")], ["c", "b", "d", "a"]),
    ] {
        make(&api, order, json!({ "order": order })).await;
        for (priority, payload) in put_in {
            let item = json!({"payload": payload, "priority": priority});
            let answer = post(&api, &format!("/v1/work-queues/{order}/items"), item).await;
            assert_eq!(answer.status, StatusCode::CREATED);
        }
        for payload in expected {
            assert_eq!(take(&api, order).await, payload, "{order}");
        }
        let empty = post(&api, &format!("/v1/work-queues/{order}/leases"), json!({})).await;
        assert_eq!(empty.status, StatusCode::NO_CONTENT);
    }
    api.stop().await;
}

#[tokio::test]
async fn what_is_repeated_is_done_once() {
    let api = Api::start().await;
    make(&api, "q", json!({})).await;
    let item = json!({"item_id": Uuid::new_v4(), "payload": {"a": [1, null]}});
    let at = "/v1/work-queues/q/items";
    assert_eq!(post(&api, at, item.clone()).await.status, StatusCode::CREATED);
    assert_eq!(post(&api, at, item.clone()).await.status, StatusCode::OK);
    let want = json!({"lease_id": Uuid::new_v4()});
    let (first, again) = (get(&api, "q", want.clone()).await.json(), get(&api, "q", want.clone()).await.json());
    assert_eq!((&first["item_id"], &first["attempt"]), (&item["item_id"], &json!(1)));
    assert_eq!((&first["fence"], &first["payload"], &again["attempt"]), (&again["fence"], &item["payload"], &json!(1)));
    for _ in 0..2 {
        let done = lease(&api, Method::DELETE, "q", &want["lease_id"], "", None).await;
        assert_eq!(done.status, StatusCode::NO_CONTENT);
    }
    lease(&api, Method::POST, "q", &want["lease_id"], "/give-back", None).await.assert_problem(410, "lease_lost");
    get(&api, "q", want).await.assert_problem(410, "lease_lost");
    // it is done, and still known
    assert_eq!(post(&api, at, item).await.status, StatusCode::OK);
    assert_eq!(counts(&api, "q").await["unfinished"], 0);
    // at most once: done when it is fetched
    put(&api, "q", json!("auto")).await;
    let want = json!({"ack": "auto", "lease_id": Uuid::new_v4()});
    let auto = get(&api, "q", want.clone()).await.json();
    assert_eq!((&auto["payload"], &counts(&api, "q").await["unfinished"]), (&json!("auto"), &json!(0)));
    // its answer may be lost on the wire
    let again = get(&api, "q", want).await.json();
    for field in ["payload", "item_id", "attempt", "fence"] {
        assert_eq!(auto[field], again[field], "{field}");
    }
    api.stop().await;
}

#[tokio::test]
async fn producers_wait_for_room_and_consumers_for_items() {
    let one = Api::start().await;
    let two = beside(&one).await;
    make(&one, "q", json!({"maxsize": 2})).await;
    put(&one, "q", json!(1)).await;
    put(&two, "q", json!(2)).await;
    post(&one, "/v1/work-queues/q/items", json!({"payload": 3})).await.assert_problem(409, "queue_full");
    let mut puts = Vec::new();
    for payload in [3, 4] {
        let (client, url) = (two.client.clone(), format!("{}/v1/work-queues/q/items?wait=20", two.url));
        puts.push(tokio::spawn(async move {
            client.post(url).json(&json!({ "payload": payload })).send().await.unwrap().status()
        }));
        let waiting = "SELECT count(*) FROM lease WHERE standing = 'waiting' AND line = 'put'";
        eventually_async("the producer", async || {
            let waiting: i64 = one.sql(waiting, &[]).await[0].get(0);
            (waiting == i64::from(payload) - 2).then_some(())
        })
        .await;
    }
    assert_eq!([take(&one, "q").await, take(&one, "q").await], [1, 2]);
    for put in puts {
        assert_eq!(put.await.unwrap(), StatusCode::CREATED);
    }
    assert_eq!([take(&one, "q").await, take(&one, "q").await], [3, 4], "as they waited");
    // consumers that wait get what is put in, the first one first
    let mut gets = Vec::new();
    for index in 0..3 {
        let api = if index % 2 == 0 { &one } else { &two };
        let (client, url) = (api.client.clone(), format!("{}/v1/work-queues/q/leases?wait=20", api.url));
        let got = async move { Answer::of(client.post(url).json(&json!({})).send().await.unwrap()).await.json() };
        gets.push(tokio::spawn(got));
        eventually_async("the consumer", async || (counts(&one, "q").await["waiting"] == index + 1).then_some(()))
            .await;
    }
    for payload in ["x", "y", "z"] {
        put(&two, "q", json!(payload)).await;
    }
    let mut got = Vec::new();
    for get in gets {
        got.push(get.await.unwrap()["payload"].clone());
    }
    assert_eq!(got, ["x", "y", "z"]);
    drop(two);
    one.stop().await;
}

#[tokio::test]
async fn what_a_consumer_drops_comes_back_until_it_is_dead() {
    let api = Api::start().await;
    make(&api, "q", json!({"max_attempts": 3})).await;
    let item = put(&api, "q", json!("first")).await;
    put(&api, "q", json!("second")).await;
    let silent = get(&api, "q", json!({"ttl": 1})).await.json();
    assert_eq!(silent["item_id"], item.to_string());
    let extended = lease(&api, Method::PUT, "q", &silent["lease_id"], "", Some(json!({"ttl": 1}))).await;
    assert_eq!(extended.json()["fence"], silent["fence"]);
    // its time runs out: it is the first again
    eventually_async("its return", async || (counts(&api, "q").await["ready"] == 2).then_some(())).await;
    lease(&api, Method::DELETE, "q", &silent["lease_id"], "", None).await.assert_problem(410, "lease_lost");
    let second = get(&api, "q", json!({})).await.json();
    assert_eq!((&second["item_id"], &second["attempt"]), (&json!(item.to_string()), &json!(2)));
    let back = Some(json!({"delay": 0.3}));
    for _ in 0..2 {
        let given = lease(&api, Method::POST, "q", &second["lease_id"], "/give-back", back.clone()).await;
        assert_eq!(given.status, StatusCode::NO_CONTENT, "{}", given.text());
    }
    lease(&api, Method::DELETE, "q", &second["lease_id"], "", None).await.assert_problem(410, "lease_lost");
    let shown = counts(&api, "q").await;
    assert_eq!((&shown["ready"], &shown["delayed"]), (&json!(1), &json!(1)), "{shown}");
    assert_eq!(take(&api, "q").await, "second");
    let third = get(&api, "q", json!({})).await.json();
    assert_eq!((&third["item_id"], &third["attempt"]), (&json!(item.to_string()), &json!(3)));
    lease(&api, Method::POST, "q", &third["lease_id"], "/give-back", None).await;
    let shown = counts(&api, "q").await;
    assert_eq!((&shown["dead"], &shown["unfinished"]), (&json!(1), &json!(0)), "{shown}");
    let dead = api.get("/v1/work-queues/q/dead-letters").await.json();
    assert_eq!(dead["data"], json!([{"item_id": item, "attempts": 3, "payload": "first"}]));
    api.stop().await;
}

#[tokio::test]
async fn join_returns_when_everything_is_done_and_a_shut_queue_sends_home() {
    let one = Api::start().await;
    let two = beside(&one).await;
    make(&one, "q", json!({"maxsize": 1})).await;
    let join = "/v1/work-queues/q/join";
    assert_eq!(one.get(join).await.json(), json!({"finished": true, "unfinished": 0}));
    put(&one, "q", json!(1)).await;
    let held = get(&one, "q", json!({})).await.json();
    assert_eq!(one.get(&format!("{join}?wait=0.2")).await.json(), json!({"finished": false, "unfinished": 1}));
    let (client, url) = (two.client.clone(), format!("{}{join}?wait=20", two.url));
    let joins = tokio::spawn(async move { Answer::of(client.get(url).send().await.unwrap()).await.json() });
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        assert!(!joins.is_finished());
        tokio::task::yield_now().await;
    }
    lease(&one, Method::DELETE, "q", &held["lease_id"], "", None).await;
    assert_eq!(joins.await.unwrap()["finished"], true);

    put(&one, "q", json!(2)).await;
    let (client, url) = (two.client.clone(), format!("{}/v1/work-queues/q/items?wait=20", two.url));
    let puts =
        tokio::spawn(
            async move { Answer::of(client.post(url).json(&json!({"payload": 3})).send().await.unwrap()).await },
        );
    let waiting = "SELECT count(*) FROM lease WHERE standing = 'waiting' AND line = 'put'";
    eventually_async("the producer", async || (one.sql(waiting, &[]).await[0].get::<_, i64>(0) == 1).then_some(()))
        .await;
    let shut = ask(&one, Method::POST, "/v1/work-queues/q/shutdown", None).await;
    assert_eq!(shut.json(), json!({"shut_down": true, "immediate": false}));
    puts.await.unwrap().assert_problem(409, "queue_shut_down");
    post(&two, "/v1/work-queues/q/items", json!({"payload": 4})).await.assert_problem(409, "queue_shut_down");
    assert_eq!(take(&two, "q").await, 2, "what is in it is fetched as before");
    get(&two, "q", json!({})).await.assert_problem(409, "queue_shut_down");
    ask(&one, Method::DELETE, "/v1/work-queues/q/shutdown", None).await;
    put(&two, "q", json!(5)).await;
    drop(two);
    one.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_item_is_said() {
    let api = Api::start().await;
    let at = "/v1/work-queues/q/items";
    post(&api, at, json!({"payload": 1})).await.assert_problem(404, "not_configured");
    post(&api, "/v1/work-queues/q/leases", json!({})).await.assert_problem(404, "not_configured");
    api.get("/v1/work-queues/q/join").await.assert_problem(404, "not_configured");
    make(&api, "q", json!({})).await;
    post(&api, at, json!({})).await.assert_problem(422, "invalid_request");
    post(&api, at, json!({"payload": "x".repeat(65 << 10)})).await.assert_problem(413, "payload_too_large");
    post(&api, at, json!({"payload": 1, "delay": -1})).await.assert_problem(422, "invalid_request");
    let large = api.post_json(at, r#"{"payload": 1, "priority": 1e999}"#).await;
    assert!([400, 422].contains(&large.status.as_u16()), "{}", large.text());
    for settings in [json!({"order": "random"}), json!({"maxsize": 0}), json!({"max_attempts": 101})] {
        ask(&api, Method::PUT, "/v1/work-queues/q", Some(settings)).await.assert_problem(422, "invalid_request");
    }
    api.stop().await;
}

/// Waits until so many items are unfinished.
async fn unfinished_are(api: &Api, name: &str, count: u64) {
    eventually_async("the items", async || (counts(api, name).await["unfinished"] == count).then_some(())).await;
}

#[tokio::test]
async fn a_queue_is_emptied_of_what_nobody_has() {
    let one = Api::start().await;
    let two = beside(&one).await;
    make(&one, "q", json!({"maxsize": 2})).await;
    let purge = "/v1/work-queues/q/purge";
    assert_eq!(post(&one, purge, json!({})).await.json(), json!({"purged": 0, "more": false}));
    let held = put(&one, "q", json!("held")).await;
    let got = get(&one, "q", json!({})).await.json();
    assert_eq!(got["item_id"], json!(held));
    let (ready, delayed) = (put(&one, "q", json!("ready")).await, Uuid::new_v4());
    let late = json!({"item_id": delayed, "payload": 1, "delay": 600});
    assert_eq!(post(&one, "/v1/work-queues/q/items", late).await.status, StatusCode::CREATED);
    put(&one, "q", json!("ready too")).await;
    // a producer that waits for room comes in
    let (client, url) = (two.client.clone(), format!("{}/v1/work-queues/q/items?wait=20", two.url));
    let waits = tokio::spawn(async move { client.post(url).json(&json!({"payload": "new"})).send().await.unwrap() });
    eventually_async("the producer", async || (counts(&one, "q").await["waiting_producers"] == 1).then_some(())).await;
    assert_eq!(post(&one, purge, json!({})).await.json(), json!({"purged": 3, "more": false}));
    assert_eq!(waits.await.unwrap().status(), StatusCode::CREATED);
    let seen = counts(&one, "q").await;
    assert_eq!((&seen["ready"], &seen["delayed"], &seen["in_flight"]), (&json!(1), &json!(0), &json!(1)), "{seen}");
    // what was removed is known, as what is done
    let again = json!({"item_id": ready, "payload": "ready"});
    assert_eq!(post(&one, "/v1/work-queues/q/items", again).await.status, StatusCode::OK);
    let done = lease(&one, Method::DELETE, "q", &got["lease_id"], "", None).await;
    assert_eq!((done.status, take(&one, "q").await), (StatusCode::NO_CONTENT, json!("new")));
    post(&one, "/v1/work-queues/none/purge", json!({})).await.assert_problem(404, "not_configured");
    drop(two);
    one.stop().await;
}

/// More than one step removes; and a `join` hears of it.
#[tokio::test]
async fn a_large_queue_is_emptied_in_steps() {
    let api = Api::start().await;
    for (name, path, body) in [("p", "purge", json!({})), ("s", "shutdown", json!({"immediate": true}))] {
        make(&api, name, json!({})).await;
        put(&api, name, json!("the first")).await;
        // 2,500 more, as many requests would have put them in
        api.sql(
            "INSERT INTO work_item (object_id, id, state, priority, turn, until_ms, attempt, payload)
             SELECT c.id, gen_random_uuid(), 'ready', 0, 4096 * 1000000::bigint + n, 0, 0, '1'
             FROM coordination c, generate_series(1, 2500) n WHERE c.kind = 'work_queue' AND c.name = $1",
            &[&name],
        )
        .await;
        let (client, url) = (api.client.clone(), format!("{}/v1/work-queues/{name}/join?wait=30", api.url));
        let joins = tokio::spawn(async move { Answer::of(client.get(url).send().await.unwrap()).await.json() });
        eventually_async("the wait", async || (waits(&api).await > 0.5).then_some(())).await;
        let done = post(&api, &format!("/v1/work-queues/{name}/{path}"), body).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text());
        if path == "purge" {
            assert_eq!(done.json(), json!({"purged": 2501, "more": false}));
        }
        assert_eq!(joins.await.unwrap()["finished"], true);
        unfinished_are(&api, name, 0).await;
    }
    api.stop().await;
}

#[tokio::test]
async fn a_queue_that_is_shut_down_at_once_gives_nothing_more() {
    let one = Api::start().await;
    let two = beside(&one).await;
    make(&one, "q", json!({})).await;
    put(&one, "q", json!("held")).await;
    let held = get(&one, "q", json!({})).await.json();
    let (client, url) = (two.client.clone(), format!("{}/v1/work-queues/q/leases?wait=20", two.url));
    let waits = tokio::spawn(async move { Answer::of(client.post(url).json(&json!({})).send().await.unwrap()).await });
    eventually_async("the consumer", async || (counts(&one, "q").await["waiting"] == 1).then_some(())).await;
    for _ in 0..2 {
        let shut = post(&one, "/v1/work-queues/q/shutdown", json!({"immediate": true})).await;
        assert_eq!(shut.json(), json!({"shut_down": true, "immediate": true}));
    }
    waits.await.unwrap().assert_problem(409, "queue_shut_down");
    get(&two, "q", json!({})).await.assert_problem(409, "queue_shut_down");
    post(&two, "/v1/work-queues/q/items", json!({"payload": 1})).await.assert_problem(409, "queue_shut_down");
    assert_eq!(counts(&one, "q").await["in_flight"], 1);
    // what comes back goes too, and nothing is unfinished then
    let back = lease(&one, Method::POST, "q", &held["lease_id"], "/give-back", None).await;
    assert_eq!(back.status, StatusCode::NO_CONTENT);
    assert_eq!(counts(&one, "q").await["unfinished"], 0);
    let dead = post(&one, "/v1/work-queues/q/dead-letters/put-back", json!({})).await;
    dead.assert_problem(409, "queue_shut_down");
    let open = ask(&one, Method::DELETE, "/v1/work-queues/q/shutdown", None).await;
    assert_eq!(open.json(), json!({"shut_down": false, "immediate": false}));
    put(&one, "q", json!("new")).await;
    assert_eq!(take(&two, "q").await, "new");
    post(&one, "/v1/work-queues/q/shutdown", json!({"immediate": 1})).await.assert_problem(422, "invalid_request");
    drop(two);
    one.stop().await;
}

/// As Python's `Queue.get`, and as consumers that wait for what may come back.
#[tokio::test]
async fn a_consumer_chooses_when_a_shut_queue_is_over_for_it() {
    let one = Api::start().await;
    let two = beside(&one).await;
    make(&one, "q", json!({})).await;
    put(&one, "q", json!("held")).await;
    let held = get(&one, "q", json!({})).await.json();
    let waits = [false, true].map(|until_finished| {
        let (client, url) = (two.client.clone(), format!("{}/v1/work-queues/q/leases?wait=20", two.url));
        let body = json!({"until_finished": until_finished});
        tokio::spawn(async move { Answer::of(client.post(url).json(&body).send().await.unwrap()).await })
    });
    eventually_async("the consumers", async || (counts(&one, "q").await["waiting"] == 2).then_some(())).await;
    post(&one, "/v1/work-queues/q/shutdown", json!({})).await;
    let [leaves, stays] = waits;
    leaves.await.unwrap().assert_problem(409, "queue_shut_down");
    get(&one, "q", json!({"until_finished": false})).await.assert_problem(409, "queue_shut_down");
    assert_eq!(counts(&one, "q").await["waiting"], 1, "an item is in flight and may come back");
    let back = lease(&one, Method::POST, "q", &held["lease_id"], "/give-back", None).await;
    assert_eq!(back.status, StatusCode::NO_CONTENT);
    assert_eq!(stays.await.unwrap().json()["payload"], "held");
    drop(two);
    one.stop().await;
}
