//! The graph as it was asked for, checked: what is wrong is told with a pointer to it.

use std::collections::HashMap;

use super::{DEPENDENCIES_MAX, LEVELS_MAX, NODES_MAX, OnDependencyFailure, When, is_key};

/// The body of a chord comes after as many tasks as a group may have.
const PLANNED_MAX: usize = NODES_MAX + 1;

/// A node as it was asked for.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What the others call it.
    pub key: String,
    /// What it waits for, by their keys.
    pub depends_on: Vec<(String, When)>,
    /// What becomes of it when one of them ends otherwise.
    pub on_dependency_failure: OnDependencyFailure,
    /// Its failure is no failure of the workflow, whatever depends on it.
    pub tolerated: bool,
}

/// An edge of the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// The node at its other end.
    pub node: usize,
    /// How the one that is waited for must end.
    pub when: When,
}

/// A node of a checked graph.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What the others call it.
    pub key: String,
    /// What it waits for, in the order given.
    pub depends_on: Vec<Dependency>,
    /// What waits for it.
    pub next: Vec<Dependency>,
    /// What becomes of it when a dependency ends otherwise.
    pub on_dependency_failure: OnDependencyFailure,
    /// Another node takes care of its failure, or nobody minds.
    pub handled: bool,
    /// Nodes before it on the longest way, and itself.
    pub level: usize,
}

/// A checked graph, its nodes in the order given.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The nodes.
    pub nodes: Vec<Planned>,
}

/// What is wrong with a graph.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{pointer} {detail}")]
pub struct GraphFault {
    /// Where: a JSON pointer into `{"nodes": […]}`.
    pub pointer: String,
    /// Completes "this part …".
    pub detail: String,
}

impl Plan {
    /// Checks keys, names, sizes, cycles and depth.
    #[expect(clippy::needless_pass_by_value, reason = "a plan takes the place of its drafts")]
    pub fn new(drafts: Vec<Draft>) -> Result<Self, GraphFault> {
        if drafts.len() > PLANNED_MAX {
            return Err(fault("/nodes", format!("has {} nodes; {NODES_MAX} are allowed", drafts.len())));
        }
        let edges: usize = drafts.iter().map(|draft| draft.depends_on.len()).sum();
        if edges > DEPENDENCIES_MAX {
            return Err(fault("/nodes", format!("has {edges} dependencies; {DEPENDENCIES_MAX} are allowed")));
        }
        let places = places(&drafts)?;
        let mut nodes = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            nodes.push(Planned {
                key: draft.key.clone(),
                depends_on: dependencies(index, draft, &places)?,
                next: Vec::new(),
                on_dependency_failure: draft.on_dependency_failure,
                handled: draft.tolerated,
                level: 0,
            });
        }
        let mut plan = Self { nodes };
        plan.link();
        plan.measure()?;
        Ok(plan)
    }

    /// Tells every node what waits for it, and whether one of those takes care of its failure.
    fn link(&mut self) {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else { return };
            let (depends_on, takes_care) =
                (node.depends_on.clone(), node.on_dependency_failure != OnDependencyFailure::Cancel);
            for Dependency { node, when } in depends_on {
                let Some(before) = self.nodes.get_mut(node) else { continue };
                before.next.push(Dependency { node: index, when });
                before.handled |= takes_care || when != When::Succeeded;
            }
        }
    }

    /// Walks from the nodes that wait for nothing; what it does not reach is in a cycle, or behind one.
    fn measure(&mut self) -> Result<(), GraphFault> {
        let order = self.in_order();
        for index in &order {
            let Some(node) = self.nodes.get(*index) else { continue };
            let before = node.depends_on.iter().filter_map(|dependency| self.nodes.get(dependency.node));
            let level = 1 + before.map(|node| node.level).max().unwrap_or(0);
            if level > LEVELS_MAX {
                let detail = format!("is the {level}th of a row; {LEVELS_MAX} are allowed");
                return Err(fault(&format!("/nodes/{index}"), detail));
            }
            if let Some(node) = self.nodes.get_mut(*index) {
                node.level = level;
            }
        }
        match self.nodes.iter().position(|node| node.level == 0) {
            None => Ok(()),
            Some(lost) => Err(self.cycle(lost)),
        }
    }

    /// The nodes, each after all that it depends on; those in a cycle, and behind one, are left out.
    pub fn in_order(&self) -> Vec<usize> {
        let mut pending: Vec<usize> = self.nodes.iter().map(|node| node.depends_on.len()).collect();
        let mut order: Vec<usize> =
            pending.iter().enumerate().filter(|(_, pending)| **pending == 0).map(|(index, _)| index).collect();
        let mut at = 0;
        while let Some(index) = order.get(at).copied() {
            at += 1;
            for next in self.nodes.get(index).map_or(&[][..], |node| &node.next) {
                if let Some(left) = pending.get_mut(next.node) {
                    *left -= 1;
                    if *left == 0 {
                        order.push(next.node);
                    }
                }
            }
        }
        order
    }

    /// A node that was not reached has a dependency that was not: following those leads into a cycle.
    fn cycle(&self, lost: usize) -> GraphFault {
        let unreached = |index: usize| {
            let node = self.nodes.get(index)?;
            let waits =
                |dependency: &Dependency| self.nodes.get(dependency.node).is_some_and(|before| before.level == 0);
            let edge = node.depends_on.iter().position(waits)?;
            Some((edge, node.depends_on.get(edge)?.node))
        };
        let mut way = vec![lost];
        while let Some((edge, before)) = way.last().and_then(|index| unreached(*index)) {
            if let Some(start) = way.iter().position(|index| *index == before) {
                let keys = way.get(start..).unwrap_or_default().iter().filter_map(|index| self.nodes.get(*index));
                let keys: Vec<&str> = keys.map(|node| node.key.as_str()).take(10).collect();
                let at = way.last().copied().unwrap_or(lost);
                let detail = format!("closes a cycle: {} waits for itself", keys.join(" waits for "));
                return fault(&format!("/nodes/{at}/depends_on/{edge}/node"), detail);
            }
            way.push(before);
        }
        fault(&format!("/nodes/{lost}/depends_on"), "closes a cycle".into())
    }
}

fn places(drafts: &[Draft]) -> Result<HashMap<&str, usize>, GraphFault> {
    let mut places = HashMap::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let at = || format!("/nodes/{index}/key");
        if !is_key(&draft.key) {
            let detail = "must be 1 to 64 letters, digits, '_' or '-'".into();
            return Err(fault(&at(), detail));
        }
        if let Some(first) = places.insert(draft.key.as_str(), index) {
            return Err(fault(&at(), format!("is the key of node {first} too")));
        }
    }
    Ok(places)
}

fn dependencies(index: usize, draft: &Draft, places: &HashMap<&str, usize>) -> Result<Vec<Dependency>, GraphFault> {
    let mut dependencies: Vec<Dependency> = Vec::with_capacity(draft.depends_on.len());
    let mut seen = std::collections::HashSet::with_capacity(draft.depends_on.len());
    for (edge, (key, when)) in draft.depends_on.iter().enumerate() {
        let at = || format!("/nodes/{index}/depends_on/{edge}/node");
        let Some(node) = places.get(key.as_str()).copied() else {
            return Err(fault(&at(), format!("names no node of this workflow: {key}")));
        };
        if node == index {
            return Err(fault(&at(), "closes a cycle: a node cannot wait for itself".into()));
        }
        if !seen.insert(node) {
            return Err(fault(&at(), format!("names {key} a second time")));
        }
        dependencies.push(Dependency { node, when: *when });
    }
    Ok(dependencies)
}

fn fault(pointer: &str, detail: String) -> GraphFault {
    GraphFault { pointer: pointer.into(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(key: &str, depends_on: &[&str]) -> Draft {
        Draft {
            key: key.into(),
            depends_on: depends_on.iter().map(|key| ((*key).into(), When::Succeeded)).collect(),
            on_dependency_failure: OnDependencyFailure::Cancel,
            tolerated: false,
        }
    }

    fn pointer(drafts: Vec<Draft>) -> String {
        Plan::new(drafts).unwrap_err().pointer
    }

    #[test]
    fn every_fault_is_pointed_at() {
        assert_eq!(pointer(vec![draft("a b", &[])]), "/nodes/0/key");
        assert_eq!(pointer(vec![draft("a", &[]), draft("a", &[])]), "/nodes/1/key");
        assert_eq!(pointer(vec![draft("a", &[]), draft("b", &["a", "c"])]), "/nodes/1/depends_on/1/node");
        assert_eq!(pointer(vec![draft("a", &["a"])]), "/nodes/0/depends_on/0/node");
        assert_eq!(pointer(vec![draft("a", &[]), draft("b", &["a", "a"])]), "/nodes/1/depends_on/1/node");
        let behind = vec![draft("d", &["b"]), draft("a", &["c"]), draft("b", &["a"]), draft("c", &["b"])];
        assert!(
            ["/nodes/1/depends_on/0/node", "/nodes/2/depends_on/0/node", "/nodes/3/depends_on/0/node"]
                .contains(&pointer(behind).as_str())
        );
        let many = (0..=PLANNED_MAX).map(|index| draft(&index.to_string(), &[])).collect();
        assert_eq!(pointer(many), "/nodes");
    }

    #[test]
    fn a_row_has_an_end() {
        let row = |length: usize| {
            let before = |index: usize| index.checked_sub(1).map(|before| before.to_string());
            let node =
                |index: usize| draft(&index.to_string(), &before(index).iter().map(String::as_str).collect::<Vec<_>>());
            (0..length).map(node).collect::<Vec<_>>()
        };
        assert_eq!(Plan::new(row(LEVELS_MAX)).unwrap().nodes.last().unwrap().level, LEVELS_MAX);
        assert_eq!(pointer(row(LEVELS_MAX + 1)), format!("/nodes/{LEVELS_MAX}"));
    }

    #[test]
    fn a_failure_is_handled_by_whoever_asks_for_it() {
        let mut care = draft("b", &[]);
        care.depends_on.push(("a".into(), When::Failed));
        let plan = Plan::new(vec![draft("a", &[]), care, draft("c", &["b"])]).unwrap();
        let handled: Vec<bool> = plan.nodes.iter().map(|node| node.handled).collect();
        assert_eq!(handled, [true, false, false]);
    }
}
