//! Clients at work: they submit the planned tasks at a steady rate, repeat what may be repeated, cancel, read, and write
//! down every word that they hear.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use crate::{
    client::{Answer, Http},
    clock::now_ms,
    history::{Entry, Kind},
    tasks::{Plan, Planned, plan},
};

const CLIENTS: u64 = 24;
/// A refused client waits this long, on average.
const RETRY_AFTER: Duration = Duration::from_millis(400);
/// A submission that got no 2xx by then is given up; whatever became of it.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long a task that expires may wait.
const EXPIRES_AFTER: Duration = Duration::from_secs(3);

/// What clients have heard so far: a task's state and result.
type Told = HashMap<Uuid, (String, Option<Value>)>;

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    poller: JoinHandle<()>,
}

struct Shared {
    http: Http,
    urls: Vec<String>,
    plan: Plan,
    started: Instant,
    /// Between two submissions.
    step: Duration,
    next: AtomicU64,
    stop: AtomicBool,
    accepted: Arc<AtomicU64>,
    accepted_ms: AtomicU64,
    refused: AtomicU64,
    entries: Mutex<Vec<Entry>>,
    told: Mutex<Told>,
}

impl Load {
    /// Starts `rate` submissions a second, to the APIs in turn.
    pub(crate) fn start(http: &Http, urls: Vec<String>, plan: Plan, rate: u32) -> Self {
        let shared = Arc::new(Shared {
            http: http.clone(),
            urls,
            plan,
            started: Instant::now(),
            step: Duration::from_secs(1) / rate,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            accepted: Arc::default(),
            accepted_ms: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            entries: Mutex::default(),
            told: Mutex::default(),
        });
        let clients = (0..CLIENTS).map(|_| tokio::spawn(Arc::clone(&shared).client())).collect();
        let poller = tokio::spawn(Arc::clone(&shared).poll());
        Self { shared, clients, poller }
    }

    /// Submissions that were answered with 2xx.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// The same, to be watched.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.accepted)
    }

    /// Answers to submissions that were no 2xx.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Acquire)
    }

    /// Ends the clients where they are.
    pub(crate) fn stop_now(&mut self) {
        self.clients.drain(..).for_each(|client| client.abort());
        self.poller.abort();
    }

    /// How long ago the last one was.
    pub(crate) fn since_accepted(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.shared.accepted_ms.load(Ordering::Acquire)))
    }

    /// No more new submissions; waits for those under way.
    pub(crate) async fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for client in self.clients.drain(..) {
            let _ = client.await;
        }
        self.poller.abort();
    }

    /// What a fault's own client heard.
    pub(crate) fn note(&self, entries: impl IntoIterator<Item = Entry>) {
        lock(&self.shared.entries).extend(entries);
    }

    /// Everything that clients heard.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        lock(&self.shared.entries).clone()
    }

    /// Documents of ended tasks that clients were told.
    pub(crate) fn told(&self) -> Vec<(Uuid, String, Option<Value>)> {
        lock(&self.shared.told).iter().map(|(id, (state, result))| (*id, state.clone(), result.clone())).collect()
    }

    /// Uses some answered keys again with another body; status and code of each answer.
    pub(crate) async fn reuse_keys(&self) -> Vec<(u16, String)> {
        let keys: Vec<String> =
            self.entries().into_iter().filter(|entry| entry.keyed && !entry.ids.is_empty()).map(|e| e.key).collect();
        let mut answers = Vec::new();
        for key in keys.iter().step_by(keys.len() / 5 + 1) {
            let body = json!({ "name": "say", "kwargs": { "token": "another" }, "queue": self.shared.plan.queue });
            answers.push(match self.shared.http.submit(self.shared.url(), &body, Some(key)).await {
                Answer::Refused(status, code) => (status, code),
                Answer::Accepted(id) => (202, id.to_string()),
                Answer::Existing(id) => (200, id.to_string()),
                Answer::Unknown(text) => (0, text),
            });
        }
        answers
    }

    /// Reads what ended, once more: up to `count` documents.
    pub(crate) async fn read_again(&self, count: usize) {
        let ids: Vec<Uuid> = self.entries().iter().filter_map(Entry::id).collect();
        for id in ids.iter().step_by(ids.len() / count.max(1) + 1) {
            self.shared.read(*id).await;
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.clients.iter().for_each(JoinHandle::abort);
        self.poller.abort();
    }
}

impl Shared {
    fn url(&self) -> &str {
        let index = rand::rng().random_range(0..self.urls.len());
        self.urls.get(index).map_or("", String::as_str)
    }

    async fn client(self: Arc<Self>) {
        while !self.stop.load(Ordering::Acquire) {
            let index = self.next.fetch_add(1, Ordering::AcqRel);
            sleep_until(self.started + self.step * u32::try_from(index).unwrap_or(u32::MAX)).await;
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            self.one(plan(&self.plan, index)).await;
        }
    }

    /// One submission, from its first request to its last word.
    async fn one(&self, mut planned: Planned) {
        let mut entry = Entry {
            key: planned.key.clone(),
            keyed: planned.keyed,
            kind: planned.kind,
            sent_ms: now_ms(),
            ids: Vec::new(),
            accepted_ms: None,
            refused: 0,
            unknown: 0,
            cancel: None,
            words: Vec::new(),
        };
        if planned.kind == Kind::Expiring {
            planned.body["expires_at"] = json!((Timestamp::now() + EXPIRES_AFTER).to_string());
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && self.submit(&planned, &mut entry).await {
            sleep(RETRY_AFTER.mul_f64(0.5 + rand::random::<f64>())).await;
        }
        if let (Some(after), Some(id)) = (planned.cancel_after, entry.id()) {
            sleep(Duration::from_millis(after)).await;
            while entry.cancel.is_none() && Instant::now() < until {
                self.cancel(id, &mut entry).await;
            }
        }
        lock(&self.entries).push(entry);
    }

    /// One request; whether another must follow.
    async fn submit(&self, planned: &Planned, entry: &mut Entry) -> bool {
        let key = planned.keyed.then_some(planned.key.as_str());
        let answer = self.http.submit(self.url(), &planned.body, key).await;
        if matches!(answer, Answer::Accepted(_) | Answer::Existing(_)) {
            self.accepted.fetch_add(1, Ordering::AcqRel);
            self.accepted_ms.store(now_ms(), Ordering::Release);
        } else {
            self.refused.fetch_add(1, Ordering::AcqRel);
        }
        let (said, again) = match answer {
            Answer::Accepted(id) => {
                entry.ids.push(id);
                entry.accepted_ms = Some(now_ms());
                (format!("accepted as {id}"), false)
            }
            Answer::Existing(id) => (format!("{id} stands for it"), false),
            // only what a repetition cannot mend ends it: a key's own mistakes, a body that is wrong
            Answer::Refused(status, code) => {
                entry.refused += 1;
                (format!("refused: {status} {code}"), status >= 500 || status == 409 || status == 429)
            }
            Answer::Unknown(text) => {
                entry.unknown += 1;
                (format!("unknown: {text}"), planned.keyed)
            }
        };
        entry.words.push((now_ms(), said));
        again
    }

    async fn cancel(&self, id: Uuid, entry: &mut Entry) {
        let answer = self.http.cancel(self.url(), id).await;
        entry.words.push((now_ms(), format!("cancel: {answer:?}")));
        match answer {
            Ok(answer) => entry.cancel = Some(answer),
            Err(_) => sleep(RETRY_AFTER).await,
        }
    }

    /// Reads tasks while all else goes on.
    async fn poll(self: Arc<Self>) {
        loop {
            sleep(Duration::from_millis(150)).await;
            let id = {
                let entries = lock(&self.entries);
                let index = rand::rng().random_range(0..entries.len().max(1));
                entries.get(index).and_then(Entry::id)
            };
            if let Some(id) = id {
                self.read(id).await;
            }
        }
    }

    async fn read(&self, id: Uuid) {
        let Some(document) = self.http.show(self.url(), id).await else { return };
        if document["finished_at"].is_string() {
            let state = document["state"].as_str().unwrap_or_default().to_owned();
            let result = Some(document["result"].clone()).filter(|result| !result.is_null());
            lock(&self.told).entry(id).or_insert((state, result)); // the first word is held against the row
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
