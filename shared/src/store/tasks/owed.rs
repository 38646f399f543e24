//! What is owed to the broker: the row is the outbox. `publish_after` says when a relay may publish; NULL means that
//! nothing is owed.
//!
//! Invariants: a row that is `queued` is owed, or marked as published; a mark is written only for what is still queued
//! at the epoch that was confirmed; a relay moves what it takes ahead, so that N relays share a backlog instead of
//! multiplying it.

use std::time::Duration;

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use crate::{
    store::{Batched, Store, StoreError},
    task::{Class, Epoch, Pointer, Priority, QueueName, State, TaskId},
};

use super::{TaskView, claim::suspect_losses};

const TAKE: &str = "
    WITH o AS MATERIALIZED (
        SELECT id FROM task WHERE publish_after <= now() ORDER BY publish_after LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    UPDATE task t SET publish_after = now() + interval '10 seconds'
    FROM o WHERE t.id = o.id AND (t.state = 'queued') IS TRUE
    RETURNING t.id, t.epoch, t.queue, t.priority, t.losses, t.publish_after";

/// Compares what was owed then: a row that was handed back meanwhile owes another message, at the same epoch.
const MARK: &str = "
    UPDATE task t SET publish_after = NULL, published_at = now()
    FROM unnest($1::uuid[], $2::int4[], $3::timestamptz[]) AS p(id, epoch, publish_after)
    WHERE t.id = p.id AND (t.state = 'queued' AND t.epoch = p.epoch AND t.publish_after = p.publish_after) IS TRUE";

const HAND_BACK: &str = "
    UPDATE task t SET publish_after = now() + p.after * interval '1 second', published_at = NULL,
        waiting_reason = p.reason
    FROM unnest($1::uuid[], $2::int4[], $3::float8[], $4::text[]) AS p(id, epoch, after, reason)
    WHERE t.id = p.id AND (t.state = 'queued' AND t.epoch = p.epoch) IS TRUE";

/// How long after its acceptance a relay may take a task that the publisher beside the accept has not published. The
/// accept statement says the same.
const ACCEPT_LEAD: Duration = Duration::from_secs(1);

/// A pointer on its way to the broker.
#[derive(Clone, Debug)]
pub struct Owed {
    /// The message.
    pub pointer: Pointer,
    /// What the row said when this was owed: once the broker has confirmed, only a row that still says so is marked.
    pub publish_after: Timestamp,
    /// Its queue.
    pub queue: QueueName,
    /// Which of the queue's three broker queues.
    pub class: Class,
    /// Published alone: a suspect, so that its crash is its own.
    pub alone: bool,
}

impl Owed {
    /// What a task owes right after its acceptance; nothing if it is not due yet.
    pub fn accepted(task: &TaskView) -> Option<Self> {
        if task.state != State::Queued {
            return None;
        }
        Some(Self {
            pointer: Pointer { id: task.id, epoch: Epoch(0) },
            publish_after: task.created_at.checked_add(ACCEPT_LEAD).ok()?,
            queue: task.queue.parse().ok()?,
            class: Priority::new(task.priority.into()).ok()?.class(),
            alone: false,
        })
    }
}

/// Reads `id, epoch, queue, priority, losses, publish_after`.
pub(super) fn read_owed(row: &Row) -> Result<Owed, StoreError> {
    let bad = |what: &dyn std::fmt::Display| StoreError::Data(what.to_string());
    let queue: &str = row.try_get("queue")?;
    let priority: i16 = row.try_get("priority")?;
    let losses: i16 = row.try_get("losses")?;
    Ok(Owed {
        pointer: Pointer { id: TaskId(row.try_get("id")?), epoch: Epoch(row.try_get("epoch")?) },
        publish_after: row.try_get("publish_after")?,
        queue: queue.parse().map_err(|error| bad(&error))?,
        class: Priority::new(priority.into()).map_err(|error| bad(&error))?.class(),
        alone: losses >= suspect_losses(),
    })
}

impl Store {
    /// Takes up to `limit` rows that have been owed for long enough. They are this process's for ten seconds.
    pub async fn take_owed(&self, limit: i64) -> Result<Vec<Owed>, StoreError> {
        let db = self.writer().await?;
        let take = db.prepare_cached(TAKE).await?;
        db.query(&take, &[&limit]).await?.iter().map(read_owed).collect()
    }

    /// Writes down that the broker has confirmed these. Losing a mark costs a duplicate message, so the commit is lazy.
    pub async fn mark_published(&self, marks: &[Mark]) -> Result<(), StoreError> {
        let mut marks = marks.to_vec();
        marks.sort_unstable();
        let ids: Vec<Uuid> = marks.iter().map(|mark| mark.pointer.id.0).collect();
        let epochs: Vec<i32> = marks.iter().map(|mark| mark.pointer.epoch.0).collect();
        let owed: Vec<Timestamp> = marks.iter().map(|mark| mark.publish_after).collect();
        let db = self.lazy().await?;
        let mark = db.prepare_cached(MARK).await?;
        db.execute(&mark, &[&ids, &epochs, &owed]).await?;
        Ok(())
    }
}

/// A pointer that the broker has confirmed, and what its row said when it was owed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mark {
    /// The message.
    pub pointer: Pointer,
    /// See [`Owed::publish_after`].
    pub publish_after: Timestamp,
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
