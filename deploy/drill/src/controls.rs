//! Negative controls: the same drills with one rule of the system broken, and with the healer that would hide it
//! switched off. The checker must say so, by the name of the invariant. A checker that was never seen to fail proves
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use caraway_testkit::Stack;

use crate::{
    check::{Finding, Invariant},
    drill::{self, Options, Outcome},
    fault::{Fault, catalogue},
    tasks::Mix,
    world::Setup,
};

/// One broken rule.
pub(crate) struct Control {
    pub(crate) name: &'static str,
    /// Crash-point names that switch rules off, as `FAILPOINTS` takes them.
    breaks: &'static str,
    /// The drill under which it shows.
    fault: &'static str,
    mix: Mix,
    /// Whether the trigger that keeps ended tasks as they are is dropped.
    drops_trigger: bool,
    attempts: u32,
    pub(crate) betrayed_by: Invariant,
}

/// How long a control waits for what never ends.
const PATIENCE: Duration = Duration::from_secs(45);

const USUAL: Control = Control {
    name: "",
    breaks: "",
    fault: "",
    mix: Mix::Mixed,
    drops_trigger: false,
    attempts: 10,
    betrayed_by: Invariant::Drill,
};

/// All of them.
pub(crate) fn all() -> Vec<Control> {
    vec![
        Control {
            name: "publish-before-commit",
            breaks: "break.publish-before-commit=return",
            fault: "F2",
            betrayed_by: Invariant::I16,
            ..USUAL
        },
        Control {
            name: "record-without-epoch",
            breaks: "break.record-without-epoch=return",
            fault: "F11",
            mix: Mix::Deaf,
            betrayed_by: Invariant::I5,
            ..USUAL
        },
        Control {
            name: "rescue-without-state",
            breaks: "break.rescue-without-state=return;rescuer.declared=sleep(3000)",
            fault: "F41",
            drops_trigger: true,
            betrayed_by: Invariant::I3,
            ..USUAL
        },
        Control {
            name: "ack-before-settle",
            breaks: "break.ack-before-settle=return;break.audit-off=return",
            fault: "F9",
            betrayed_by: Invariant::I2,
            ..USUAL
        },
        Control {
            name: "mark-before-confirm",
            breaks: "break.mark-before-confirm=return;break.audit-off=return",
            fault: "F19b",
            betrayed_by: Invariant::I2,
            ..USUAL
        },
        Control {
            name: "poison-rule-off",
            breaks: "break.poison-rule-off=return",
            fault: "F10",
            mix: Mix::Deadly,
            attempts: 2,
            betrayed_by: Invariant::Outcome,
            ..USUAL
        },
    ]
}

/// Runs a control. It passes when the drill's findings hold the invariant that the rule keeps.
pub(crate) async fn run(control: &Control, stack: &Arc<Stack>, seed: u64) -> Outcome {
    let mut fault: Fault = catalogue().into_iter().find(|fault| fault.id == control.fault).unwrap_or_else(|| {
        unreachable!("{} names a fault of the catalogue", control.name)
    });
    fault.mix = control.mix;
    fault.name = control.name;
    let mut options = Options::seeded(seed);
    options.setup = Setup {
        variables: vec![("FAILPOINTS".into(), control.breaks.into())],
        drops_trigger: control.drops_trigger,
    };
    options.attempts = control.attempts;
    options.quiesce = PATIENCE;
    let mut outcome = drill::run(&fault, stack, &options).await;
    outcome.id = control.name.into();
    let caught = outcome.findings.iter().filter(|finding| finding.invariant == control.betrayed_by).count();
    let others: Vec<String> = outcome.findings.iter().map(|finding| finding.invariant.to_string()).collect();
    outcome.name = format!("{} ({})", control.fault, control.betrayed_by);
    outcome.hit = format!("caught by {}: {caught} findings", control.betrayed_by);
    outcome.findings = Vec::new();
    if caught == 0 {
        let text = format!("not caught: {} broke nothing that the checker saw (it saw {others:?})", control.name);
        outcome.findings.push(Finding { invariant: Invariant::Happened, task: None, text });
    }
    outcome
}
