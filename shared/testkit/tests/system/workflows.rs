//! Workflows through HTTP, with a real worker: what runs, what does not, what is left of it.

use std::time::{Duration, Instant};

use caraway_testkit::{Place, Stack};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::{SOON, Stage};

/// A task that gives its argument back.
fn echo(stage: &Stage, message: impl Into<Value>) -> Value {
    let message: Value = message.into();
    stage.client.task("echo", json!({ "message": message }))
}

/// One that sleeps first.
fn slow(stage: &Stage, message: &str, seconds: f64) -> Value {
    stage.client.task("echo", json!({ "message": message, "seconds": seconds }))
}

#[expect(clippy::needless_pass_by_value, reason = "what json! makes is handed over without an ampersand")]
fn node(key: &str, task: Value, depends_on: Value) -> Value {
    json!({ "key": key, "task": task, "depends_on": depends_on })
}

/// The states of the nodes by their keys.
fn states(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nodes = document["nodes"]["data"].as_array().expect("a page of nodes");
    nodes.iter().map(|node| (text(&node["key"]), text(&node["state"]))).collect()
}

fn expected(states: &[(&str, &str)]) -> Vec<(String, String)> {
    states.iter().map(|(key, state)| ((*key).into(), (*state).into())).collect()
}

fn task_of(document: &Value, key: &str) -> Uuid {
    let nodes = document["nodes"]["data"].as_array().expect("a page of nodes");
    let node = nodes.iter().find(|node| node["key"] == key).expect("the node is there");
    node["task_id"].as_str().and_then(|id| id.parse().ok()).expect("a task id")
}

async fn results(stage: &Stage, workflow: Uuid) -> (u16, Value) {
    stage.client.fetch(&format!("/v1/workflows/{workflow}/results")).await
}

/// Must-show 1: the cheatsheet's `asyncio.gather(fetch("A", 1), fetch("B", 0.5))`.
#[tokio::test]
async fn two_sleepers_are_gathered_in_the_order_given() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "gather").await;
    let api = place.api().start().await;
    // two slots: both pointers may come in one message, and then go to one worker
    let _workers = [place.ledger_worker("worker-1", 2).start().await, place.ledger_worker("worker-2", 2).start().await];
    let client = place.client(&api);
    let task = |message, seconds| client.task("echo", json!({ "message": message, "seconds": seconds }));
    let began = Instant::now();
    let workflow =
        client.workflow("/v1/groups", &json!({ "tasks": [task("Result A", 1.0), task("Result B", 0.5)] })).await;
    let ended = client.workflow_ended(workflow, SOON).await;
    let took = began.elapsed();
    let (_, results) = client.fetch(&format!("/v1/workflows/{workflow}/results")).await;
    println!("gather: {results} after {took:?}");
    assert_eq!((&ended["state"], &results), (&json!("succeeded"), &json!(["Result A", "Result B"])));
    assert!(took < Duration::from_millis(1450), "it took {took:?}: one after the other would take 1.5 s");
}

#[tokio::test]
async fn nothing_is_done_at_once() {
    let stage = Stage::start("empty").await;
    for (path, body, expected) in [
        ("/v1/groups", json!({ "tasks": [] }), json!([])),
        ("/v1/chains", json!({ "steps": [] }), json!([])),
        ("/v1/map", json!({ "task": echo(&stage, 1), "items": [] }), json!([])),
        ("/v1/workflows", json!({ "nodes": [] }), json!([])),
    ] {
        let (status, document) = stage.client.post(path, &body).await;
        assert_eq!((status, &document["state"]), (200, &json!("succeeded")), "{path}: {document}");
        let id: Uuid = document["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        assert_eq!(results(&stage, id).await, (200, expected));
    }
    let chord = json!({ "tasks": [], "body": stage.client.task("gather", json!({})) });
    let chord = stage.client.workflow("/v1/chords", &chord).await;
    stage.client.workflow_ended(chord, SOON).await;
    assert_eq!(results(&stage, chord).await.1[0]["count"], 0);
}

#[tokio::test]
async fn a_diamond_hands_results_on() {
    let stage = Stage::start("diamond").await;
    let reference = |text: &str| json!({ "$ref": text });
    let body = json!({ "nodes": [
        node("top", echo(&stage, json!({ "left": [1.5, 2], "right": "r" })), json!([])),
        node("left", echo(&stage, reference("nodes.top.result.left.1")), json!([{ "node": "top" }])),
        node("right", echo(&stage, reference("nodes.top.result.right")), json!([{ "node": "top" }])),
        node("end", echo(&stage, json!({ "all": reference("dependencies.results"), "how": reference("nodes.left.state") })),
            json!([{ "node": "right" }, { "node": "left" }])),
    ] });
    let workflow = stage.client.workflow("/v1/workflows", &body).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    let (_, results) = results(&stage, workflow).await;
    let all = json!({ "all": ["r", 2], "how": "succeeded" });
    assert_eq!(results, json!([{ "left": [1.5, 2], "right": "r" }, 2, "r", all]), "{ended}");
    let task = stage.client.show(task_of(&ended, "left")).await;
    assert_eq!((&task["workflow_id"], &task["node_key"]), (&json!(workflow), &json!("left")));
    let (time, before) = (task["started_at"].as_str(), stage.client.show(task_of(&ended, "top")).await);
    assert!(time >= before["finished_at"].as_str());
}

#[tokio::test]
async fn a_chain_of_a_hundred() {
    let stage = Stage::start("chain").await;
    let step = |_| json!({ "task": { "name": "echo", "queue": stage.place.queue() } });
    let mut steps: Vec<Value> = (0..100).map(step).collect();
    steps[0]["task"]["args"] = json!([{ "n": 1.50 }]);
    steps[50] = json!({ "task": echo(&stage, "anew"), "immutable": true });
    let workflow = stage.client.workflow("/v1/chains", &json!({ "steps": steps })).await;
    let ended = stage.client.workflow_ended(workflow, Duration::from_mins(1)).await;
    let (_, results) = results(&stage, workflow).await;
    assert_eq!(
        (&results[49], &results[50], &results[99]),
        (&json!({ "n": 1.5 }), &json!("anew"), &json!("anew")),
        "{ended}"
    );
    assert_eq!(ended["counts"]["succeeded"], 100);
}

#[tokio::test]
async fn a_map_in_chunks() {
    let stage = Stage::start("map").await;
    let body = json!({ "task": { "name": "echo", "queue": stage.place.queue() }, "items": [1, "b", 3, [4], 5], "chunk": 2,
        "max_in_flight": 1 });
    let workflow = stage.client.workflow("/v1/map", &body).await;
    stage.client.workflow_ended(workflow, SOON).await;
    assert_eq!(results(&stage, workflow).await, (200, json!([[1, "b"], [3, [4]], [5]])));
}

/// Without `return_exceptions` the first failure cancels the others: at once those that wait, soon the one that runs.
#[tokio::test]
async fn a_group_fails_fast() {
    let stage = Stage::start("fail-fast").await;
    let mut tasks: Vec<Value> = vec![slow(&stage, "long", 60.0), echo(&stage, "fail")];
    tasks.extend((0..10).map(|_| slow(&stage, "never", 30.0)));
    let workflow = stage.client.workflow("/v1/groups", &json!({ "tasks": tasks })).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    assert_eq!(ended["state"], "failed");
    let counts = &ended["counts"];
    assert_eq!((&counts["failed"], &counts["cancelled"], &counts["open"]), (&json!(1), &json!(11), &json!(0)));
    let (status, problem) = results(&stage, workflow).await;
    assert_eq!((status, &problem["code"]), (409, &json!("workflow_failed")));
}

#[tokio::test]
async fn failures_stand_in_the_results() {
    let stage = Stage::start("exceptions").await;
    let tasks = json!([echo(&stage, 1), echo(&stage, "fail"), echo(&stage, 3)]);
    let group = json!({ "tasks": tasks, "return_exceptions": true });
    let workflow = stage.client.workflow("/v1/groups", &group).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    let (status, list) = results(&stage, workflow).await;
    assert_eq!((&ended["state"], status, &list[0], &list[2]), (&json!("succeeded"), 200, &json!(1), &json!(3)));
    assert_eq!((&list[1]["error"]["code"], &list[1]["state"]), (&json!("asked_to_fail"), &json!("failed")));

    let chord = json!({ "tasks": tasks, "return_exceptions": true,
        "body": { "name": "echo", "queue": stage.place.queue() } });
    let workflow = stage.client.workflow("/v1/chords", &chord).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    let (_, list) = results(&stage, workflow).await;
    assert_eq!(
        (&ended["state"], &list[3][1]["error"]["code"]),
        (&json!("succeeded"), &json!("asked_to_fail")),
        "{list}"
    );
    // and without it the body never runs
    let chord = json!({ "tasks": tasks, "body": { "name": "echo", "queue": stage.place.queue() } });
    let workflow = stage.client.workflow("/v1/chords", &chord).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    let body = stage.client.show(task_of(&ended, "body")).await;
    assert_eq!((&ended["state"], &body["state"], &body["attempt"]), (&json!("failed"), &json!("cancelled"), &json!(0)));
}

/// The three forms, each behind a failure and a slow success, and what `when` asks for.
#[tokio::test]
async fn what_becomes_of_those_that_depend_on_a_failure() {
    let stage = Stage::start("forms").await;
    let both = json!([{ "node": "bad" }, { "node": "slow" }]);
    let form = |key: &str, form: &str| {
        let mut node = node(key, echo(&stage, json!({ "$ref": "nodes.bad.error.code" })), both.clone());
        node["on_dependency_failure"] = json!(form);
        node
    };
    let when = |key: &str, when: &str, of: &str| node(key, echo(&stage, key), json!([{ "node": of, "when": when }]));
    let body = json!({ "nodes": [
        node("bad", echo(&stage, "fail"), json!([])),
        node("slow", slow(&stage, "slow", 1.0), json!([])),
        form("cancel", "cancel"),
        form("run", "run"),
        form("ignore", "ignore"),
        when("behind", "succeeded", "cancel"),
        when("care", "failed", "bad"),
        when("no-care", "failed", "slow"),
        when("finally", "finished", "cancel"),
    ] });
    let workflow = stage.client.workflow("/v1/workflows", &body).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    let expected = expected(&[
        ("bad", "failed"),
        ("slow", "succeeded"),
        ("cancel", "cancelled"),
        ("run", "succeeded"),
        ("ignore", "succeeded"),
        ("behind", "cancelled"),
        ("care", "succeeded"),
        ("no-care", "cancelled"),
        ("finally", "succeeded"),
    ]);
    assert_eq!(states(&ended), expected);
    assert_eq!(ended["state"], "succeeded", "every failure was taken care of");
    let time = async |key, what: &str| stage.client.show(task_of(&ended, key)).await[what].as_str().map(String::from);
    let slow_ended = time("slow", "finished_at").await;
    assert!(time("run", "started_at").await < slow_ended, "at once");
    assert!(time("ignore", "started_at").await >= slow_ended, "it waits for the others");
    assert_eq!(stage.client.show(task_of(&ended, "run")).await["result"], "asked_to_fail");
    let cancelled = stage.client.show(task_of(&ended, "cancel")).await;
    assert_eq!(cancelled["error"]["code"], "dependency_failed");
}

#[tokio::test]
async fn one_that_nobody_takes_care_of_fails_the_workflow_and_can_be_retried() {
    let stage = Stage::start("retry-workflow").await;
    let fails_twice = stage.client.task("fail", json!({ "times": 1 }));
    let mut once = fails_twice.clone();
    once["retry"] = json!({ "max_attempts": 1 });
    let body = json!({ "nodes": [
        node("good", echo(&stage, 1), json!([])),
        node("bad", once, json!([{ "node": "good" }])),
        node("after", echo(&stage, json!({ "$ref": "nodes.good.result" })), json!([{ "node": "bad" }, { "node": "good" }])),
        node("beside", echo(&stage, 4), json!([])),
    ] });
    let workflow = stage.client.workflow("/v1/workflows", &body).await;
    let first = stage.client.workflow_ended(workflow, SOON).await;
    assert_eq!(first["state"], "failed");
    let (status, problem) = stage.client.post(&format!("/v1/tasks/{}/retry", task_of(&first, "bad")), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("task_in_workflow")));
    // what failed runs again, and fails again; what hangs on it waits
    let (status, again) = stage.client.post(&format!("/v1/workflows/{workflow}/retry"), &json!({})).await;
    assert_eq!((status, &again["state"], &again["counts"]["open"]), (202, &json!("running"), &json!(2)), "{again}");
    let second = stage.client.workflow_ended(workflow, SOON).await;
    assert_eq!(second["state"], "failed");
    for (key, changes) in [("good", false), ("bad", true), ("after", true), ("beside", false)] {
        assert_eq!(task_of(&first, key) != task_of(&second, key), changes, "{key}");
    }
    assert_eq!(stage.executions(task_of(&first, "good")), 1);
    // the cause is mended
    let sql = "UPDATE task_spec SET input = convert_to('{\"args\":[0],\"kwargs\":{}}', 'UTF8') WHERE id = $1";
    stage.database.execute(sql, &[&task_of(&second, "bad")]).await.expect("the statement works");
    stage.client.post(&format!("/v1/workflows/{workflow}/retry"), &json!({})).await;
    let third = stage.client.workflow_ended(workflow, SOON).await;
    assert_eq!((&third["state"], &third["counts"]["succeeded"]), (&json!("succeeded"), &json!(4)));
    let task = stage.client.show(task_of(&third, "bad")).await;
    assert_eq!(task["retry_of"], json!(task_of(&second, "bad")));
    assert_eq!(results(&stage, workflow).await.1[2], 1);
    // nothing is left to do
    let (status, still) = stage.client.post(&format!("/v1/workflows/{workflow}/retry"), &json!({})).await;
    assert_eq!((status, &still["state"]), (202, &json!("succeeded")));
}

#[tokio::test]
async fn cancelled_in_the_middle() {
    let stage = Stage::start("cancel-workflow").await;
    let body = json!({ "nodes": [
        node("done", echo(&stage, 1), json!([])),
        node("runs", slow(&stage, "x", 60.0), json!([{ "node": "done" }])),
        node("after", echo(&stage, 2), json!([{ "node": "runs", "when": "finished" }])),
    ] });
    let workflow = stage.client.workflow("/v1/workflows", &body).await;
    let (_, document) = stage.client.fetch(&format!("/v1/workflows/{workflow}")).await;
    stage.running(task_of(&document, "runs")).await;
    let (status, _) = stage.client.post(&format!("/v1/workflows/{workflow}/cancel"), &json!({})).await;
    assert_eq!(status, 202);
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    assert_eq!(states(&ended), expected(&[("done", "succeeded"), ("runs", "cancelled"), ("after", "cancelled")]));
    assert_eq!(ended["state"], "cancelled");
    let (status, _) = stage.client.post(&format!("/v1/workflows/{workflow}/cancel"), &json!({})).await;
    assert_eq!(status, 200, "safe to repeat");
    assert_eq!(results(&stage, workflow).await.0, 409);
}

/// A node that somebody cancels, one that expires: its workflow goes on in the same moment.
#[tokio::test]
async fn nodes_may_end_without_a_worker() {
    let stage = Stage::start("ends").await;
    let mut elsewhere = echo(&stage, 1);
    elsewhere["queue"] = json!("images"); // which nobody serves here
    let mut late = elsewhere.clone();
    late["expires_at"] = json!((jiff::Timestamp::now() + Duration::from_secs(2)).to_string());
    let body = json!({ "nodes": [
        node("late", late, json!([])),
        node("unwanted", elsewhere, json!([])),
        node("care", echo(&stage, 1), json!([{ "node": "late", "when": "failed" }])),
        node("finally", echo(&stage, 1), json!([{ "node": "unwanted", "when": "finished" }])),
    ] });
    let workflow = stage.client.workflow("/v1/workflows", &body).await;
    let (_, document) = stage.client.fetch(&format!("/v1/workflows/{workflow}")).await;
    stage.client.cancel(task_of(&document, "unwanted")).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    let all = [("late", "expired"), ("unwanted", "cancelled"), ("care", "succeeded"), ("finally", "succeeded")];
    assert_eq!((states(&ended), &ended["state"]), (expected(&all), &json!("succeeded")));
}

#[tokio::test]
async fn no_more_are_in_flight_than_allowed() {
    let stage = Stage::start_with("in-flight", 16).await;
    let tasks: Vec<Value> = (0..12).map(|_| slow(&stage, "x", 0.2)).collect();
    let workflow = stage.client.workflow("/v1/groups", &json!({ "tasks": tasks, "max_in_flight": 3 })).await;
    stage.client.workflow_ended(workflow, SOON).await;
    let runs: Vec<_> = stage.place.ledger().read().into_values().flatten().collect();
    let most = runs
        .iter()
        .map(|run| runs.iter().filter(|other| run.start_ms >= other.start_ms && run.overlaps(other)).count());
    assert_eq!((runs.len(), most.max()), (12, Some(3)));
}

/// What a handler adds to its workflow is waited for, and commits with its success or not at all.
#[tokio::test]
async fn handlers_add_nodes_and_tasks() {
    let stage = Stage::start("spawn").await;
    let mut parent = stage.client.task("spread", json!({ "children": 5, "queue": stage.place.queue(), "failures": 1 }));
    parent["retry"] = json!({ "backoff": { "type": "constant", "initial": 0.05 }, "jitter": 0 });
    let after = stage.client.task("gather", json!({ "results": { "$ref": "dependencies.results" } }));
    let body =
        json!({ "nodes": [node("parent", parent, json!([])), node("after", after, json!([{ "node": "parent" }]))] });
    let workflow = stage.client.workflow("/v1/workflows", &body).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    let keys: Vec<String> = states(&ended).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["parent", "after", "parent/c0", "parent/c1", "parent/c2", "parent/c3", "parent/c4"]);
    let (_, list) = results(&stage, workflow).await;
    assert_eq!((&ended["state"], &list[1]["count"], &list[6]), (&json!("succeeded"), &json!(6), &json!(4)), "{list}");
    assert_eq!(stage.executions(task_of(&ended, "parent")), 2, "the first time nothing was left behind");
    let submitted: Uuid = list[0]["task"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let task = stage.client.wait(submitted, SOON).await;
    assert_eq!((&task["result"], &task["parent_id"]), (&json!("submitted"), &json!(task_of(&ended, "parent"))));
    assert_eq!(stage.database.number("SELECT count(*) FROM task").await, 8);
}

#[tokio::test]
async fn arguments_that_cannot_be_resolved_fail_their_node() {
    let stage = Stage::start("unresolved").await;
    let large = stage.client.task("large", json!({ "token": "x", "bytes": 700_000 }));
    let body = json!({ "nodes": [
        node("one", large.clone(), json!([])),
        node("two", large, json!([])),
        node("nowhere", echo(&stage, json!({ "$ref": "nodes.one.result.nothing" })), json!([{ "node": "one" }])),
        node("all", echo(&stage, json!({ "$ref": "dependencies.results" })), json!([{ "node": "one" }, { "node": "two" }])),
    ] });
    let workflow = stage.client.workflow("/v1/workflows", &body).await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    let code = |index: usize| ended["nodes"]["data"][index]["error_code"].clone();
    assert_eq!((code(2), code(3)), (json!("unresolved_reference"), json!("input_too_large")), "{ended}");
    assert_eq!(ended["state"], "failed");
}
