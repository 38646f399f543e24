//! One run of a graph, step by step: the specification of the SQL that does the same with counters.

use super::{Plan, Verdict, WorkflowState};
use crate::task::State;

/// How it runs.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// The first failure that no node takes care of stops everything.
    pub fail_fast: bool,
    /// Nodes released and not ended, at most.
    pub max_in_flight: Option<usize>,
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// For its dependencies.
    Waiting,
    /// It could start, were there not `max_in_flight`.
    Held,
    /// Its task is queued, or further.
    Released,
    /// Its task is terminal.
    Ended(State),
}

/// What an event leads to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Step {
    /// Nodes whose tasks are queued now, in order.
    pub released: Vec<usize>,
    /// Nodes whose tasks are cancelled now, before they were ever queued.
    pub cancelled: Vec<usize>,
    /// Released nodes that are to end: their tasks are cancelled if they have not started, else asked to stop.
    pub asked: Vec<usize>,
    /// How the workflow ended, if it just has.
    pub finished: Option<WorkflowState>,
}

/// A run. The places of its nodes are those of the plan.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    plan: &'a Plan,
    options: Options,
    places: Vec<Place>,
    pending: Vec<usize>,
    in_flight: usize,
    open: usize,
    faults: usize,
    stopping: bool,
    cancel_requested: bool,
    finished: bool,
}

impl<'a> Run<'a> {
    /// Begins: what waits for nothing is released.
    pub fn begin(plan: &'a Plan, options: Options) -> (Self, Step) {
        let mut run = Self {
            plan,
            options,
            places: vec![Place::Waiting; plan.nodes.len()],
            pending: plan.nodes.iter().map(|node| node.depends_on.len()).collect(),
            in_flight: 0,
            open: plan.nodes.len(),
            faults: 0,
            stopping: false,
            cancel_requested: false,
            finished: false,
        };
        let mut step = Step::default();
        for index in 0..plan.nodes.len() {
            if run.pending.get(index) == Some(&0) {
                run.put(index, Place::Held);
            }
        }
        run.fill(&mut step);
        run.close(&mut step);
        (run, step)
    }

    /// A node's task has ended. One that had ended before changes nothing.
    pub fn advance(&mut self, node: usize, state: State) -> Step {
        let mut step = Step::default();
        self.end(node, state, false, &mut step);
        self.fill(&mut step);
        self.close(&mut step);
        step
    }

    /// Somebody cancels the whole. Safe to repeat.
    pub fn cancel(&mut self) -> Step {
        let mut step = Step::default();
        if self.open > 0 {
            self.cancel_requested = true;
            self.stop(&mut step);
            self.close(&mut step);
        }
        step
    }

    /// Where a node stands.
    pub fn place(&self, node: usize) -> Option<Place> {
        self.places.get(node).copied()
    }

    /// Nodes that have not ended.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Ends a node, and with it what hangs on it. `ours` is what this module itself cancels, which is no fault of anybody.
    fn end(&mut self, node: usize, state: State, ours: bool, step: &mut Step) {
        let mut ends = vec![(node, state, ours)];
        while let Some((node, state, ours)) = ends.pop() {
            let (Some(place), Some(planned)) = (self.place(node), self.plan.nodes.get(node)) else { continue };
            if !state.is_terminal() || matches!(place, Place::Ended(_)) {
                continue;
            }
            self.put(node, Place::Ended(state));
            self.open -= 1;
            self.in_flight -= usize::from(place == Place::Released);
            if ours {
                step.cancelled.push(node);
            }
            let fault = !ours && !planned.handled && state != State::Succeeded;
            self.faults += usize::from(fault);
            for next in &planned.next {
                let Some(pending) = self.pending.get_mut(next.node) else { continue };
                *pending = pending.saturating_sub(1);
                let verdict = self.plan.nodes.get(next.node).map_or(Verdict::Wait, |after| {
                    after.on_dependency_failure.verdict(!next.when.met_by(state), *pending)
                });
                match verdict {
                    _ if self.place(next.node) != Some(Place::Waiting) => (), // it runs already, or never will
                    Verdict::Wait => (),
                    Verdict::Release => self.put(next.node, Place::Held),
                    Verdict::Cancel => ends.push((next.node, State::Cancelled, true)),
                }
            }
            if fault && self.options.fail_fast {
                self.stop(step);
            }
        }
    }

    /// Nothing starts any more.
    fn stop(&mut self, step: &mut Step) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        for node in 0..self.places.len() {
            match self.place(node) {
                Some(Place::Waiting | Place::Held) => {
                    step.cancelled.push(node);
                    self.put(node, Place::Ended(State::Cancelled));
                    self.open -= 1;
                }
                Some(Place::Released) => step.asked.push(node),
                Some(Place::Ended(_)) | None => (),
            }
        }
    }

    /// Releases what may start, in the order given.
    fn fill(&mut self, step: &mut Step) {
        for node in 0..self.places.len() {
            if self.options.max_in_flight.is_some_and(|max| self.in_flight >= max) {
                return;
            }
            if self.place(node) == Some(Place::Held) {
                self.put(node, Place::Released);
                self.in_flight += 1;
                step.released.push(node);
            }
        }
    }

    fn close(&mut self, step: &mut Step) {
        if self.open > 0 || self.finished {
            return;
        }
        self.finished = true;
        let cancelled = self.places.contains(&Place::Ended(State::Cancelled));
        step.finished = Some(match (self.cancel_requested && cancelled, self.faults) {
            (true, _) => WorkflowState::Cancelled,
            (false, 0) => WorkflowState::Succeeded,
            (false, _) => WorkflowState::Failed,
        });
    }

    fn put(&mut self, node: usize, place: Place) {
        if let Some(at) = self.places.get_mut(node) {
            *at = place;
        }
    }
}

#[cfg(test)]
mod tests;
