//! Retrying a workflow that has ended: which of its nodes run again, and for how many others each has to wait.

use super::{Dependency, OnDependencyFailure, Plan};
use crate::task::State;

/// The nodes that run again, in an order in which none stands before one that it waits for, each with the number of those.
/// They are all that did not succeed, and whatever hangs on one that runs again. A node that was not to run, because of what
/// others did that do not run again, is left as it is. `ends` are the states of all nodes.
pub fn again(plan: &Plan, ends: &[State]) -> Vec<(usize, usize)> {
    let mut runs = vec![false; plan.nodes.len()];
    let mut chosen = Vec::new();
    for index in plan.in_order() {
        let (Some(node), Some(end)) = (plan.nodes.get(index), ends.get(index)) else { continue };
        let (waits, settled): (Vec<&Dependency>, Vec<&Dependency>) =
            node.depends_on.iter().partition(|before| runs.get(before.node).copied().unwrap_or(false));
        let missed =
            settled.iter().any(|before| ends.get(before.node).is_some_and(|state| !before.when.met_by(*state)));
        let never = missed && node.on_dependency_failure == OnDependencyFailure::Cancel;
        if never || (waits.is_empty() && *end == State::Succeeded) {
            continue;
        }
        let at_once = missed && node.on_dependency_failure == OnDependencyFailure::Run;
        chosen.push((index, if at_once { 0 } else { waits.len() }));
        if let Some(run) = runs.get_mut(index) {
            *run = true;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{Draft, When};

    fn plan(nodes: &[(&str, &[(&str, When)])]) -> Plan {
        let draft = |(key, edges): &(&str, &[(&str, When)])| Draft {
            key: (*key).into(),
            depends_on: edges.iter().map(|(key, when)| ((*key).into(), *when)).collect(),
            on_dependency_failure: OnDependencyFailure::Cancel,
            tolerated: false,
        };
        Plan::new(nodes.iter().map(draft).collect()).unwrap()
    }

    #[test]
    fn what_failed_and_what_hangs_on_it() {
        let on = |key| [(key, When::Succeeded)];
        let plan = plan(&[("a", &[]), ("b", &on("a")), ("c", &on("b")), ("d", &on("a")), ("e", &on("d"))]);
        let ends = [State::Succeeded, State::Failed, State::Cancelled, State::Succeeded, State::Succeeded];
        assert_eq!(again(&plan, &ends), [(1, 0), (2, 1)]);
    }

    #[test]
    fn a_branch_that_was_not_taken_stays_so() {
        let plan = plan(&[
            ("a", &[]),
            ("care", &[("a", When::Failed)]),
            ("after", &[("care", When::Finished)]),
            ("b", &[("a", When::Succeeded)]),
        ]);
        let ends = [State::Succeeded, State::Cancelled, State::Succeeded, State::Failed];
        assert_eq!(again(&plan, &ends), [(3, 0)]);
    }

    #[test]
    fn nothing_to_do() {
        let plan = plan(&[("a", &[])]);
        assert_eq!(again(&plan, &[State::Succeeded]), []);
    }
}
