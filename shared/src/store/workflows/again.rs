//! Retry: a workflow that has ended goes on. Its tasks never change; those nodes that run again get new ones, which point back.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Created,
    advance::{Advanced, fill, hold, lock, release_all},
    create::{answered, keep_answer, take_key},
    show::view,
};
use crate::{
    store::{Store, StoreError, tasks::Key},
    task::{OwnerId, State, TaskId},
    workflow::{Dependency, OnDependencyFailure, Plan, Planned, When, WorkflowState, again},
};

const SEE: &str = "SELECT state::text, run FROM workflow WHERE id = $1 AND (owner_id = $2) IS TRUE";

const NODES: &str = "
    SELECT n.node, n.key, n.task_id, n.on_failure, n.handled, n.next, n.next_when, t.state::text
    FROM workflow_node n JOIN task_run t ON t.id = n.task_id WHERE n.workflow_id = $1 ORDER BY n.node";

/// A start delay and an expiry belonged to the first run.
const REPEAT: &str = "
    WITH made AS (
        INSERT INTO task_spec (id, owner_id, name, version, queue, priority, class, max_attempts, retry, timeout_ms,
            soft_timeout_ms, result_ttl, drop_result, input, traceparent, tags, metadata, parent_id, root_id, retry_of,
            workflow_id, node)
        SELECT k.new, o.owner_id, o.name, o.version, o.queue, o.priority, o.class, o.max_attempts, o.retry, o.timeout_ms,
            o.soft_timeout_ms, o.result_ttl, o.drop_result, o.input, o.traceparent, o.tags, o.metadata, o.parent_id,
            coalesce(o.root_id, o.id), o.id, o.workflow_id, o.node
        FROM unnest($1::uuid[], $2::uuid[]) AS k(old, new) JOIN task_spec o ON o.id = k.old
        ON CONFLICT DO NOTHING
        RETURNING id, owner_id, queue, class, drop_result, tags
    ), run AS (
        INSERT INTO task_run (id, owner_id, state, waiting_reason, flags)
        SELECT id, owner_id, 'waiting', 'dependencies', 1 + CASE WHEN drop_result THEN 2 ELSE 0 END FROM made
    ), listed AS (
        INSERT INTO backlog (owner_id, queue, class, queued, ids)
        SELECT owner_id, queue, class, false, array_agg(id) FROM made GROUP BY owner_id, queue, class
    )
    INSERT INTO task_tag SELECT owner_id, unnest(tags), id FROM made WHERE tags <> '{}'";

const PLACE: &str = "
    UPDATE workflow_node n SET task_id = k.task_id, pending = k.pending, place = 0, delay = NULL, run_at = NULL
    FROM unnest($2::int4[], $3::uuid[], $4::int4[]) AS k(node, task_id, pending)
    WHERE n.workflow_id = $1 AND n.node = k.node";

const GO_ON: &str = "
    UPDATE workflow SET state = 'running', finished_at = NULL, stopping = false, stop_next = NULL,
        cancel_requested_at = NULL, faults = 0,
        run = run + 1, open = $2, in_flight = 0, succeeded = $3, failed = $4, cancelled = $5, expired = $6
    WHERE id = $1 RETURNING max_in_flight IS NOT NULL";

/// Nodes of one statement.
const ROWS_MAX: usize = 500;

/// What became of a request to retry a workflow.
#[derive(Debug)]
pub enum Retried {
    /// Done, or answered before.
    Answered(Created),
    /// It has not ended.
    NotYet,
    /// No such workflow of this owner.
    Missing,
}

impl Store {
    /// Runs again what did not succeed, and what hangs on it. Of one that has nothing like that, nothing.
    pub async fn retry_workflow(&self, owner: OwnerId, id: Uuid, key: Option<&Key>) -> Result<Retried, StoreError> {
        self.run_again(owner, id, key).await.map_err(StoreError::of_edit)
    }

    async fn run_again(&self, owner: OwnerId, id: Uuid, key: Option<&Key>) -> Result<Retried, StoreError> {
        let mut db = self.edits().begin(owner, Some(id)).await?;
        let transaction = db.transaction().await?;
        if let Some(key) = key
            && !take_key(&transaction, owner, key).await?
        {
            return Ok(Retried::Answered(answered(&transaction, owner, key).await?));
        }
        lock(&transaction, &BTreeSet::from([id])).await?;
        let Some(row) = transaction.query_opt(SEE, &[&id, &owner.0]).await? else { return Ok(Retried::Missing) };
        if row.try_get::<_, &str>(0)? == WorkflowState::Running.as_str() {
            return Ok(Retried::NotYet);
        }
        let advanced = go_on(&transaction, id, row.try_get(1)?).await?;
        let view = view(&*transaction, owner, id).await?;
        let view = view.ok_or_else(|| StoreError::Data("a locked workflow is gone".into()))?;
        if let Some(key) = key {
            keep_answer(&transaction, owner, key, &view).await?;
        }
        transaction.commit().await.map_err(StoreError::of_commit)?;
        Ok(Retried::Answered(Created::Fresh(Box::new(view), advanced.owed)))
    }
}

async fn go_on(db: &Transaction<'_>, id: Uuid, run: i32) -> Result<Advanced, StoreError> {
    let mut advanced = Advanced::default();
    let (plan, tasks, ends) = read_graph(&db.query(NODES, &[&id]).await?)?;
    let chosen = again(&plan, &ends);
    if chosen.is_empty() {
        return Ok(advanced);
    }
    for part in chosen.chunks(ROWS_MAX) {
        repeat(db, id, run + 1, part, &plan, &tasks).await?;
    }
    let runs: BTreeSet<usize> = chosen.iter().map(|(node, _)| *node).collect();
    let count = |state: State| {
        let rest = ends.iter().enumerate().filter(|(node, end)| **end == state && !runs.contains(node)).count();
        i32::try_from(rest).unwrap_or(i32::MAX)
    };
    let (open, succeeded, failed) =
        (i32::try_from(chosen.len()).unwrap_or(i32::MAX), count(State::Succeeded), count(State::Failed));
    let (cancelled, expired) = (count(State::Cancelled), count(State::Expired));
    let row = db.query_one(GO_ON, &[&id, &open, &succeeded, &failed, &cancelled, &expired]).await?;
    let mut free: Vec<(Uuid, i32)> = chosen
        .iter()
        .filter(|(_, pending)| *pending == 0)
        .filter_map(|(node, _)| Some((id, i32::try_from(*node).ok()?)))
        .collect();
    free.sort_unstable();
    if row.try_get(0)? {
        hold(db, free).await?;
        fill(db, id, &mut advanced).await?;
    } else {
        release_all(db, &free, &mut advanced).await?;
    }
    Ok(advanced)
}

/// Makes new tasks for these nodes. Their ids come from the workflow, the node and the run: made twice, they are there once.
async fn repeat(
    db: &Transaction<'_>,
    id: Uuid,
    run: i32,
    part: &[(usize, usize)],
    plan: &Plan,
    tasks: &[Uuid],
) -> Result<(), StoreError> {
    let mut rows = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (node, pending) in part {
        let (Some(planned), Some(old)) = (plan.nodes.get(*node), tasks.get(*node)) else { continue };
        rows.0.push(*old);
        rows.1.push(TaskId::derived(id, &format!("{}#{node}#{run}", planned.key)).0);
        rows.2.push(i32::try_from(*node).unwrap_or(i32::MAX));
        rows.3.push(i32::try_from(*pending).unwrap_or(i32::MAX));
    }
    let (old, new, nodes, pending) = rows;
    db.execute(REPEAT, &[&old, &new]).await?;
    db.execute(PLACE, &[&id, &nodes, &new, &pending]).await?;
    Ok(())
}

/// The graph as it stands, with the tasks of its nodes and how they ended.
fn read_graph(rows: &[Row]) -> Result<(Plan, Vec<Uuid>, Vec<State>), StoreError> {
    let (mut plan, mut tasks, mut ends) = (Plan::default(), Vec::new(), Vec::new());
    for row in rows {
        let next: Option<Vec<i32>> = row.try_get("next")?;
        let whens: Option<Vec<i16>> = row.try_get("next_when")?;
        let next = next.unwrap_or_default().into_iter().zip(whens.unwrap_or_default());
        let edge =
            |(node, when)| Dependency { node: usize::try_from(node).unwrap_or(usize::MAX), when: When::numbered(when) };
        plan.nodes.push(Planned {
            key: row.try_get("key")?,
            depends_on: Vec::new(),
            next: next.map(edge).collect(),
            on_dependency_failure: OnDependencyFailure::numbered(row.try_get("on_failure")?),
            handled: row.try_get("handled")?,
            level: 0,
        });
        tasks.push(row.try_get("task_id")?);
        let state: &str = row.try_get("state")?;
        ends.push(state.parse().map_err(|_| StoreError::Data("a node's state".into()))?);
    }
    for index in 0..plan.nodes.len() {
        let next = plan.nodes.get(index).map(|node| node.next.clone()).unwrap_or_default();
        for edge in next {
            if let Some(after) = plan.nodes.get_mut(edge.node) {
                after.depends_on.push(Dependency { node: index, when: edge.when });
            }
        }
    }
    Ok((plan, tasks, ends))
}
