//! Locks and their kin, over two API processes on one database.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    answer::Answer,
    database::drop_database,
    eventually::eventually_async,
    hangup::waits,
    server::{Api, NOWHERE, Setup},
};

/// Beside `api`, on its database.
pub async fn beside(api: &Api) -> Api {
    let mut setup = Setup::new().await;
    drop_database(&setup.postgres_url).await;
    setup.postgres_url.clone_from(&api.postgres_url);
    setup.start().await
}

pub async fn ask(api: &Api, method: Method, path: &str, body: Option<Value>) -> Answer {
    let mut request = api.client.request(method, format!("{}{path}", api.url));
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::of(request.send().await.unwrap()).await
}

pub async fn post(api: &Api, path: &str, body: Value) -> Answer {
    ask(api, Method::POST, path, Some(body)).await
}

pub async fn put(api: &Api, path: &str, body: Value) -> Answer {
    ask(api, Method::PUT, path, Some(body)).await
}

pub async fn delete(api: &Api, path: &str) -> Answer {
    ask(api, Method::DELETE, path, None).await
}

pub fn fence(answer: &Answer) -> u64 {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let fence = answer.json()["fence"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("fencing-token"), fence);
    fence.parse().unwrap()
}

/// Waits until so many stand in a line.
async fn in_line(api: &Api, path: &str, count: u64) {
    eventually_async("the line", async || (api.get(path).await.json()["waiting"] == count).then_some(())).await;
}

#[tokio::test]
async fn a_lock_is_held_once_and_its_fence_rises() {
    let api = Api::start().await;
    let leases = "/v1/locks/account:42/leases";
    let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
    let first = post(&api, leases, json!({"lease_id": a, "owner": "a"})).await;
    let again = post(&api, leases, json!({"lease_id": a, "owner": "a"})).await;
    assert_eq!(fence(&first), fence(&again), "the same lease");
    let refused = post(&api, leases, json!({"lease_id": b})).await.assert_problem(409, "would_block");
    assert!(refused["expires_in"].as_f64().unwrap() > 25.0);
    post(&api, leases, json!({"lease_id": a, "owner": "other"})).await.assert_problem(409, "lease_id_reused");
    let renewed = put(&api, &format!("{leases}/{a}"), json!({"ttl": 60})).await;
    assert_eq!((fence(&renewed), renewed.json()["expires_in"].as_f64()), (fence(&first), Some(60.0)));
    let shown = api.get("/v1/locks/account:42").await.json();
    assert_eq!((&shown["holders"][0]["owner"], &shown["waiting"]), (&json!("a"), &json!(0)), "{shown}");
    for _ in 0..2 {
        assert_eq!(delete(&api, &format!("{leases}/{a}")).await.status, StatusCode::NO_CONTENT);
    }
    post(&api, leases, json!({"lease_id": a, "owner": "a"})).await.assert_problem(410, "lease_lost");
    put(&api, &format!("{leases}/{a}"), json!({})).await.assert_problem(410, "lease_lost");
    assert!(fence(&post(&api, leases, json!({"lease_id": b})).await) > fence(&first));
    put(&api, &format!("{leases}/{}", Uuid::new_v4()), json!({})).await.assert_problem(404, "lease_not_found");
    // cancelled before it came
    let late = Uuid::new_v4();
    assert_eq!(delete(&api, &format!("{leases}/{late}")).await.status, StatusCode::NO_CONTENT);
    post(&api, leases, json!({"lease_id": late})).await.assert_problem(410, "lease_lost");
    api.stop().await;
}

#[tokio::test]
async fn who_waits_is_served_in_order_over_processes() {
    let one = Api::start().await;
    let two = beside(&one).await;
    let leases = "/v1/locks/line/leases";
    let holder = Uuid::new_v4();
    let mut last = fence(&post(&one, leases, json!({"lease_id": holder})).await);
    let mut waits = Vec::new();
    for index in 0..6 {
        let api = if index % 2 == 0 { &one } else { &two };
        let (client, url, id) = (api.client.clone(), format!("{}{leases}?wait=30", api.url), Uuid::new_v4());
        let wait = async move {
            let answer =
                client.post(url).json(&json!({"lease_id": id, "owner": index.to_string()})).send().await.unwrap();
            (index, id, Answer::of(answer).await)
        };
        waits.push(tokio::spawn(wait));
        in_line(&one, "/v1/locks/line", index + 1).await;
    }
    let mut before = holder;
    for (index, wait) in waits.into_iter().enumerate() {
        assert!(!wait.is_finished());
        assert_eq!(delete(&two, &format!("{leases}/{before}")).await.status, StatusCode::NO_CONTENT);
        let (number, id, answer) = wait.await.unwrap();
        assert_eq!(number, u64::try_from(index).unwrap());
        assert!(fence(&answer) > last);
        (last, before) = (fence(&answer), id);
    }
    drop(two);
    one.stop().await;
}

#[tokio::test]
async fn a_place_is_kept_between_requests_and_a_grant_nobody_fetches_goes_on() {
    let api = Api::start().await;
    let leases = "/v1/locks/polls/leases";
    let (holder, first, second) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    fence(&post(&api, leases, json!({"lease_id": holder})).await);
    let queued = post(&api, &format!("{leases}?wait=0.05"), json!({"lease_id": first})).await;
    assert_eq!((queued.status, &queued.json()["state"]), (StatusCode::ACCEPTED, &json!("waiting")));
    let behind = post(&api, &format!("{leases}?wait=0.05"), json!({"lease_id": second})).await;
    assert_eq!(behind.json()["waiting"], 2);
    // it asks again, without waiting: its place is the first still
    assert_eq!(post(&api, leases, json!({"lease_id": first})).await.status, StatusCode::ACCEPTED);
    delete(&api, &format!("{leases}/{holder}")).await;
    let began = Instant::now();
    // nobody fetches the first one's grant: the second has it five seconds later
    let got = post(&api, &format!("{leases}?wait=20"), json!({"lease_id": second})).await;
    fence(&got);
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(8), "{waited:?}");
    post(&api, leases, json!({"lease_id": first})).await.assert_problem(410, "lease_lost");
    // who gives up leaves the line
    let third = Uuid::new_v4();
    post(&api, &format!("{leases}?wait=0.05"), json!({"lease_id": third})).await;
    assert_eq!(delete(&api, &format!("{leases}/{third}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/v1/locks/polls").await.json()["waiting"], 0);
    api.stop().await;
}

#[tokio::test]
async fn a_holder_that_is_silent_loses_it_without_redis_too() {
    let mut setup = Setup::new().await;
    setup.redis_url = format!("redis://{NOWHERE}");
    let api = setup.start().await;
    let leases = "/v1/locks/silent/leases";
    let (silent, next) = (Uuid::new_v4(), Uuid::new_v4());
    let first = fence(&post(&api, leases, json!({"lease_id": silent, "ttl": 1})).await);
    let began = Instant::now();
    let second = fence(&post(&api, &format!("{leases}?wait=20"), json!({"lease_id": next})).await);
    assert!(second > first && began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    put(&api, &format!("{leases}/{silent}"), json!({})).await.assert_problem(410, "lease_lost");
    delete(&api, &format!("{leases}/{silent}")).await.assert_problem(410, "lease_lost");
    api.stop().await;
}

/// As if the database's clock had been an hour ahead when the lease was given.
#[tokio::test]
async fn a_clock_that_was_ahead_keeps_no_lock_from_going_on() {
    let api = Api::start().await;
    let leases = "/v1/locks/ahead/leases";
    fence(&post(&api, leases, json!({"lease_id": Uuid::new_v4(), "ttl": 2})).await);
    api.sql("UPDATE coordination SET clock_ms = clock_ms + 3600000", &[]).await;
    api.sql("UPDATE lease SET until_ms = until_ms + 3600000, since_ms = since_ms + 3600000", &[]).await;
    let next = json!({"lease_id": Uuid::new_v4(), "ttl": 2});
    let asked = Instant::now();
    let next = post(&api, &format!("{leases}?wait=60"), next).await;
    fence(&next);
    assert!(asked.elapsed() < Duration::from_mins(1), "its holder was silent, and nothing looked at the time");
    api.stop().await;
}

#[tokio::test]
async fn an_owner_may_hold_a_lock_several_times() {
    let api = Api::start().await;
    let leases = "/v1/locks/rlock/leases";
    let (outer, inner, other) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let mine = |id: Uuid| json!({"lease_id": id, "owner": "me", "reentrant": true});
    let first = fence(&post(&api, leases, mine(outer)).await);
    assert_eq!(fence(&post(&api, leases, mine(inner)).await), first, "the same fence");
    post(&api, leases, json!({"lease_id": other, "owner": "you", "reentrant": true}))
        .await
        .assert_problem(409, "would_block");
    delete(&api, &format!("{leases}/{outer}")).await;
    post(&api, leases, json!({"lease_id": other})).await.assert_problem(409, "would_block");
    delete(&api, &format!("{leases}/{inner}")).await;
    let mut late = mine(Uuid::new_v4());
    late["expect_fence"] = json!(first.to_string());
    post(&api, leases, late).await.assert_problem(410, "lease_lost");
    assert!(fence(&post(&api, leases, json!({"lease_id": other})).await) > first);
    post(&api, leases, json!({"reentrant": true})).await.assert_problem(422, "invalid_request");
    api.stop().await;
}

#[tokio::test]
async fn a_secret_keeps_others_off() {
    let api = Api::start().await;
    let (path, id) = (format!("{}/v1/locks/secret/leases", api.url), Uuid::new_v4());
    let with = |request: reqwest::RequestBuilder, secret: &str| request.header("lease-secret", secret);
    let acquire = |secret: &str| with(api.client.post(&path).json(&json!({"lease_id": id})), secret);
    assert_eq!(acquire("mine").send().await.unwrap().status(), StatusCode::OK);
    Answer::of(acquire("yours").send().await.unwrap()).await.assert_problem(403, "wrong_secret");
    let one = format!("{path}/{id}");
    for secret in [None, Some("yours")] {
        for request in [api.client.put(&one).json(&json!({})), api.client.delete(&one)] {
            let request = match secret {
                Some(secret) => with(request, secret),
                None => request,
            };
            Answer::of(request.send().await.unwrap()).await.assert_problem(403, "wrong_secret");
        }
    }
    assert_eq!(with(api.client.delete(&one), "mine").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    api.stop().await;
}

#[tokio::test]
async fn a_semaphore_is_bounded_and_passes_nobody_over() {
    let api = Api::start().await;
    let (at, leases) = ("/v1/semaphores/gpu", "/v1/semaphores/gpu/leases");
    post(&api, leases, json!({})).await.assert_problem(404, "not_configured");
    assert_eq!(put(&api, at, json!({"permits": 3})).await.json(), json!({"permits": 3}));
    assert_eq!(api.get(at).await.json()["available"], 3);
    post(&api, leases, json!({"permits": 4})).await.assert_problem(422, "never_fits");
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::new_v4()).collect();
    let want = |id: Uuid, permits: i32| json!({"lease_id": id, "permits": permits});
    fence(&post(&api, leases, want(ids[0], 2)).await);
    // two do not fit, and who wants one stands behind
    assert_eq!(post(&api, &format!("{leases}?wait=0.05"), want(ids[1], 2)).await.status, StatusCode::ACCEPTED);
    assert_eq!(post(&api, &format!("{leases}?wait=0.05"), want(ids[2], 1)).await.status, StatusCode::ACCEPTED);
    assert_eq!(delete(&api, &format!("{leases}/{}", Uuid::new_v4())).await.status, StatusCode::NO_CONTENT);
    assert_eq!(
        post(&api, leases, want(ids[2], 1)).await.status,
        StatusCode::ACCEPTED,
        "a stranger's release frees nothing"
    );
    delete(&api, &format!("{leases}/{}", ids[0])).await;
    for (id, permits) in [(ids[1], 2), (ids[2], 1)] {
        fence(&post(&api, leases, want(id, permits)).await);
    }
    // smaller: nobody is evicted, nobody comes in; larger: who waits comes in
    assert_eq!(api.get(at).await.json()["available"], 0);
    put(&api, at, json!({"permits": 1})).await;
    let shown = api.get(at).await.json();
    assert_eq!((shown["holders"].as_array().unwrap().len(), &shown["available"]), (2, &json!(0)), "{shown}");
    delete(&api, &format!("{leases}/{}", ids[1])).await;
    post(&api, leases, want(ids[3], 1)).await.assert_problem(409, "would_block");
    assert_eq!(post(&api, &format!("{leases}?wait=0.05"), want(ids[3], 1)).await.status, StatusCode::ACCEPTED);
    put(&api, at, json!({"permits": 2})).await;
    fence(&post(&api, leases, want(ids[3], 1)).await);
    api.stop().await;
}

#[tokio::test]
async fn a_pulse_of_an_event_is_seen_by_all_who_wait() {
    let one = Api::start().await;
    let two = beside(&one).await;
    let at = "/v1/events/deployed";
    assert_eq!(one.get(at).await.json(), json!({"name": "deployed", "set": false, "generation": 0, "fired": false}));
    let mut polls = Vec::new();
    for api in [&one, &two, &one] {
        let (client, url) = (api.client.clone(), format!("{}{at}?wait=20&since=0", api.url));
        polls.push(tokio::spawn(async move { Answer::of(client.get(url).send().await.unwrap()).await.json() }));
    }
    ask(&two, Method::PUT, at, None).await;
    ask(&one, Method::DELETE, at, None).await;
    for poll in polls {
        let seen = poll.await.unwrap();
        assert_eq!((&seen["generation"], &seen["fired"]), (&json!(1), &json!(true)), "{seen}");
    }
    // between two polls
    let seen = one.get(&format!("{at}?wait=20&since=0")).await.json();
    assert_eq!(seen, json!({"name": "deployed", "set": false, "generation": 1, "fired": true}));
    // who names no generation is told too, and what was before the request does not count
    let (client, url) = (one.client.clone(), format!("{}{at}?wait=20", two.url));
    let first = tokio::spawn(async move { Answer::of(client.get(url).send().await.unwrap()).await.json() });
    eventually_async("the wait", async || (waits(&two).await > 0.5).then_some(())).await;
    ask(&one, Method::PUT, at, None).await;
    ask(&one, Method::DELETE, at, None).await;
    let seen = first.await.unwrap(); // after the one or after the other
    assert_eq!((&seen["generation"], &seen["fired"]), (&json!(2), &json!(true)), "{seen}");
    assert_eq!(one.get(at).await.json()["fired"], false);
    let began = Instant::now();
    let seen = one.get(&format!("{at}?wait=0.3&since=2")).await.json();
    assert_eq!((&seen["generation"], &seen["fired"]), (&json!(2), &json!(false)), "{seen}");
    assert!(began.elapsed() > Duration::from_millis(250));
    drop(two);
    one.stop().await;
}

#[tokio::test]
async fn a_barrier_opens_when_all_have_arrived() {
    let api = Api::start().await;
    let (at, arrivals) = ("/v1/barriers/loaded", "/v1/barriers/loaded/arrivals?wait=20");
    post(&api, arrivals, json!({"arrival_id": Uuid::new_v4()})).await.assert_problem(404, "not_configured");
    put(&api, at, json!({"parties": 3})).await;
    for generation in 1..=2 {
        let ids: Vec<Uuid> = (0..3).map(|_| Uuid::new_v4()).collect();
        let early = post(&api, "/v1/barriers/loaded/arrivals", json!({"arrival_id": ids[0]})).await;
        assert_eq!((early.status, &early.json()["arrived"]), (StatusCode::ACCEPTED, &json!(1)));
        let waits = ids.iter().map(|id| post(&api, arrivals, json!({"arrival_id": id})));
        let mut indices = Vec::new();
        for answer in futures::future::join_all(waits).await {
            let arrival = answer.json();
            assert_eq!((&arrival["open"], &arrival["generation"]), (&json!(true), &json!(generation)), "{arrival}");
            indices.push(arrival["index"].as_u64().unwrap());
        }
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2]);
    }
    assert_eq!(
        api.get(at).await.json(),
        json!({"name": "loaded", "parties": 3, "arrived": 0, "generation": 2, "broken": false})
    );
    assert_eq!(api.get(&format!("{at}?wait=5&since=1")).await.json()["generation"], 2);
    api.stop().await;
}

#[tokio::test]
async fn a_condition_hands_the_lock_on_to_whom_it_notifies() {
    let one = Api::start().await;
    let two = beside(&one).await;
    let (leases, waits) = ("/v1/locks/box/leases", "/v1/conditions/filled/waits?wait=20");
    let mut parked = Vec::new();
    for api in [&one, &two] {
        let (lease, wait) = (Uuid::new_v4(), Uuid::new_v4());
        fence(&post(api, leases, json!({"lease_id": lease})).await);
        let (client, url) = (api.client.clone(), format!("{}{waits}", api.url));
        let body = json!({"lock": "box", "lease_id": lease, "wait_id": wait});
        let answer = tokio::spawn(async move { Answer::of(client.post(url).json(&body).send().await.unwrap()).await });
        // it has given the lock back
        eventually_async("the lock", async || {
            (one.get("/v1/locks/box").await.json()["holders"] == json!([])).then_some(())
        })
        .await;
        parked.push((wait, answer));
    }
    let mine = Uuid::new_v4();
    let before = fence(&post(&one, leases, json!({"lease_id": mine})).await);
    let notify = |count: i32| json!({"lock": "box", "lease_id": mine, "count": count});
    let stranger = json!({"lock": "box", "lease_id": Uuid::new_v4()});
    post(&one, "/v1/conditions/filled/notify", stranger).await.assert_problem(409, "not_owner");
    for (count, notified) in [(0, 0), (1, 1), (10_000, 1), (1, 0)] {
        let answer = post(&one, "/v1/conditions/filled/notify", notify(count)).await;
        assert_eq!(answer.json(), json!({ "notified": notified }));
    }
    assert!(parked.iter().all(|(_, wait)| !wait.is_finished()), "they wait for the lock");
    let (mut holds, mut last) = (mine, before);
    for (wait, answer) in parked {
        assert_eq!(delete(&two, &format!("{leases}/{holds}")).await.status, StatusCode::NO_CONTENT);
        let got = answer.await.unwrap();
        assert_eq!((&got.json()["lease_id"], &got.json()["notified"]), (&json!(wait), &json!(true)));
        assert!(fence(&got) > last);
        (holds, last) = (wait, fence(&got));
    }
    drop(two);
    one.stop().await;
}

#[tokio::test]
async fn each_user_has_names_of_its_own() {
    let api = Api::start().await;
    let key = async |with: Option<&str>, body: Value| {
        let mut request = api.client.post(format!("{}/v1/api-keys", api.url)).json(&body);
        if let Some(with) = with {
            request = request.bearer_auth(with);
        }
        Answer::of(request.send().await.unwrap()).await.json()["key"].as_str().unwrap().to_owned()
    };
    let operator = key(None, json!({"name": "operator", "scopes": ["admin"]})).await;
    let user = api.client.post(format!("{}/v1/users", api.url)).bearer_auth(&operator).json(&json!({"name": "bob"}));
    let user = Answer::of(user.send().await.unwrap()).await.json()["id"].clone();
    let bobs = key(Some(&operator), json!({"name": "bob", "scopes": ["submit", "read"], "user_id": user})).await;
    let id = Uuid::new_v4();
    let (leases, one) = (format!("{}/v1/locks/own/leases", api.url), format!("{}/v1/locks/own/leases/{id}", api.url));
    for key in [&operator, &bobs] {
        let mine = api.client.post(&leases).bearer_auth(key).json(&json!({"lease_id": id}));
        fence(&Answer::of(mine.send().await.unwrap()).await);
    }
    assert_eq!(api.client.delete(&one).bearer_auth(&bobs).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let mine = api.client.put(&one).bearer_auth(&operator).json(&json!({}));
    fence(&Answer::of(mine.send().await.unwrap()).await);
    api.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let api = Api::start().await;
    let leases = "/v1/locks/x/leases";
    for (body, pointer) in [
        (json!({"ttl": 0}), "/ttl"),
        (json!({"ttl": 601}), "/ttl"),
        (json!({"ttl": -1}), "/ttl"),
        (json!({"lease_id": "x"}), "/lease_id"),
        (json!({"owner": ""}), "/owner"),
        (json!({"expect_fence": "x", "owner": "a"}), "/expect_fence"),
        (json!({"permits": 1}), "/permits"),
    ] {
        let answer = post(&api, leases, body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{}", answer.text());
    }
    for path in ["/v1/locks/a%20b", "/v1/locks/%7Ba%7D", "/v1/semaphores/-a", "/v1/events/%C3%A4", "/v1/barriers/a%00"]
    {
        let answer = api.get(path).await;
        assert!([404, 422, 400].contains(&answer.status.as_u16()), "{path}: {}", answer.text());
    }
    post(&api, &format!("{leases}?wait=-1"), json!({})).await.assert_problem(422, "invalid_request");
    post(&api, &format!("{leases}?wiat=1"), json!({})).await.assert_problem(422, "unknown_parameter");
    put(&api, "/v1/semaphores/s", json!({"permits": 0})).await.assert_problem(422, "invalid_request");
    put(&api, "/v1/barriers/b", json!({"parties": 1001})).await.assert_problem(422, "invalid_request");
    delete(&api, &format!("{leases}/nonsense")).await.assert_problem(422, "invalid_request");
    let same = Uuid::new_v4();
    let wait = json!({"lock": "x", "lease_id": same, "wait_id": same});
    post(&api, "/v1/conditions/c/waits", wait).await.assert_problem(422, "invalid_request");
    api.get("/v1/semaphores/none").await.assert_problem(404, "not_configured");
    api.stop().await;
}
