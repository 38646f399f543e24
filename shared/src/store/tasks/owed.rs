//! What is owed to the broker: the outbox. Tasks that become `queued` in one commit are one row of `owed`, written by the
//! same statement; `publish_after` says when a relay may publish it.
//!
//! Invariants: a queued task is in an owed row, or the broker has confirmed its message; an owed row is removed only after
//! the broker has confirmed all of it, or when none of its tasks is queued any more; a relay moves what it takes ahead, so
//! that N relays share a backlog instead of multiplying it. What the broker refuses is no plain row any more (`parked.rs`).

use deadpool_postgres::Object;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use crate::{
    store::{Batched, Store, StoreError},
    task::{Class, Epoch, Pointer, Priority, QueueName, State, TaskId, TaskName, TaskSpec},
};

use super::{Accepted, claim::suspect_losses};

/// Ends in one line without a task for a row that owes nothing any more.
const TAKE: &str = "
    WITH o AS MATERIALIZED (
        SELECT id FROM owed WHERE publish_after <= now() ORDER BY publish_after LIMIT $1 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE owed w SET publish_after = now() + interval '10 seconds' FROM o WHERE w.id = o.id RETURNING w.id, w.ids
    )
    SELECT k.id AS debt, t.id, t.epoch, t.name, t.queue, t.priority, t.losses
    FROM taken k LEFT JOIN LATERAL (
        SELECT r.id, r.epoch, s.name, s.queue, s.priority, r.losses FROM unnest(k.ids) AS i(id)
        JOIN task_run r ON r.id = i.id AND (r.state = 'queued') IS TRUE JOIN task_spec s ON s.id = i.id
    ) t ON true";

const PAY: &str = "DELETE FROM owed WHERE id = ANY($1)";

/// A part of a row was confirmed: the rest is still owed.
const PAY_A_PART: &str = "
    UPDATE owed o SET ids = ARRAY(SELECT i FROM unnest(o.ids) i WHERE i <> ALL(c.ids))
    FROM (SELECT debt, array_agg(id) AS ids FROM unnest($1::int8[], $2::uuid[]) AS p(debt, id) GROUP BY debt) c
    WHERE o.id = c.debt";

/// One that is owed again already, and not yet published, owes nothing more: or every duplicate would live for ever.
const HAND_BACK: &str = "
    WITH done AS (
        UPDATE task_run t SET waiting_reason = p.reason, offered_at = now() + p.after * interval '1 second',
            version = t.version + 1
        FROM unnest($1::uuid[], $2::int4[], $3::float8[], $4::text[]) AS p(id, epoch, after, reason)
        WHERE t.id = p.id AND (t.state = 'queued' AND t.epoch = p.epoch
            AND (t.offered_at IS NULL OR t.offered_at <= now())) IS TRUE
        RETURNING t.id, p.after
    )
    INSERT INTO owed (publish_after, ids)
    SELECT now() + after * interval '1 second', array_agg(id) FROM done GROUP BY after";

/// A row of the outbox.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Debt(pub i64);

/// A pointer on its way to the broker.
#[derive(Clone, Debug)]
pub struct Owed {
    /// The row that is paid once the broker has confirmed all its pointers.
    pub debt: Debt,
    /// The message.
    pub pointer: Pointer,
    /// Its task type, whose run time says how many travel together.
    pub name: TaskName,
    /// Its queue.
    pub queue: QueueName,
    /// Which of the queue's three broker queues.
    pub class: Class,
    /// Published alone: a suspect, so that its crash is its own.
    pub alone: bool,
    /// Its row was put aside because the broker did not take it.
    pub parked: bool,
}

impl Owed {
    /// What a task owes right after its acceptance; nothing if it is not due yet.
    pub fn accepted(task: &TaskSpec, accepted: &Accepted) -> Option<Self> {
        let debt = accepted.debt.filter(|_| accepted.state == State::Queued)?;
        Some(Self {
            debt,
            pointer: Pointer { id: task.id, epoch: Epoch(0) },
            name: task.name.clone(),
            queue: task.queue.clone(),
            class: task.priority.class(),
            alone: false,
            parked: false,
        })
    }
}

/// Reads `debt, id, epoch, name, queue, priority, losses`.
pub(in crate::store) fn read_owed(row: &Row) -> Result<Owed, StoreError> {
    let bad = |what: &dyn std::fmt::Display| StoreError::Data(what.to_string());
    let (name, queue): (&str, &str) = (row.try_get("name")?, row.try_get("queue")?);
    let priority: i16 = row.try_get("priority")?;
    let losses: i16 = row.try_get("losses")?;
    Ok(Owed {
        debt: Debt(row.try_get("debt")?),
        pointer: Pointer { id: TaskId(row.try_get("id")?), epoch: Epoch(row.try_get("epoch")?) },
        name: name.parse().map_err(|error| bad(&error))?,
        queue: queue.parse().map_err(|error| bad(&error))?,
        class: Priority::new(priority.into()).map_err(|error| bad(&error))?.class(),
        alone: losses >= suspect_losses(),
        parked: false,
    })
}

/// What a relay took.
#[derive(Debug, Default)]
pub struct Taken {
    /// To be published.
    pub owed: Vec<Owed>,
    /// Rows of the outbox none of whose tasks is queued any more.
    pub void: Vec<Debt>,
}

/// Reads a line as [`read_owed`] does; one without a task is a row that owes nothing.
pub(super) fn read_taken(row: &Row, taken: &mut Taken) -> Result<(), StoreError> {
    if row.try_get::<_, Option<Uuid>>("id")?.is_some() {
        taken.owed.push(read_owed(row)?);
    } else {
        taken.void.push(Debt(row.try_get("debt")?));
    }
    Ok(())
}

impl Taken {
    /// Whether there was nothing.
    pub const fn is_empty(&self) -> bool {
        self.owed.is_empty() && self.void.is_empty()
    }
}

impl Store {
    /// Takes up to `limit` rows of the outbox that are due, each of up to 1,000 pointers. They are this process's for ten
    /// seconds.
    pub async fn take_owed(&self, limit: i64) -> Result<Taken, StoreError> {
        let db = self.upkeep().await?;
        let take = db.prepare_cached(TAKE).await?;
        let mut taken = Taken::default();
        for row in db.query(&take, &[&limit]).await? {
            read_taken(&row, &mut taken)?;
        }
        Ok(taken)
    }

    /// Removes what is paid. To lose that costs duplicate messages, so the commit is lazy.
    pub async fn pay(&self, debts: &[Debt]) -> Result<(), StoreError> {
        let mut ids: Vec<i64> = debts.iter().map(|debt| debt.0).collect();
        ids.sort_unstable();
        let db = self.lazy().await?;
        let pay = db.prepare_cached(PAY).await?;
        db.execute(&pay, &[&ids]).await?;
        Ok(())
    }

    /// Takes out of their rows what was confirmed of them. Lazy, as [`pay`](Self::pay).
    pub async fn pay_parts(&self, parts: &[(Debt, TaskId)]) -> Result<(), StoreError> {
        let (debts, ids): (Vec<i64>, Vec<Uuid>) = parts.iter().map(|(debt, id)| (debt.0, id.0)).unzip();
        let db = self.lazy().await?;
        let pay = db.prepare_cached(PAY_A_PART).await?;
        db.execute(&pay, &[&debts, &ids]).await?;
        Ok(())
    }
}

/// A pointer that its worker gives back: owed again, from `after_seconds` on.
#[derive(Clone, Debug)]
pub struct HandBack {
    /// Which.
    pub pointer: Pointer,
    /// Seconds until a relay may publish it.
    pub after_seconds: f64,
    /// Shown to people while it waits.
    pub reason: Option<&'static str>,
}

/// The hand-back writer's statement.
pub struct HandBacks;

impl Batched for HandBacks {
    type Row = HandBack;
    type Answer = ();
    const NAME: &'static str = "hand_back";
    /// Repeating it owes a row once more: harmless.
    const PERSISTENT: bool = true;

    fn key(row: &HandBack) -> Uuid {
        row.pointer.id.0
    }

    async fn write(&self, db: &mut Object, rows: &[&HandBack], _again: bool) -> Result<Vec<()>, PgError> {
        let statement = db.prepare_cached(HAND_BACK).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.pointer.id.0).collect();
        let epochs: Vec<i32> = rows.iter().map(|row| row.pointer.epoch.0).collect();
        let waits: Vec<f64> = rows.iter().map(|row| row.after_seconds).collect();
        let reasons: Vec<Option<&str>> = rows.iter().map(|row| row.reason).collect();
        db.execute(&statement, &[&ids, &epochs, &waits, &reasons]).await?;
        Ok(vec![(); rows.len()])
    }
}
