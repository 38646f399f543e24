//! Random graphs, random ends in random order, some of them told twice: none runs twice, none runs too early, none hangs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::workflow::{Draft, OnDependencyFailure, When};

const WHENS: [When; 3] = [When::Succeeded, When::Failed, When::Finished];
const FORMS: [OnDependencyFailure; 3] =
    [OnDependencyFailure::Cancel, OnDependencyFailure::Run, OnDependencyFailure::Ignore];
const ENDS: [State; 4] = [State::Succeeded, State::Failed, State::Cancelled, State::Expired];

/// Every node depends on some of those before it.
fn plan() -> impl Strategy<Value = Plan> {
    let node = (prop::collection::vec((any::<prop::sample::Index>(), 0..3usize), 0..4), 0..3usize, any::<bool>());
    prop::collection::vec(node, 0..25).prop_map(|nodes| {
        let drafts = nodes.into_iter().enumerate().map(|(index, (edges, form, tolerated))| {
            let edges =
                edges.into_iter().filter(|_| index > 0).map(|(before, when)| (before.index(index), WHENS[when]));
            let mut depends_on: Vec<(String, When)> = Vec::new();
            for (before, when) in edges {
                if depends_on.iter().all(|(key, _)| *key != before.to_string()) {
                    depends_on.push((before.to_string(), when));
                }
            }
            Draft { key: index.to_string(), depends_on, on_dependency_failure: FORMS[form], tolerated }
        });
        Plan::new(drafts.collect()).unwrap()
    })
}

/// What everybody may see of a run: what was released, what has ended and how.
struct Seen {
    released: BTreeSet<usize>,
    ends: Vec<Option<State>>,
    finished: Option<WorkflowState>,
}

impl Seen {
    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        for node in &step.released {
            prop_assert!(self.released.insert(*node), "{node} was released twice");
            prop_assert_eq!(self.ends[*node], None, "{} was released after its end", node);
        }
        for node in &step.cancelled {
            prop_assert!(!self.released.contains(node) && self.ends[*node].is_none(), "{node} had begun");
            self.ends[*node] = Some(State::Cancelled);
        }
        if let Some(state) = step.finished {
            prop_assert_eq!(self.finished.replace(state), None, "finished twice");
        }
        Ok(())
    }

    fn in_flight(&self) -> Vec<usize> {
        self.released.iter().copied().filter(|node| self.ends[*node].is_none()).collect()
    }
}

/// Whether what a node asks of its dependencies is met, as the documentation says it.
fn may_start(plan: &Plan, node: usize, ends: &[Option<State>]) -> bool {
    let node = &plan.nodes[node];
    let ended = |met: bool| {
        node.depends_on.iter().filter(move |edge| ends[edge.node].is_some_and(|state| edge.when.met_by(state) == met))
    };
    let (met, missed, all) = (ended(true).count(), ended(false).count(), node.depends_on.len());
    match node.on_dependency_failure {
        OnDependencyFailure::Cancel => met == all,
        OnDependencyFailure::Run => met == all || missed > 0,
        OnDependencyFailure::Ignore => met + missed == all,
    }
}

proptest! {
    #[test]
    fn every_run_comes_to_its_end(
        plan in plan(),
        fail_fast in any::<bool>(),
        max_in_flight in prop::option::of(1..4usize),
        choices in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, any::<bool>()), 200),
        cancel_at in prop::option::of(0..20usize),
    ) {
        let options = Options { fail_fast, max_in_flight };
        let (mut run, step) = Run::begin(&plan, options);
        let mut seen = Seen { released: BTreeSet::new(), ends: vec![None; plan.nodes.len()], finished: None };
        seen.take(&step)?;
        for (turn, (which, end, twice)) in choices.into_iter().enumerate() {
            for node in seen.in_flight() {
                prop_assert!(may_start(&plan, node, &seen.ends), "{} was released too early", node);
            }
            if cancel_at == Some(turn) {
                let step = run.cancel();
                seen.take(&step)?;
                prop_assert_eq!(run.cancel(), Step::default(), "safe to repeat");
            }
            let in_flight = seen.in_flight();
            prop_assert!(max_in_flight.is_none_or(|max| in_flight.len() <= max));
            if in_flight.is_empty() {
                break;
            }
            let node = in_flight[which.index(in_flight.len())];
            seen.ends[node] = Some(ENDS[end]);
            let step = run.advance(node, ENDS[end]);
            seen.take(&step)?;
            if twice {
                prop_assert_eq!(run.advance(node, ENDS[(end + 1) % 4]), Step::default(), "a replay does nothing");
            }
        }
        prop_assert_eq!(run.open(), 0, "nothing is in flight, and yet it is not over");
        prop_assert!(seen.finished.is_some());
        prop_assert!(seen.ends.iter().all(Option::is_some));
        if seen.finished == Some(WorkflowState::Succeeded) {
            let bad = |(index, node): (usize, &crate::workflow::Planned)| {
                !node.handled && seen.released.contains(&index) && seen.ends[index] != Some(State::Succeeded)
            };
            prop_assert!(!plan.nodes.iter().enumerate().any(bad));
        }
    }
}

#[test]
fn nothing_is_finished_at_once() {
    let plan = Plan::default();
    assert_eq!(Run::begin(&plan, Options::default()).1.finished, Some(WorkflowState::Succeeded));
}
