//! Must-show 5 and 6: what a group costs beside the same tasks in batches, whether a child of many costs more than one of few,
//! and what results of half a gigabyte cost in memory.

use std::time::{Duration, Instant};

use caraway_testkit::{Api, Database, Place, Stack, eventually};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(200);

fn tasks(client: &Api, count: usize) -> Vec<Value> {
    (0..count).map(|index| client.task("echo", json!({ "message": index }))).collect()
}

/// Of tasks that all have been accepted. Asks for one that has not: to count those that have takes longer from round to round,
/// and from the machine that is being measured.
async fn all_ended(database: &Database) {
    eventually(LONG, "all have ended", async || {
        let open = database.number("SELECT count(*) FROM (SELECT FROM backlog LIMIT 1) one").await;
        if open == 0 { Ok(()) } else { Err("some have not".into()) }
    })
    .await;
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_nearly_as_fast_as_its_tasks() {
    const TASKS: usize = 10_000;
    const ROUNDS: usize = 5;
    const RATIO_MIN: f64 = 0.6;
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "group-speed").await;
    let api = place.api().start().await;
    let _workers =
        [place.ledger_worker("worker-1", 64).start().await, place.ledger_worker("worker-2", 64).start().await];
    let (client, database) = (place.client(&api), place.database().await);
    let tasks = tasks(&client, TASKS);
    client.batch(&tasks[..1000]).await; // everything is open and warm
    all_ended(&database).await;

    // Each beside its neighbour, because the machine is not equally fast all the time; what looks too slow is looked at twice.
    let (mut plain, mut group, mut ratio) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..2 {
        for _ in 0..ROUNDS {
            let began = Instant::now();
            for part in tasks.chunks(1000) {
                client.batch(part).await;
            }
            all_ended(&database).await;
            plain.push(began.elapsed().as_secs_f64());
            let began = Instant::now();
            let workflow = client.workflow("/v1/groups", &json!({ "tasks": tasks })).await;
            all_ended(&database).await;
            group.push(began.elapsed().as_secs_f64());
            client.workflow_ended(workflow, LONG).await;
        }
        ratio = median(plain.iter().zip(&group).map(|(plain, group)| plain / group).collect());
        if ratio >= RATIO_MIN {
            break;
        }
    }
    let rounds = plain.len();
    let (plain, group) = (median(plain), median(group));

    // a thousand groups of ten against one of ten thousand: the workers' time for a child
    let began = Instant::now();
    for _ in 0..TASKS / 10 {
        client.workflow("/v1/groups", &json!({ "tasks": &tasks[..10] })).await;
    }
    all_ended(&database).await;
    let small = began.elapsed().as_secs_f64();
    println!(
        "group-speed: {TASKS} by batch {plain:.2} s, as a group {group:.2} s (medians of {rounds}), ratio {ratio:.2}; as groups \
         of 10 {small:.2} s"
    );
    let succeeded = database.number("SELECT count(*) FROM task WHERE state = 'succeeded'").await;
    assert_eq!(usize::try_from(succeeded), Ok(1000 + (2 * rounds + 1) * TASKS), "nothing else happened");
    assert!(ratio >= RATIO_MIN, "a group has {ratio:.2} of the throughput");
}

/// The database's time for recording a child, by its own clock, in a group of 10 and of 10,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_group_is_no_burden_on_its_children() {
    let (small, large) = crate::workflow_model::costs_of_ends(10_000).await;
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    println!("group-cost: ten ends in a group of 10 cost {small:?}, in one of 10,000 {large:?}: ratio {ratio:.2}");
    assert!(ratio < 1.3, "{ratio:.2}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_results_stay_in_the_database() {
    const CHILDREN: usize = 500;
    const GROWTH_KIB_MAX: u64 = 96 << 10;
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "large-results").await;
    let api = place.api().start().await;
    let worker = place.ledger_worker("worker-1", 4).start().await;
    let client = place.client(&api);
    let before = (api.rss_kib(), worker.rss_kib());
    let task = client.task("large", json!({ "token": "x", "bytes": (1 << 20) - 200 }));
    let workflow = client.workflow("/v1/groups", &json!({ "tasks": vec![task; CHILDREN] })).await;
    client.workflow_ended(workflow, LONG).await;
    let grown = (api.rss_peak_kib() - before.0, worker.rss_peak_kib() - before.1);
    let mut answer = client.stream(&format!("/v1/workflows/{workflow}/results")).await;
    let (mut bytes, mut entries) = (0, 0);
    while let Some(piece) = answer.chunk().await.expect("the answer goes on") {
        bytes += piece.len();
        entries += piece.windows(7).filter(|window| *window == b"\"text\":").count();
    }
    let streamed = api.rss_peak_kib() - before.0;
    println!(
        "large-results: {} MiB of {CHILDREN} results; the API grew by {} KiB, with the results {streamed} KiB; the worker by {} KiB",
        bytes >> 20,
        grown.0,
        grown.1
    );
    assert!(bytes > CHILDREN * ((1 << 20) - 300) && entries >= CHILDREN - 5, "{bytes} bytes, {entries} entries");
    assert!(streamed < GROWTH_KIB_MAX && grown.1 < GROWTH_KIB_MAX);
}
