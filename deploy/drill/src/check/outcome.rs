//! How a task has to end: by its kind, and by its own run.

use serde_json::Value;

use super::{Findings, Invariant, Task};
use crate::history::{CancelAnswer, Entry, Kind};

/// `outcome` and I5.
pub(super) fn outcome(task: &Task<'_>, entry: &Entry, found: &mut Findings) {
    let row = task.row;
    let wanted = wanted(entry);
    if super::is_terminal(&row.state) && !wanted.contains(&row.state.as_str()) {
        let error = row.error_code.as_deref().unwrap_or("no error");
        let text = format!("{:?} must end as {}, and is {} ({error})", entry.kind, wanted.join(" or "), row.state);
        found.add(Invariant::Outcome, task.id, text);
    }
    if let Some(code) = wanted_code(entry.kind).filter(|_| row.state == "failed")
        && row.error_code.as_deref() != Some(code)
    {
        let text = format!("{:?} must fail as {code}, and did as {:?}", entry.kind, row.error_code);
        found.add(Invariant::Outcome, task.id, text);
    }
    if row.state == "succeeded" {
        succeeded(task, entry, found);
    }
}

fn wanted(entry: &Entry) -> &'static [&'static str] {
    match (entry.kind, entry.cancel) {
        (Kind::Abort | Kind::Hung, _) => &["failed"],
        (Kind::Cancelled, Some(CancelAnswer::Cancelled)) => &["cancelled"],
        (Kind::Cancelled | Kind::Latest(_) | Kind::Replace(_), _) => &["cancelled", "succeeded"],
        (Kind::Expiring, _) => &["succeeded", "expired"],
        _ => &["succeeded"],
    }
}

fn wanted_code(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Abort => Some("poison"),
        Kind::Hung => Some("timed_out"),
        _ => None,
    }
}

/// The result is the last epoch's own, seen by the ledger to its end, and says what was asked.
fn succeeded(task: &Task<'_>, entry: &Entry, found: &mut Findings) {
    let Some(result) = &task.row.result else {
        return found.add(Invariant::Outcome, task.id, "it succeeded without a result");
    };
    if entry.kind == Kind::Image {
        if result["bytes"].as_u64().is_none_or(|bytes| bytes == 0) {
            found.add(Invariant::Outcome, task.id, format!("no picture: {result}"));
        }
        return;
    }
    if result["epoch"].as_i64() != Some(task.row.epoch.into()) {
        let text = format!("the row is at epoch {}, and its result of epoch {}", task.row.epoch, result["epoch"]);
        found.add(Invariant::I5, task.id, text);
    }
    if !task.runs.iter().any(|run| run.epoch == task.row.epoch && run.end_ms.is_some()) {
        let text = format!("it succeeded under epoch {}, and the ledger saw no such run end", task.row.epoch);
        found.add(Invariant::I5, task.id, text);
    }
    let said = match entry.kind {
        Kind::Echo => result["token"] == entry.key.as_str(),
        Kind::Large(bytes) => is_repeated(&result["text"], &entry.key, bytes),
        _ => true,
    };
    if !said {
        found.add(Invariant::Outcome, task.id, "the result is not what was asked for");
    }
}

fn is_repeated(text: &Value, token: &str, bytes: usize) -> bool {
    text.as_str().is_some_and(|text| text.len() == bytes && text.chars().eq(token.chars().cycle().take(bytes)))
}
