//! Must-show 2 and 4: a chord whose workers and whose broker die meanwhile; many chords at once; and the rules without which
//! it would not work, broken.

use std::time::{Duration, Instant};

use caraway_testkit::{Api, Database, Place, Program, Stack, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// Nothing but time is lost by what happens here.
const LONG: Duration = Duration::from_secs(200);

/// A chord of so many children, whose body tells whether it got them in order.
fn chord(client: &Api, children: usize) -> Value {
    let task = |index| json!({ "name": "echo", "args": [index], "queue": client.task("x", json!({}))["queue"] });
    let tasks: Vec<Value> = (0..children).map(task).collect();
    json!({ "tasks": tasks, "body": { "name": "gather", "queue": client.task("x", json!({}))["queue"] } })
}

/// The body of a chord that has ended, which is its last node: how often it ran, and what it returned.
async fn body(client: &Api, place: &Place, workflow: Uuid, children: usize) -> (usize, Value) {
    let (mut cursor, mut seen) = (String::new(), 0);
    let last = loop {
        let (_, document) = client.fetch(&format!("/v1/workflows/{workflow}?limit=500{cursor}")).await;
        let page = &document["nodes"];
        let nodes = page["data"].as_array().expect("a page of nodes");
        seen += nodes.len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break nodes.last().expect("a node").clone(),
        }
    };
    assert_eq!(seen, children + 1);
    let id: Uuid = last["task_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    (place.ledger().read().get(&id).map_or(0, Vec::len), client.show(id).await["result"].clone())
}

/// Invariant I9: what is open are the nodes that have not ended, and a body is queued exactly if nothing before it is open.
async fn assert_counted(database: &Database) {
    let wrong = "SELECT count(*) FROM workflow w WHERE w.open <> (SELECT count(*) FROM workflow_node n JOIN task t ON t.id = n.task_id
        WHERE n.workflow_id = w.id AND t.finished_at IS NULL) OR (w.open = 0) <> (w.finished_at IS NOT NULL)";
    assert_eq!(database.number(wrong).await, 0, "a counter is wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chord_of_ten_thousand_outlives_its_workers_and_its_broker() {
    const CHILDREN: usize = 10_000;
    let stack = Stack::start("chord").await;
    let place = Place::on(&stack, "chord").await;
    let api = place.api().start().await;
    let mut workers = Vec::new();
    for index in 1..=4 {
        workers.push(place.ledger_worker(&format!("worker-{index}"), 16).start().await);
    }
    let (client, database) = (place.client(&api), place.database().await);
    let began = Instant::now();
    let workflow = client.workflow("/v1/chords", &chord(&client, CHILDREN)).await;
    let accepted = began.elapsed();
    for (ended, what) in [(1500, 0), (3500, 1), (5500, 2)] {
        eventually(LONG, "it goes on", async || {
            let count = database.number("SELECT (nodes - open)::bigint FROM workflow").await;
            if count >= ended { Ok(()) } else { Err(format!("{count} have ended")) }
        })
        .await;
        match workers.get_mut(what) {
            Some(worker) if what < 2 => {
                worker.kill().await;
                worker.respawn();
            }
            _ => {
                stack.kill("rabbitmq").await;
                stack.start_server("rabbitmq").await;
            }
        }
    }
    let ended = client.workflow_ended(workflow, LONG).await;
    let took = began.elapsed();
    let (runs, result) = body(&client, &place, workflow, CHILDREN).await;
    let (_, results) = client.fetch(&format!("/v1/workflows/{workflow}/results")).await;
    let again = place.ledger().read().values().filter(|runs| runs.len() > 1).count();
    println!(
        "chord: {CHILDREN} children accepted after {accepted:?}, all over after {took:?}; {again} ran more than once; {result}"
    );
    assert_eq!((&ended["state"], runs), (&json!("succeeded"), 1), "{ended}");
    assert_eq!((&result["count"], &result["in_order"]), (&json!(CHILDREN), &json!(true)));
    assert_eq!(results.as_array().map(Vec::len), Some(CHILDREN + 1));
    assert_counted(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_chords_at_once_and_none_fires_twice() {
    const CHORDS: usize = 50;
    const CHILDREN: usize = 500;
    let seed = std::env::var("CARAWAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "chords").await;
    let api = place.api().start().await;
    let mut workers: Vec<Program> = Vec::new();
    for index in 1..=4 {
        workers.push(place.ledger_worker(&format!("worker-{index}"), 16).start().await);
    }
    let (client, database) = (place.client(&api), place.database().await);
    let began = Instant::now();
    let mut workflows = Vec::new();
    let mut random = seed;
    for index in 0..CHORDS {
        workflows.push(client.workflow("/v1/chords", &chord(&client, CHILDREN)).await);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = usize::try_from(random >> 33).unwrap_or(0) % (4 * 3);
        if let Some(worker) = workers.get_mut(victim).filter(|_| index % 5 == 4) {
            worker.kill().await;
            worker.respawn();
        }
    }
    for workflow in workflows {
        client.workflow_ended(workflow, LONG).await;
        let (runs, result) = body(&client, &place, workflow, CHILDREN).await;
        assert_eq!((runs, &result["count"], &result["in_order"]), (1, &json!(CHILDREN), &json!(true)), "seed {seed}");
    }
    println!("chords: {CHORDS} of {CHILDREN} children over after {:?}, seed {seed}", began.elapsed());
    assert_counted(&database).await;
}

/// The control of the aggregation: three children that end in one statement would count as one, and the body never run.
#[tokio::test]
async fn without_the_aggregation_chords_hang() {
    let (fired, open) = broken("break.aggregate=return").await;
    assert_eq!(fired, 0, "the body ran although its counter was wrong: the control shows nothing");
    assert!(open > 0);
}

/// One chord under workers that break a rule: how often its body ran after five seconds without an end, and what is open.
async fn broken(rule: &str) -> (i64, i64) {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "broken-chord").await;
    let api = place.api().start().await;
    let _worker = place.ledger_worker("worker-1", 64).variable("FAILPOINTS", rule).start().await;
    let (client, database) = (place.client(&api), place.database().await);
    client.workflow("/v1/chords", &chord(&client, 500)).await;
    eventually(LONG, "every child has ended", async || {
        let ended = database.number("SELECT count(*) FROM task WHERE node < 500 AND finished_at IS NOT NULL").await;
        if ended == 500 { Ok(()) } else { Err(format!("{ended} have ended")) }
    })
    .await;
    let fired = database.number("SELECT count(*) FROM task WHERE node = 500 AND state <> 'waiting'").await;
    (fired, database.number("SELECT open::bigint FROM workflow").await)
}
