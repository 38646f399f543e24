//! Negative controls: the same drills with one rule of the system broken, and with the healer that would hide it
//! switched off. The checker must say so, by the name of the invariant. A checker that was never seen to fail proves
//! nothing.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use caraway_testkit::Stack;
use futures::FutureExt as _;

use crate::{
    check::{Finding, Invariant},
    drill::{self, Drill, Options},
    fault::{Fault, Hit, catalogue, usual},
    faults::{maintenance::race_late_rescuers, upgrade::roll_hastily},
    outcome::Outcome,
    tasks::Mix,
    world::{Setup, until},
};

/// One broken rule.
pub(crate) struct Control {
    pub(crate) name: &'static str,
    /// Rules that every process breaks, as `FAILPOINTS` takes them.
    breaks: &'static str,
    /// Whether the trigger that keeps ended tasks as they are is dropped.
    drops_trigger: bool,
    attempts: u32,
    /// The drill under which it shows.
    fault: Fault,
    /// None for a system that is only slower to heal: then nothing may be found.
    pub(crate) betrayed_by: Option<Invariant>,
}

/// How long a control waits for what never ends.
const PATIENCE: Duration = Duration::from_secs(45);
/// Deaths that a poison task without its rule brings about before the load ends.
const DEATHS: u64 = 12;

fn control(name: &'static str, breaks: &'static str, fault: &str, betrayed_by: Invariant) -> Control {
    let found = catalogue().into_iter().find(|known| known.id == fault);
    let fault = found
        .unwrap_or_else(|| usual("?", "no such fault", |_| async { anyhow::bail!("no such fault") }.boxed_local()));
    Control { name, breaks, drops_trigger: false, attempts: 10, fault, betrayed_by: Some(betrayed_by) }
}

/// All of them.
pub(crate) fn all() -> Vec<Control> {
    let mut all = vec![
        control("publish-before-commit", "break.publish-after-commit=return", "F12", Invariant::I16),
        control("record-without-epoch", "break.record-epoch=return", "F11", Invariant::I5),
        control("rescue-without-state", "break.rescue-state=return", "F41", Invariant::I3),
        control("ack-before-settle", "break.ack-after-settle=return;break.audit=return", "F9", Invariant::I2),
        control("mark-before-confirm", "break.mark-after-confirm=return;break.audit=return", "F20b", Invariant::I2),
        control("poison-rule-off", "break.poison=return", "F10", Invariant::Outcome),
        control("decide-before-lock", "break.decide-under-lock=return;break.audit=return", "F80", Invariant::I18),
        control("unique-keys-unlocked", "break.lock-unique-keys=return;break.audit=return", "F81", Invariant::I18),
        control("contract-too-early", "", "F83", Invariant::I17),
        control("read-only-connections-kept", "break.drop-read-only=return", "F84", Invariant::I17),
        control("slow-tasks-together", "break.fan-out=return", "F82", Invariant::I19),
        control("audit-off-workers-killed", "break.audit=return", "F9", Invariant::I2),
        control("audit-off-broker-killed", "break.audit=return", "F20b", Invariant::I2),
    ];
    for control in &mut all {
        match control.name {
            // the newer attempt must still run when the late one ends: long tasks, and no backlog before them
            "record-without-epoch" => (control.fault.mix, control.fault.rate) = (Mix::Deaf, 7),
            "rescue-without-state" => {
                control.drops_trigger = true;
                control.fault.inject = |drill| race_late_rescuers(drill).boxed_local();
            }
            "contract-too-early" => control.fault.inject = |drill| roll_hastily(drill).boxed_local(),
            // what the two rules above lose, they lose by themselves, and not because the audit is off
            name if name.starts_with("audit-off") => control.betrayed_by = None,
            "ack-before-settle" => (control.fault.mix, control.fault.rate) = (Mix::Backlog, 140),
            // a task that may be lost twice without being a suspect takes its neighbours with it
            "poison-rule-off" => {
                control.attempts = 2;
                control.fault.mix = Mix::DeadlyLong;
                control.fault.inject = |drill| deaths(drill).boxed_local();
            }
            _ => (),
        }
    }
    all
}

async fn deaths(drill: &Drill) -> anyhow::Result<Hit> {
    let count = || drill.world.deaths.load(Ordering::Acquire);
    until(PATIENCE * 3, "workers die", async || Ok((count() >= DEATHS).then_some(()))).await?;
    Ok(Hit::new(count(), "workers died"))
}

/// Runs a control. It passes when the drill's findings hold the invariant that the rule keeps.
pub(crate) async fn run(control: &Control, stack: &Arc<Stack>, seed: u64) -> Outcome {
    let mut options = Options::seeded(seed);
    let variables = vec![("FAILPOINTS".into(), control.breaks.into())];
    options.setup = Setup { variables, drops_trigger: control.drops_trigger };
    options.attempts = control.attempts;
    options.quiesce = PATIENCE;
    let mut outcome = drill::run(&control.fault, stack, &options).await;
    outcome.id = control.name.into();
    outcome.name = format!("under {}", control.fault.id);
    if let Some(wanted) = control.betrayed_by {
        caught(&mut outcome, wanted);
    }
    outcome
}

/// Turns the verdict round: what was found is what was wanted.
fn caught(outcome: &mut Outcome, wanted: Invariant) {
    let (others, hit) = (others(outcome), std::mem::take(&mut outcome.hit));
    // that the guilty one ends otherwise is no news; its neighbours must be among the victims
    let is_it = |finding: &&Finding| finding.invariant == wanted && !finding.text.starts_with("Abort");
    let caught: Vec<String> = outcome.findings.iter().filter(is_it).map(|finding| finding.text.clone()).collect();
    outcome.hit =
        format!("caught by {wanted}: {} findings, such as: {}", caught.len(), caught.first().map_or("", |text| text));
    outcome.findings = Vec::new();
    if caught.is_empty() {
        outcome.add(Invariant::Happened, format!("not caught by {wanted}: {hit}; the checker saw {others:?}"));
    }
}

fn others(outcome: &Outcome) -> Vec<String> {
    outcome.findings.iter().map(|finding| format!("{}: {}", finding.invariant, finding.text)).take(5).collect()
}
