//! Everything that is known of one task, in order: for people who look for the guilty.

use uuid::Uuid;

use crate::history::History;

/// The client's words, the ledger's runs, the attempts, the row.
pub(crate) fn timeline(history: &History, id: Uuid) -> String {
    let mut lines = vec![format!("task {id}")];
    let row = history.rows.get(&id);
    let key = row.and_then(|row| row.key.clone());
    let entry = history.entries.iter().find(|entry| entry.ids.contains(&id) || Some(&entry.key) == key.as_ref());
    let mut events: Vec<(u64, String)> = Vec::new();
    if let Some(entry) = entry {
        events.push((entry.sent_ms, format!("client   {} {:?} (keyed: {})", entry.key, entry.kind, entry.keyed)));
        events.extend(entry.words.iter().map(|(at, words)| (*at, format!("client   {words}"))));
    }
    for run in history.ledger.get(&id).into_iter().flatten() {
        events.push((run.start_ms, format!("ledger   epoch {} starts in process {}", run.epoch, run.pid)));
        if let Some(end) = run.end_ms {
            events.push((end, format!("ledger   epoch {} ends in process {}", run.epoch, run.pid)));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let zero = events.first().map_or(0, |(at, _)| *at);
    lines.extend(events.iter().map(|(at, text)| format!("  +{:>7} ms  {text}", at - zero)));
    for attempt in history.attempts.get(&id).into_iter().flatten() {
        lines.push(format!("  attempt  epoch {} {}: {}", attempt.epoch, attempt.outcome, attempt.text));
    }
    match row {
        Some(row) => lines.push(format!("  row      {}", row.text)),
        None => lines.push("  row      none".into()),
    }
    lines.join("\n")
}
