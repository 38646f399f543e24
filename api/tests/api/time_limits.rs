//! Waits that end by themselves: on conditions and at barriers, over two API processes on one database.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    answer::Answer,
    coordination::{ask, beside, delete, fence, post, put},
    eventually::eventually_async,
    hangup::waits,
    server::Api,
};

/// Asks in the background.
fn later(api: &Api, path: &str, body: Value) -> JoinHandle<Answer> {
    let (client, url) = (api.client.clone(), format!("{}{path}", api.url));
    tokio::spawn(async move { Answer::of(client.post(url).json(&body).send().await.unwrap()).await })
}

async fn waits_are(api: &Api, count: f64) {
    eventually_async("the waits", async || ((waits(api).await - count).abs() < 0.5).then_some(())).await;
}

#[tokio::test]
async fn a_wait_on_a_condition_ends_in_time_and_has_the_lock() {
    let api = Api::start().await;
    let (leases, waits) = ("/v1/locks/box/leases", "/v1/conditions/filled/waits?wait=30");
    let (lease, wait) = (Uuid::new_v4(), Uuid::new_v4());
    let first = fence(&post(&api, leases, json!({"lease_id": lease})).await);
    let body = json!({"lock": "box", "lease_id": lease, "wait_id": wait, "timeout": 0.5});
    let began = Instant::now();
    let woken = post(&api, waits, body.clone()).await;
    let took = began.elapsed();
    assert!(fence(&woken) > first && woken.json()["notified"] == false, "{}", woken.text());
    assert!(took > Duration::from_millis(450) && took < Duration::from_secs(3), "{took:?}");
    let again = post(&api, waits, body).await;
    assert_eq!((fence(&again), &again.json()["notified"]), (fence(&woken), &json!(false)), "however often it is asked");
    // a limit of nothing hands the lock to who stands in its line, and stands there
    let other = Uuid::new_v4();
    let next = later(&api, &format!("{leases}?wait=30"), json!({"lease_id": other}));
    waits_are(&api, 1.0).await;
    let mine = json!({"lock": "box", "lease_id": wait, "wait_id": Uuid::new_v4(), "timeout": 0});
    let back = later(&api, waits, mine);
    fence(&next.await.unwrap());
    waits_are(&api, 1.0).await;
    // nobody is left to be notified
    let notify = json!({"lock": "box", "lease_id": other});
    eventually_async("the end of the time limit", async || {
        (api.get("/v1/locks/box").await.json()["waiting"] == 1).then_some(())
    })
    .await;
    assert_eq!(post(&api, "/v1/conditions/filled/notify", notify).await.json()["notified"], 0);
    assert_eq!(delete(&api, &format!("{leases}/{other}")).await.status, StatusCode::NO_CONTENT);
    let back = back.await.unwrap();
    assert!(fence(&back) > fence(&woken) && back.json()["notified"] == false);
    api.stop().await;
}

/// Between two requests of its client, and where it was notified in time.
#[tokio::test]
async fn a_time_limit_ends_without_its_client_and_a_notify_takes_it_away() {
    let one = Api::start().await;
    let two = beside(&one).await;
    let (leases, waits) = ("/v1/locks/box/leases", "/v1/conditions/filled/waits");
    let (gone, told) = (Uuid::new_v4(), Uuid::new_v4());
    for (wait, timeout) in [(gone, 1.0), (told, 60.0)] {
        let lease = Uuid::new_v4();
        fence(&post(&one, leases, json!({"lease_id": lease})).await);
        let parked = json!({"lock": "box", "lease_id": lease, "wait_id": wait, "timeout": timeout});
        assert_eq!(post(&one, waits, parked).await.json()["state"], "parked");
    }
    // the first one stands in the lock's line by itself, and has it
    let holds = async || one.get("/v1/locks/box").await.json()["holders"].as_array().is_some_and(|all| all.len() == 1);
    eventually_async("the end of the time limit", async || holds().await.then_some(())).await;
    let mine = json!({"lock": "box", "lease_id": Uuid::new_v4(), "wait_id": gone, "timeout": 1});
    let back = post(&two, &format!("{waits}?wait=10"), mine).await;
    assert!(fence(&back) > 0 && back.json()["notified"] == false, "{}", back.text());
    let notified = post(&two, "/v1/conditions/filled/notify", json!({"lock": "box", "lease_id": gone})).await;
    assert_eq!(notified.json()["notified"], 1);
    delete(&two, &format!("{leases}/{gone}")).await;
    let mine = json!({"lock": "box", "lease_id": Uuid::new_v4(), "wait_id": told, "timeout": 60});
    assert_eq!(post(&two, &format!("{waits}?wait=10"), mine).await.json()["notified"], true);
    drop(two);
    one.stop().await;
}

#[tokio::test]
async fn a_barrier_breaks_and_is_mended() {
    let one = Api::start().await;
    let two = beside(&one).await;
    let (at, arrivals) = ("/v1/barriers/b", "/v1/barriers/b/arrivals?wait=30");
    for order in ["abort", "reset"] {
        post(&one, &format!("{at}/{order}"), json!({})).await.assert_problem(404, "not_configured");
    }
    put(&one, at, json!({"parties": 3})).await;
    for (order, broken) in [("abort", true), ("reset", false)] {
        let ids = [Uuid::new_v4(), Uuid::new_v4()];
        let stand = [(&one, ids[0]), (&two, ids[1])].map(|(api, id)| later(api, arrivals, json!({"arrival_id": id})));
        let (client, url) = (two.client.clone(), format!("{}{at}?wait=30", two.url));
        let watches = tokio::spawn(async move { Answer::of(client.get(url).send().await.unwrap()).await.json() });
        waits_are(&one, 1.0).await;
        waits_are(&two, 2.0).await;
        let done = ask(&one, Method::POST, &format!("{at}/{order}"), None).await;
        assert_eq!((done.status, done.json()), (StatusCode::OK, json!({ "broken": broken })));
        for stands in stand {
            stands.await.unwrap().assert_problem(409, "broken_barrier");
        }
        // who watches is told of a barrier that is broken, and waits on at one that is empty
        if broken {
            assert_eq!(watches.await.unwrap()["broken"], true);
            post(&two, arrivals, json!({"arrival_id": Uuid::new_v4()})).await.assert_problem(409, "broken_barrier");
            post(&two, &format!("{at}/reset"), json!({})).await;
        } else {
            watches.abort();
        }
        post(&two, arrivals, json!({"arrival_id": ids[0]})).await.assert_problem(409, "broken_barrier");
    }
    let opened: Vec<_> = (0..3).map(|_| later(&one, arrivals, json!({"arrival_id": Uuid::new_v4()}))).collect();
    for arrival in opened {
        assert_eq!(arrival.await.unwrap().json()["generation"], 1);
    }
    drop(two);
    one.stop().await;
}

#[tokio::test]
async fn an_arrival_whose_time_is_over_breaks_the_barrier() {
    let api = Api::start().await;
    let (at, arrivals) = ("/v1/barriers/b", "/v1/barriers/b/arrivals?wait=30");
    put(&api, at, json!({"parties": 3})).await;
    let patient = later(&api, arrivals, json!({"arrival_id": Uuid::new_v4()}));
    waits_are(&api, 1.0).await;
    let began = Instant::now();
    let hasty = post(&api, arrivals, json!({"arrival_id": Uuid::new_v4(), "timeout": 0.5})).await;
    hasty.assert_problem(409, "broken_barrier");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(450) && took < Duration::from_secs(3), "{took:?}");
    patient.await.unwrap().assert_problem(409, "broken_barrier");
    let seen = api.get(at).await.json();
    assert_eq!((&seen["broken"], &seen["arrived"]), (&json!(true), &json!(0)), "{seen}");
    // one that opens in time does not break later
    post(&api, &format!("{at}/reset"), json!({})).await;
    put(&api, at, json!({"parties": 1})).await;
    let passed = post(&api, arrivals, json!({"arrival_id": Uuid::new_v4(), "timeout": 1})).await;
    assert_eq!(passed.status, StatusCode::OK);
    tokio::time::timeout(Duration::from_secs(2), async {
        api.get(&format!("{at}?wait=1.5&since=1")).await;
    })
    .await
    .unwrap();
    assert_eq!(api.get(at).await.json()["broken"], false);
    api.stop().await;
}

#[tokio::test]
async fn an_arrival_can_be_taken_back() {
    let api = Api::start().await;
    let (at, arrivals) = ("/v1/barriers/b", "/v1/barriers/b/arrivals");
    let one = |id: Uuid| format!("{arrivals}/{id}");
    delete(&api, &one(Uuid::new_v4())).await.assert_problem(404, "not_configured");
    put(&api, at, json!({"parties": 2})).await;
    let (first, second, third) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let stands = later(&api, &format!("{arrivals}?wait=30"), json!({"arrival_id": first}));
    waits_are(&api, 1.0).await;
    for _ in 0..2 {
        assert_eq!(delete(&api, &one(first)).await.status, StatusCode::NO_CONTENT);
    }
    stands.await.unwrap().assert_problem(410, "lease_lost");
    // one that is still on its way
    assert_eq!(delete(&api, &one(second)).await.status, StatusCode::NO_CONTENT);
    post(&api, arrivals, json!({"arrival_id": second})).await.assert_problem(410, "lease_lost");
    assert_eq!(api.get(at).await.json()["arrived"], 0);
    for (id, status) in [(third, StatusCode::ACCEPTED), (Uuid::new_v4(), StatusCode::OK)] {
        assert_eq!(post(&api, arrivals, json!({"arrival_id": id})).await.status, status);
    }
    let late = delete(&api, &one(third)).await;
    assert_eq!((late.status, &late.json()["index"]), (StatusCode::OK, &json!(0)), "{}", late.text());
    api.stop().await;
}

#[tokio::test]
async fn wrong_time_limits_are_refused() {
    let api = Api::start().await;
    put(&api, "/v1/barriers/b", json!({"parties": 2})).await;
    let (lease, wait) = (Uuid::new_v4(), Uuid::new_v4());
    for timeout in [json!(-1), json!(86401), json!("1"), json!(1e300)] {
        let arrival = json!({"arrival_id": wait, "timeout": timeout});
        let refused = post(&api, "/v1/barriers/b/arrivals", arrival).await;
        assert_eq!(refused.assert_problem(422, "invalid_request")["errors"][0]["pointer"], "/timeout");
        let parked = json!({"lock": "l", "lease_id": lease, "wait_id": wait, "timeout": timeout});
        let refused = post(&api, "/v1/conditions/c/waits", parked).await;
        assert_eq!(refused.assert_problem(422, "invalid_request")["errors"][0]["pointer"], "/timeout");
    }
    api.stop().await;
}
