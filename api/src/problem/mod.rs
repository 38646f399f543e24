//! Problem documents (RFC 9457): the one shape in which this API says no.
//!
//! Invariants: a 5xx never carries an inner error's text, which goes to the log; 503 always carries `Retry-After`; the
//! request id (`instance`) and the body are written in `middleware/problems.rs`, so that no handler can forget them.
//!
//! The file is long because every error of the layers below is turned into a problem here, so that one place decides what
//! clients learn of it.

mod code;

use std::{collections::BTreeMap, fmt};

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use caraway_shared::{
    access::Scope,
    cache::ReadError,
    store::{StoreError, WriteError},
    task::{State, TaskError, TaskId},
};
use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

pub(crate) use self::code::Code;

/// Seconds after which a client may well try again.
const RETRY_AFTER_SECONDS: &str = "1";

/// Parts of a request that one document points at; enough to mend a request, and never many times as large as it.
pub(crate) const FAULTS_MAX: usize = 20;
/// The same of one task among a thousand.
const BRIEF_FAULTS_MAX: usize = 3;
/// Characters of a pointer, and of what is said of a fault, which may hold names that the client chose.
const FAULT_CHARS_MAX: usize = 300;
/// Characters of a document's `detail`.
const DETAIL_CHARS_MAX: usize = 2000;

/// Something is wrong with one part of the request body.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Which part: a JSON pointer (RFC 6901) into the whole body, or `?name` for a part of the query, or `{name}` for one of the
    /// path.
    pub(crate) pointer: String,
    /// What kind of fault.
    pub(crate) code: Code,
    /// For people.
    pub(crate) detail: String,
}

/// Why a request was not done. Boxed, because it travels in the error half of every handler's result.
#[derive(Debug)]
pub(crate) struct Problem(Box<Content>);

#[derive(Debug)]
struct Content {
    code: Code,
    detail: String,
    faults: Vec<Fault>,
    members: Members,
    cause: Option<String>,
}

/// Why a request was not done (RFC 9457).
#[derive(Serialize, ToSchema)]
struct Document<'a> {
    /// The address of a page about this kind of problem.
    r#type: String,
    /// The kind of problem in a few words, always the same.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request, for people.
    detail: &'a str,
    code: Code,
    /// The request's id, which finds it in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    /// Whether the same request may well succeed later.
    retryable: bool,
    /// Everything that is wrong with the request, part by part.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [Fault],
    #[serde(flatten)]
    #[schema(value_type = MembersSchema)]
    members: &'a Members,
}

/// What a kind of problem tells beside, by name; numbers keep their digits.
type Members = BTreeMap<String, Box<RawValue>>;

/// What some kinds of problem tell beside.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the members are put in by name; this is their shape for the OpenAPI document")]
#[schema(as = Members)]
struct MembersSchema {
    /// The task's state.
    #[schema(nullable = false)]
    state: Option<State>,
    /// Why the task failed.
    #[schema(nullable = false)]
    error: Option<TaskError>,
    /// The task that keeps this one out.
    #[schema(nullable = false)]
    existing_task_id: Option<TaskId>,
    /// The limit that was passed, bytes.
    #[schema(nullable = false)]
    bytes_max: Option<u64>,
    /// How many bytes the content has.
    #[schema(nullable = false)]
    bytes: Option<u64>,
    /// The scope that the key lacks.
    #[schema(nullable = false)]
    scope: Option<Scope>,
    /// The queue that the key is not for.
    #[schema(nullable = false)]
    queue: Option<String>,
    /// Which quota of the user is used up.
    #[schema(nullable = false)]
    quota: Option<String>,
    /// How much of it the user may take.
    #[schema(nullable = false)]
    limit: Option<u64>,
    /// Which policies of `RateLimit-Policy` were not kept.
    #[schema(nullable = false, rename = "violated-policies")]
    violated_policies: Option<Vec<String>>,
    /// Which task of the batch, from 0.
    #[schema(nullable = false)]
    index: Option<u32>,
    /// The workflow that the task is a node of.
    #[schema(nullable = false)]
    workflow_id: Option<String>,
    /// Seconds until it ends, unless it is renewed.
    #[schema(nullable = false)]
    expires_in: Option<f64>,
    /// Which servers behind answer.
    #[schema(nullable = false)]
    checks: Option<BTreeMap<String, String>>,
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Document::schema()
    }
}

impl ToSchema for Problem {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Document::schemas(schemas);
    }
}

impl Problem {
    /// The media type of a problem document.
    pub(crate) const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem of this kind; `detail` tells a person what to do about it.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        shorten(&mut detail, DETAIL_CHARS_MAX);
        let content = Content { code, detail, faults: Vec::new(), members: Members::new(), cause: None };
        Self(Box::new(content))
    }

    /// A bug or a broken server of ours. The cause is for the log only.
    pub(crate) fn internal(cause: impl fmt::Display) -> Self {
        Self::new(Code::Internal, "this is a fault of ours; the request id finds it in the log").caused_by(cause)
    }

    /// The `Idempotency-Key` was used for something else.
    pub(crate) fn key_reused() -> Self {
        let detail = "this Idempotency-Key belongs to a request with another body or another address";
        Self::new(Code::IdempotencyKeyReused, detail)
    }

    /// The first request with this `Idempotency-Key` has no answer yet.
    pub(crate) fn key_in_flight() -> Self {
        let detail = "a request with this Idempotency-Key is being decided; repeat it in a moment";
        Self::new(Code::IdempotencyInFlight, detail)
    }

    /// What is wrong with the body, part by part. The document takes the code of its parts where they agree.
    pub(crate) fn faults(faults: Vec<Fault>) -> Self {
        let first = faults.first().map_or(Code::InvalidRequest, |fault| fault.code);
        let code = if faults.iter().all(|fault| fault.code == first) { first } else { Code::InvalidRequest };
        let mut problem = Self::new(code, "");
        problem.0.faults = faults;
        problem.point_at(FAULTS_MAX);
        problem
    }

    /// Points at the part of the body that is to blame; a fault of ours blames none.
    #[must_use]
    pub(crate) fn at(mut self, pointer: String) -> Self {
        if self.status().is_client_error() && self.0.faults.is_empty() {
            self.0.faults.push(Fault { pointer, code: self.0.code, detail: self.0.detail.clone() });
        }
        self
    }

    /// The same, shorter: for one answer among many.
    #[must_use]
    pub(crate) fn brief(mut self) -> Self {
        if self.0.faults.len() > BRIEF_FAULTS_MAX {
            self.point_at(BRIEF_FAULTS_MAX);
        }
        self
    }

    /// Keeps so many faults, and says so where there were more.
    fn point_at(&mut self, max: usize) {
        let content = &mut self.0;
        let more = content.faults.len() > max;
        content.faults.truncate(max);
        for fault in &mut content.faults {
            shorten(&mut fault.pointer, FAULT_CHARS_MAX);
            shorten(&mut fault.detail, FAULT_CHARS_MAX);
        }
        let parts = content.faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail));
        let more = more.then(|| "and more".to_owned());
        content.detail = parts.chain(more).collect::<Vec<_>>().join("; ");
        shorten(&mut content.detail, DETAIL_CHARS_MAX);
    }

    /// Adds a member of its own to the document.
    #[must_use]
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        if let Ok(value) = to_raw_value(&value.into()) {
            self.0.members.insert(member.into(), value);
        }
        self
    }

    /// Adds a member that is JSON already, in its own bytes.
    #[must_use]
    pub(crate) fn with_json(mut self, member: &str, json: &RawValue) -> Self {
        self.0.members.insert(member.into(), json.to_owned());
        self
    }

    /// Adds what only the log may tell.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// What a document of this kind looks like.
    pub(crate) fn example(code: Code) -> Value {
        let task = "019aad3c-5c66-7e21-b1a9-2d7e0c7d5a01";
        let problem = match code {
            Code::InvalidRequest | Code::UnknownField | Code::InvalidArguments => {
                let (pointer, detail) = match code {
                    Code::UnknownField => ("/prio", "does not exist"),
                    Code::InvalidArguments => ("/args", "2 parameters, but 3 positional arguments"),
                    _ => ("/priority", "must be a whole number from 0 to 9"),
                };
                Self::faults(vec![Fault { pointer: pointer.into(), code, detail: detail.into() }])
            }
            Code::TaskNotFinished => {
                Self::new(code, "the task has no result yet; ask again later").with("state", "running")
            }
            Code::TaskFailed => Self::new(code, "the task has failed and has no result")
                .with("state", "failed")
                .with("error", json!({"code": "timed_out", "message": "its time limit was reached"})),
            Code::TaskCancelled => {
                Self::new(code, "the task was cancelled and has no result").with("state", "cancelled")
            }
            Code::TaskExpired => {
                Self::new(code, "the task was not started in time and has no result").with("state", "expired")
            }
            Code::TaskAlreadyFinished => {
                Self::new(code, "the task is succeeded; it can no longer be cancelled").with("state", "succeeded")
            }
            Code::DuplicateTask => {
                Self::new(code, format!("task {task} is unique and keeps this one out")).with("existing_task_id", task)
            }
            Code::MissingScope => Self::new(code, "this key does not have the scope cancel").with("scope", "cancel"),
            Code::QueueForbidden => Self::new(code, "this key is not for the queue mail").with("queue", "mail"),
            Code::BodyTooLarge => Self::new(code, "this address takes up to 1048576 bytes").with("bytes_max", 1 << 20),
            Code::RateLimited => Self::new(code, "your user may send 100 requests a second; try again after 1 s")
                .with("quota", "requests_per_second")
                .with("limit", 100)
                .with("violated-policies", json!(["default"])),
            Code::QuotaExceeded => {
                let detail = "you may have 10000 tasks that are scheduled, waiting or queued; 1 more do not fit, there is room for 0";
                Self::new(code, detail).with("quota", "queued_tasks").with("limit", 10_000)
            }
            Code::RangeNotSatisfiable => {
                Self::new(code, "the content has 48213 bytes, and none of them is in this range").with("bytes", 48_213)
            }
            Code::InputTooLarge => Self::new(
                code,
                "args and kwargs may hold 262144 bytes together; store larger ones as an item and send its id",
            )
            .with("bytes_max", 256 << 10),
            _ => Self::new(code, code.meaning()),
        };
        serde_json::from_slice(&problem.document(Some("019aad3c-5c66-7e21-b1a9-2d7e0c7d5a00"))).unwrap_or_default()
    }

    /// The inner error's text, for the log.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The kind of problem.
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// The status of its answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    /// The document, for this request.
    pub(crate) fn document(&self, instance: Option<&str>) -> Vec<u8> {
        let code = self.0.code;
        let document = Document {
            r#type: format!("/problems/{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: &self.0.detail,
            code,
            instance,
            retryable: code.is_retryable(),
            errors: &self.0.faults,
            members: &self.0.members,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    /// The head only.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if self.0.code.is_retryable() {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        if let (Code::RangeNotSatisfiable, Some(bytes)) = (self.0.code, self.0.members.get("bytes")) {
            response.insert_header((header::CONTENT_RANGE, format!("bytes */{bytes}")));
        }
        if self.0.code == Code::Unauthorized {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.finish()
    }
}

/// Cuts a text that has more characters.
fn shorten(text: &mut String, chars_max: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars_max) {
        text.truncate(end);
        text.push('…');
    }
}

fn database_unavailable(cause: impl fmt::Display) -> Problem {
    Problem::new(Code::DatabaseUnavailable, "the database does not answer; nothing was changed, try again later")
        .caused_by(cause)
}

fn database_read_only(cause: impl fmt::Display) -> Problem {
    let detail = "the database takes no writes now; nothing was changed, try again later";
    Problem::new(Code::DatabaseReadOnly, detail).caused_by(cause)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) if error.is_read_only() => database_read_only(error),
            StoreError::Unavailable(_) => database_unavailable(error),
            StoreError::Contended => {
                let detail =
                    "others are changing it right now, and your turn did not come in time; try again in a moment";
                Self::new(Code::Contended, detail).caused_by(error)
            }
            StoreError::Crowded => {
                let detail = "too many changes wait for their turn; nothing was changed, try again in a moment";
                Self::new(Code::Overloaded, detail).caused_by(error)
            }
            StoreError::Unknown(_) => Self::outcome_unknown().caused_by(error),
            StoreError::Statement(_) | StoreError::Data(_) => Self::internal(error),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Busy => {
                Self::new(Code::Overloaded, "too many reads wait for the database; try again later").caused_by(error)
            }
            ReadError::TimedOut => database_unavailable(error),
            ReadError::Failed(inner) if inner.is_read_only() => database_read_only(error),
            ReadError::Failed(inner) if matches!(**inner, StoreError::Unavailable(_)) => database_unavailable(error),
            ReadError::Failed(_) | ReadError::Lost => Self::internal(error),
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Unavailable(_) | WriteError::Contended(_) => database_unavailable(error),
            WriteError::ReadOnly(_) => database_read_only(error),
            WriteError::Unknown(_) => Self::outcome_unknown().caused_by(error),
            WriteError::Refused(_) => Self::internal(error),
        }
    }
}

impl Problem {
    /// A commit is under way and nobody knows how it ends: neither a yes nor a no may be told.
    pub(crate) fn outcome_unknown() -> Self {
        Self::new(
            Code::OutcomeUnknown,
            "the database did not confirm in time: the task may or may not have been accepted, and a repeated request \
             may make a second one",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.document(Some("r-1"))).unwrap()
    }

    #[test]
    fn the_document_is_the_contract() {
        let problem = Problem::new(Code::TaskNotFinished, "still running").with("state", "running");
        assert_eq!(
            json(&problem),
            serde_json::json!({
                "type": "/problems/task_not_finished", "title": "The task is not finished", "status": 409,
                "detail": "still running", "code": "task_not_finished", "instance": "r-1", "retryable": true,
                "state": "running",
            })
        );
    }

    #[test]
    fn faults_that_agree_give_their_code_to_the_document() {
        let fault = |code| Fault { pointer: "/x".into(), code, detail: "no".into() };
        let code = |faults| json(&Problem::faults(faults))["code"].clone();
        assert_eq!(code(vec![fault(Code::UnknownField), fault(Code::UnknownField)]), "unknown_field");
        assert_eq!(code(vec![fault(Code::UnknownField), fault(Code::InvalidRequest)]), "invalid_request");
    }

    #[test]
    fn a_refusal_is_never_many_times_as_large_as_its_request() {
        let fault = Fault { pointer: "/x".repeat(10_000), code: Code::UnknownField, detail: "é".repeat(10_000) };
        let problem = Problem::faults(vec![fault; 60_000]);
        let document = json(&problem);
        assert_eq!(document["errors"].as_array().unwrap().len(), FAULTS_MAX);
        assert!(problem.document(None).len() < 32 << 10, "{}", problem.document(None).len());
        assert!(problem.brief().document(None).len() < 8 << 10);
    }

    #[test]
    fn inner_errors_stay_inside() {
        let problem = Problem::from(StoreError::Data("secret column".into()));
        assert_eq!(problem.status_code(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!json(&problem).to_string().contains("secret"));
        assert!(problem.cause().unwrap().contains("secret column"));
    }

    #[test]
    fn unavailable_says_when_to_try_again() {
        let response = Problem::from(WriteError::Unavailable("gone".into())).error_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
