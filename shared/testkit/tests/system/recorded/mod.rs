//! What the API answers, feature by feature, held against recordings: a change of what lies below must not be seen above.
//!
//! Each test plays a scenario through HTTP, with a real worker, and writes down every answer: status, the headers that clients
//! go by, and the body in the order that it was sent in. The text must be that of `answers/<feature>.txt`.
//! `CARAWAY_RECORD=1 deploy/dev test recorded` writes these files; whoever does looks at what `git diff` tells.
//!
//! The scenarios use no SQL and no internal name, so they outlive any schema. They wait for conditions: what must not run lies in
//! a queue whose only slot is taken (`held`), and what must go on running waits for a file.
//!
//! # What is not recorded as it was sent, and why
//!
//! | field | instead | reason |
//! |---|---|---|
//! | ids (UUIDs) | `task-1`, `workflow-1`, … in the order of first sight | random; which is the same as which is kept |
//! | numbers of users, keys, sessions and log entries | `<user-1>`, … | where they start is the schema's affair |
//! | times from 2020 to 2499 | `<time>` | the clock; null stays null, and times that a test chose lie elsewhere |
//! | `last_used_at` of a key | `<time or null>` | written now and then |
//! | `oldest_age`, `expires_in` | `<seconds>` | the clock |
//! | `next_cursor` | `<cursor>` | opaque; null stays null, and pages are followed to the end |
//! | `ETag` | `<tag>` | a hash of the above; that it is there and is answered with 304 is recorded |
//! | `worker`, `host`, `name` of a worker, `pid` in results | `<worker>`, `<pid>` | the machine and the process |
//! | `instance` of a problem, a key's secret | `<request>`, `<key>` | random |
//! | `fence` | `<number>` | counted over all objects |
//! | `Retry-After` | `<seconds>` | has a random part |
//! | texts of more than 300 bytes | their length | nobody reads them |
//! | names of queues | `main`, `held` | every run has its own |
#![expect(clippy::needless_pass_by_value, reason = "tests hand over what json! makes, without an ampersand")]

mod batches;
mod catalogue;
mod changes;
mod lists;
mod retries;
mod states;
mod submit;
mod text;
mod unique;
mod users;
mod work_queues;
mod workflows;

use std::{fmt::Write as _, fs, path::PathBuf};

use caraway_testkit::{Place, Program, Stack, eventually, repository};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use self::text::Names;
use crate::stage::{SLOTS, SOON};

/// What clients go by.
const HEADERS: [&str; 9] = [
    "allow",
    "cache-control",
    "content-type",
    "etag",
    "link",
    "location",
    "preference-applied",
    "retry-after",
    "www-authenticate",
];
/// Of a difference so many lines are shown, each way.
const SHOWN: usize = 12;

/// A scenario under way, and what was answered so far.
struct Recorder {
    feature: &'static str,
    text: String,
    names: Names,
    http: Client,
    url: String,
    /// Sent with each request once there is one.
    key: Option<String>,
    /// The tag of the last answer.
    tag: String,
    place: Place,
    worker: Program,
    #[expect(dead_code, reason = "it ends when this is dropped, after the worker")]
    api: Program,
    #[expect(dead_code, reason = "held for its drop, which tells where the logs of a failed test are")]
    stack: Stack,
}

impl Recorder {
    /// An API and a worker that serves `main`, and with one slot `held`.
    async fn start(feature: &'static str) -> Self {
        let stack = Stack::shared().await;
        let place = Place::on(&stack, &format!("recorded-{feature}")).await;
        let held = format!("{}-held", place.queue());
        let api = place.api().start().await;
        let worker = place.ledger_worker("worker-1", SLOTS).arguments(["--queue".into(), format!("{held}=1")]);
        let worker = worker.start().await;
        let folder = place.folder().display().to_string();
        let words = [(folder, "<folder>"), (held, "held"), (place.queue().into(), "main")];
        let names = Names::new(words.map(|(word, name)| (word, name.to_owned())).to_vec());
        let http = Client::builder().no_proxy().build().expect("a client can be built");
        let (text, key, tag) = (String::new(), None, String::new());
        Self { feature, text, names, http, url: api.url(), key, tag, place, worker, api, stack }
    }

    fn main(&self) -> String {
        self.place.queue().into()
    }

    fn held(&self) -> String {
        format!("{}-held", self.place.queue())
    }

    /// A task that a worker runs.
    fn task(&self, name: &str, kwargs: Value) -> Value {
        json!({ "name": name, "kwargs": kwargs, "queue": self.main() })
    }

    /// A task that stays where it is as long as `hold` holds its queue.
    fn held_task(&self, name: &str, kwargs: Value) -> Value {
        json!({ "name": name, "kwargs": kwargs, "queue": self.held() })
    }

    /// Asks, and writes down what is answered; the body.
    async fn send(
        &mut self,
        title: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Value {
        let mut request = self.request(method.clone(), path);
        let _ = write!(self.text, "### {title}\n{method} {}\n", self.names.text(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
            let shown = if *name == "if-none-match" { "<tag>".into() } else { self.names.text(value) };
            let _ = writeln!(self.text, "{name}: {shown}");
        }
        if let Some(body) = body {
            let body = body.to_string();
            let _ = writeln!(self.text, "{}", self.names.line(path, &body));
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.expect("the API answers");
        let _ = writeln!(self.text, "→ {}", answer.status().as_u16());
        self.tag.clear();
        for name in HEADERS {
            let Some(value) = answer.headers().get(name).and_then(|value| value.to_str().ok()) else { continue };
            let value = match name {
                "etag" => {
                    self.tag = value.into();
                    "<tag>".into()
                }
                "retry-after" => "<seconds>".into(),
                _ => self.names.text(value),
            };
            let _ = writeln!(self.text, "{name}: {value}");
        }
        let sent = answer.text().await.expect("the answer is text");
        if sent.is_empty() {
            self.text.push('\n');
            return Value::Null;
        }
        let _ = writeln!(self.text, "{}\n", self.names.json(path, &sent));
        serde_json::from_str(&sent).expect("the answer is JSON")
    }

    async fn get(&mut self, title: &str, path: &str) -> Value {
        self.send(title, Method::GET, path, &[], None).await
    }

    async fn post(&mut self, title: &str, path: &str, body: Value) -> Value {
        self.send(title, Method::POST, path, &[], Some(body)).await
    }

    /// Asks for the same again with its tag.
    async fn get_again(&mut self, title: &str, path: &str) {
        let tag = self.tag.clone();
        self.send(title, Method::GET, path, &[("if-none-match", &tag)], None).await;
    }

    /// Submits a task; its id.
    async fn submit(&mut self, title: &str, task: Value) -> String {
        id(&self.post(title, "/v1/tasks", task).await)
    }

    /// A task's document, its result and its attempts.
    async fn show(&mut self, title: &str, task: &str) {
        self.get(title, &format!("/v1/tasks/{task}")).await;
        self.get(&format!("{title}: its result"), &format!("/v1/tasks/{task}/result")).await;
        self.get(&format!("{title}: its attempts"), &format!("/v1/tasks/{task}/attempts")).await;
    }

    /// A list, followed page by page to its end, and told as one. Asked for at once it has the same members.
    async fn pages(&mut self, title: &str, path: &str) {
        const LIMIT: usize = 2;
        let mark = if path.contains('?') { '&' } else { '?' };
        let (mut members, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.peek(&format!("{path}{mark}limit={LIMIT}{cursor}")).await;
            let found = page["data"].as_array().expect("a page");
            assert!(found.len() <= LIMIT, "{path}: a page of {}", found.len());
            members.extend(found.clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let whole = self.get(title, path).await;
        assert_eq!(whole["data"], Value::from(members), "{path}: page by page it is another list");
        assert_eq!(whole["next_cursor"], Value::Null, "{path}");
    }

    /// Asks without writing it down.
    async fn peek(&self, path: &str) -> Value {
        let answer = self.request(Method::GET, path).send().await.expect("the API answers");
        assert!(answer.status().is_success(), "GET {path}: {answer:?}");
        answer.json().await.expect("the answer is JSON")
    }

    /// Submits without writing it down; its id.
    async fn quietly(&self, task: Value) -> String {
        let answer = self.request(Method::POST, "/v1/tasks").json(&task).send().await.expect("the API answers");
        assert_eq!(answer.status().as_u16(), 202, "{task}");
        id(&answer.json().await.expect("the answer is JSON"))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url)).timeout(SOON);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Waits until a task is in this state.
    async fn until(&self, task: &str, state: &str) {
        self.until_it(&format!("/v1/tasks/{task}"), "state", &format!("\"{state}\"")).await;
    }

    /// Waits until a field of what is there has this value.
    async fn until_it(&self, path: &str, field: &str, value: &str) {
        eventually(SOON, &format!("{path}: {field} is {value}"), async || {
            let answer = self.request(Method::GET, path).send().await.expect("the API answers");
            let document: Value = answer.json().await.expect("the answer is JSON");
            let found = document.pointer(&format!("/{field}")).unwrap_or(&Value::Null).to_string();
            if found == value { Ok(()) } else { Err(document.to_string()) }
        })
        .await;
    }

    /// Waits until a workflow has ended, however.
    async fn until_ended(&self, workflow: &str) {
        let path = format!("/v1/workflows/{workflow}");
        eventually(SOON, &format!("{path} has ended"), async || {
            let document = self.peek(&path).await;
            if document["finished_at"].is_string() { Ok(()) } else { Err(document.to_string()) }
        })
        .await;
    }

    /// A task's arguments that make it wait until `release` of the same word.
    fn waits_for(&self, word: &str) -> Value {
        json!({ "steps": 0, "file": self.file(word) })
    }

    fn file(&self, word: &str) -> PathBuf {
        self.place.folder().join(word)
    }

    fn release(&self, word: &str) {
        fs::write(self.file(word), "").expect("a file can be made");
    }

    /// Takes the only slot of the queue `held`; the task that has it.
    async fn hold(&self) -> String {
        let task = self.quietly(self.held_task("report", self.waits_for("held"))).await;
        self.until(&task, "running").await;
        task
    }

    /// Holds what was answered against the recording, or records it.
    fn finish(self) {
        let path = answers().join(format!("{}.txt", self.feature));
        if std::env::var("CARAWAY_RECORD").is_ok_and(|value| value == "1") {
            fs::write(&path, &self.text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
            return;
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        if let Some(difference) = difference(&recorded, &self.text) {
            panic!("the answers are not those of {} (- recorded, + now):\n{difference}", path.display());
        }
    }
}

fn answers() -> PathBuf {
    repository().join("shared/testkit/tests/system/recorded/answers")
}

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap_or_else(|| panic!("a document without an id: {document}")).into()
}

/// The answers that differ, each with the lines that do.
fn difference(recorded: &str, now: &str) -> Option<String> {
    let entries = |text: &str| -> Vec<String> { text.split("### ").map(String::from).collect() };
    let (recorded, now) = (entries(recorded), entries(now));
    let mut told = String::new();
    for index in 0..recorded.len().max(now.len()) {
        let lines = |entries: &[String]| -> Vec<String> {
            entries.get(index).map(|entry| entry.lines().map(String::from).collect()).unwrap_or_default()
        };
        let (before, after) = (lines(&recorded), lines(&now));
        if before == after {
            continue;
        }
        let same = before.iter().zip(&after).take_while(|(before, after)| before == after).count();
        let (before_rest, after_rest) = (&before[same..], &after[same..]);
        let end = before_rest.iter().rev().zip(after_rest.iter().rev()).take_while(|(one, two)| one == two).count();
        let title = before.first().or(after.first()).cloned().unwrap_or_default();
        let _ = writeln!(told, "### {title}");
        for (sign, lines) in [("-", before_rest), ("+", after_rest)] {
            let changed = lines.len() - end;
            for line in lines.iter().take(changed.min(SHOWN)) {
                let _ = writeln!(told, "{sign} {line}");
            }
            if changed > SHOWN {
                let _ = writeln!(told, "{sign} … {} more lines", changed - SHOWN);
            }
        }
        if told.lines().count() > 4 * SHOWN {
            told.push_str("… and what follows\n");
            break;
        }
    }
    (!told.is_empty()).then_some(told)
}

/// Every operation on tasks, workflows, queues, users and what was done to them is in some recording.
#[test]
fn nothing_that_the_contract_lists_is_left_out() {
    const AREAS: [&str; 14] = [
        "/v1/tasks",
        "/v1/workflows",
        "/v1/groups",
        "/v1/chains",
        "/v1/chords",
        "/v1/map",
        "/v1/users",
        "/v1/api-keys",
        "/v1/audit",
        "/v1/queues",
        "/v1/workers",
        "/v1/task-types",
        "/v1/quarantine",
        "/v1/work-queues",
    ];
    let contract = fs::read_to_string(repository().join("api/openapi.json")).expect("the contract is there");
    let contract: Value = serde_json::from_str(&contract).expect("the contract is JSON");
    let mut asked = Vec::new();
    for file in fs::read_dir(answers()).expect("the recordings are there").flatten() {
        let text = fs::read_to_string(file.path()).expect("a recording can be read");
        let requests = text.lines().filter_map(|line| {
            let (method, path) = line.split_once(" /")?;
            let path = path.split(['?', ' ']).next()?;
            Some((method.to_owned(), format!("/{path}")))
        });
        asked.extend(requests);
    }
    let fits = |template: &str, path: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        let fits = |(wanted, found): (&&str, &&str)| wanted.starts_with('{') || wanted == found;
        template.len() == path.len() && template.iter().zip(&path).all(fits)
    };
    let mut left_out = Vec::new();
    for (path, methods) in contract["paths"].as_object().expect("paths") {
        if !AREAS.iter().any(|area| path == area || path.starts_with(&format!("{area}/"))) {
            continue;
        }
        for method in methods.as_object().expect("methods").keys().map(|method| method.to_uppercase()) {
            if !asked.iter().any(|(other, asked)| *other == method && fits(path, asked)) {
                left_out.push(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(left_out, Vec::<String>::new());
}
