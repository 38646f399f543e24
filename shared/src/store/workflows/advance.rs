//! Advance: tasks that are nodes have ended; what may start is queued, what never will is cancelled, and what is over is
//! finished, in the transaction in which they ended. `workflow/run.rs` is what this has to do, a task at a time.
//!
//! Invariants: the caller holds the locks of the workflows; what it passes are rows that really changed, each once; counters
//! are changed once a batch for each row, by an aggregate, because in one `UPDATE … FROM` three children of one node would
//! count as one.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use tokio_postgres::{Error as PgError, Row, types::ToSql};
use uuid::Uuid;

use crate::{
    broken::Rule,
    store::tasks::{Owed, read_owed},
    task::{State, TaskId},
    workflow::{OnDependencyFailure, Verdict},
};

const LOCK: &str = "SELECT FROM workflow WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

/// What has ended, each node once.
const ENDED: &str = "
    SELECT e.workflow_id, e.node, e.state, e.ours, n.next, n.next_when, n.handled, n.place
    FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::bool[]) AS e(workflow_id, node, state, ours)
    JOIN workflow_node n ON n.workflow_id = e.workflow_id AND n.node = e.node";

/// The workflows' own counters. The last node to end finishes its workflow.
const TALLY: &str = "
    WITH e AS MATERIALIZED ({ended}), t AS MATERIALIZED (
        SELECT e.workflow_id, count(*) AS ended,
            count(*) FILTER (WHERE e.state = 'succeeded') AS succeeded, count(*) FILTER (WHERE e.state = 'failed') AS failed,
            count(*) FILTER (WHERE e.state = 'cancelled') AS cancelled, count(*) FILTER (WHERE e.state = 'expired') AS expired,
            count(*) FILTER (WHERE e.state <> 'succeeded' AND NOT e.handled AND NOT e.ours) AS faults,
            count(*) FILTER (WHERE e.place = 2) AS places, bool_or(e.next IS NOT NULL) AS leads_on
        FROM e GROUP BY e.workflow_id
    )
    UPDATE workflow w SET open = w.open - t.ended, in_flight = w.in_flight - t.places,
        succeeded = w.succeeded + t.succeeded, failed = w.failed + t.failed, cancelled = w.cancelled + t.cancelled,
        expired = w.expired + t.expired, faults = w.faults + t.faults,
        stopping = w.stopping OR (w.fail_fast AND t.faults > 0),
        stop_next = CASE WHEN w.open = t.ended THEN NULL
            WHEN w.fail_fast AND t.faults > 0 AND NOT w.stopping THEN 0 ELSE w.stop_next END,
        finished_at = CASE WHEN w.open = t.ended THEN clock_timestamp() END,
        state = CASE WHEN w.open > t.ended THEN 'running'
            WHEN w.cancel_requested_at IS NOT NULL AND w.cancelled + t.cancelled > 0 THEN 'cancelled'
            WHEN w.faults + t.faults > 0 THEN 'failed' ELSE 'succeeded' END::workflow_state
    FROM t WHERE w.id = t.workflow_id
    RETURNING w.id, w.open, w.stopping, w.fail_fast AND t.faults > 0 AS fault, w.max_in_flight, t.leads_on";

/// The counters of what waits for them.
const COUNT: &str = "
    WITH e AS MATERIALIZED ({ended}), h AS MATERIALIZED (
        SELECT e.workflow_id, x.node, {hits} AS hits,
            bool_or(CASE x.wanted WHEN 0 THEN e.state <> 'succeeded' WHEN 1 THEN e.state NOT IN ('failed', 'expired')
                ELSE false END) AS missed
        FROM e CROSS JOIN LATERAL unnest(e.next, e.next_when) AS x(node, wanted)
        {group}
    )
    UPDATE workflow_node d SET pending = d.pending - h.hits
    FROM h WHERE d.workflow_id = h.workflow_id AND d.node = h.node
    RETURNING d.workflow_id, d.node, d.pending, d.on_failure, h.missed";

/// One step of the stops that are under way: of the next nodes what has not started is cancelled, and what runs is asked to
/// stop.
const STOP: &str = "
    WITH w AS MATERIALIZED (
        SELECT id, stop_next FROM workflow WHERE id = ANY($1) AND (stop_next IS NOT NULL) IS TRUE
    ), moved AS (
        UPDATE workflow f SET stop_next = CASE WHEN w.stop_next + $2 < f.nodes THEN w.stop_next + $2 END
        FROM w WHERE f.id = w.id
    ), s AS MATERIALIZED (
        SELECT t.id, n.workflow_id, n.node
        FROM w JOIN workflow_node n ON n.workflow_id = w.id AND n.node >= w.stop_next AND n.node < w.stop_next + $2
        JOIN task_run t ON t.id = n.task_id AND (t.state IN ('scheduled', 'waiting', 'queued', 'running')) IS TRUE
        ORDER BY t.id FOR NO KEY UPDATE OF t
    ), done AS (
        UPDATE task_run t SET state = CASE WHEN t.state = 'running' THEN t.state ELSE 'cancelled' END, version = t.version + 1,
            cancel_requested_at = coalesce(t.cancel_requested_at, now()), waiting_reason = NULL,
            finished_at = CASE WHEN t.state = 'running' THEN NULL ELSE clock_timestamp() END,
            due_at = CASE WHEN t.state = 'running' THEN t.due_at END
        FROM s WHERE t.id = s.id AND (t.state IN ('scheduled', 'waiting', 'queued', 'running')) IS TRUE
        RETURNING s.workflow_id, s.node, t.id, t.state
    )
    SELECT workflow_id, node, id FROM done WHERE state = 'cancelled'";

/// Nodes that never will start.
const SKIP: &str = "
    WITH s AS MATERIALIZED (
        SELECT t.id, n.workflow_id, n.node
        FROM unnest($1::uuid[], $2::int4[]) AS k(workflow_id, node)
        JOIN workflow_node n ON n.workflow_id = k.workflow_id AND n.node = k.node
        JOIN task_run t ON t.id = n.task_id AND (t.state = 'waiting') IS TRUE
        ORDER BY t.id FOR NO KEY UPDATE OF t
    )
    UPDATE task_run t SET state = 'cancelled', finished_at = clock_timestamp(), waiting_reason = NULL, error = $3,
        version = t.version + 1
    FROM s WHERE t.id = s.id AND (t.state = 'waiting') IS TRUE
    RETURNING s.workflow_id, s.node, t.id";

const SKIPPED: &[u8] =
    br#"{"code":"dependency_failed","message":"a task that it depends on ended otherwise than it asks for"}"#;

/// Nodes that may start: queued, or scheduled where they start some time after. At most [`RELEASED_MAX`], because all of them
/// are one row of the outbox.
const RELEASE: &str = "
    WITH s AS MATERIALIZED (
        SELECT t.id, n.workflow_id, coalesce(n.run_at, now() + n.delay * interval '1 second', now()) AS start
        FROM unnest($1::uuid[], $2::int4[]) AS k(workflow_id, node)
        JOIN workflow_node n ON n.workflow_id = k.workflow_id AND n.node = k.node
        JOIN task_run t ON t.id = n.task_id AND (t.state = 'waiting') IS TRUE
        ORDER BY t.id FOR NO KEY UPDATE OF t
    ), done AS (
        UPDATE task_run t SET state = CASE WHEN s.start > now() THEN 'scheduled' ELSE 'queued' END::task_state,
            waiting_reason = NULL, queued_at = CASE WHEN s.start <= now() THEN now() END,
            due_at = CASE WHEN s.start > now() THEN least(s.start, p.expires_at) ELSE p.expires_at END,
            run_at = CASE WHEN s.start > now() AND s.start > p.expires_at THEN s.start END, version = t.version + 1
        FROM s JOIN task_spec p ON p.id = s.id WHERE t.id = s.id AND (t.state = 'waiting') IS TRUE
        RETURNING t.id, t.epoch, p.name, p.queue, p.priority, p.class, t.losses, t.state, t.owner_id, s.workflow_id
    ), listed AS (
        INSERT INTO backlog (owner_id, queue, class, queued, ids)
        SELECT owner_id, queue, class, state = 'queued', array_agg(id) FROM done
        GROUP BY owner_id, queue, class, state = 'queued'
    ), debt AS (
        INSERT INTO owed (ids) SELECT array_agg(id) FROM done WHERE state = 'queued' HAVING count(*) > 0 RETURNING id
    )
    SELECT (SELECT id FROM debt) AS debt, d.id, d.epoch, d.name, d.queue, d.priority, d.losses, d.state = 'queued' AS queued,
        d.workflow_id
    FROM done d";

/// Nodes that could start, were there not others in flight.
const HOLD: &str = "
    UPDATE workflow_node n SET place = 1 FROM unnest($1::uuid[], $2::int4[]) AS k(workflow_id, node)
    WHERE n.workflow_id = k.workflow_id AND n.node = k.node AND (n.place = 0) IS TRUE";

/// As many of them as there is room for, in the order given.
const PICK: &str = "
    WITH p AS MATERIALIZED (
        SELECT n.node FROM workflow_node n WHERE n.workflow_id = $1 AND n.place = 1 ORDER BY n.node
        LIMIT coalesce((SELECT least(greatest(w.max_in_flight - w.in_flight, 0), $2)
            FROM workflow w WHERE w.id = $1 AND NOT w.stopping), 0)
    )
    UPDATE workflow_node n SET place = 2 FROM p WHERE n.workflow_id = $1 AND n.node = p.node RETURNING n.node";

const FLY: &str = "UPDATE workflow SET in_flight = in_flight + $2 WHERE id = $1";

/// Nodes of a workflow in one step of its stop. Nothing else of the workflow moves on meanwhile, and a step of so many takes
/// some tens of milliseconds.
const STOPPED_MAX: i32 = 500;
/// Nodes in one statement that releases.
const RELEASED_MAX: usize = 500;

/// A node's task that has really ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct End {
    pub(in crate::store) workflow: Uuid,
    pub(in crate::store) node: i32,
    pub(in crate::store) state: State,
    /// It was cancelled here, which is nobody's fault.
    pub(super) ours: bool,
}

impl End {
    /// Something ended a task that is a node.
    pub(in crate::store) const fn of(workflow: Uuid, node: i32, state: State) -> Self {
        Self { workflow, node, state, ours: false }
    }
}

/// What came of it, once the transaction is committed.
#[derive(Debug, Default)]
pub(in crate::store) struct Advanced {
    /// To be published.
    pub(in crate::store) owed: Vec<Owed>,
    /// Workflows that are over, and tasks that were cancelled: to be told to those who wait for them.
    pub(in crate::store) ended: Vec<TaskId>,
}

/// A node of some workflow.
type Node = (Uuid, i32);

/// Takes the locks of these workflows, before any of their tasks is changed.
pub(in crate::store) async fn lock(db: &Transaction<'_>, workflows: &BTreeSet<Uuid>) -> Result<(), PgError> {
    lock_then(db, workflows, async { Ok(()) }).await
}

/// Takes the locks, and does what `next` does with the locks held: its first statement is sent without waiting for them, and the
/// database takes one after the other. They are held for an exchange less than if each were awaited.
pub(super) async fn lock_then<T>(
    db: &Transaction<'_>,
    workflows: &BTreeSet<Uuid>,
    next: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    let ids: Vec<Uuid> = workflows.iter().copied().collect();
    let lock = db.prepare_cached(LOCK).await?; // before, so that nothing of `next` can be sent first
    let ids: [&(dyn ToSql + Sync); 1] = [&ids];
    let (_, done) = tokio::try_join!(biased; db.query(&lock, &ids), next)?;
    Ok(done)
}

/// Moves on everything that these ends lead to: wave after wave, because what is cancelled has ended too.
pub(in crate::store) async fn advance(db: &Transaction<'_>, ends: Vec<End>) -> Result<Advanced, PgError> {
    let mut advanced = Advanced::default();
    let mut limited = BTreeSet::new();
    let mut wave = ends;
    while !wave.is_empty() {
        let tallied = tally(db, &wave).await?;
        advanced.ended.extend(tallied.iter().filter(|workflow| workflow.open == 0).map(|workflow| TaskId(workflow.id)));
        limited.extend(tallied.iter().filter(|workflow| workflow.limited).map(|workflow| workflow.id));
        let (release, skip) = count(db, &wave, &tallied).await?;
        wave = Vec::new();
        let faulty: Vec<Uuid> = tallied.iter().filter(|workflow| workflow.fault).map(|workflow| workflow.id).collect();
        if !faulty.is_empty() {
            wave.extend(stop(db, &faulty, &mut advanced).await?);
        }
        if !skip.is_empty() {
            let (workflows, nodes): (Vec<Uuid>, Vec<i32>) = skip.into_iter().unzip();
            let skip = db.prepare_cached(SKIP).await?;
            wave.extend(ended_here(&db.query(&skip, &[&workflows, &nodes, &SKIPPED]).await?, &mut advanced)?);
        }
        let (held, free): (Vec<Node>, Vec<Node>) = release.into_iter().partition(|node| limited.contains(&node.0));
        release_all(db, &free, &mut advanced).await?;
        hold(db, held).await?;
    }
    for workflow in limited {
        fill(db, workflow, &mut advanced).await?;
    }
    Ok(advanced)
}

/// Takes one step of the stop of each of these workflows that is being stopped. What had not started has ended now, and is to
/// be advanced by the caller. `workflow.stop_next` says whether more steps are left; a reconciler takes those that nobody
/// else takes.
pub(super) async fn stop(
    db: &Transaction<'_>,
    workflows: &[Uuid],
    advanced: &mut Advanced,
) -> Result<Vec<End>, PgError> {
    let stop = db.prepare_cached(STOP).await?;
    ended_here(&db.query(&stop, &[&workflows, &STOPPED_MAX]).await?, advanced)
}

/// A workflow after its counters went down.
#[expect(clippy::struct_excessive_bools, reason = "a row, read as the statement returns it")]
struct Tallied {
    id: Uuid,
    open: i32,
    stopping: bool,
    /// In this wave something went wrong that stops it.
    fault: bool,
    limited: bool,
    /// Others wait for what has ended. Nobody does in a group, and then there is nothing to count.
    leads_on: bool,
}

async fn tally(db: &Transaction<'_>, wave: &[End]) -> Result<Vec<Tallied>, PgError> {
    let rows = of_wave(db, &TALLY.replace("{ended}", ENDED), wave).await?;
    let read = |row: &Row| {
        Ok(Tallied {
            id: row.try_get(0)?,
            open: row.try_get(1)?,
            stopping: row.try_get(2)?,
            fault: row.try_get(3)?,
            limited: row.try_get::<_, Option<i32>>(4)?.is_some(),
            leads_on: row.try_get(5)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Counts down what waits for them; which nodes may start now, and which never will.
async fn count(db: &Transaction<'_>, wave: &[End], tallied: &[Tallied]) -> Result<(Vec<Node>, Vec<Node>), PgError> {
    if !tallied.iter().any(|workflow| workflow.leads_on) {
        return Ok((Vec::new(), Vec::new()));
    }
    let stopping: BTreeMap<Uuid, bool> = tallied.iter().map(|workflow| (workflow.id, workflow.stopping)).collect();
    let (hits, group) =
        if Rule::Aggregate.is_broken() { ("1", "GROUP BY 1, 2, e.node") } else { ("count(*)", "GROUP BY 1, 2") };
    let statement = COUNT.replace("{ended}", ENDED).replace("{hits}", hits).replace("{group}", group);
    let (mut release, mut skip) = (Vec::new(), Vec::new());
    for row in of_wave(db, &statement, wave).await? {
        let node: Node = (row.try_get(0)?, row.try_get(1)?);
        let pending = usize::try_from(row.try_get::<_, i32>(2)?).unwrap_or(0);
        match OnDependencyFailure::numbered(row.try_get(3)?).verdict(row.try_get(4)?, pending) {
            _ if stopping.get(&node.0) == Some(&true) => (), // what waits was cancelled, or is so in this wave
            Verdict::Release => release.push(node),
            Verdict::Cancel => skip.push(node),
            Verdict::Wait => (),
        }
    }
    Ok((release, skip))
}

async fn of_wave(db: &Transaction<'_>, statement: &str, wave: &[End]) -> Result<Vec<Row>, PgError> {
    let workflows: Vec<Uuid> = wave.iter().map(|end| end.workflow).collect();
    let nodes: Vec<i32> = wave.iter().map(|end| end.node).collect();
    let states: Vec<&str> = wave.iter().map(|end| end.state.as_str()).collect();
    let ours: Vec<bool> = wave.iter().map(|end| end.ours).collect();
    let statement = db.prepare_cached(statement).await?;
    db.query(&statement, &[&workflows, &nodes, &states, &ours]).await
}

fn ended_here(rows: &[Row], advanced: &mut Advanced) -> Result<Vec<End>, PgError> {
    let mut ends = Vec::with_capacity(rows.len());
    for row in rows {
        ends.push(End { workflow: row.try_get(0)?, node: row.try_get(1)?, state: State::Cancelled, ours: true });
        advanced.ended.push(TaskId(row.try_get(2)?));
    }
    Ok(ends)
}

/// Releases nodes of workflows without a limit, or nodes that were picked; how many of each workflow really were.
pub(super) async fn release_all(db: &Transaction<'_>, nodes: &[Node], advanced: &mut Advanced) -> Result<i32, PgError> {
    let mut released = 0;
    for part in nodes.chunks(RELEASED_MAX) {
        let (workflows, places): (Vec<Uuid>, Vec<i32>) = part.iter().copied().unzip();
        let release = db.prepare_cached(RELEASE).await?;
        for row in db.query(&release, &[&workflows, &places]).await? {
            released += 1;
            if row.try_get("queued")? {
                advanced.owed.extend(read_owed(&row)); // what cannot be read here a relay tells
            }
        }
    }
    Ok(released)
}

/// These could start; [`fill`] decides when.
pub(super) async fn hold(db: &Transaction<'_>, nodes: Vec<Node>) -> Result<(), PgError> {
    if nodes.is_empty() {
        return Ok(());
    }
    let (workflows, places): (Vec<Uuid>, Vec<i32>) = nodes.into_iter().unzip();
    let hold = db.prepare_cached(HOLD).await?;
    db.execute(&hold, &[&workflows, &places]).await?;
    Ok(())
}

/// Releases what is held back, as far as there is room.
pub(super) async fn fill(db: &Transaction<'_>, workflow: Uuid, advanced: &mut Advanced) -> Result<(), PgError> {
    let (pick, fly) = (db.prepare_cached(PICK).await?, db.prepare_cached(FLY).await?);
    loop {
        let most = i32::try_from(RELEASED_MAX).unwrap_or(i32::MAX);
        let rows = db.query(&pick, &[&workflow, &most]).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let picked: Vec<Node> =
            rows.iter().map(|row| Ok((workflow, row.try_get(0)?))).collect::<Result<_, PgError>>()?;
        let released = release_all(db, &picked, advanced).await?; // what was cancelled meanwhile takes no room
        db.execute(&fly, &[&workflow, &released]).await?;
    }
}
