//! Unique tasks and idempotency keys when several processes come at once. The windows are held open by locks of the test, so
//! what happens in them happens every time.

use std::{sync::Arc, time::Duration};

use caraway_shared::{
    store::{
        Store, StoreConfig, Writer,
        tasks::{AcceptGuarded, Admitted, Asked, Fate, Guarded, Key},
    },
    task::{Extra, OnConflict, OwnerId, Priority, RetryPolicy, Scope, Start, TaskId, TaskSpec, Unique},
};
use fail::FailScenario;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{
    answer::Answer,
    eventually::eventually_async,
    server::{Api, QUEUE},
};

/// Connections of the test's own store, and nothing else's.
const APPLICATION: &str = "unique races";
/// What the test holds to keep a window open.
const GATE: i64 = 42;

async fn session(api: &Api) -> Client {
    let (client, connection) = tokio_postgres::connect(&api.postgres_url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn submit(api: &Api, unique: Value) -> Answer {
    api.post_json("/v1/tasks", json!({ "name": "add", "args": [1, 2], "unique": unique }).to_string()).await
}

fn id(answer: &Answer) -> Uuid {
    answer.json()["id"].as_str().unwrap().parse().unwrap()
}

async fn state(api: &Api, id: Uuid) -> Value {
    api.get(&format!("/v1/tasks/{id}")).await.json()["state"].clone()
}

async fn put(api: &Api, id: Uuid, change: &str) {
    api.sql(&format!("UPDATE task_run SET {change} WHERE id = $1"), &[&id]).await;
}

/// A statement of this kind waits for a lock that somebody else has.
async fn waits_for_a_lock(api: &Api, statement: &str) {
    let waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'
        AND datname = current_database() AND pid <> pg_backend_pid()";
    eventually_async("a statement that waits", async || {
        (!api.sql(waiting, &[&statement]).await.is_empty()).then_some(())
    })
    .await;
}

/// A store whose statements stop at each task that they look at, after their snapshot, while the test holds the gate.
async fn gated_store(api: &Api) -> Store {
    let gate = format!(
        "CREATE SCHEMA gated;
        CREATE FUNCTION gated.gate() RETURNS bool LANGUAGE plpgsql VOLATILE COST 0.0001 AS $$ BEGIN
            PERFORM pg_advisory_lock_shared({GATE}); PERFORM pg_advisory_unlock_shared({GATE}); RETURN true;
        END $$;
        CREATE VIEW gated.task_run AS SELECT * FROM public.task_run WHERE gated.gate();"
    );
    session(api).await.batch_execute(&gate).await.unwrap();
    let url = format!("{}?options=-csearch_path%3Dgated%2Cpublic", api.postgres_url);
    Store::new(&StoreConfig { url, application: APPLICATION, connections: 2 }).unwrap()
}

/// A key whose holder has ended and behind which another task waits; while an unblocker looks at it, the one that waits is
/// replaced by one that runs at once, and behind that comes the newest, which is answered.
async fn a_turn_that_is_late(api: &Api) -> Uuid {
    let latest = json!({ "key": "k", "on_conflict": "keep_latest" });
    let holder = id(&submit(api, latest.clone()).await);
    put(api, holder, "state = 'running', epoch = 1").await;
    assert_eq!(submit(api, latest.clone()).await.json()["state"], "waiting");
    put(api, holder, "state = 'succeeded'").await;

    let (store, gate) = (gated_store(api).await, session(api).await);
    gate.execute("SELECT pg_advisory_lock($1)", &[&GATE]).await.unwrap();
    let unblocker = tokio::spawn(async move { store.unblock(10).await.unwrap() });
    waits_for_a_lock(api, "task_unique u").await;
    let second = id(&submit(api, latest.clone()).await);
    put(api, second, "state = 'running', epoch = 1").await;
    let newest = submit(api, latest).await;
    assert_eq!((newest.status.as_u16(), &newest.json()["state"]), (202, &json!("waiting")));
    gate.execute("SELECT pg_advisory_unlock($1)", &[&GATE]).await.unwrap();
    unblocker.await.unwrap();
    put(api, second, "state = 'succeeded'").await;
    id(&newest)
}

#[tokio::test]
async fn a_late_unblocker_loses_no_task() {
    let api = Api::start().await;
    let newest = a_turn_that_is_late(&api).await;
    api.store.unblock(10).await.unwrap();
    assert_eq!(state(&api, newest).await, "queued", "its turn has come");
    assert!(api.store.queue_orphans(10).await.unwrap().is_empty());
    api.stop().await;
}

/// The control of the test above: with the old statement the newest task is lost, and the audit finds it.
#[tokio::test]
async fn the_audit_finds_what_an_unblocker_without_the_rule_loses() {
    let rules = FailScenario::setup();
    fail::cfg("break.decide-under-lock", "return").unwrap();
    let api = Api::start().await;
    let newest = a_turn_that_is_late(&api).await;
    api.store.unblock(10).await.unwrap();
    assert_eq!(state(&api, newest).await, "waiting", "the window was not hit");
    let found = api.store.queue_orphans(10).await.unwrap();
    assert_eq!(found.iter().map(|owed| owed.pointer.id.0).collect::<Vec<_>>(), [newest]);
    assert_eq!(state(&api, newest).await, "queued");
    assert!(api.store.queue_orphans(10).await.unwrap().is_empty());
    rules.teardown();
    api.stop().await;
}

/// Retention removes the key of a task that has ended, between the moment in which a new task finds it taken and the one in
/// which it takes it over.
#[tokio::test]
async fn a_key_that_vanishes_is_taken_again() {
    let api = Api::start().await;
    let unique = json!({ "key": "k" });
    let ended = id(&submit(&api, unique.clone()).await);
    put(&api, ended, "state = 'succeeded'").await;
    let retention = session(&api).await;
    retention.batch_execute("BEGIN; SELECT FROM task_unique FOR UPDATE").await.unwrap();
    let url = format!("{}/v1/tasks", api.url);
    let body = json!({ "name": "add", "args": [1, 2], "unique": unique });
    let request = tokio::spawn(api.client.post(url).json(&body).send());
    waits_for_a_lock(&api, "task_unique").await;
    retention
        .batch_execute("DELETE FROM task_unique; DELETE FROM task_run; DELETE FROM task_spec; COMMIT")
        .await
        .unwrap();
    let first = Answer::of(request.await.unwrap().unwrap()).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let second = submit(&api, unique).await;
    assert_eq!((second.status.as_u16(), id(&second)), (200, id(&first)), "the key is held");
    api.stop().await;
}

/// The same for an idempotency key: a request that meets one which is removed is the first one.
#[tokio::test]
async fn an_idempotency_key_that_vanishes_is_taken_again() {
    let api = Api::start().await;
    for (path, body) in [
        ("/v1/tasks", json!({ "name": "add", "args": [1, 2] })),
        ("/v1/groups", json!({ "tasks": [{ "name": "add", "args": [1, 2] }] })),
    ] {
        let send = || api.client.post(format!("{}{path}", api.url)).header("idempotency-key", path).json(&body).send();
        let first = Answer::of(send().await.unwrap()).await;
        assert_eq!(first.status, 202, "{}", first.text());
        let retention = session(&api).await;
        retention.batch_execute("BEGIN; SELECT FROM idempotency FOR UPDATE; DELETE FROM idempotency").await.unwrap();
        let request = tokio::spawn(send());
        waits_for_a_lock(&api, "idempotency").await;
        retention.batch_execute("COMMIT").await.unwrap();
        let second = Answer::of(request.await.unwrap().unwrap()).await;
        assert_eq!((second.status.as_u16(), second.header("idempotency-replayed")), (202, ""), "{}", second.text());
        assert_ne!(first.json()["id"], second.json()["id"]);
    }
    api.stop().await;
}

fn spec() -> TaskSpec {
    TaskSpec {
        id: TaskId(Uuid::now_v7()),
        owner: OwnerId::LOCAL,
        name: "add".parse().unwrap(),
        version: 1,
        queue: QUEUE.parse().unwrap(),
        priority: Priority::default(),
        input: br#"{"args":[1,2],"kwargs":{}}"#.as_slice().into(),
        max_attempts: 1,
        retry: RetryPolicy::default(),
        timeout: None,
        start: Start::Now,
        traceparent: None,
        extra: Extra::default(),
    }
}

/// A request of one task with this unique key and this idempotency key.
fn request(unique: &str, key: String) -> Guarded {
    let hash = Unique::hash([unique.as_bytes()]);
    let unique = Unique { hash, scope: Scope::Incomplete, period: None, on_conflict: OnConflict::Replace };
    Guarded {
        owner: OwnerId::LOCAL,
        key: Some(Key { key, fingerprint: [0; 32] }),
        tasks: vec![Asked::Task(Arc::new(spec()), Some(unique))],
        atomic: true,
        once: false,
        grant: None,
    }
}

/// Each batch asks for the keys in the other's opposite order. Ids rise, and a batch is written in their order.
#[tokio::test]
async fn batches_of_two_processes_in_opposite_order_never_deadlock() {
    const ROUNDS: u32 = 25;
    let api = Api::start().await;
    let writer = || {
        let config = StoreConfig { url: api.postgres_url.clone(), application: APPLICATION, connections: 2 };
        Writer::start(&Store::new(&config).unwrap(), AcceptGuarded { offer: Box::new(|_| ()) })
    };
    let (one, other) = (writer(), writer());
    let names: Vec<String> = (0..8).map(|name| format!("k{name}")).collect();
    for round in 0..ROUNDS {
        let forth = names.iter().map(|name| request(name, format!("{round}-{name}"))).collect();
        let back = names.iter().rev().map(|name| request(name, format!("back-{round}-{name}"))).collect();
        let (forth, back) = tokio::join!(one.write(forth), other.write(back));
        for admitted in forth.unwrap().into_iter().chain(back.unwrap()) {
            assert!(matches!(&admitted, Admitted::Fresh(fates) if matches!(fates[..], [Fate::Accepted(_)])));
        }
    }
    let open = api.sql("SELECT FROM task WHERE finished_at IS NULL", &[]).await.len();
    assert_eq!(open, names.len(), "one a key, the newest");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    // what sessions have counted is told when they are idle
    api.sql("SELECT pg_stat_force_next_flush()", &[]).await;
    assert_eq!(api.sql(deadlocks, &[]).await[0].get::<_, i64>(0), 0);
    api.stop().await;
}

#[tokio::test]
async fn a_contended_key_holds_up_only_those_that_want_it() {
    let api = Api::start().await;
    assert_eq!(submit(&api, json!({ "key": "contended" })).await.status, 202);
    let holder = session(&api).await;
    holder.batch_execute("BEGIN; SELECT FROM task_unique FOR UPDATE").await.unwrap();
    let url = format!("{}/v1/tasks", api.url);
    let send = |unique: Value, key: String| {
        let body = json!({ "name": "add", "args": [1, 2], "unique": unique });
        tokio::spawn(api.client.post(&url).header("idempotency-key", key).json(&body).send())
    };
    let contended: Vec<_> =
        (0..3).map(|n| send(json!({ "key": "contended", "on_conflict": "replace" }), format!("c{n}"))).collect();
    waits_for_a_lock(&api, "task_unique").await;
    let others = (0..40).map(|n| send(json!({ "key": format!("other-{n}") }), format!("o{n}")));
    let others = tokio::time::timeout(Duration::from_secs(9), join_all(others)).await;
    for answer in others.expect("the others go on") {
        let answer = Answer::of(answer.unwrap().unwrap()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    assert!(contended.iter().all(|request| !request.is_finished()), "these wait");
    holder.batch_execute("COMMIT").await.unwrap();
    for answer in join_all(contended).await {
        let answer = Answer::of(answer.unwrap().unwrap()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    api.stop().await;
}
