//! What a handler leaves behind if it succeeds: tasks, and nodes of its own workflow. Collected in memory while it runs, and
//! committed with its outcome or not at all.
//!
//! Invariants: nothing is collected once the run is over, whatever its handler still does; ids are given when something is
//! collected, so a record that is repeated makes nothing twice.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use caraway_shared::{
    ids::Ids,
    store::{
        TaskType,
        workflows::{Follow, Member, Spawned},
    },
    task::{Extra, OwnerId, Priority, RetryPolicy, Start, TaskId, TaskName, TaskSpec, check_body, limits},
    workflow::is_key,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{Failure, patient_store::PatientStore};

/// Tasks that one run may leave behind.
const FOLLOW_MAX: usize = 1000;
/// Bytes of their arguments together.
const BYTES_MAX: usize = 4 << 20;

/// The arguments of a task, each as its handler wrote it.
#[derive(Clone, Debug, Default, Serialize)]
struct NewInput {
    args: Vec<Box<RawValue>>,
    kwargs: BTreeMap<String, Box<RawValue>>,
}

/// A task that a handler submits.
#[derive(Clone, Debug)]
pub struct NewTask {
    name: String,
    input: NewInput,
    queue: Option<String>,
    priority: Option<i64>,
    max_attempts: Option<i32>,
    delay: Duration,
    /// Of an argument that does not serialize.
    fault: Option<String>,
}

impl NewTask {
    /// A task of this type, which some worker has announced.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            input: NewInput::default(),
            queue: None,
            priority: None,
            max_attempts: None,
            delay: Duration::ZERO,
            fault: None,
        }
    }

    /// One more argument by place.
    #[must_use]
    pub fn arg(mut self, value: impl Serialize) -> Self {
        match to_raw_value(&value) {
            Ok(value) => self.input.args.push(value),
            Err(error) => self.fault = Some(error.to_string()),
        }
        self
    }

    /// An argument by name.
    #[must_use]
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        match to_raw_value(&value) {
            Ok(value) => drop(self.input.kwargs.insert(name.into(), value)),
            Err(error) => self.fault = Some(error.to_string()),
        }
        self
    }

    /// Where it queues; by default where its type does.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// How urgent, 0–9.
    #[must_use]
    pub fn priority(mut self, priority: i64) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Attempts in all, 1–100.
    #[must_use]
    pub fn max_attempts(mut self, attempts: i32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// It starts this long after the submitting task was recorded.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn into_spec(self, id: TaskId, parent: &Collector, known: &TaskType) -> Result<TaskSpec, Failure> {
        let invalid = |what: String| Failure::fatal("invalid_task", what);
        if let Some(fault) = self.fault {
            return Err(invalid(format!("an argument of {} is not JSON: {fault}", self.name)));
        }
        let input = serde_json::to_string(&self.input).map_err(|error| invalid(error.to_string()))?;
        check_body(input.as_bytes()).map_err(|fault| invalid(fault.to_string()))?;
        if input.len() > limits::INPUT_BYTES_MAX {
            return Err(Failure::fatal("input_too_large", format!("the arguments of {} are too large", self.name)));
        }
        let queue = match self.queue {
            Some(queue) => queue.parse().map_err(|_| invalid(format!("no queue can be called {queue}")))?,
            None => known.queue.clone(),
        };
        let priority = self.priority.map(Priority::new).transpose().map_err(|error| invalid(error.to_string()))?;
        let attempts = self.max_attempts.unwrap_or(limits::ATTEMPTS_DEFAULT);
        if !(1..=limits::ATTEMPTS_MAX).contains(&attempts) {
            return Err(invalid("a task has 1 to 100 attempts".into()));
        }
        Ok(TaskSpec {
            id,
            owner: parent.owner,
            name: known.name.clone(),
            version: known.version,
            queue,
            priority: priority.unwrap_or_default(),
            input: input.into(),
            max_attempts: attempts,
            retry: RetryPolicy::default(),
            timeout: known.timeout,
            start: if self.delay.is_zero() { Start::Now } else { Start::After(self.delay) },
            traceparent: parent.traceparent.as_deref().map(Into::into),
            extra: Extra { parent_id: Some(parent.task.0), ..Extra::default() },
        })
    }
}

/// Collects for one run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) task: TaskId,
    pub(crate) owner: OwnerId,
    pub(crate) member: Option<Member>,
    pub(crate) traceparent: Option<Arc<str>>,
    pub(crate) store: PatientStore,
    ids: Ids,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    follow: Follow,
    types: HashMap<String, Arc<TaskType>>,
    keys: HashSet<String>,
    bytes: usize,
    over: bool,
}

impl Collector {
    pub(crate) fn new(
        task: TaskId,
        owner: OwnerId,
        member: Option<Member>,
        traceparent: Option<Arc<str>>,
        (store, ids): (PatientStore, Ids),
    ) -> Self {
        Self { task, owner, member, traceparent, store, ids, state: Arc::default() }
    }

    /// What was collected; nothing more is taken.
    pub(crate) fn close(&self) -> Follow {
        let mut state = self.lock();
        state.over = true;
        std::mem::take(&mut state.follow)
    }

    pub(crate) async fn submit(&self, task: NewTask) -> Result<TaskId, Failure> {
        let known = self.known(&task.name).await?;
        let spec = task.into_spec(self.ids.make_task(), self, &known)?;
        let (id, mut state) = (spec.id, self.lock());
        state.admit(&spec)?;
        state.follow.submitted.push(spec);
        Ok(id)
    }

    pub(crate) async fn spawn(&self, nodes: Vec<(String, NewTask)>) -> Result<Vec<TaskId>, Failure> {
        if self.member.is_none() {
            return Err(Failure::fatal("not_in_workflow", "only a task of a workflow can add nodes to it"));
        }
        let mut ids = Vec::with_capacity(nodes.len());
        for (key, task) in nodes {
            let known = self.known(&task.name).await?;
            let spec = task.into_spec(TaskId::derived(self.task.0, &key), self, &known)?;
            let mut state = self.lock();
            if !is_key(&key) || !state.keys.insert(key.clone()) {
                return Err(Failure::fatal("invalid_key", format!("{key:?} is no key, or is given twice")));
            }
            state.admit(&spec)?;
            ids.push(spec.id);
            state.follow.spawned.push(Spawned { key, task: spec });
        }
        Ok(ids)
    }

    async fn known(&self, name: &str) -> Result<Arc<TaskType>, Failure> {
        let unknown = || Failure::fatal("unknown_task", format!("no worker has announced the task {name}"));
        if let Some(known) = self.lock().types.get(name) {
            return Ok(Arc::clone(known));
        }
        let parsed: TaskName = name.parse().map_err(|_| unknown())?;
        let known = Arc::new(self.store.ask(|store| store.task_type(&parsed)).await?.ok_or_else(unknown)?);
        self.lock().types.insert(name.to_owned(), Arc::clone(&known));
        Ok(known)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, task: &TaskSpec) -> Result<(), Failure> {
        if self.over {
            return Err(Failure::retryable("over", "this run is over"));
        }
        self.bytes += task.input.len();
        let count = self.follow.spawned.len() + self.follow.submitted.len();
        if count >= FOLLOW_MAX || self.bytes > BYTES_MAX {
            let detail = format!("a run leaves up to {FOLLOW_MAX} tasks behind, with {BYTES_MAX} bytes of arguments");
            return Err(Failure::fatal("too_many_tasks", detail));
        }
        Ok(())
    }
}
