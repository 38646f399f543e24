//! Clients that hang up while they wait: with a FIN alone, as a killed program, Ctrl-C and a client's own time-out do.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    coordination::{ask, fence, post},
    eventually::eventually_async,
    raw,
    server::{Api, Setup},
};

/// More than the server reads ahead of a handler that does not want it.
const MORE_THAN_IS_BUFFERED: usize = 1 << 20;

/// What a client sends behind the head of a request that waits.
struct Shape {
    name: &'static str,
    headers: String,
    body: Vec<u8>,
}

fn shape(name: &'static str, headers: impl Into<String>, body: impl Into<Vec<u8>>) -> Shape {
    Shape { name, headers: headers.into(), body: body.into() }
}

/// The ways in which a request may end: also with a body that nobody reads, half a body, and other requests behind it.
fn shapes(method: &str, json: &str) -> Vec<Shape> {
    let next = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    if method == "GET" {
        let large = format!("content-length: {MORE_THAN_IS_BUFFERED}\r\n");
        return vec![
            shape("plain", "", ""),
            shape("pipelined", "", next.repeat(3)),
            shape("a body that nobody reads", "content-length: 5\r\n", "12345"),
            shape("a large one", large.clone(), vec![b' '; MORE_THAN_IS_BUFFERED]),
            shape("half of it", large, vec![b' '; MORE_THAN_IS_BUFFERED / 2]),
            shape("a chunked one without an end", "transfer-encoding: chunked\r\n", "5\r\n12345\r\n"),
        ];
    }
    let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", json.len());
    let chunked = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    vec![
        shape("plain", length.clone(), json),
        shape("pipelined", length.clone(), format!("{json}{}", next.repeat(3))),
        shape("chunked", chunked, format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len())),
        shape("after a 100", format!("{length}expect: 100-continue\r\n"), json),
    ]
}

fn send(api: &Api, method: &str, path: &str, shape: &Shape) -> TcpStream {
    let mut stream = raw::connect(api.port);
    stream
        .write_all(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{}\r\n", shape.headers).as_bytes())
        .unwrap();
    stream.write_all(&shape.body).unwrap();
    stream
}

/// How many requests wait in this process, for leases and for tasks.
pub async fn waits(api: &Api) -> f64 {
    let metrics = api.get("/metrics").await.text();
    let open = ["caraway_lease_waits_open", "caraway_waits_open"].map(|name| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().parse::<f64>().unwrap()
    });
    open.iter().sum()
}

async fn waits_are(api: &Api, count: f64, what: &str) {
    eventually_async(&format!("{what}: {count} waits"), async || {
        ((waits(api).await - count).abs() < 0.5).then_some(())
    })
    .await;
}

/// Every address that waits, made so that it waits for ever.
async fn waiting_addresses(api: &Api) -> Vec<(&'static str, String, String)> {
    let task = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    fence(&post(api, "/v1/locks/held/leases", json!({"ttl": 600})).await);
    for (path, settings) in [
        ("/v1/semaphores/held", json!({"permits": 1})),
        ("/v1/barriers/missing", json!({"parties": 1000})),
        ("/v1/work-queues/empty", json!({})),
        ("/v1/work-queues/full", json!({"maxsize": 1})),
    ] {
        assert_eq!(ask(api, Method::PUT, path, Some(settings)).await.status, StatusCode::OK);
    }
    fence(&post(api, "/v1/semaphores/held/leases", json!({"ttl": 600})).await);
    assert_eq!(post(api, "/v1/work-queues/full/items", json!({"payload": 1})).await.status, StatusCode::CREATED);
    let group = post(api, "/v1/groups", json!({"tasks": [{"name": "add", "args": [1, 2]}]})).await.json();
    let workflow = group["id"].as_str().unwrap().to_owned();
    vec![
        ("POST", "/v1/locks/held/leases?wait=60".into(), "{}".into()),
        ("POST", "/v1/semaphores/held/leases?wait=60".into(), "{}".into()),
        ("POST", "/v1/conditions/c/waits?wait=60".into(), String::new()),
        ("POST", "/v1/barriers/missing/arrivals?wait=60".into(), json!({"arrival_id": Uuid::new_v4()}).to_string()),
        ("GET", "/v1/barriers/missing?wait=60".into(), String::new()),
        ("GET", "/v1/events/clear?wait=60".into(), String::new()),
        ("POST", "/v1/work-queues/empty/leases?wait=60".into(), "{}".into()),
        ("POST", "/v1/work-queues/full/items?wait=60".into(), r#"{"payload": 2}"#.into()),
        ("GET", "/v1/work-queues/full/join?wait=60".into(), String::new()),
        ("GET", format!("/v1/tasks/{task}?wait=60"), String::new()),
        ("POST", "/v1/tasks/wait?wait=60".into(), json!({"ids": [task]}).to_string()),
        ("GET", format!("/v1/workflows/{workflow}?wait=60"), String::new()),
    ]
}

/// The body of a wait on a condition, with a lock that is held for it.
async fn parked_wait(api: &Api) -> String {
    let (lock, lease) = (format!("parked-{}", Uuid::new_v4()), Uuid::new_v4());
    fence(&post(api, &format!("/v1/locks/{lock}/leases"), json!({"lease_id": lease, "ttl": 600})).await);
    json!({"lock": lock, "lease_id": lease, "wait_id": Uuid::new_v4()}).to_string()
}

/// However its request ends, and whatever lies behind it.
#[tokio::test]
async fn a_wait_ends_with_its_connection() {
    let api = Api::start().await;
    for (method, path, json) in waiting_addresses(&api).await {
        for number in 0..shapes(method, "").len() {
            // who hangs up on a condition has given its lock back: each wait has a lock of its own
            let json = if path.starts_with("/v1/conditions") { parked_wait(&api).await } else { json.clone() };
            let shape = shapes(method, &json).swap_remove(number);
            let what = format!("{method} {path}, {}", shape.name);
            let stream = send(&api, method, &path, &shape);
            waits_are(&api, 1.0, &what).await;
            stream.shutdown(Shutdown::Write).unwrap(); // a FIN and nothing else: a close might send a reset
            waits_are(&api, 0.0, &what).await;
        }
    }
    api.stop().await;
}

/// Sends a request that waits, as a client does that is going to hang up; once it waits, it is gone.
async fn wait_and_hang_up(api: &Api, path: &str, body: &Value) {
    let body = body.to_string();
    let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let before = waits(api).await;
    let stream = send(api, "POST", path, &shape("", head, body));
    waits_are(api, before + 1.0, path).await;
    stream.shutdown(Shutdown::Write).unwrap();
    waits_are(api, before, path).await;
}

/// What the page of an object says of who waits.
async fn nobody_stands_in_line(api: &Api, path: &str) {
    let what = format!("the end of the line of {path}");
    eventually_async(&what, async || (api.get(path).await.json()["waiting"] == 0).then_some(())).await;
}

#[tokio::test]
async fn who_hangs_up_leaves_the_line_and_is_granted_nothing() {
    let api = Api::start().await;
    let permits = ask(&api, Method::PUT, "/v1/semaphores/g", Some(json!({"permits": 1}))).await;
    assert_eq!(permits.status, StatusCode::OK);
    for object in ["/v1/locks/g", "/v1/semaphores/g"] {
        let (leases, held, gone) = (format!("{object}/leases"), Uuid::new_v4(), Uuid::new_v4());
        fence(&post(&api, &leases, json!({"lease_id": held, "ttl": 600})).await);
        let wanted = json!({"lease_id": gone, "owner": "gone", "ttl": 600});
        for _ in 0..3 {
            wait_and_hang_up(&api, &format!("{leases}?wait=30"), &json!({"owner": "gone", "ttl": 600})).await;
        }
        wait_and_hang_up(&api, &format!("{leases}?wait=30"), &wanted).await;
        nobody_stands_in_line(&api, object).await;
        assert_eq!(ask(&api, Method::DELETE, &format!("{leases}/{held}"), None).await.status, StatusCode::NO_CONTENT);
        // at once, and not five seconds later
        let next = post(&api, &leases, json!({"owner": "next", "ttl": 600})).await;
        fence(&next);
        // who hung up may ask again by the same id
        let again = post(&api, &format!("{leases}?wait=0.05"), wanted).await;
        assert_eq!((again.status, &again.json()["waiting"]), (StatusCode::ACCEPTED, &json!(1)), "{}", again.text());
    }
    api.stop().await;
}

/// Consumers and producers: an item that comes after its consumer went is everybody's, whatever the acknowledgement.
#[tokio::test]
async fn an_item_is_not_for_a_consumer_that_hung_up() {
    let api = Api::start().await;
    for (queue, ack) in [("auto", "auto"), ("manual", "manual")] {
        let (queue, item) = (format!("/v1/work-queues/{queue}"), Uuid::new_v4());
        let made = ask(&api, Method::PUT, &queue, Some(json!({"max_attempts": 1, "maxsize": 1}))).await;
        assert_eq!(made.status, StatusCode::OK);
        for _ in 0..3 {
            wait_and_hang_up(&api, &format!("{queue}/leases?wait=30"), &json!({"ack": ack, "ttl": 600})).await;
        }
        nobody_stands_in_line(&api, &queue).await;
        let put = post(&api, &format!("{queue}/items"), json!({"item_id": item, "payload": "precious"})).await;
        assert_eq!(put.status, StatusCode::CREATED);
        // producers of the full queue
        wait_and_hang_up(&api, &format!("{queue}/items?wait=30"), &json!({"payload": "of nobody"})).await;
        let got = post(&api, &format!("{queue}/leases"), json!({"ack": ack})).await.json();
        assert_eq!((&got["payload"], &got["attempt"]), (&json!("precious"), &json!(1)), "{got}");
        let left = api.get(&queue).await.json();
        assert_eq!(left["ready"], 0, "what its producer did not wait for is not in: {left}");
    }
    api.stop().await;
}

/// The client goes while the commit is under way that fetches the item: its answer cannot be written.
#[tokio::test]
async fn an_answer_that_cannot_be_written_takes_back_what_it_brought() {
    let mut setup = Setup::new().await;
    setup.variables.push(("FAILPOINTS", "coordination.written=sleep(400)".into()));
    let api = setup.start().await;
    for (queue, ack) in [("auto", "auto"), ("manual", "manual")] {
        let queue = format!("/v1/work-queues/{queue}");
        ask(&api, Method::PUT, &queue, Some(json!({"max_attempts": 1}))).await;
        post(&api, &format!("{queue}/items"), json!({"payload": "precious"})).await;
        let body = json!({"ack": ack, "ttl": 600}).to_string();
        let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        let stream = send(&api, "POST", &format!("{queue}/leases"), &shape("", head, body));
        eventually_async("the fetch", async || {
            let query = "SELECT count(*) FROM work_item i JOIN coordination c ON c.id = i.object_id
                WHERE i.state IN ('leased', 'taken') AND i.attempt = 1 AND c.name = $1";
            (api.sql(query, &[&ack]).await[0].get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        stream.shutdown(Shutdown::Write).unwrap();
        let back = json!({"ready": 1, "delayed": 0, "in_flight": 0, "unfinished": 1, "dead": 0});
        eventually_async("the item's return", async || {
            let seen = api.get(&queue).await.json();
            back.as_object().unwrap().iter().all(|(name, count)| seen[name] == *count).then_some(())
        })
        .await;
        let got = post(&api, &format!("{queue}/leases"), json!({"ack": ack})).await.json();
        assert_eq!((&got["payload"], &got["attempt"]), (&json!("precious"), &json!(1)), "{got}");
        if ack == "manual" {
            let lease = got["lease_id"].as_str().unwrap();
            ask(&api, Method::DELETE, &format!("{queue}/leases/{lease}"), None).await;
        }
    }
    fence(&post(&api, "/v1/locks/l/leases", json!({})).await);
    api.stop().await;
}

/// A client may lose its connection and not know what came of its request: the same request has the same answer, as long as it was
/// written.
#[tokio::test]
async fn an_answer_that_was_written_stands() {
    let api = Api::start().await;
    let (lease, body) = (Uuid::new_v4(), |lease: Uuid| json!({"lease_id": lease, "ttl": 600}).to_string());
    let head = |body: &str| format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let mut stream = send(&api, "POST", "/v1/locks/l/leases", &shape("", head(&body(lease)), body(lease)));
    let answer = raw::read_answer(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(stream);
    let again = post(&api, "/v1/locks/l/leases", json!({"lease_id": lease, "ttl": 600})).await;
    assert!(answer.contains(&format!("\"fence\":\"{}\"", fence(&again))), "{answer}");
    // one that waits is asked for over a second connection before the first one ends
    let second = Uuid::new_v4();
    let first = send(&api, "POST", "/v1/locks/l/leases?wait=30", &shape("", head(&body(second)), body(second)));
    waits_are(&api, 1.0, "the first").await;
    let url = format!("{}/v1/locks/l/leases?wait=30", api.url);
    let repeated = api.client.post(url).json(&json!({"lease_id": second, "ttl": 600})).send();
    let repeated = tokio::spawn(repeated);
    waits_are(&api, 2.0, "both").await;
    first.shutdown(Shutdown::Write).unwrap();
    waits_are(&api, 1.0, "the second").await;
    ask(&api, Method::DELETE, &format!("/v1/locks/l/leases/{lease}"), None).await;
    fence(&crate::answer::Answer::of(repeated.await.unwrap().unwrap()).await);
    api.stop().await;
}

#[tokio::test]
async fn a_notify_reaches_somebody_who_lives() {
    let api = Api::start().await;
    let (leases, waits_of) = ("/v1/locks/d6/leases", "/v1/conditions/d6/waits");
    let acquire = async |id: Uuid| fence(&post(&api, leases, json!({"lease_id": id, "ttl": 60})).await);
    let park = |from: Uuid, to: Uuid| json!({"lock": "d6", "lease_id": from, "wait_id": to});
    // one that is never heard of again, one that hangs up, and one that lives
    let (silent, gone, alive) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let from = Uuid::new_v4();
    acquire(from).await;
    let parked = post(&api, waits_of, park(from, silent)).await;
    assert_eq!(parked.json()["state"], "parked");
    let from = Uuid::new_v4();
    acquire(from).await;
    wait_and_hang_up(&api, &format!("{waits_of}?wait=60"), &park(from, gone)).await;
    let from = Uuid::new_v4();
    acquire(from).await;
    let url = format!("{}{waits_of}?wait=20", api.url);
    let waiter = tokio::spawn(api.client.post(url).json(&park(from, alive)).send());
    waits_are(&api, 1.0, "the one that lives").await;
    let notifier = Uuid::new_v4();
    acquire(notifier).await;
    let answer = post(&api, "/v1/conditions/d6/notify", json!({"lock": "d6", "lease_id": notifier, "count": 1})).await;
    assert_eq!(answer.json()["notified"], 1);
    ask(&api, Method::DELETE, &format!("{leases}/{notifier}"), None).await;
    let began = std::time::Instant::now();
    fence(&crate::answer::Answer::of(waiter.await.unwrap().unwrap()).await);
    println!("hangup: the notify of one that is gone was passed on after {:?}", began.elapsed());
    post(&api, waits_of, park(from, silent)).await.assert_problem(410, "lease_lost");
    api.stop().await;
}

/// The answer at the end of a wait tells how it stands then, and who gives up is told of a notify.
#[tokio::test]
async fn the_end_of_a_wait_tells_the_present() {
    let api = Api::start().await;
    let leases = "/v1/locks/present/leases";
    let (from, wait, holder) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    fence(&post(&api, leases, json!({"lease_id": from})).await);
    let url = format!("{}/v1/conditions/c/waits?wait=2", api.url);
    let body = json!({"lock": "present", "lease_id": from, "wait_id": wait});
    let waiter = tokio::spawn(api.client.post(url).json(&body).send());
    waits_are(&api, 1.0, "the waiter").await;
    fence(&post(&api, leases, json!({"lease_id": holder})).await);
    post(&api, "/v1/conditions/c/notify", json!({"lock": "present", "lease_id": holder})).await;
    let answer = crate::answer::Answer::of(waiter.await.unwrap().unwrap()).await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::ACCEPTED, &json!("waiting")));
    // counts too: the one before has left meanwhile
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    post(&api, &format!("{leases}?wait=0.05"), json!({"lease_id": first})).await;
    let url = format!("{}{leases}?wait=2", api.url);
    let waiter = tokio::spawn(api.client.post(url).json(&json!({"lease_id": second})).send());
    waits_are(&api, 1.0, "the second").await;
    ask(&api, Method::DELETE, &format!("{leases}/{first}"), None).await;
    let answer = crate::answer::Answer::of(waiter.await.unwrap().unwrap()).await;
    assert_eq!(answer.json()["waiting"], 2, "the notified one and itself");
    for _ in 0..2 {
        let given_up = ask(&api, Method::DELETE, &format!("{leases}/{wait}"), None).await;
        assert_eq!((given_up.status, given_up.json()), (StatusCode::OK, json!({"notified": true})));
    }
    assert_eq!(ask(&api, Method::DELETE, &format!("{leases}/{second}"), None).await.status, StatusCode::NO_CONTENT);
    api.stop().await;
}
