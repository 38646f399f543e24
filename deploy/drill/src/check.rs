//! The checker: pure. What clients were told, what the rows say and what the ledger says go in; what does not fit comes
//! out, each finding with the name of the invariant that it breaks (`reliability.md`, 1.11).
//!
//! | invariant | here |
//! |---|---|
//! | I1 | every id that was answered 2xx has a row |
//! | I2 | every task has ended |
//! | I3 | a task that had ended stands as it did |
//! | I4 | the API tells an ended task as its row is |
//! | I5 | the recorded outcome is that of the last epoch, whose run the ledger saw |
//! | I6 | attempts within the budget; one run an epoch; no epoch without its claim |
//! | I8 | two runs overlap only if the first was given up |
//! | I9 | of a workflow as many nodes are open as have not ended, and none that could start waits (by SQL, `rows.rs`) |
//! | I11 | one task a key; a key's second body is refused |
//! | I13 | what was cancelled before it started never ran |
//! | I14 | nothing runs before its time, and nothing starts after its expiry |
//! | I16 | quarantine holds what the fault explains |
//! | I18 | of a unique key the newest has run; what was cancelled gave way to a newer one; no two ran at once |
//! | I19 | a slow task of a batch starts soon after its acceptance, for slots are free |
//! | outcome | a task ends as its kind must: innocents succeed, with their own result |
//!
//! I7 and I12 follow from I2 at rest, I17 is measured by the drill; I10 and I15 have no features yet.

mod outcome;
#[cfg(test)]
mod tests;
mod unique;

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use caraway_testkit::Execution;
use serde::Serialize;
use uuid::Uuid;

use crate::history::{Attempt, CancelAnswer, Entry, History, Kind, Row};

/// From its acceptance to the start of a slow task. Two seconds are promised where nothing is killed.
const SLOW_START_MS_MAX: u64 = 3000;

/// What is broken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub(crate) enum Invariant {
    I1,
    I2,
    I3,
    I4,
    I5,
    I6,
    I8,
    I9,
    I11,
    I13,
    I14,
    I16,
    /// Recovery took longer than promised.
    I17,
    /// Two tasks of a unique key ran at once, or the newest did not run.
    I18,
    /// A slow task waited while slots were free.
    I19,
    /// A process has grown.
    Memory,
    /// A task ended otherwise than its kind must.
    Outcome,
    /// The fault's own observable stayed 0: it did not happen.
    Happened,
    /// The system was idle when the fault hit.
    Idle,
    /// The drill itself failed.
    Drill,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Memory => "memory",
            Self::Outcome => "outcome",
            Self::Happened => "did-not-happen",
            Self::Idle => "idle",
            Self::Drill => "drill",
            numbered => return fmt::Debug::fmt(numbered, f),
        };
        f.write_str(text)
    }
}

/// One thing that does not fit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) invariant: Invariant,
    pub(crate) task: Option<Uuid>,
    pub(crate) text: String,
}

/// The figures of one drill.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) accepted: usize,
    pub(crate) finished: usize,
    pub(crate) lost: usize,
    /// Tasks whose body ran more often than their recorded attempts explain.
    pub(crate) executed_twice: usize,
    /// Tasks with a second, or a foreign, recorded outcome.
    pub(crate) recorded_twice: usize,
    pub(crate) wrong: usize,
    /// Answers "unknown" that clients heard.
    pub(crate) unknown: usize,
}

/// Everything that does not fit.
pub(crate) fn check(history: &History) -> Vec<Finding> {
    let mut found = Findings::default();
    accepted(history, &mut found);
    keys(history, &mut found);
    ends(history, &mut found);
    let entries: HashMap<&str, &Entry> = history.entries.iter().map(|entry| (entry.key.as_str(), entry)).collect();
    for (id, row) in &history.rows {
        let runs = history.ledger.get(id).map_or(&[][..], Vec::as_slice);
        let attempts = history.attempts.get(id).map_or(&[][..], Vec::as_slice);
        let task = Task { id: *id, row, runs, attempts };
        claims(&task, &mut found);
        overlaps(&task, &mut found);
        if let Some(entry) = row.key.as_deref().and_then(|key| entries.get(key)) {
            outcome::outcome(&task, entry, &mut found);
            times(&task, entry, &mut found);
            fan_out(&task, entry, &mut found);
        }
    }
    unique::unique(history, &mut found);
    quarantine(history, &mut found);
    found.0.sort_by_key(|finding| (finding.invariant, finding.task));
    found.0
}

/// Counts what a table shows; `findings` are those of the same history.
pub(crate) fn figures(history: &History, findings: &[Finding]) -> Figures {
    let accepted: HashSet<Uuid> = history.entries.iter().flat_map(|entry| entry.ids.iter().copied()).collect();
    let ended = |id: &Uuid| history.rows.get(id).is_some_and(|row| is_terminal(&row.state));
    let tasks_of = |wanted: &[Invariant]| {
        let of = findings.iter().filter(|finding| wanted.contains(&finding.invariant));
        of.map(|finding| finding.task).collect::<HashSet<_>>().len()
    };
    let again = |(id, runs): (&Uuid, &Vec<Execution>)| {
        let attempts = history.attempts.get(id).map_or(&[][..], Vec::as_slice);
        let planned = attempts.iter().filter(|attempt| !matches!(attempt.outcome.as_str(), "lost" | "interrupted"));
        runs.len() > planned.count() + 1
    };
    Figures {
        accepted: accepted.len(),
        finished: history.rows.values().filter(|row| is_terminal(&row.state)).count(),
        lost: accepted.iter().filter(|id| !ended(id)).count(),
        executed_twice: history.ledger.iter().filter(|entry| again(*entry)).count(),
        recorded_twice: tasks_of(&[Invariant::I3, Invariant::I5]),
        wrong: tasks_of(&[Invariant::Outcome, Invariant::I4]),
        unknown: history.entries.iter().map(|entry| usize::try_from(entry.unknown).unwrap_or(0)).sum(),
    }
}

/// One task, from all sides.
struct Task<'a> {
    id: Uuid,
    row: &'a Row,
    runs: &'a [Execution],
    attempts: &'a [Attempt],
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, invariant: Invariant, task: impl Into<Option<Uuid>>, text: impl Into<String>) {
        self.0.push(Finding { invariant, task: task.into(), text: text.into() });
    }
}

fn is_terminal(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled" | "expired")
}

/// I1, I2.
fn accepted(history: &History, found: &mut Findings) {
    for entry in &history.entries {
        for id in entry.ids.iter().filter(|id| !history.rows.contains_key(id)) {
            found.add(Invariant::I1, *id, format!("answered 2xx, and there is no row ({:?})", entry.kind));
        }
    }
    for (id, row) in history.rows.iter().filter(|(_, row)| !is_terminal(&row.state)) {
        found.add(Invariant::I2, *id, format!("never ended: it is {} at epoch {}", row.state, row.epoch));
    }
}

/// I11.
fn keys(history: &History, found: &mut Findings) {
    let mut rows: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for (id, row) in &history.rows {
        if let Some(key) = &row.key {
            rows.entry(key).or_default().push(*id);
        }
    }
    for entry in &history.entries {
        let made = rows.get(entry.key.as_str()).map_or(0, Vec::len);
        let answered: HashSet<&Uuid> = entry.ids.iter().collect();
        if answered.len() > 1 {
            found.add(Invariant::I11, entry.id(), format!("one key was answered with the ids {:?}", entry.ids));
        }
        if made > 1 {
            found.add(Invariant::I11, entry.id(), format!("{made} rows of one submission (keyed: {})", entry.keyed));
        }
        if made > 0 && entry.ids.is_empty() && entry.unknown == 0 {
            found.add(Invariant::I11, None, format!("{}: a row, and its client was only ever refused", entry.key));
        }
    }
    let known: HashSet<&str> = history.entries.iter().map(|entry| entry.key.as_str()).collect();
    let foreign = history.rows.values().filter(|row| row.key.as_deref().is_none_or(|key| !known.contains(key)));
    let foreign = foreign.count();
    if foreign > history.rows_explained {
        found.add(Invariant::I11, None, format!("{foreign} rows that no client asked for"));
    }
    for (status, code) in history.reused.iter().filter(|(status, _)| *status != 422) {
        found.add(Invariant::I11, None, format!("a key with another body was answered {status} {code}"));
    }
}

/// I3, I4.
fn ends(history: &History, found: &mut Findings) {
    for (id, before) in history.ended_before.iter().flatten() {
        match history.ended.get(id) {
            Some(after) if after == before => (),
            after => found.add(
                Invariant::I3,
                *id,
                format!(
                    "it had ended as {} at epoch {}, and later it is {:?}",
                    before.state,
                    before.epoch,
                    after.map(|after| (&after.state, after.epoch))
                ),
            ),
        }
    }
    for (id, state, result) in &history.told {
        let row = history.rows.get(id);
        if row.is_none_or(|row| row.state != *state || (result.is_some() && row.result != *result)) {
            found.add(Invariant::I4, *id, format!("the API tells {state}, the row {:?}", row.map(|row| &row.state)));
        }
    }
}

/// I6: budgets, and the ledger against the row's claims.
fn claims(task: &Task<'_>, found: &mut Findings) {
    let row = task.row;
    if row.attempt > row.max_attempts {
        found.add(Invariant::I6, task.id, format!("attempt {} of {}", row.attempt, row.max_attempts));
    }
    if row.losses > 3 {
        found.add(Invariant::I6, task.id, format!("lost {} times: it should have been poison", row.losses));
    }
    let mut epochs = HashSet::new();
    for run in task.runs {
        if !epochs.insert(run.epoch) {
            found.add(Invariant::I6, task.id, format!("two runs under epoch {}", run.epoch));
        }
        if run.epoch > row.epoch || run.epoch < 1 {
            found.add(Invariant::I6, task.id, format!("a run under epoch {}, the row is at {}", run.epoch, row.epoch));
        }
    }
    let kept: HashSet<i32> = task.attempts.iter().map(|attempt| attempt.epoch).collect();
    if is_terminal(&row.state)
        && let Some(gap) = (1..row.epoch).find(|epoch| !kept.contains(epoch))
    {
        found.add(Invariant::I6, task.id, format!("the claim of epoch {gap} has left no attempt"));
    }
}

/// I8.
fn overlaps(task: &Task<'_>, found: &mut Findings) {
    for (index, first) in task.runs.iter().enumerate() {
        for second in task.runs.iter().skip(index + 1).filter(|second| first.overlaps(second)) {
            let earlier = first.epoch.min(second.epoch);
            let given_up = task.attempts.iter().any(|attempt| {
                attempt.epoch == earlier && matches!(attempt.outcome.as_str(), "lost" | "interrupted" | "timed_out")
            });
            if !given_up {
                let text = format!("the runs of epochs {} and {} overlap", first.epoch, second.epoch);
                found.add(Invariant::I8, task.id, text);
            }
        }
    }
}

/// I13, I14.
fn times(task: &Task<'_>, entry: &Entry, found: &mut Findings) {
    let gave_way = entry.kind.unique().is_some() && task.row.state == "cancelled";
    if (gave_way || entry.cancel == Some(CancelAnswer::Cancelled)) && task.row.epoch == 0 && !task.runs.is_empty() {
        found.add(Invariant::I13, task.id, "it was cancelled before any claim, and ran");
    }
    if task.row.state == "expired" && task.row.epoch == 0 && !task.runs.is_empty() {
        found.add(Invariant::I14, task.id, "it expired before any claim, and ran");
    }
    if task.row.started_expired {
        found.add(Invariant::I14, task.id, "it was started past its expiry");
    }
    if let Kind::Delayed(delay) = entry.kind
        && let Some(early) = task.runs.iter().find(|run| run.start_ms < entry.sent_ms + delay)
    {
        let by = entry.sent_ms + delay - early.start_ms;
        found.add(Invariant::I14, task.id, format!("it ran {by} ms before its time"));
    }
}

/// I19. A task whose worker was killed may have been claimed, and not have begun: then its first run says nothing.
fn fan_out(task: &Task<'_>, entry: &Entry, found: &mut Findings) {
    let first = task.runs.iter().find(|run| run.epoch == 1);
    let (Kind::Slow, Some(first), Some(accepted_ms)) = (entry.kind, first, entry.accepted_ms) else {
        return; // that it never ran is told by others
    };
    let waited = first.start_ms.saturating_sub(accepted_ms);
    if waited > SLOW_START_MS_MAX {
        found.add(Invariant::I19, task.id, format!("a slow task of a batch began after {waited} ms"));
    }
}

/// I16.
fn quarantine(history: &History, found: &mut Findings) {
    let count = history.quarantine.len();
    if count != history.quarantine_explained {
        let reasons: HashSet<&String> = history.quarantine.iter().collect();
        let explained = history.quarantine_explained;
        found.add(Invariant::I16, None, format!("{count} in quarantine, {explained} explained: {reasons:?}"));
    }
}
