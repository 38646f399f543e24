//! Create: a whole graph in one commit, its tasks with it. Those that may start are queued at once; the others are `waiting`,
//! so that everybody sees them, and releasing one later is an update of a row that is there.
//!
//! Invariants: an idempotency key's row, the answer and the graph commit together; the ids of the tasks are derived from the
//! workflow's id and the nodes' keys.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::WorkflowView;
use crate::{
    store::{
        Store, StoreError,
        tasks::{Key, Owed, insert, owed_by},
    },
    task::{OwnerId, Start, TaskId, TaskSpec},
    workflow::{Kind, Plan, Planned},
};

/// As `tasks/guarded/keys.rs` does it: a key that is there is locked, so that it cannot vanish before its answer is read.
const TAKE_KEY: &str = "
    INSERT INTO idempotency (owner_id, key, fingerprint, answer) VALUES ($1, $2, $3, '')
    ON CONFLICT (owner_id, key) DO UPDATE SET fingerprint = excluded.fingerprint WHERE false";

const SEE_KEY: &str = "SELECT fingerprint, answer FROM idempotency WHERE owner_id = $1 AND key = $2";

const KEEP_ANSWER: &str = "UPDATE idempotency SET answer = $3 WHERE owner_id = $1 AND key = $2";

const INSERT: &str = "
    INSERT INTO workflow (id, owner_id, kind, fail_fast, return_exceptions, max_in_flight, nodes, open, in_flight, state,
        finished_at)
    VALUES ($1, $2, $3::text::workflow_kind, $4, $5, $6, $7, $7, $8,
        CASE WHEN $7 = 0 THEN 'succeeded' ELSE 'running' END::workflow_state, CASE WHEN $7 = 0 THEN clock_timestamp() END)";

const INSERT_NODES: &str = "
    INSERT INTO workflow_node (workflow_id, owner_id, node, key, task_id, level, pending, place, on_failure, handled, next,
        next_when, depends_on, delay, run_at)
    SELECT $1, $2, n.node, n.key, n.task_id, n.level, n.pending, n.place, n.on_failure, n.handled, n.next::int4[],
        n.next_when::int2[], n.depends_on::int4[], n.delay, n.run_at
    FROM unnest($3::int4[], $4::text[], $5::uuid[], $6::int2[], $7::int4[], $8::int2[], $9::int2[], $10::bool[], $11::text[],
        $12::text[], $13::text[], $14::float8[], $15::timestamptz[])
        AS n(node, key, task_id, level, pending, place, on_failure, handled, next, next_when, depends_on, delay, run_at)";

/// Rows of one statement, and pointers of one row of the outbox.
const ROWS_MAX: usize = 500;

/// A workflow, checked and ready to be stored.
#[derive(Debug)]
pub struct NewWorkflow {
    /// UUID version 7.
    pub id: Uuid,
    /// Whose.
    pub owner: OwnerId,
    /// What it was asked for as.
    pub kind: Kind,
    /// The first failure that no node takes care of stops everything.
    pub fail_fast: bool,
    /// Failures stand in the results.
    pub return_exceptions: bool,
    /// Nodes released and not ended, at most.
    pub max_in_flight: Option<i32>,
    /// The graph.
    pub plan: Plan,
    /// A task for each node, in order. Whatever they say of their ids and of what they wait for is set here.
    pub tasks: Vec<TaskSpec>,
}

/// What became of a request for a workflow.
#[derive(Debug)]
pub enum Created {
    /// It was the first: the workflow, and what is to be published.
    Fresh(Box<WorkflowView>, Vec<Owed>),
    /// It was answered before, like this.
    Replayed(Box<WorkflowView>),
    /// The key belongs to another request.
    KeyReused,
    /// A request with this key is being decided.
    InFlight,
}

impl Store {
    /// Stores a workflow. Dropped before its end, or failed, it stores nothing.
    pub async fn create_workflow(&self, new: NewWorkflow, key: Option<&Key>) -> Result<Created, StoreError> {
        self.store_workflow(new, key).await.map_err(StoreError::of_edit)
    }

    async fn store_workflow(&self, mut new: NewWorkflow, key: Option<&Key>) -> Result<Created, StoreError> {
        let mut db = self.edits().begin(new.owner, None).await?;
        let transaction = db.transaction().await?;
        if let Some(key) = key
            && !take_key(&transaction, new.owner, key).await?
        {
            return answered(&transaction, new.owner, key).await;
        }
        new.place_tasks();
        // beside each other: the database inserts a part while the next is put together
        let ((), debts) = tokio::try_join!(new.insert(&transaction), new.insert_tasks(&transaction))?;
        let view = super::show::view(&*transaction, new.owner, new.id).await?;
        let view = view.ok_or_else(|| StoreError::Data("a workflow that was inserted is not there".into()))?;
        if let Some(key) = key {
            keep_answer(&transaction, new.owner, key, &view).await?;
        }
        transaction.commit().await.map_err(StoreError::of_commit)?;
        Ok(Created::Fresh(Box::new(view), debts))
    }

    /// What was answered to the first request with this key, if there was one.
    pub async fn workflow_answer(&self, owner: OwnerId, key: &Key) -> Result<Option<Created>, StoreError> {
        let mut db = self.connection().await?;
        let transaction = db.transaction().await?;
        match answered(&transaction, owner, key).await? {
            Created::InFlight => Ok(None),
            answered => Ok(Some(answered)),
        }
    }
}

pub(super) async fn take_key(db: &Transaction<'_>, owner: OwnerId, key: &Key) -> Result<bool, PgError> {
    Ok(db.execute(TAKE_KEY, &[&owner.0, &key.key, &key.fingerprint.as_slice()]).await? > 0)
}

/// In a later statement than the one that lost, which cannot see the winner's row.
pub(super) async fn answered(db: &Transaction<'_>, owner: OwnerId, key: &Key) -> Result<Created, StoreError> {
    let Some(row) = db.query_opt(SEE_KEY, &[&owner.0, &key.key]).await? else { return Ok(Created::InFlight) };
    if row.try_get::<_, &[u8]>(0)? != key.fingerprint {
        return Ok(Created::KeyReused);
    }
    Ok(serde_json::from_slice(row.try_get(1)?).map_or(Created::InFlight, |view| Created::Replayed(Box::new(view))))
}

pub(super) async fn keep_answer(
    db: &Transaction<'_>,
    owner: OwnerId,
    key: &Key,
    view: &WorkflowView,
) -> Result<(), StoreError> {
    let answer = serde_json::to_vec(view).map_err(|error| StoreError::Data(error.to_string()))?;
    db.execute(KEEP_ANSWER, &[&owner.0, &key.key, &answer]).await?;
    Ok(())
}

impl NewWorkflow {
    /// Gives each task its id and its place, and says which of them wait.
    fn place_tasks(&mut self) {
        let mut room = self.max_in_flight.unwrap_or(i32::MAX);
        for (index, (task, node)) in self.tasks.iter_mut().zip(&self.plan.nodes).enumerate() {
            task.id = TaskId::derived(self.id, &node.key);
            task.extra.workflow_id = Some(self.id);
            task.extra.node = i32::try_from(index).ok();
            let is_root = node.depends_on.is_empty();
            task.extra.waits_for = match (is_root, room) {
                (false, _) => Some(Self::FOR_DEPENDENCIES),
                (true, 0) => Some(Self::FOR_ROOM),
                (true, _) => None,
            };
            room -= i32::from(is_root && room > 0);
        }
    }

    /// What a node that waits for others tells people.
    pub(super) const FOR_DEPENDENCIES: &str = "dependencies";
    /// What one tells that could start.
    pub(super) const FOR_ROOM: &str = "max_in_flight";

    /// What of them is to be published.
    async fn insert_tasks(&self, db: &Transaction<'_>) -> Result<Vec<Owed>, PgError> {
        let mut debts = Vec::new();
        for part in self.tasks.chunks(ROWS_MAX) {
            let part: Vec<&TaskSpec> = part.iter().collect();
            let accepted = insert(db, &part).await?;
            debts.extend(owed_by(&part, &accepted));
        }
        Ok(debts)
    }

    async fn insert(&self, db: &Transaction<'_>) -> Result<(), PgError> {
        let nodes = i32::try_from(self.tasks.len()).unwrap_or(i32::MAX);
        let started = self.tasks.iter().filter(|task| task.extra.waits_for.is_none()).count();
        let in_flight = if self.max_in_flight.is_some() { i32::try_from(started).unwrap_or(0) } else { 0 };
        let kind = self.kind.as_str();
        db.execute(
            INSERT,
            &[
                &self.id,
                &self.owner.0,
                &kind,
                &self.fail_fast,
                &self.return_exceptions,
                &self.max_in_flight,
                &nodes,
                &in_flight,
            ],
        )
        .await?;
        let limited = self.max_in_flight.is_some();
        let rows: Vec<NodeRow<'_>> =
            self.tasks.iter().zip(&self.plan.nodes).map(|(task, node)| NodeRow::of(task, node, limited)).collect();
        for part in rows.chunks(ROWS_MAX) {
            insert_nodes(db, self.id, self.owner, part).await?;
        }
        Ok(())
    }
}

/// A node as it is stored.
pub(super) struct NodeRow<'a> {
    pub(super) node: i32,
    pub(super) key: &'a str,
    pub(super) task: Uuid,
    pub(super) level: i16,
    pub(super) pending: i32,
    pub(super) place: i16,
    pub(super) on_failure: i16,
    pub(super) handled: bool,
    /// Lists, as the database writes them.
    pub(super) next: Option<String>,
    pub(super) next_when: Option<String>,
    pub(super) depends_on: Option<String>,
    pub(super) start: Start,
}

impl<'a> NodeRow<'a> {
    fn of(task: &TaskSpec, node: &'a Planned, limited: bool) -> Self {
        let place = match (limited, task.extra.waits_for) {
            (false, _) | (true, Some(NewWorkflow::FOR_DEPENDENCIES)) => 0,
            (true, Some(_)) => 1,
            (true, None) => 2,
        };
        Self {
            node: task.extra.node.unwrap_or(0),
            key: &node.key,
            task: task.id.0,
            level: i16::try_from(node.level).unwrap_or(i16::MAX),
            pending: i32::try_from(node.depends_on.len()).unwrap_or(i32::MAX),
            place,
            on_failure: node.on_dependency_failure.number(),
            handled: node.handled,
            next: list(node.next.iter().map(|next| next.node)),
            next_when: list(node.next.iter().map(|next| next.when.number())),
            depends_on: list(node.depends_on.iter().map(|before| before.node)),
            start: task.start,
        }
    }
}

fn list<T: ToString>(items: impl Iterator<Item = T>) -> Option<String> {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    (!items.is_empty()).then(|| format!("{{{}}}", items.join(",")))
}

pub(super) async fn insert_nodes(
    db: &Transaction<'_>,
    workflow: Uuid,
    owner: OwnerId,
    rows: &[NodeRow<'_>],
) -> Result<(), PgError> {
    let insert = db.prepare_cached(INSERT_NODES).await?;
    let nodes: Vec<i32> = rows.iter().map(|row| row.node).collect();
    let keys: Vec<&str> = rows.iter().map(|row| row.key).collect();
    let tasks: Vec<Uuid> = rows.iter().map(|row| row.task).collect();
    let levels: Vec<i16> = rows.iter().map(|row| row.level).collect();
    let pending: Vec<i32> = rows.iter().map(|row| row.pending).collect();
    let places: Vec<i16> = rows.iter().map(|row| row.place).collect();
    let forms: Vec<i16> = rows.iter().map(|row| row.on_failure).collect();
    let handled: Vec<bool> = rows.iter().map(|row| row.handled).collect();
    let next: Vec<Option<&str>> = rows.iter().map(|row| row.next.as_deref()).collect();
    let whens: Vec<Option<&str>> = rows.iter().map(|row| row.next_when.as_deref()).collect();
    let before: Vec<Option<&str>> = rows.iter().map(|row| row.depends_on.as_deref()).collect();
    let delays: Vec<Option<f64>> = rows
        .iter()
        .map(|row| if let Start::After(delay) = row.start { Some(delay.as_secs_f64()) } else { None })
        .collect();
    let times: Vec<Option<Timestamp>> =
        rows.iter().map(|row| if let Start::At(time) = row.start { Some(time) } else { None }).collect();
    db.execute(
        &insert,
        &[
            &workflow, &owner.0, &nodes, &keys, &tasks, &levels, &pending, &places, &forms, &handled, &next, &whens,
            &before, &delays, &times,
        ],
    )
    .await?;
    Ok(())
}
