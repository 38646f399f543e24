//! A client of the HTTP API.

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::eventually;

/// Longer than the API itself takes to say that it does not know.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What became of a submission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// 202: this task can no longer be lost.
    Accepted(Uuid),
    /// The API said that it was not accepted, with this code.
    Refused(String),
    /// It may have been accepted: the API said that it does not know, or there was no answer.
    Unknown(String),
}

/// A client. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    queue: String,
}

impl Api {
    /// A client of the API at `url`, whose tasks go into `queue`.
    pub fn new(url: String, queue: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().expect("a client can be built");
        Self { http, url, queue: queue.into() }
    }

    /// The same client, which sends this header with every request.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: &'static str) -> Self {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).default_headers(headers).build();
        Self { http: http.expect("a client can be built"), ..self.clone() }
    }

    /// A task for this client's queue.
    pub fn task(&self, name: &str, kwargs: Value) -> Value {
        json!({ "name": name, "kwargs": kwargs, "queue": self.queue })
    }

    /// Submits a task as it stands.
    pub async fn try_submit(&self, task: &Value) -> Submitted {
        let answer = match self.http.post(format!("{}/v1/tasks", self.url)).json(task).send().await {
            Ok(answer) => answer,
            Err(error) => return Submitted::Unknown(error.to_string()),
        };
        let (status, document) = match read(answer).await {
            Ok(read) => read,
            Err(error) => return Submitted::Unknown(error),
        };
        if status == StatusCode::ACCEPTED {
            return Submitted::Accepted(id(&document));
        }
        let code = document["code"].as_str().unwrap_or_default().to_owned();
        assert!(!code.is_empty(), "{status} without a code: {document}");
        if code == "outcome_unknown" { Submitted::Unknown(code) } else { Submitted::Refused(code) }
    }

    /// Submits a task that must be accepted.
    pub async fn submit(&self, task: Value) -> Uuid {
        match self.try_submit(&task).await {
            Submitted::Accepted(id) => id,
            other => panic!("{task} was not accepted: {other:?}"),
        }
    }

    /// Submits a task of this name that must be accepted.
    pub async fn run(&self, name: &str, kwargs: Value) -> Uuid {
        self.submit(self.task(name, kwargs)).await
    }

    /// Submits tasks that must all be accepted, in one request; their ids.
    pub async fn batch(&self, tasks: &[Value]) -> Vec<Uuid> {
        let request =
            self.http.post(format!("{}/v1/tasks/batch", self.url)).json(&json!({ "tasks": tasks, "atomic": true }));
        let (status, answer) = read(request.send().await.expect("the API answers")).await.expect("the answer is JSON");
        assert!(status.is_success(), "{status} {answer}");
        let entries = answer["tasks"].as_array().expect("an entry for each task");
        entries.iter().map(|entry| id(&entry["task"])).collect()
    }

    /// Submits a task and waits for its end in the same request, up to so many seconds; the status and the document.
    pub async fn submit_and_wait(&self, task: &Value, seconds: u64) -> (u16, Value) {
        let request = self.http.post(format!("{}/v1/tasks", self.url)).header("prefer", format!("wait={seconds}"));
        let answer = request.json(task).send().await.expect("the API answers");
        let (status, document) = read(answer).await.expect("the answer is JSON");
        (status.as_u16(), document)
    }

    /// A task's document once it has ended, or after so many seconds.
    pub async fn show_ended(&self, task: Uuid, seconds: u64) -> Value {
        let path = format!("{}/v1/tasks/{task}?wait={seconds}", self.url);
        let request = self.http.get(path).timeout(TIMEOUT + Duration::from_secs(seconds));
        let (status, document) =
            read(request.send().await.expect("the API answers")).await.expect("the answer is JSON");
        assert!(status.is_success(), "{status} {document}");
        document
    }

    /// A task's document.
    pub async fn show(&self, task: Uuid) -> Value {
        self.get(&format!("/v1/tasks/{task}")).await
    }

    /// A task's attempts.
    pub async fn attempts(&self, task: Uuid) -> Vec<Value> {
        let list = self.get(&format!("/v1/tasks/{task}/attempts")).await;
        list["data"].as_array().cloned().unwrap_or_default()
    }

    /// Makes a task like one that has ended; its id.
    pub async fn retry(&self, task: Uuid) -> Uuid {
        let answer = self.http.post(format!("{}/v1/tasks/{task}/retry", self.url)).send().await;
        let (status, document) = read(answer.expect("the API answers")).await.expect("the answer is JSON");
        assert_eq!(status, StatusCode::ACCEPTED, "{document}");
        id(&document)
    }

    /// What was put aside, as `/v1/quarantine` lists it.
    pub async fn quarantine(&self) -> Vec<Value> {
        self.get("/v1/quarantine").await["data"].as_array().cloned().unwrap_or_default()
    }

    /// The workers alive, as `/v1/workers` lists them.
    pub async fn workers(&self) -> Vec<Value> {
        self.get("/v1/workers").await["data"].as_array().cloned().unwrap_or_default()
    }

    /// Asks to cancel a task; the status and the document of the answer.
    pub async fn cancel(&self, task: Uuid) -> (StatusCode, Value) {
        let answer = self.http.post(format!("{}/v1/tasks/{task}/cancel", self.url)).send().await;
        read(answer.expect("the API answers")).await.expect("the answer is JSON")
    }

    /// Stores an item.
    pub async fn upload(&self, content_type: &str, content: Vec<u8>) -> Uuid {
        let (status, item) = self.try_upload(content_type, content).await;
        assert_eq!(status, StatusCode::CREATED.as_u16(), "{item}");
        id(&item)
    }

    /// Stores an item, if the API takes it; the status and the document of the answer.
    pub async fn try_upload(&self, content_type: &str, content: Vec<u8>) -> (u16, Value) {
        let request = self.http.post(format!("{}/items", self.url)).header("content-type", content_type).body(content);
        let (status, document) =
            read(request.send().await.expect("the API answers")).await.expect("the answer is JSON");
        (status.as_u16(), document)
    }

    /// Waits until a task is in one of these states; its document.
    pub async fn wait_for(&self, task: Uuid, states: &[&str], deadline: Duration) -> Value {
        eventually(deadline, &format!("task {task} is {}", states.join(" or ")), async || {
            let document = self.show(task).await;
            let state = document["state"].as_str().unwrap_or_default();
            if states.contains(&state) { Ok(document) } else { Err(document.to_string()) }
        })
        .await
    }

    /// Waits until a task has ended, however; its document.
    pub async fn wait(&self, task: Uuid, deadline: Duration) -> Value {
        self.wait_for(task, &["succeeded", "failed", "cancelled", "expired"], deadline).await
    }

    /// Posts a document; the status and the document of the answer.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).json(body).timeout(Duration::from_mins(1));
        let (status, document) =
            read(request.send().await.expect("the API answers")).await.expect("the answer is JSON");
        (status.as_u16(), document)
    }

    /// Creates a workflow that must be accepted; its id.
    pub async fn workflow(&self, path: &str, body: &Value) -> Uuid {
        let (status, document) = self.post(path, body).await;
        assert!(status == 202 || status == 200, "{status} {document}");
        id(&document)
    }

    /// Waits until a workflow has ended; its document.
    pub async fn workflow_ended(&self, workflow: Uuid, deadline: Duration) -> Value {
        eventually(deadline, &format!("workflow {workflow} has ended"), async || {
            let (status, document) = self.fetch(&format!("/v1/workflows/{workflow}?wait=2&limit=500")).await;
            if status == 200 && document["finished_at"].is_string() { Ok(document) } else { Err(document.to_string()) }
        })
        .await
    }

    /// What is there; the status and the document.
    pub async fn fetch(&self, path: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}{path}", self.url)).timeout(Duration::from_mins(1));
        let (status, document) =
            read(request.send().await.expect("the API answers")).await.expect("the answer is JSON");
        (status.as_u16(), document)
    }

    /// An answer that is read piece by piece.
    pub async fn stream(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.url)).timeout(Duration::from_mins(2));
        let answer = request.send().await.expect("the API answers");
        assert!(answer.status().is_success(), "{}", answer.status());
        answer
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.expect("the API answers");
        let (status, document) = read(answer).await.expect("the answer is JSON");
        assert!(status.is_success(), "GET {path}: {status} {document}");
        document
    }
}

async fn read(answer: Response) -> Result<(StatusCode, Value), String> {
    let status = answer.status();
    let document = answer.json().await.map_err(|error| format!("{status}: {error}"))?;
    Ok((status, document))
}

fn id(document: &Value) -> Uuid {
    let id = document["id"].as_str().and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("a document without an id: {document}"))
}
