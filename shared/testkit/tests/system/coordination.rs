//! Leases at work: handlers that share a semaphore, and what a lease does not do.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use caraway_shared::{
    coordination::{Address, Kind},
    store::Store,
    task::OwnerId,
};
use caraway_testkit::{Place, Stack, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::stage::Stage;

const TASKS: usize = 50;
const PERMITS: usize = 5;
/// The default of a handler's lease, and a tenth of it for finding out.
const TTL: Duration = Duration::from_secs(33);
const LONG: Duration = Duration::from_secs(150);

async fn ask(url: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.request(method, format!("{url}{path}")).json(&body).send().await.expect("an answer");
    let status = answer.status();
    (status, answer.json().await.unwrap_or_default())
}

fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Must-show 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_on_three_workers_share_a_semaphore() {
    let stage = Stage::start_with("shared-semaphore", 20).await;
    let _second = stage.place.ledger_worker("worker-2", 20).start().await;
    let third = stage.place.ledger_worker("worker-3", 20).start().await;
    let url = stage.api.url();
    let at = "/v1/semaphores/gpu";
    assert_eq!(ask(&url, Method::PUT, at, json!({ "permits": PERMITS })).await.0, StatusCode::OK);
    // one by one: a batch could go to one worker in one message
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        tasks.push(stage.client.run("permits", json!({"semaphore": "gpu", "seconds": 0.4})).await);
    }
    let third_pid = third.pid();
    let runs = || stage.place.ledger().read().into_values().flatten().collect::<Vec<_>>();
    eventually(LONG, "the third worker holds a permit", async || {
        let holds = runs().iter().any(|run| run.pid == third_pid && run.end_ms.is_none());
        if holds { Ok(()) } else { Err("it does not".into()) }
    })
    .await;
    drop(third); // which kills it
    let (killed, killed_ms) = (Instant::now(), monotonic_ms());
    let orphans = runs().iter().filter(|run| run.pid == third_pid && run.end_ms.is_none()).count();
    eventually(LONG, "its permits are free", async || {
        let free = "SELECT count(*) FROM lease WHERE standing = 'lost' AND claimed";
        let free = stage.database.number(free).await;
        if usize::try_from(free).is_ok_and(|free| free >= orphans) { Ok(()) } else { Err(format!("{free} are")) }
    })
    .await;
    let freed = killed.elapsed();
    for id in &tasks {
        let ended = stage.client.wait(*id, LONG).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
    }
    let end = |run: &caraway_testkit::Execution| run.end_ms.unwrap_or(killed_ms);
    let runs = runs();
    let most = runs
        .iter()
        .map(|run| runs.iter().filter(|other| other.start_ms <= run.start_ms && run.start_ms < end(other)).count());
    let most = most.max().unwrap_or(0);
    println!(
        "shared-semaphore: {TASKS} tasks on three workers, {} runs, never more than {most} at once; {orphans} permits of the killed \
         worker were free after {freed:.1?}",
        runs.len()
    );
    assert!(most <= PERMITS, "{most} at once");
    assert!(orphans > 0 && freed < TTL);
}

#[tokio::test]
async fn handlers_wait_for_an_event_and_pass_items_on() {
    let stage = Stage::start("pass-on").await;
    let url = stage.api.url();
    for queue in ["from", "to"] {
        assert_eq!(ask(&url, Method::PUT, &format!("/v1/work-queues/{queue}"), json!({})).await.0, StatusCode::OK);
    }
    for payload in ["drop", "one", "two"] {
        let put = ask(&url, Method::POST, "/v1/work-queues/from/items", json!({ "payload": payload })).await;
        assert_eq!(put.0, StatusCode::CREATED);
    }
    let task = stage.client.task("pass_on", json!({"event": "go", "from": "from", "to": "to"}));
    let tasks = stage.client.batch(&vec![task; 3]).await;
    for id in &tasks {
        stage.running(*id).await;
    }
    let from = "/v1/work-queues/from";
    assert_eq!(ask(&url, Method::GET, from, json!({})).await.1["ready"], 3, "nobody takes one before the event");
    // a pulse is enough
    ask(&url, Method::PUT, "/v1/events/go", json!({})).await;
    ask(&url, Method::DELETE, "/v1/events/go", json!({})).await;
    let mut attempts = Vec::new();
    for id in &tasks {
        let ended = stage.client.wait(*id, LONG).await;
        assert_eq!((&ended["state"], &ended["result"]["held"]), (&json!("succeeded"), &json!(true)), "{ended}");
        attempts.push(ended["result"]["attempt"].as_i64().expect("a number"));
    }
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 1, 2], "the dropped one came back");
    let (_, joined) = ask(&url, Method::GET, "/v1/work-queues/from/join", json!({})).await;
    assert_eq!(joined, json!({"finished": true, "unfinished": 0}));
    let (_, to) = ask(&url, Method::GET, "/v1/work-queues/to", json!({})).await;
    assert_eq!((&to["ready"], &to["unfinished"]), (&json!(3), &json!(3)), "each was put in once");
}

/// Who waits at a barrier has arrived long before: that must not look like news at each look.
#[tokio::test]
async fn waiting_at_a_barrier_changes_nothing() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "barrier-waits").await;
    let api = place.api().start().await;
    let (url, database) = (api.url(), place.database().await);
    ask(&url, Method::PUT, "/v1/barriers/b", json!({"parties": 2})).await;
    ask(&url, Method::PUT, "/v1/barriers/other", json!({"parties": 2})).await;
    let arrival = |of: &str, wait: f64| {
        let (path, body) = (format!("/v1/barriers/{of}/arrivals?wait={wait}"), json!({"arrival_id": Uuid::new_v4()}));
        let url = &url;
        async move { ask(url, Method::POST, &path, body).await }
    };
    // the end of a wait looks once more, so this is asked while it goes on
    let meanwhile = async {
        arrival("other", 3.5).await;
        let last = "SELECT c.clock_ms - l.since_ms FROM coordination c JOIN lease l ON l.object_id = c.id
            WHERE c.name = 'b'";
        database.number(last).await
    };
    let ((status, waits), last) = tokio::join!(arrival("b", 6.0), meanwhile);
    assert_eq!(status, StatusCode::ACCEPTED, "{waits}");
    assert!(last < 500, "it was asked again after {last} ms");
}

/// A resource that everybody writes by reading it, thinking, and writing it back.
#[derive(Default)]
struct File {
    value: u64,
    fence: u64,
}

/// Two writers under one lock, the first of which freezes between its read and its write for longer than its lease. How many of
/// their updates the file has, and whether it looks at fences.
async fn updates(url: &str, lock: &str, checks_fences: bool) -> u64 {
    let file = Mutex::new(File::default());
    let read = || file.lock().expect("no panic").value;
    let write = |value: u64, fence: u64| {
        let mut file = file.lock().expect("no panic");
        let is_late = checks_fences && fence < file.fence;
        if !is_late {
            (file.value, file.fence) = (value, fence);
        }
        !is_late
    };
    let leases = format!("/v1/locks/{lock}/leases");
    let acquire = async |id: Uuid, ttl: i32| {
        let (status, lease) =
            ask(url, Method::POST, &format!("{leases}?wait=30"), json!({"lease_id": id, "ttl": ttl})).await;
        assert_eq!(status, StatusCode::OK, "{lease}");
        lease["fence"].as_str().and_then(|fence| fence.parse::<u64>().ok()).expect("a fence")
    };
    let (frozen, other) = (Uuid::new_v4(), Uuid::new_v4());
    let first = acquire(frozen, 1).await;
    let seen = read();
    // it is frozen here: the other one waits until the lease has ended, and does its work
    let second = acquire(other, 30).await;
    assert!(write(read() + 1, second));
    ask(url, Method::DELETE, &format!("{leases}/{other}"), json!({})).await;
    // it goes on, and does not know
    if !write(seen + 1, first) {
        // it was told so, and does its work again
        let again = Uuid::new_v4();
        let fence = acquire(again, 30).await;
        assert!(write(read() + 1, fence));
    }
    let (status, gone) = ask(url, Method::DELETE, &format!("{leases}/{frozen}"), json!({})).await;
    assert_eq!((status, &gone["code"]), (StatusCode::GONE, &json!("lease_lost")), "and is told at last");
    read()
}

/// Must-show 3, the control that must fail: a lease alone does not protect.
#[tokio::test]
async fn a_lease_alone_loses_an_update_and_a_fence_does_not() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "fence-control").await;
    let api = place.api().start().await;
    let (unfenced, fenced) = (updates(&api.url(), "unfenced", false).await, updates(&api.url(), "fenced", true).await);
    println!("fence-control: of two updates {unfenced} are left without a fence, {fenced} with one");
    assert_eq!(unfenced, 1, "if nothing is lost here, this test shows nothing");
    assert_eq!(fenced, 2);
}

/// The same in the database, where the lease's own row is locked: no clock and no fence is needed.
#[tokio::test]
async fn a_transaction_on_a_lease_keeps_others_out_however_long_it_takes() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "pinned").await;
    let api = place.api().start().await;
    let (mut client, connection) =
        tokio_postgres::connect(&place.servers().postgres_url, NoTls).await.expect("a client");
    tokio::spawn(connection);
    client.batch_execute("CREATE TABLE account (value int); INSERT INTO account VALUES (0)").await.expect("a table");
    let (url, leases) = (api.url(), "/v1/locks/pinned/leases");
    let (frozen, other) = (Uuid::new_v4(), Uuid::new_v4());
    let (_, lease) = ask(&url, Method::POST, leases, json!({"lease_id": frozen, "ttl": 1})).await;
    let fence: i64 = lease["fence"].as_str().and_then(|fence| fence.parse().ok()).expect("a fence");
    let object = Address::new(OwnerId::LOCAL, Kind::Lock, "pinned".parse().expect("a name"));
    let transaction = client.transaction().await.expect("a transaction");
    assert!(Store::pin_lease(&transaction, &object, frozen, fence).await.expect("an answer"));
    let seen: i32 = transaction.query_one("SELECT value FROM account", &[]).await.expect("a row").get(0);
    // it is frozen here, for three times the lease's time: nobody else has it meanwhile, and other locks go on
    let (status, waits) = ask(&url, Method::POST, &format!("{leases}?wait=3"), json!({"lease_id": other})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{waits}");
    let (status, _) = ask(&url, Method::POST, "/v1/locks/another/leases", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, busy) = ask(&url, Method::DELETE, &format!("{leases}/{frozen}"), json!({})).await;
    assert_eq!((status, &busy["code"]), (StatusCode::CONFLICT, &json!("lease_in_use")), "{busy}");
    transaction.execute("UPDATE account SET value = $1", &[&(seen + 1)]).await.expect("an update");
    transaction.commit().await.expect("a commit");
    let (status, got) = ask(&url, Method::POST, &format!("{leases}?wait=30"), json!({"lease_id": other})).await;
    assert_eq!(status, StatusCode::OK, "{got}");
    let transaction = client.transaction().await.expect("a transaction");
    assert!(!Store::pin_lease(&transaction, &object, frozen, fence).await.expect("an answer"), "it is lost");
    let seen: i32 = transaction.query_one("SELECT value FROM account", &[]).await.expect("a row").get(0);
    assert_eq!(seen, 1);
}
