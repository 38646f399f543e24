//! JSON comes back as it was written, digit for digit and byte for byte, from every place that keeps it: what a number means to
//! one language is not what it means to the next.

use std::time::Duration;

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::{SOON, Stage};

/// Documents that are sent on every way.
const DOCUMENTS: u32 = 6;

/// A number as somebody might write it: beyond 64 bits and 53, with zeros at its end, with an exponent in either case, minus zero.
fn number() -> impl Strategy<Value = String> {
    let digits = "[1-9][0-9]{0,40}";
    prop_oneof![
        digits,
        digits.prop_map(|digits| format!("-{digits}")),
        ("[0-9]|[1-9][0-9]{1,20}", "[0-9]{1,30}").prop_map(|(whole, part)| format!("{whole}.{part}")),
        ("-?[1-9]", "(\\.[0-9]{1,5}0)?", "[eE]", "[+-]?", "[0-9]{1,2}")
            .prop_map(|(whole, part, e, sign, power)| format!("{whole}{part}{e}{sign}{power}")),
        Just("-0".to_owned()),
        Just("-0.0".to_owned()),
        Just("0e0".to_owned()),
        Just("1E-400".to_owned()),
        Just("18446744073709551617".to_owned()),
        Just("9007199254740993".to_owned()),
    ]
}

/// An object with such numbers, and what else parsers write in their own way: order of keys, escapes, empty ones.
fn document() -> impl Strategy<Value = String> {
    prop::collection::vec(number(), 1..12).prop_map(|numbers| {
        format!(r#"{{"z":[{}],"a":{{"":null,"\u00e9\/":"\u0041\ud83d\ude00"}},"A":1.0}}"#, numbers.join(","))
    })
}

/// Somebody who reads bytes and not values.
struct Reader {
    http: reqwest::Client,
    url: String,
    queue: String,
}

impl Reader {
    async fn send(&self, method: reqwest::Method, path: &str, body: Option<String>, key: Option<&str>) -> String {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).header("prefer", "wait=30");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.expect("the API answers");
        let (status, text) = (answer.status(), answer.text().await.expect("text"));
        assert!(status.is_success() || status.as_u16() == 409, "{path}: {status} {text}");
        text
    }

    async fn get(&self, path: &str) -> String {
        self.send(reqwest::Method::GET, path, None, None).await
    }

    async fn post(&self, path: &str, body: String) -> String {
        self.send(reqwest::Method::POST, path, Some(body), None).await
    }

    /// A task that says this of its progress, and returns it or fails with it.
    fn task(&self, json: &str, more: &str) -> String {
        format!(r#"{{"name":"mirror","queue":"{}","kwargs":{{"message":{json}}}{more}}}"#, self.queue)
    }
}

fn id(document: &str) -> Uuid {
    let document: Value = serde_json::from_str(document).expect("JSON");
    document["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

#[track_caller]
fn tells(answer: &str, json: &str, times: usize) {
    assert!(answer.matches(json).count() >= times, "{json} is not told {times} times by {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_come_back_digit_for_digit_wherever_json_is_stored() {
    let stage = Stage::start("fidelity").await;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().expect("a client");
    let reader = Reader { http, url: stage.api.url(), queue: stage.place.queue().to_owned() };
    let config = Config { rng_seed: RngSeed::Fixed(7), ..Config::default() };
    let mut runner = TestRunner::new(config);
    for round in 0..DOCUMENTS {
        let json = document().new_tree(&mut runner).expect("a document").current();
        println!("fidelity: {json}");
        tasks(&reader, &json, round).await;
        failures(&stage, &reader, &json).await;
        workflows(&reader, &json).await;
        data_and_queues(&reader, &json, round).await;
    }
}

/// Arguments, metadata, progress, result; also of batches, replayed answers, retries, and of what a handler submits.
async fn tasks(reader: &Reader, json: &str, round: u32) {
    let metadata = format!(r#","metadata":{json}"#);
    let done = reader.post("/v1/tasks", reader.task(json, &metadata)).await;
    tells(&done, json, 3); // metadata, progress, result
    let path = format!("/v1/tasks/{}", id(&done));
    tells(&reader.get(&path).await, json, 3);
    assert_eq!(reader.get(&format!("{path}/result")).await, json);
    let again = reader.send(reqwest::Method::POST, &format!("{path}/retry"), None, None).await;
    tells(&again, json, 1);
    tells(&reader.get(&format!("/v1/tasks/{}?wait=30", id(&again))).await, json, 3);
    let key = format!("fidelity-{round}");
    let batch = format!(r#"{{"tasks":[{}]}}"#, reader.task(json, &metadata));
    for _ in 0..2 {
        let told = reader.send(reqwest::Method::POST, "/v1/tasks/batch", Some(batch.clone()), Some(&key)).await;
        tells(&told, json, 1);
    }
    let submitting = format!(r#""kwargs":{{"submit":"{}","#, reader.queue);
    let parent = reader.post("/v1/tasks", reader.task(json, "").replace("\"kwargs\":{", &submitting)).await;
    let parent: Value = serde_json::from_str(&parent).expect("JSON");
    let child = parent["result"].as_str().expect("the child's id");
    tells(&reader.get(&format!("/v1/tasks/{child}?wait=30")).await, json, 2);
}

/// The details of an error: in the task, its attempts, lists and problems.
async fn failures(stage: &Stage, reader: &Reader, json: &str) {
    let failing = reader.task(json, "").replace("\"kwargs\":{", r#""kwargs":{"fail":true,"#);
    let failed = id(&reader.post("/v1/tasks", failing).await);
    stage.client.wait(failed, SOON).await;
    for path in ["", "/attempts", "/result"] {
        tells(&reader.get(&format!("/v1/tasks/{failed}{path}")).await, json, 1);
    }
    tells(&reader.get("/v1/tasks?state=failed").await, json, 1);
}

/// Arguments, items, references to results, lists of results, and data that looks like a reference.
async fn workflows(reader: &Reader, json: &str) {
    let (task, plain) = (reader.task(json, ""), format!(r#"{{"name":"mirror","queue":"{}"}}"#, reader.queue));
    let failing = task.replace("\"kwargs\":{", r#""kwargs":{"fail":true,"#);
    let literal = format!(r#"{{"$literal":{{"$ref":{json}}}}}"#);
    let graph = format!(
        r#"{{"nodes":[{{"key":"a","task":{task}}},{{"key":"b","task":{},"depends_on":[{{"node":"a"}}]}}]}}"#,
        reader.task(r#"[{"$ref":"nodes.a.result.z"},{"$ref":"nodes.a.result"}]"#, ""),
    );
    for (path, body, times) in [
        (
            "/v1/groups",
            format!(r#"{{"tasks":[{task},{failing},{}],"return_exceptions":true}}"#, reader.task(&literal, "")),
            3,
        ),
        ("/v1/map", format!(r#"{{"task":{plain},"items":[{json},{literal}]}}"#), 2),
        ("/v1/map", format!(r#"{{"task":{plain},"items":[{json},{literal}],"chunk":2}}"#), 2),
        ("/v1/chains", format!(r#"{{"steps":[{{"task":{task}}},{{"task":{plain}}}]}}"#), 2),
        ("/v1/chords", format!(r#"{{"tasks":[{task}],"body":{plain}}}"#), 2),
        ("/v1/workflows", graph, 2),
    ] {
        let ended = id(&reader.post(path, body).await);
        let results = reader.get(&format!("/v1/workflows/{ended}/results")).await;
        tells(&results, json, times);
        assert!(!results.contains("$literal"), "{path}: {results}");
    }
}

async fn data_and_queues(reader: &Reader, json: &str, round: u32) {
    let put = reqwest::Method::PUT;
    let key = format!("fidelity-{round}");
    reader.send(put.clone(), &format!("/v1/data/{key}"), Some(format!(r#"{{"value":{json}}}"#)), None).await;
    tells(&reader.get(&format!("/v1/data/{key}")).await, json, 1);
    tells(&reader.get(&format!("/cached-data/{key}")).await, json, 1);
    reader.post(&format!("/update-data/{key}"), format!(r#"{{"new_value":[{json}]}}"#)).await;
    tells(&reader.get(&format!("/cached-data/{key}")).await, &format!("[{json}]"), 1);
    reader.send(put, &format!("/v1/work-queues/{key}"), None, None).await;
    let item = json!({ "item_id": Uuid::new_v4() }).to_string();
    let item = item.replace('}', &format!(r#","payload":{json}}}"#));
    reader.post(&format!("/v1/work-queues/{key}/items"), item).await;
    tells(&reader.post(&format!("/v1/work-queues/{key}/leases"), "{}".into()).await, json, 1);
}
