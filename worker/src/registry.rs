//! What this worker can run: an explicit list, one line a task, no magic before `main`.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use caraway_shared::{
    store::TaskType,
    task::{QueueName, TaskName, TimeLimit, limits},
};
use futures::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Failure, arguments::bind, pace::Pace, parameters::parameters_of};

/// A running handler.
pub(crate) type Run = BoxFuture<'static, Result<Bytes, Failure>>;

/// Binds an input, then makes the handler's future; a binding that fails is the failure.
type Start = dyn Fn(&[u8], Context) -> Result<Run, Failure> + Send + Sync;

/// A handler and how to run it.
#[derive(Clone)]
pub struct Task {
    pub(crate) about: TaskType,
    limit: TimeLimit,
    pub(crate) start: Arc<Start>,
    pub(crate) pace: Pace,
}

impl Task {
    /// A task named `name` (`[A-Za-z][A-Za-z0-9_.-]{0,127}`), run by `handler`: an async function over a struct of
    /// arguments, whose field names are the parameter names, and a [`Context`]. What it returns is stored as JSON.
    ///
    /// At its hard time limit, or ten seconds after a cancel request that it does not heed, it is dropped at its next
    /// `.await`: the attempt is recorded, whatever it writes later is refused, and its slot is free. One that never
    /// reaches an `.await` cannot be ended. It is counted, shown in `/v1/workers` as overdue, and its slot is replaced
    /// up to `--overdue-max`; beyond that the slot stays taken until one ends. What is *not* promised: such an async
    /// handler holds one of the runtime's threads, of which there are as many as cores, and those are not replaced.
    /// When all are held, the worker stands still; others notice that its beat is missing and run its tasks again. So
    /// what computes or blocks for longer than some milliseconds belongs into a [`burns_cpu`](Self::burns_cpu) task.
    pub fn new<Args, Out, Fut>(
        name: &str,
        handler: impl Fn(Args, Context) -> Fut + Send + Sync + 'static,
    ) -> anyhow::Result<Self>
    where
        Args: DeserializeOwned + 'static,
        Out: Serialize,
        Fut: Future<Output = Result<Out, Failure>> + Send + 'static,
    {
        let name: TaskName = name.parse().with_context(|| format!("task name {name:?}"))?;
        let parameters = parameters_of::<Args>()
            .with_context(|| format!("the arguments of {name} are no struct with named fields"))?;
        let start = move |input: &[u8], context| {
            let running = handler(bind(input, parameters)?, context);
            Ok(running.map(|returned| returned.and_then(|out| to_json(&out))).boxed())
        };
        let about = TaskType {
            name,
            version: 1,
            parameters: parameters.iter().map(ToString::to_string).collect(),
            queue: "default".parse().context("the default queue")?,
            timeout: None,
            cpu: false,
        };
        Ok(Self { about, limit: TimeLimit::Inherited, start: Arc::new(start), pace: Pace::new() })
    }

    /// Where its tasks queue unless they say otherwise.
    pub fn queue(mut self, queue: &str) -> anyhow::Result<Self> {
        self.about.queue = queue.parse::<QueueName>().with_context(|| format!("queue name {queue:?}"))?;
        Ok(self)
    }

    /// Its version; raise it when arguments or results change their meaning.
    #[must_use]
    pub fn version(mut self, version: i32) -> Self {
        self.about.version = version;
        self
    }

    /// The hard time limit of an attempt unless the task says otherwise; [`new`](Self::new) says what it does. Where this is not
    /// called, it is the worker's `--time-limit`, an hour.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = TimeLimit::After(limit);
        self
    }

    /// No hard time limit, unless the task says otherwise: a handler that hangs keeps its slot until its worker ends.
    #[must_use]
    pub fn without_time_limit(mut self) -> Self {
        self.limit = TimeLimit::Unlimited;
        self
    }

    /// Burns CPU or blocks: runs on a thread of its own, never on the async ones, and so can never hold up the worker
    /// itself. Like any handler it is dropped at its next `.await` and cannot be ended before, so it should look at
    /// [`Context::is_stopped`] now and then. There is a thread for every slot and for every overdue handler whose slot
    /// was replaced, so handlers that hang never keep others from a thread.
    #[must_use]
    pub fn burns_cpu(mut self) -> Self {
        self.about.cpu = true;
        self
    }
}

fn to_json(out: &impl Serialize) -> Result<Bytes, Failure> {
    let json = serde_json::to_vec(out)
        .map_err(|error| Failure::fatal("invalid_result", format!("the result is not JSON: {error}")))?;
    if json.len() > limits::RESULT_BYTES_MAX {
        let (size, max) = (json.len(), limits::RESULT_BYTES_MAX);
        return Err(Failure::fatal("result_too_large", format!("the result has {size} bytes, {max} are allowed")));
    }
    Ok(json.into())
}

/// Every task of this worker, by name.
#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<HashMap<String, Task>>);

impl Registry {
    /// `limit` is the hard time limit of tasks that say nothing about theirs.
    pub(crate) fn new(tasks: Vec<Task>, limit: Option<Duration>) -> anyhow::Result<Self> {
        let mut by_name = HashMap::with_capacity(tasks.len());
        for mut task in tasks {
            task.about.timeout = task.limit.or(limit);
            let name = task.about.name.to_string();
            anyhow::ensure!(by_name.insert(name.clone(), task).is_none(), "task {name} is registered twice");
        }
        Ok(Self(Arc::new(by_name)))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Task> {
        self.0.get(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Types whose attempts take another time than was told, and how long.
    pub(crate) fn paces(&self) -> Vec<(TaskName, Duration)> {
        self.0.values().filter_map(|task| Some((task.about.name.clone(), task.pace.news()?))).collect()
    }

    /// That could not be written.
    pub(crate) fn paces_untold(&self, types: &[(TaskName, Duration)]) {
        types.iter().filter_map(|(name, _)| self.get(name.as_str())).for_each(|task| task.pace.untold());
    }

    pub(crate) fn about(&self) -> Vec<TaskType> {
        self.0.values().map(|task| task.about.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_without_a_limit_of_its_own_has_the_workers() {
        #[derive(serde::Deserialize)]
        struct Nothing {}
        async fn nothing(_: Nothing, _: Context) -> Result<(), Failure> {
            Ok(())
        }
        let task = |name| Task::new(name, nothing).unwrap();
        let second = Duration::from_secs(1);
        let tasks = vec![task("silent"), task("brief").time_limit(second), task("endless").without_time_limit()];
        for inherited in [None, Some(Duration::from_hours(1))] {
            let registry = Registry::new(tasks.clone(), inherited).unwrap();
            let limits = ["silent", "brief", "endless"].map(|name| registry.get(name).unwrap().about.timeout);
            assert_eq!(limits, [inherited, Some(second), None]);
        }
    }
}
