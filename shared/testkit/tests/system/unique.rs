//! Unique tasks under contention: two APIs, eight clients each, few keys, every rule in random order. CI submits a part of what
//! `CARAWAY_UNIQUE_SUBMISSIONS=20000` does.

use std::{
    collections::HashMap,
    env,
    time::{Duration, Instant},
};

use caraway_testkit::{Database, Execution, Launch, Place, Program, Stack, eventually};
use futures::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::SLOTS;

const SUBMISSIONS: u64 = 2000;
const KEYS: u32 = 50;
const CLIENTS_PER_API: u64 = 8;
const RULES: [&str; 3] = ["replace", "keep_latest", "reject"];
/// The end of a backlog of one task a key, on a busy machine.
const QUIET_WITHIN: Duration = Duration::from_mins(2);

/// A submission that was accepted as a new task, and when.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    key: u32,
    id: Uuid,
    sent: Instant,
    answered: Instant,
}

/// One client, who submits a task as soon as the one before is answered.
struct Submitter {
    http: Client,
    url: String,
    queue: String,
    random: StdRng,
}

impl Submitter {
    async fn submit(mut self, count: u64) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        for _ in 0..count {
            accepted.extend(self.one().await);
        }
        accepted
    }

    async fn one(&mut self) -> Option<Accepted> {
        let (key, rule) = (self.random.random_range(0..KEYS), RULES[self.random.random_range(0..RULES.len())]);
        let seconds = self.random.random_range(0.0..0.05);
        let body = json!({
            "name": "sleep", "kwargs": { "seconds": seconds }, "queue": self.queue,
            "unique": { "key": key.to_string(), "on_conflict": rule }
        });
        let sent = Instant::now();
        let answer = self.http.post(format!("{}/v1/tasks", self.url)).json(&body).send().await.expect("an answer");
        let status = answer.status();
        let document: Value = answer.json().await.expect("the answer is JSON");
        match status {
            StatusCode::ACCEPTED => {
                let id = document["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
                return Some(Accepted { key, id, sent, answered: Instant::now() });
            }
            StatusCode::OK => assert_eq!((rule, &document["deduplicated"]), ("replace", &json!(true)), "{document}"),
            StatusCode::CONFLICT => assert_eq!((rule, &document["code"]), ("reject", &json!("duplicate_task"))),
            other => panic!("{other}: {document}"),
        }
        None
    }
}

/// All clients of both APIs at once; what was accepted of so many submissions.
async fn submit(apis: &[Program], place: &Place, submissions: u64, seed: u64) -> Vec<Accepted> {
    let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client can be built");
    let clients = CLIENTS_PER_API * u64::try_from(apis.len()).expect("few APIs");
    let running = (0..clients).zip(apis.iter().cycle()).map(|(client, api)| {
        let random = StdRng::seed_from_u64(seed * 1000 + client);
        let submitter = Submitter { http: http.clone(), url: api.url(), queue: place.queue().into(), random };
        tokio::spawn(submitter.submit(submissions / clients))
    });
    let all: Vec<_> = running.collect();
    join_all(all).await.into_iter().flat_map(|accepted| accepted.expect("no client fails")).collect()
}

/// Those of a key that may be its newest: none was sent after they were answered.
fn newest(accepted: &[Accepted], key: u32) -> Vec<Uuid> {
    let of_key: Vec<&Accepted> = accepted.iter().filter(|one| one.key == key).collect();
    let is_newest = |one: &&&Accepted| !of_key.iter().any(|other| other.sent > one.answered);
    of_key.iter().filter(is_newest).map(|one| one.id).collect()
}

async fn states(database: &Database) -> HashMap<Uuid, String> {
    let rows = database.rows("SELECT id, state::text FROM task").await;
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn of_each_key_the_newest_survives_and_none_waits_for_ever() {
    let submissions = env::var("CARAWAY_UNIQUE_SUBMISSIONS").ok().and_then(|count| count.parse().ok());
    let half = submissions.unwrap_or(SUBMISSIONS) / 2;
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "unique").await;
    let mut apis = Vec::new();
    for name in ["api-1", "api-2"] {
        apis.push(Launch::new(&place, "api", name).arguments(["serve", "--http-threads", "1"]).start().await);
    }
    let database = place.database().await;
    // so that its task types are known
    place.ledger_worker("worker-0", SLOTS).start().await.terminate(QUIET_WITHIN).await;

    // while nothing runs, exactly one of each key is left
    let first = submit(&apis, &place, half, 1).await;
    let now = states(&database).await;
    for key in 0..KEYS {
        let of_key = first.iter().filter(|one| one.key == key);
        let left: Vec<Uuid> = of_key.map(|one| one.id).filter(|id| now[id] != "cancelled").collect();
        assert!(left.len() <= 1, "{left:?} of key {key} are left");
        assert!(left.iter().all(|id| newest(&first, key).contains(id) && now[id] == "queued"), "key {key}: {left:?}");
    }
    assert_eq!(now.values().filter(|state| *state == "waiting").count(), 0);

    // while workers run what is left, and unblock what waits for it
    let mut workers = Vec::new();
    for name in ["worker-1", "worker-2"] {
        workers.push(place.ledger_worker(name, SLOTS).start().await);
    }
    let second = submit(&apis, &place, half, 2).await;
    eventually(QUIET_WITHIN, "everything has ended", async || {
        let open = database.states().await;
        let open: Vec<_> =
            open.iter().filter(|(state, _)| !["succeeded", "cancelled"].contains(&state.as_str())).collect();
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    let (ended, ledger) = (states(&database).await, place.ledger().read());
    for key in 0..KEYS {
        let newest = newest(&second, key);
        assert!(newest.is_empty() || newest.iter().any(|id| ended[id] == "succeeded"), "key {key}: {newest:?}");
        let mut runs: Vec<Execution> = [&first, &second]
            .into_iter()
            .flatten()
            .filter(|one| one.key == key)
            .filter_map(|one| ledger.get(&one.id))
            .flatten()
            .copied()
            .collect();
        runs.sort_by_key(|run| run.start_ms);
        assert!(runs.windows(2).all(|two| !two[0].overlaps(&two[1])), "two tasks of key {key} ran at once: {runs:?}");
    }
    let mut orphans = 0;
    for worker in &mut workers {
        orphans += worker.counters().await.sum("caraway_unique_orphans_total");
    }
    assert_eq!(orphans, 0);
    let ran = ended.values().filter(|state| *state == "succeeded").count();
    println!("unique: {} submissions, {} accepted, {ran} ran", half * 2, first.len() + second.len());
}
