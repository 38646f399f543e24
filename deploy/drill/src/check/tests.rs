//! Each invariant, broken by hand: a checker that was never seen to fail proves nothing.

use caraway_testkit::{Ended, Execution};
use serde_json::json;

use super::*;

const ID: Uuid = Uuid::from_u128(7);

fn entry(kind: Kind) -> Entry {
    Entry {
        key: "k".into(),
        keyed: true,
        kind,
        sent_ms: 1000,
        ids: vec![ID],
        accepted_ms: Some(1001),
        refused: 0,
        unknown: 0,
        cancel: None,
        words: Vec::new(),
    }
}

fn row(state: &str, epoch: i32) -> Row {
    Row {
        key: Some("k".into()),
        state: state.into(),
        epoch,
        attempt: epoch,
        max_attempts: 9,
        losses: 0,
        result: Some(json!({ "epoch": epoch, "token": "k" })),
        error_code: None,
        started_expired: false,
        text: String::new(),
    }
}

fn run(epoch: i32, start_ms: u64, end_ms: Option<u64>) -> Execution {
    Execution { epoch, pid: 1, start_ms, end_ms }
}

fn attempt(epoch: i32, outcome: &str) -> Attempt {
    Attempt { epoch, outcome: outcome.into(), text: String::new() }
}

/// One task that was accepted, ran once and succeeded.
fn good() -> History {
    let mut history = History { entries: vec![entry(Kind::Echo)], ..History::default() };
    history.rows.insert(ID, row("succeeded", 1));
    history.ledger.insert(ID, vec![run(1, 1010, Some(1020))]);
    history
}

#[track_caller]
fn breaks(change: impl FnOnce(&mut History), wanted: Invariant) {
    let mut history = good();
    change(&mut history);
    let found = check(&history);
    assert!(found.iter().any(|finding| finding.invariant == wanted), "wanted {wanted}, found {found:#?}");
}

fn the_row(history: &mut History) -> &mut Row {
    history.rows.get_mut(&ID).unwrap()
}

#[test]
fn what_is_well_is_not_blamed() {
    let history = good();
    assert_eq!(check(&history), []);
    let figures = figures(&history, &[]);
    assert_eq!((figures.accepted, figures.finished, figures.lost, figures.executed_twice), (1, 1, 0, 0));
}

#[test]
fn a_rescued_task_is_well_and_counts_as_executed_twice() {
    let mut history = good();
    history.rows.insert(ID, row("succeeded", 2));
    history.attempts.insert(ID, vec![attempt(1, "lost")]);
    history.ledger.insert(ID, vec![run(1, 1010, None), run(2, 1020, Some(1030))]);
    assert_eq!(check(&history), []);
    assert_eq!(figures(&history, &[]).executed_twice, 1);
}

#[test]
fn i1_a_row_is_gone() {
    breaks(|history| history.rows.clear(), Invariant::I1);
    let mut history = good();
    history.rows.clear();
    assert_eq!(figures(&history, &check(&history)).lost, 1);
}

#[test]
fn i2_a_task_never_ends() {
    breaks(|history| the_row(history).state = "queued".into(), Invariant::I2);
}

#[test]
fn i3_an_ended_task_changes() {
    let ended = |state: &str| Ended { state: state.into(), epoch: 1, result: None };
    breaks(|history| history.ended_before.push([(ID, ended("succeeded"))].into()), Invariant::I3);
    breaks(
        |history| {
            history.ended_before.push([(ID, ended("failed"))].into());
            history.ended.insert(ID, ended("succeeded"));
        },
        Invariant::I3,
    );
}

#[test]
fn i4_the_api_tells_another_story() {
    breaks(|history| history.told.push((ID, "failed".into(), None)), Invariant::I4);
    breaks(|history| history.told.push((ID, "succeeded".into(), Some(json!(1)))), Invariant::I4);
}

#[test]
fn i5_a_late_result_was_recorded() {
    breaks(
        |history| {
            history.rows.insert(ID, row("succeeded", 2));
            the_row(history).result = Some(json!({ "epoch": 1, "token": "k" }));
            history.attempts.insert(ID, vec![attempt(1, "lost")]);
            history.ledger.insert(ID, vec![run(1, 1010, Some(1050)), run(2, 1040, Some(1060))]);
        },
        Invariant::I5,
    );
    breaks(|history| history.ledger.clear(), Invariant::I5);
}

#[test]
fn i6_claims_and_runs_do_not_agree() {
    breaks(|history| the_row(history).attempt = 10, Invariant::I6);
    breaks(|history| the_row(history).losses = 4, Invariant::I6);
    breaks(|history| history.ledger.get_mut(&ID).unwrap().push(run(1, 1030, Some(1040))), Invariant::I6);
    breaks(|history| history.ledger.get_mut(&ID).unwrap().push(run(2, 1030, Some(1040))), Invariant::I6);
    breaks(
        |history| {
            history.rows.insert(ID, row("succeeded", 2));
            history.ledger.insert(ID, vec![run(2, 1020, Some(1030))]);
        },
        Invariant::I6,
    );
}

#[test]
fn i8_two_runs_overlap_without_a_rescue() {
    breaks(
        |history| {
            history.rows.insert(ID, row("succeeded", 2));
            history.attempts.insert(ID, vec![attempt(1, "failed")]);
            history.ledger.insert(ID, vec![run(1, 1010, Some(1050)), run(2, 1040, Some(1060))]);
        },
        Invariant::I8,
    );
}

#[test]
fn i11_a_key_makes_two_tasks() {
    let other = Uuid::from_u128(8);
    breaks(
        |history| {
            history.rows.insert(other, row("succeeded", 1));
            history.ledger.insert(other, vec![run(1, 1010, Some(1020))]);
        },
        Invariant::I11,
    );
    breaks(|history| history.entries[0].ids.clear(), Invariant::I11);
    breaks(|history| history.reused.push((202, String::new())), Invariant::I11);
    breaks(|history| the_row(history).key = None, Invariant::I11);
}

#[test]
fn i13_a_cancelled_task_runs() {
    breaks(
        |history| {
            history.entries[0].kind = Kind::Cancelled;
            history.entries[0].cancel = Some(CancelAnswer::Cancelled);
            history.rows.insert(ID, row("cancelled", 0));
        },
        Invariant::I13,
    );
}

#[test]
fn i14_a_task_runs_out_of_its_time() {
    breaks(|history| history.entries[0].kind = Kind::Delayed(11), Invariant::I14);
    breaks(|history| the_row(history).started_expired = true, Invariant::I14);
}

#[test]
fn i16_quarantine_is_not_explained() {
    breaks(|history| history.quarantine.push("unknown_task".into()), Invariant::I16);
    breaks(|history| history.quarantine_explained = 1, Invariant::I16);
}

/// Two tasks of one unique key, the second newer; the first ended so, and the second so.
fn unique_pair(first: &str, second: &str) -> History {
    let mut history = History::default();
    for (number, state) in [(1_u64, first), (2, second)] {
        let (id, key) = (Uuid::from_u128(number.into()), format!("k{number}"));
        let (sent_ms, accepted_ms) = (number * 1000, Some(number * 1000 + 1));
        let entry = Entry { key: key.clone(), ids: vec![id], sent_ms, accepted_ms, ..entry(Kind::Latest(5)) };
        history.entries.push(entry);
        history.rows.insert(id, Row { key: Some(key), ..row(state, i32::from(state == "succeeded")) });
        if state == "succeeded" {
            history.ledger.insert(id, vec![run(1, number * 1000 + 10, Some(number * 1000 + 100))]);
        }
    }
    history
}

#[test]
fn i18_unique_tasks() {
    assert_eq!(check(&unique_pair("succeeded", "succeeded")), []);
    assert_eq!(check(&unique_pair("cancelled", "succeeded")), []);
    let i18 = |history: &History| check(history).iter().any(|finding| finding.invariant == Invariant::I18);
    assert!(i18(&unique_pair("succeeded", "cancelled")), "the newest never ran");
    assert!(i18(&unique_pair("cancelled", "cancelled")), "none ran");
    let mut beside = unique_pair("succeeded", "succeeded");
    beside.ledger.get_mut(&Uuid::from_u128(1)).unwrap()[0].end_ms = Some(2050);
    assert!(i18(&beside), "both ran at once");
    let mut unsure = unique_pair("succeeded", "cancelled");
    unsure.entries[0].accepted_ms = None;
    assert!(!i18(&unsure), "the first may be the newer one");
}

#[test]
fn outcome_an_innocent_fails_or_says_something_else() {
    breaks(
        |history| {
            the_row(history).state = "failed".into();
            the_row(history).error_code = Some("poison".into());
        },
        Invariant::Outcome,
    );
    breaks(|history| history.entries[0].key = "k2".into(), Invariant::I11); // a foreign row is not even its own
    breaks(|history| the_row(history).result = Some(json!({ "epoch": 1, "token": "x" })), Invariant::Outcome);
    breaks(|history| the_row(history).result = None, Invariant::Outcome);
    breaks(|history| history.entries[0].kind = Kind::Large(3), Invariant::Outcome);
    breaks(|history| history.entries[0].kind = Kind::Abort, Invariant::Outcome);
}

#[test]
fn a_slow_task_of_a_batch_starts_soon_unless_its_worker_was_killed_before() {
    let slow = |history: &mut History| {
        history.entries = vec![entry(Kind::Slow)];
        history.ledger.insert(ID, vec![run(1, 4100, Some(9100))]);
    };
    breaks(slow, Invariant::I19);
    let mut history = good();
    slow(&mut history);
    history.ledger.insert(ID, vec![run(2, 4100, Some(9100))]);
    assert!(
        check(&history).iter().all(|finding| finding.invariant != Invariant::I19),
        "what it claimed first never began"
    );
}
