//! Workflows, without any I/O: a graph of tasks, and what becomes of it when one of them ends.
//!
//! One primitive. A [`Draft`] is a node as it was asked for; [`Plan`] is the checked graph; [`Run`] is one run of it, a small
//! state machine that is told which task has ended, and how, and answers which tasks may start, which never will, and whether
//! all is over. Groups, chains, chords and maps are graphs that the API draws; nothing here knows of them.
//!
//! [`Run`] is the specification: the SQL in `store/workflows/advance.rs` does the same with counters, for as many tasks and
//! workflows at once as a batch holds, and `shared/testkit/tests/system/workflow_model.rs` holds the two against each other.
//!
//! Invariants: a node is released at most once, and only when what it asks of its dependencies is met; a node that has ended
//! never changes, so a replayed end does nothing; every node of a finished workflow has ended; a workflow of which every
//! released task ends is finished at some time.

mod again;
mod lookup;
mod plan;
mod reference;
mod run;

pub use again::again;
pub use plan::{Dependency, Draft, GraphFault, Plan, Planned};
pub use reference::{
    Ended, Part, Reference, ReferenceFault, Unresolved, is_key, may_refer, references, resolve, result_entry,
};
pub use run::{Options, Place, Run, Step};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::State;

/// Nodes of a workflow.
pub const NODES_MAX: usize = 10_000;
/// Bytes of all its tasks together, written out: a map repeats one task for each of its items. Four times the largest body, so
/// that ten thousand items go with a task of a kilobyte.
pub const EXPANDED_BYTES_MAX: usize = 16 << 20;
/// Nodes one behind the other.
pub const LEVELS_MAX: usize = 100;
/// Dependencies of all nodes together.
pub const DEPENDENCIES_MAX: usize = 100_000;
/// Bytes of a node's key; of one that a handler has added, its parent's key is a part.
pub const KEY_BYTES_MAX: usize = 64;
/// Bytes of a task's arguments once every reference in them is resolved.
pub const RESOLVED_BYTES_MAX: usize = 1 << 20;

/// How a dependency must end.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// With a result.
    #[default]
    Succeeded,
    /// `failed` or `expired`.
    Failed,
    /// However.
    Finished,
}

impl When {
    /// Whether an end in this state is what was asked for.
    pub const fn met_by(self, state: State) -> bool {
        match self {
            Self::Succeeded => matches!(state, State::Succeeded),
            Self::Failed => matches!(state, State::Failed | State::Expired),
            Self::Finished => state.is_terminal(),
        }
    }

    /// As the database keeps it.
    pub const fn number(self) -> i16 {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::Finished => 2,
        }
    }

    /// From what the database keeps.
    pub const fn numbered(number: i16) -> Self {
        match number {
            1 => Self::Failed,
            2 => Self::Finished,
            _ => Self::Succeeded,
        }
    }
}

/// What becomes of a node of which a dependency has ended otherwise than was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDependencyFailure {
    /// It is cancelled, at once.
    #[default]
    Cancel,
    /// It runs, at once: it waits for none of the others.
    Run,
    /// That dependency counts as met; it waits for the others.
    Ignore,
}

impl OnDependencyFailure {
    /// As the database keeps it.
    pub const fn number(self) -> i16 {
        match self {
            Self::Cancel => 0,
            Self::Run => 1,
            Self::Ignore => 2,
        }
    }

    /// From what the database keeps.
    pub const fn numbered(number: i16) -> Self {
        match number {
            1 => Self::Run,
            2 => Self::Ignore,
            _ => Self::Cancel,
        }
    }

    /// What becomes of a node that waits: dependencies of it have just ended, `missed` of them otherwise than it asks, and
    /// `pending` have not ended.
    pub const fn verdict(self, missed: bool, pending: usize) -> Verdict {
        match self {
            Self::Cancel if missed => Verdict::Cancel,
            Self::Run if missed => Verdict::Release,
            Self::Cancel | Self::Run | Self::Ignore if pending == 0 => Verdict::Release,
            Self::Cancel | Self::Run | Self::Ignore => Verdict::Wait,
        }
    }
}

/// What becomes of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may start.
    Release,
    /// It never will.
    Cancel,
    /// Not yet known.
    Wait,
}

/// Where a workflow stands. All but `running` are terminal, until somebody retries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowState {
    /// Some node has not ended.
    Running,
    /// Every node has ended, and whatever went wrong was taken care of by another node.
    Succeeded,
    /// A node ended badly, and no other takes care of that.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl WorkflowState {
    /// The name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled].into_iter().find(|state| state.as_str() == name)
    }
}

/// What a workflow was asked for as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A graph.
    Workflow,
    /// Tasks beside each other.
    Group,
    /// Tasks one after the other.
    Chain,
    /// A group, and a task that gets its results.
    Chord,
    /// One task over many arguments.
    Map,
}

impl Kind {
    /// The name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Group => "group",
            Self::Chain => "chain",
            Self::Chord => "chord",
            Self::Map => "map",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Workflow, Self::Group, Self::Chain, Self::Chord, Self::Map]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}
