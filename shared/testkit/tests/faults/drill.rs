//! What all fault tests do alike: the load, the wait for its middle, and the reckoning.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use caraway_testkit::{Api, Database, Ended, Execution, Loading, Place, Program, Stack, eventually};
use serde_json::json;
use uuid::Uuid;

pub(crate) const TASKS: usize = 2_000;
const CLIENTS: usize = 32;
const SUBMITTED_OVER: Duration = Duration::from_secs(3);
/// Two workers with so few slots that a backlog grows while clients submit.
const SLOTS: usize = 8;
/// The fault hits when so many were accepted.
const MIDDLE: usize = 1_200;

/// Private servers, an API, two workers and the load. Programs end before their servers.
pub(crate) struct Drill {
    pub(crate) api: Program,
    pub(crate) workers: Vec<Program>,
    pub(crate) client: Api,
    pub(crate) database: Database,
    pub(crate) place: Place,
    pub(crate) stack: Stack,
    name: &'static str,
}

/// What stood in the database right before the fault.
pub(crate) struct Fault {
    at: Instant,
    pub(crate) running: i64,
    ended: HashMap<Uuid, Ended>,
}

impl Drill {
    pub(crate) async fn start(name: &'static str) -> Self {
        let stack = Stack::start(name).await;
        let place = Place::on(&stack, name).await;
        let api = place.api().start().await;
        let mut workers = Vec::new();
        for name in ["worker-1", "worker-2"] {
            workers.push(place.ledger_worker(name, SLOTS).start().await);
        }
        Self { client: place.client(&api), database: place.database().await, api, workers, place, stack, name }
    }

    /// 32 clients submit 2,000 tasks of 50 ms.
    pub(crate) fn load(&self) -> Loading {
        let task = self.client.task("sleep", json!({ "seconds": 0.05 }));
        Loading::start(&self.client, &task, TASKS, CLIENTS, SUBMITTED_OVER)
    }

    /// Waits for the middle of the load, and looks at what the fault is about to hit.
    pub(crate) async fn middle(&self, loading: &Loading) -> Fault {
        eventually(Duration::from_mins(1), "most tasks are accepted", async || {
            let accepted = loading.accepted();
            if accepted >= MIDDLE { Ok(()) } else { Err(format!("{accepted} accepted")) }
        })
        .await;
        let ended = self.database.ended().await;
        eventually(Duration::from_secs(10), "tasks run at the moment of the fault", async || {
            let running = self.database.states().await.get("running").copied().unwrap_or(0);
            if running > 0 {
                Ok(Fault { at: Instant::now(), running, ended: ended.clone() })
            } else {
                Err("none".into())
            }
        })
        .await
    }

    /// A counter, summed over all processes and all their lives.
    pub(crate) async fn counter(&mut self, name: &str) -> u64 {
        let mut sum = self.api.counters().await.sum(name);
        for worker in &mut self.workers {
            sum += worker.counters().await.sum(name);
        }
        sum
    }

    /// Fails unless the recovery path did something.
    pub(crate) async fn assert_rose(&mut self, counters: &[&str]) {
        for counter in counters {
            let count = self.counter(counter).await;
            println!("{}: {counter} {count}", self.name);
            assert!(count > 0, "{counter} is 0: this recovery path was not tested");
        }
    }

    /// Waits until everything has ended, and reckons: all that was accepted succeeded, once, and stays as it is.
    pub(crate) async fn finish(&self, loading: Loading, fault: &Fault, within: Duration) {
        let load = loading.done().await;
        let healed = Instant::now();
        let rows = eventually(within, "every task has ended", async || {
            let states = self.database.try_states().await.map_err(|error| error.to_string())?;
            let rows: i64 = states.values().sum();
            if states.get("succeeded") == Some(&rows) { Ok(rows) } else { Err(format!("{states:?}")) }
        })
        .await;
        let took = fault.at.elapsed();
        let ended = self.database.ended().await;
        let executions = self.place.ledger().read();
        println!(
            "{}: accepted {}, refused {}, unknown {}, rows {rows}, executed {}, executions {}, executed twice {}, \
             overlapping {}; running at the fault {}, ended before it {}; all done {:.1} s after the fault, {:.1} s \
             after the last was accepted",
            self.name,
            load.accepted.len(),
            load.refused,
            load.unknown,
            executions.len(),
            executions.values().map(Vec::len).sum::<usize>(),
            executions.values().filter(|runs| runs.len() > 1).count(),
            executions.values().filter(|runs| overlapping(runs)).count(),
            fault.running,
            fault.ended.len(),
            took.as_secs_f64(),
            healed.elapsed().as_secs_f64(),
        );

        assert_eq!(load.accepted.len(), TASKS);
        let missing: Vec<_> = load.accepted.iter().filter(|id| !ended.contains_key(id)).collect();
        assert!(missing.is_empty(), "accepted and gone: {missing:?}");
        let extra = ended.len() - load.accepted.len();
        assert!(extra <= load.unknown, "{extra} rows too many, and only {} outcomes were unknown", load.unknown);
        check_results(&ended, &executions);
        for (id, before) in &fault.ended {
            assert_eq!(ended.get(id), Some(before), "task {id} changed after it had ended");
        }
        for id in load.accepted.iter().step_by(TASKS / 50) {
            let document = self.client.show(*id).await;
            assert_eq!(document["state"], "succeeded", "the API tells another story: {document}");
        }
    }
}

/// What is recorded comes from the run that held the last epoch, and that run was seen to its end.
fn check_results(ended: &HashMap<Uuid, Ended>, executions: &std::collections::BTreeMap<Uuid, Vec<Execution>>) {
    for (id, row) in ended {
        assert_eq!(row.state, "succeeded", "task {id}");
        let recorded = row.result_field("epoch").and_then(|epoch| epoch.as_i64());
        assert_eq!(recorded, Some(i64::from(row.epoch)), "task {id} has a result of another epoch");
        let runs = executions.get(id).map_or(&[][..], Vec::as_slice);
        let whole = runs.iter().any(|run| run.epoch == row.epoch && run.end_ms.is_some());
        assert!(whole, "task {id} succeeded under epoch {}, and the ledger knows only {runs:?}", row.epoch);
    }
}

fn overlapping(runs: &[Execution]) -> bool {
    runs.iter().enumerate().any(|(index, run)| runs.iter().skip(index + 1).any(|other| run.overlaps(other)))
}
