//! A client of the HTTP API that is never surprised: whatever happens is an answer.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::history::CancelAnswer;

/// Longer than the API itself takes to say that it does not know.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What a client heard.
pub(crate) enum Answer {
    /// 2xx: this task can no longer be lost.
    Accepted(Uuid),
    /// 200: this earlier task stands for it.
    Existing(Uuid),
    /// A problem that says that it was not accepted: status and code.
    Refused(u16, String),
    /// Accepted or not, nobody said.
    Unknown(String),
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http(Client);

impl Http {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Client::builder().no_proxy().timeout(TIMEOUT).build()?))
    }

    pub(crate) async fn submit(&self, url: &str, task: &Value, key: Option<&str>) -> Answer {
        let mut request = self.0.post(format!("{url}/v1/tasks")).json(task);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let (status, document) = match read(request).await {
            Ok(read) => read,
            Err(error) => return Answer::Unknown(error),
        };
        let id = document["id"].as_str().and_then(|id| id.parse().ok());
        let code = document["code"].as_str().unwrap_or_default();
        match id {
            Some(id) if document["deduplicated"] == true => Answer::Existing(id),
            Some(id) if status.is_success() => Answer::Accepted(id),
            _ if code == "outcome_unknown" || code.is_empty() => Answer::Unknown(format!("{status} {code}")),
            _ => Answer::Refused(status.as_u16(), code.to_owned()),
        }
    }

    /// Creates a workflow, which must be accepted; its id.
    pub(crate) async fn create(&self, url: &str, path: &str, body: &Value) -> anyhow::Result<Uuid> {
        let (status, document) =
            read(self.0.post(format!("{url}{path}")).json(body)).await.map_err(anyhow::Error::msg)?;
        anyhow::ensure!(status == StatusCode::ACCEPTED, "{status} {document}");
        Ok(document["id"].as_str().unwrap_or_default().parse()?)
    }

    /// Submits tasks in one request, all of which must be accepted; their ids.
    pub(crate) async fn batch(&self, url: &str, tasks: &[Value]) -> anyhow::Result<Vec<Uuid>> {
        let body = serde_json::json!({ "tasks": tasks, "atomic": true });
        let request = self.0.post(format!("{url}/v1/tasks/batch")).json(&body);
        let (status, answer) = read(request).await.map_err(anyhow::Error::msg)?;
        anyhow::ensure!(status.is_success(), "{status} {answer}");
        let entries = answer["tasks"].as_array().map_or(&[][..], Vec::as_slice);
        entries.iter().map(|entry| Ok(entry["task"]["id"].as_str().unwrap_or_default().parse()?)).collect()
    }

    /// Asks to cancel; `Err` when nobody answered.
    pub(crate) async fn cancel(&self, url: &str, id: Uuid) -> Result<CancelAnswer, String> {
        let (status, document) = read(self.0.post(format!("{url}/v1/tasks/{id}/cancel"))).await?;
        match status {
            StatusCode::OK => Ok(CancelAnswer::Cancelled),
            StatusCode::ACCEPTED => Ok(CancelAnswer::Requested),
            StatusCode::CONFLICT => Ok(CancelAnswer::Over),
            _ => Err(format!("{status} {}", document["code"])),
        }
    }

    /// A task's document, if the API tells one.
    pub(crate) async fn show(&self, url: &str, id: Uuid) -> Option<Value> {
        let (status, document) = read(self.0.get(format!("{url}/v1/tasks/{id}"))).await.ok()?;
        status.is_success().then_some(document)
    }

    /// Stores an item; its id.
    pub(crate) async fn upload(&self, url: &str, content_type: &str, content: Vec<u8>) -> anyhow::Result<Uuid> {
        let request = self.0.post(format!("{url}/items")).header("content-type", content_type).body(content);
        let (status, item) = read(request).await.map_err(anyhow::Error::msg)?;
        anyhow::ensure!(status == StatusCode::CREATED, "{status} {item}");
        Ok(item["id"].as_str().unwrap_or_default().parse()?)
    }
}

async fn read(request: RequestBuilder) -> Result<(StatusCode, Value), String> {
    let answer = request.send().await.map_err(|error| cause(&error))?;
    let status = answer.status();
    let document = answer.json().await.map_err(|error| format!("{status}: {}", cause(&error)))?;
    Ok((status, document))
}

/// The innermost cause says what happened; the outer ones name the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
