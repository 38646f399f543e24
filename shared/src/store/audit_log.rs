//! The audit log: who ordered what about whose objects. Rows are added by the order's own transaction, so there is no order without
//! its row and no row without its order, and never changed.
//!
//! A new kind of order is a variant of [`AuditAction`]; whoever carries it out calls [`log`] before its commit.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Error as PgError;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::{access::KeyId, task::OwnerId};

const LOG: &str = "
    INSERT INTO audit (user_id, key_id, owner_id, action, object, reason, detail)
    SELECT user_id, key_id, owner_id, action, object, reason, detail::jsonb
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS n(user_id, key_id, owner_id, action, object, reason, detail)";

const COLUMNS: &str = "id, at, user_id, key_id, owner_id, action, object, reason, detail::text";

/// What kind of order. As text it is public, and never renamed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditAction {
    /// A lock was taken from who held it.
    BreakLock,
    /// Permits were taken from who held them.
    BreakPermits,
    /// A lock was deleted, with all who held it or waited.
    DeleteLock,
    /// A semaphore was deleted.
    DeleteSemaphore,
    /// An event was deleted.
    DeleteEvent,
    /// A barrier was deleted, with all arrivals.
    DeleteBarrier,
    /// A work queue was deleted, with all its items.
    DeleteWorkQueue,
    /// Dead items of a work queue were put back.
    PutBackDeadItems,
    /// A workflow that had ended was deleted.
    DeleteWorkflow,
    /// A task that had ended was deleted.
    DeleteTask,
    /// A task of another user was cancelled.
    CancelTask,
    /// Many tasks were cancelled at once.
    CancelTasks,
    /// A workflow of another user was cancelled.
    CancelWorkflow,
}

impl AuditAction {
    /// As it stands in the database and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreakLock => "lock.break",
            Self::BreakPermits => "semaphore.break",
            Self::DeleteLock => "lock.delete",
            Self::DeleteSemaphore => "semaphore.delete",
            Self::DeleteEvent => "event.delete",
            Self::DeleteBarrier => "barrier.delete",
            Self::DeleteWorkQueue => "work_queue.delete",
            Self::PutBackDeadItems => "work_queue.put_back",
            Self::DeleteWorkflow => "workflow.delete",
            Self::DeleteTask => "task.delete",
            Self::CancelTask => "task.cancel",
            Self::CancelTasks => "tasks.cancel",
            Self::CancelWorkflow => "workflow.cancel",
        }
    }
}

/// An order to be logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditOrder {
    /// Who gives it.
    pub user: OwnerId,
    /// By which key; none on an open installation.
    pub key: Option<KeyId>,
    /// Whose object it is about.
    pub owner: OwnerId,
    /// What kind.
    pub action: AuditAction,
    /// Its name or id.
    pub object: String,
    /// As the caller gave it.
    pub reason: Option<String>,
    /// What else the action tells.
    pub detail: Option<serde_json::Value>,
}

/// An order that was carried out, as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Rises with time.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// The user who gave the order.
    pub user_id: i64,
    /// The key it was given with; null on an open installation.
    #[schema(required)]
    pub key_id: Option<i64>,
    /// The user whose object it was about.
    pub owner_id: i64,
    /// What was done.
    #[schema(example = "lock.break")]
    pub action: String,
    /// The name or id of what it was done to.
    pub object: String,
    /// As the caller gave it.
    #[schema(required)]
    pub reason: Option<String>,
    /// What else there is to tell: a fence, counts, a search.
    #[schema(required, value_type = Option<Object>)]
    pub detail: Option<Box<RawValue>>,
}

/// Logs orders. To be called in the transaction that carries them out.
pub(in crate::store) async fn log(db: &impl GenericClient, orders: &[&AuditOrder]) -> Result<(), PgError> {
    fn each<'a, T>(orders: &[&'a AuditOrder], get: impl Fn(&'a AuditOrder) -> T) -> Vec<T> {
        orders.iter().map(|order| get(order)).collect()
    }
    if orders.is_empty() {
        return Ok(());
    }
    let statement = db.prepare_cached(LOG).await?;
    db.execute(
        &statement,
        &[
            &each(orders, |order| order.user.0),
            &each(orders, |order| order.key.map(|key| key.0)),
            &each(orders, |order| order.owner.0),
            &each(orders, |order| order.action.as_str()),
            &each(orders, |order| order.object.as_str()),
            &each(orders, |order| order.reason.as_deref()),
            &each(orders, |order| order.detail.as_ref().map(ToString::to_string)),
        ],
    )
    .await?;
    Ok(())
}

impl Store {
    /// Orders with an id below `before`, the newest first; those about one owner's objects, where one is named.
    pub async fn audit_log(
        &self,
        owner: Option<OwnerId>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let db = self.connection().await?;
        // a statement each, because one for both could not use an index for either
        let rows = if let Some(owner) = owner {
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE owner_id = $3 AND id < $1 ORDER BY id DESC LIMIT $2");
            db.query(&db.prepare_cached(&sql).await?, &[&before, &limit, &owner.0]).await?
        } else {
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2");
            db.query(&db.prepare_cached(&sql).await?, &[&before, &limit]).await?
        };
        rows.iter().map(read).collect()
    }
}

fn read(row: &tokio_postgres::Row) -> Result<AuditEntry, StoreError> {
    let detail: Option<String> = row.try_get(8)?;
    let detail = detail.map(RawValue::from_string).transpose();
    Ok(AuditEntry {
        id: row.try_get(0)?,
        at: row.try_get(1)?,
        user_id: row.try_get(2)?,
        key_id: row.try_get(3)?,
        owner_id: row.try_get(4)?,
        action: row.try_get(5)?,
        object: row.try_get(6)?,
        reason: row.try_get(7)?,
        detail: detail.map_err(|_| StoreError::Data("an audit row's detail".into()))?,
    })
}
