//! Steps: the outcomes of tasks that are nodes, or that submit others: recorded like all outcomes (`tasks/record.rs`), and in
//! the same transaction the graph moves on and what follows is there. A transaction of several statements, so it has a writer
//! of its own and the plain record pays nothing for it.
//!
//! Invariants: what a handler spawned and submitted is there exactly if its success was recorded; only rows that this
//! transaction changed move anything on, so a batch that is repeated does nothing the second time.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::{
    NewWorkflow,
    advance::{Advanced, End, advance, lock_then},
    create::{NodeRow, insert_nodes},
};
use crate::{
    broken::Rule,
    store::{
        Batched,
        tasks::{Done, Offer, Owed, RecordRow, Recorded, insert, owed_by, record_rows, recorded_before},
    },
    task::{Outcome, OwnerId, State, TaskError, TaskId, TaskSpec},
    workflow::{LEVELS_MAX, NODES_MAX},
};

/// The parents of what is spawned.
const PARENTS: &str = "
    SELECT n.workflow_id, n.node, n.key, n.level, n.handled, n.next, n.next_when, w.nodes, w.stopping,
        w.max_in_flight IS NOT NULL AS limited, w.owner_id
    FROM unnest($1::uuid[], $2::int4[]) AS k(workflow_id, node)
    JOIN workflow_node n ON n.workflow_id = k.workflow_id AND n.node = k.node
    JOIN workflow w ON w.id = n.workflow_id";

const GROW: &str = "UPDATE workflow SET nodes = nodes + $2, open = open + $2 WHERE id = $1";

/// Whatever waits for the parent waits for its children too.
const WAIT_FOR_CHILDREN: &str = "
    UPDATE workflow_node SET pending = pending + cardinality($3::int4[]), depends_on = depends_on || $3::int4[]
    WHERE workflow_id = $1 AND node = ANY($2)";

/// The node that a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Of this workflow.
    pub workflow: Uuid,
    /// At this place.
    pub node: i32,
}

/// A node that a handler adds to its own workflow.
#[derive(Clone, Debug)]
pub struct Spawned {
    /// Unique among those of its parent.
    pub key: String,
    /// Its task.
    pub task: TaskSpec,
}

/// What a handler leaves behind if it succeeds.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    /// New nodes of its workflow.
    pub spawned: Vec<Spawned>,
    /// New tasks.
    pub submitted: Vec<TaskSpec>,
}

impl Follow {
    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.spawned.is_empty() && self.submitted.is_empty()
    }
}

/// What became of an outcome.
pub type Stepped = Recorded;

/// What is told of workflows and tasks that have ended.
pub type Announce = Box<dyn Fn(&[TaskId]) + Send + Sync>;

/// The step writer's statements.
pub struct Steps {
    /// Where to offer what was queued.
    pub offer: Offer,
    /// Whom to tell of workflows that are over, and of tasks that were cancelled. It must not wait.
    pub announce: Announce,
}

impl Batched for Steps {
    type Row = RecordRow;
    type Answer = Stepped;
    const NAME: &'static str = "step";
    /// Safe to repeat: only what it changes moves anything on.
    const PERSISTENT: bool = true;

    fn key(row: &RecordRow) -> Uuid {
        row.id.0
    }

    fn weight(row: &RecordRow) -> usize {
        1 + row.follow.spawned.len() + row.follow.submitted.len()
    }

    fn bytes(row: &RecordRow) -> usize {
        let follow = row.follow.spawned.iter().map(|spawned| &spawned.task).chain(&row.follow.submitted);
        row.body_bytes() + follow.map(|task| task.input.len()).sum::<usize>()
    }

    async fn write(&self, db: &mut Object, rows: &[&RecordRow], again: bool) -> Result<Vec<Recorded>, PgError> {
        let transaction = db.transaction().await?;
        let (mut done, advanced) = step(&transaction, rows).await?;
        if again && done.len() < rows.len() {
            recorded_before(&transaction, rows, &mut done).await?;
        }
        fail::fail_point!("step.advanced", |_| std::process::abort());
        transaction.commit().await?;
        fail::fail_point!("step.committed", |_| std::process::abort());
        (self.offer)(advanced.owed);
        (self.announce)(&advanced.ended);
        let answer = |row: &&RecordRow| done.get(&row.id.0).map_or(Recorded::Refused, |state| Recorded::Done(*state));
        Ok(rows.iter().map(answer).collect())
    }
}

async fn step(db: &Transaction<'_>, rows: &[&RecordRow]) -> Result<(Done, Advanced), PgError> {
    let workflows: BTreeSet<Uuid> = rows.iter().filter_map(|row| row.member).map(|member| member.workflow).collect();
    let (done, follow_ups) = lock_then(db, &workflows, record_and_follow(db, rows)).await?;
    let end = |row: &&RecordRow| {
        let (member, state) = (row.member?, done.get(&row.id.0).copied());
        let state = if Rule::CountOnce.is_broken() { state.or(Some(State::Succeeded)) } else { state };
        state.filter(|state| state.is_terminal()).map(|state| End::of(member.workflow, member.node, state))
    };
    let mut advanced = advance(db, rows.iter().filter_map(end).collect()).await?;
    advanced.owed.extend(follow_ups);
    Ok((done, advanced))
}

/// Records outcomes, and inserts what those that succeeded leave behind; what of it is to be published.
async fn record_and_follow(db: &Transaction<'_>, rows: &[&RecordRow]) -> Result<(Done, Vec<Owed>), PgError> {
    let mut parents = parents(db, rows).await?;
    let refused: Vec<RecordRow> =
        rows.iter().filter(|row| !fits(row, &mut parents)).map(|row| row.too_many()).collect();
    let recorded: Vec<&RecordRow> =
        rows.iter().map(|row| refused.iter().find(|refused| refused.id == row.id).unwrap_or(row)).collect();
    let done = record_rows(db, &recorded).await?;
    let mut follow_ups = Vec::new();
    for row in recorded {
        if done.get(&row.id.0) == Some(&State::Succeeded) && !row.follow.is_empty() {
            follow_ups.extend(follow(db, row, &mut parents).await?);
        }
    }
    Ok((done, follow_ups))
}

/// The node of a task that spawns others.
struct Parent {
    key: String,
    level: i16,
    handled: bool,
    next: Vec<i32>,
    next_when: Vec<i16>,
    /// Of its workflow, with what was spawned in this batch.
    nodes: usize,
    stopping: bool,
    limited: bool,
    owner: OwnerId,
}

type Parents = BTreeMap<(Uuid, i32), Parent>;

async fn parents(db: &Transaction<'_>, rows: &[&RecordRow]) -> Result<Parents, PgError> {
    let spawning = rows.iter().filter(|row| !row.follow.spawned.is_empty()).filter_map(|row| row.member);
    let (workflows, nodes): (Vec<Uuid>, Vec<i32>) = spawning.map(|member| (member.workflow, member.node)).unzip();
    if workflows.is_empty() {
        return Ok(Parents::new());
    }
    let read = |row: &tokio_postgres::Row| {
        let parent = Parent {
            key: row.try_get("key")?,
            level: row.try_get("level")?,
            handled: row.try_get("handled")?,
            next: row.try_get::<_, Option<_>>("next")?.unwrap_or_default(),
            next_when: row.try_get::<_, Option<_>>("next_when")?.unwrap_or_default(),
            nodes: usize::try_from(row.try_get::<_, i32>("nodes")?).unwrap_or(0),
            stopping: row.try_get("stopping")?,
            limited: row.try_get("limited")?,
            owner: OwnerId(row.try_get("owner_id")?),
        };
        Ok(((row.try_get(0)?, row.try_get(1)?), parent))
    };
    let find = db.prepare_cached(PARENTS).await?;
    db.query(&find, &[&workflows, &nodes]).await?.iter().map(read).collect()
}

/// Whether its workflow takes all that it spawns; then they have their places.
fn fits(row: &RecordRow, parents: &mut Parents) -> bool {
    let more = row.follow.spawned.len();
    let Some(member) = row.member.filter(|_| more > 0) else { return true };
    let Some(parent) = parents.get(&(member.workflow, member.node)) else { return false };
    let (nodes, level) = (parent.nodes + more, usize::try_from(parent.level).unwrap_or(usize::MAX));
    if nodes > NODES_MAX || level >= LEVELS_MAX {
        return false;
    }
    for (_, other) in parents.iter_mut().filter(|((workflow, _), _)| *workflow == member.workflow) {
        other.nodes = nodes;
    }
    true
}

impl RecordRow {
    fn too_many(&self) -> Self {
        let message = format!("a workflow has up to {NODES_MAX} nodes, and up to {LEVELS_MAX} one behind the other");
        let outcome = Outcome::Fail(TaskError::new("workflow_too_large", message));
        let (id, epoch, member, progress) = (self.id, self.epoch, self.member, self.progress.clone());
        Self { id, epoch, outcome, progress, member, follow: Follow::default() }
    }
}

/// Inserts what a handler left behind; what of it is to be published.
async fn follow(db: &Transaction<'_>, row: &RecordRow, parents: &mut Parents) -> Result<Vec<Owed>, PgError> {
    let mut tasks: Vec<TaskSpec> = row.follow.submitted.clone();
    if let Some(member) = row.member
        && let Some(parent) = parents.get_mut(&(member.workflow, member.node)).filter(|parent| !parent.stopping)
    {
        tasks.extend(spawn(db, member.workflow, &row.follow.spawned, parent).await?);
    }
    let tasks: Vec<&TaskSpec> = tasks.iter().collect();
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let accepted = insert(db, &tasks).await?;
    Ok(owed_by(&tasks, &accepted))
}

/// Adds the nodes; their tasks, which are still to be inserted.
async fn spawn(
    db: &Transaction<'_>,
    workflow: Uuid,
    spawned: &[Spawned],
    parent: &Parent,
) -> Result<Vec<TaskSpec>, PgError> {
    // `fits` has counted all of this batch already: the places of these are found in the row
    let nodes: i32 = db.query_one("SELECT nodes FROM workflow WHERE id = $1", &[&workflow]).await?.try_get(0)?;
    let places: Vec<i32> = (nodes..).take(spawned.len()).collect();
    let keys: Vec<String> = spawned.iter().map(|child| format!("{}/{}", parent.key, child.key)).collect();
    let list = |items: Vec<String>| (!items.is_empty()).then(|| format!("{{{}}}", items.join(",")));
    let next = list(parent.next.iter().map(ToString::to_string).collect());
    let next_when = list(parent.next_when.iter().map(ToString::to_string).collect());
    let rows: Vec<NodeRow<'_>> = places
        .iter()
        .zip(&keys)
        .zip(spawned)
        .map(|((node, key), child)| NodeRow {
            node: *node,
            key,
            task: child.task.id.0,
            level: parent.level + 1,
            pending: 0,
            place: i16::from(parent.limited),
            on_failure: 0,
            handled: parent.handled,
            next: next.clone(),
            next_when: next_when.clone(),
            depends_on: None,
            start: child.task.start,
        })
        .collect();
    insert_nodes(db, workflow, parent.owner, &rows).await?;
    let more = i32::try_from(spawned.len()).unwrap_or(i32::MAX);
    db.execute(GROW, &[&workflow, &more]).await?;
    if !parent.next.is_empty() {
        db.execute(WAIT_FOR_CHILDREN, &[&workflow, &parent.next, &places]).await?;
    }
    let place = |(node, child): (i32, &Spawned)| {
        let mut task = child.task.clone();
        task.extra.workflow_id = Some(workflow);
        task.extra.node = Some(node);
        task.extra.waits_for = parent.limited.then_some(NewWorkflow::FOR_ROOM);
        task
    };
    Ok(places.into_iter().zip(spawned).map(place).collect())
}
