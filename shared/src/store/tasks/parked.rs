//! Parked debts: what the broker does not take, because it refuses a queue or the queue is full, is put aside by queue. Other
//! rows of the outbox then wait for nobody, and a parked row is not written again until it is paid. A row of `parked_queue`
//! says when its queue is tried next: with growing pauses, by one relay at a time.
//!
//! Invariants: a pointer leaves its row and enters the parked one in one commit; a queue with parked rows has a row of
//! `parked_queue`, which whoever parks locks first, so that it is removed only when there is nothing left of it.

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Debt, Owed,
    owed::{Taken, read_taken},
};
use crate::{
    store::{Store, StoreError},
    task::{Class, QueueName, TaskId},
};

/// The first pause, doubled at each try that brings nothing, up to twenty seconds: so late is work noticed when a person
/// has mended a queue.
const PAUSE: &str = "2500 milliseconds";

/// Locks the queue's row, which may be new.
const LOCK: &str = "
    INSERT INTO parked_queue (queue, class, pause, try_at)
    VALUES ($1, $2, interval '{pause}', now() + interval '{pause}')
    ON CONFLICT (queue, class) DO UPDATE SET pause = parked_queue.pause";

const PARK: &str = "
    WITH refused AS (
        SELECT debt, array_agg(id) AS ids FROM unnest($3::int8[], $4::uuid[]) AS p(debt, id) GROUP BY debt
    ), split AS MATERIALIZED (
        SELECT o.id, ARRAY(SELECT i FROM unnest(o.ids) i WHERE i <> ALL(r.ids)) AS kept,
            ARRAY(SELECT i FROM unnest(o.ids) i WHERE i = ANY(r.ids)) AS parked
        FROM owed o JOIN refused r ON r.debt = o.id WHERE (o.queue IS NULL) IS TRUE ORDER BY o.id FOR UPDATE OF o
    ), gone AS (
        DELETE FROM owed o USING split s WHERE o.id = s.id AND s.kept = '{}'
    ), cut AS (
        UPDATE owed o SET ids = s.kept FROM split s WHERE o.id = s.id AND s.kept <> '{}'
    )
    INSERT INTO owed (queue, class, publish_after, ids)
    SELECT $1::text, $2::int2, 'infinity', array_agg(i) FROM split s, unnest(s.parked) AS i HAVING count(*) > 0";

/// A line without a debt for a queue of which nothing is left; one without a task for a row that owes nothing any more.
const TRY: &str = "
    WITH due AS MATERIALIZED (
        SELECT queue, class FROM parked_queue WHERE try_at <= now() ORDER BY try_at LIMIT 8 FOR UPDATE SKIP LOCKED
    ), tried AS (
        UPDATE parked_queue q SET try_at = now() + q.pause, pause = least(q.pause * 2, interval '20 seconds')
        FROM due d WHERE q.queue = d.queue AND q.class = d.class RETURNING q.queue, q.class
    )
    SELECT o.id AS debt, t.id, t.epoch, t.name, t.queue, t.priority, t.losses
    FROM tried q LEFT JOIN LATERAL (
        SELECT w.id, w.ids FROM owed w WHERE w.queue = q.queue AND w.class = q.class ORDER BY w.id LIMIT $1
    ) o ON true LEFT JOIN LATERAL (
        SELECT r.id, r.epoch, s.name, s.queue, s.priority, r.losses FROM unnest(o.ids) AS i(id)
        JOIN task_run r ON r.id = i.id AND (r.state = 'queued') IS TRUE JOIN task_spec s ON s.id = i.id
    ) t ON true";

/// The broker took something of this queue: the rest is tried at once.
const LIFT: &str = "
    UPDATE parked_queue SET pause = interval '{pause}', try_at = now() WHERE queue = $1 AND class = $2";

const LOCK_IDLE: &str = "
    SELECT queue, class FROM parked_queue q
    WHERE NOT EXISTS (SELECT FROM owed o WHERE o.queue = q.queue AND o.class = q.class) FOR UPDATE SKIP LOCKED";

/// Asked again under the lock: whoever parked meanwhile has committed.
const CLEAR: &str = "
    DELETE FROM parked_queue q WHERE queue = $1 AND class = $2
        AND NOT EXISTS (SELECT FROM owed o WHERE o.queue = q.queue AND o.class = q.class)";

impl Store {
    /// Puts aside what the broker does not take of a queue.
    pub async fn park(&self, queue: &QueueName, class: Class, parts: &[(Debt, TaskId)]) -> Result<(), StoreError> {
        let (debts, ids): (Vec<i64>, Vec<Uuid>) = parts.iter().map(|(debt, id)| (debt.0, id.0)).unzip();
        let (queue, class) = (queue.as_str(), class.number());
        let mut db = self.lazy().await?;
        let transaction = db.transaction().await?;
        let lock = transaction.prepare_cached(&LOCK.replace("{pause}", PAUSE)).await?;
        transaction.execute(&lock, &[&queue, &class]).await?;
        let park = transaction.prepare_cached(PARK).await?;
        transaction.execute(&park, &[&queue, &class, &debts, &ids]).await?;
        Ok(transaction.commit().await?)
    }

    /// Takes up to `limit` parked rows of each queue whose time has come. The queue is this process's until its next try.
    pub async fn take_parked(&self, limit: i64) -> Result<Taken, StoreError> {
        let db = self.lazy().await?;
        let take = db.prepare_cached(TRY).await?;
        let rows = db.query(&take, &[&limit]).await?;
        drop(db);
        let is_of_a_row = |row: &Row| row.try_get::<_, Option<i64>>("debt").map(|debt| debt.is_some());
        let mut taken = Taken::default();
        let mut idle = false;
        for row in &rows {
            if is_of_a_row(row)? { read_taken(row, &mut taken)? } else { idle = true }
        }
        taken.owed = taken.owed.into_iter().map(|owed| Owed { parked: true, ..owed }).collect();
        if idle {
            self.clear_parked().await?;
        }
        Ok(taken)
    }

    /// The broker took something of these queues.
    pub async fn lift_parked(&self, queue: &QueueName, class: Class) -> Result<(), StoreError> {
        let db = self.lazy().await?;
        let lift = db.prepare_cached(&LIFT.replace("{pause}", PAUSE)).await?;
        db.execute(&lift, &[&queue.as_str(), &class.number()]).await?;
        Ok(())
    }

    /// Forgets the queues of which nothing is parked any more.
    async fn clear_parked(&self) -> Result<(), StoreError> {
        let mut db = self.lazy().await?;
        let transaction = db.transaction().await?;
        for row in transaction.query(LOCK_IDLE, &[]).await? {
            let (queue, class): (&str, i16) = (row.try_get(0)?, row.try_get(1)?);
            transaction.execute(CLEAR, &[&queue, &class]).await?;
        }
        Ok(transaction.commit().await?)
    }
}
