//! Users: the accounts that own tasks, items and keys. Never removed, only disabled, so an id never means somebody else.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Row, types::ToSql};
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::{
    access::{QuotaChange, Quotas},
    task::OwnerId,
};

const COLUMNS: &str = "id, name, queued_tasks_max, stored_bytes_max, requests_per_second, created_at, disabled_at";

/// A user as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserView {
    /// A whole number, from 1.
    pub id: i64,
    /// Its name, which no other has.
    pub name: String,
    /// How much it may take; null is no limit.
    pub quotas: Quotas,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when its keys are refused; null where they are not.
    #[schema(required)]
    pub disabled_at: Option<Timestamp>,
}

impl Store {
    /// Makes a user; nobody where the name is taken.
    pub async fn create_user(&self, name: &str, quotas: Quotas) -> Result<Option<UserView>, StoreError> {
        let sql = format!(
            "INSERT INTO users (name, queued_tasks_max, stored_bytes_max, requests_per_second)
             VALUES ($1, $2, $3, $4::int8::integer) ON CONFLICT (name) DO NOTHING RETURNING {COLUMNS}"
        );
        let db = self.connection().await?;
        let rate = quotas.requests_per_second.map(i64::from);
        let row = db.query_opt(&sql, &[&name, &quotas.queued_tasks, &quotas.stored_bytes, &rate]).await?;
        row.as_ref().map(read).transpose()
    }

    /// A user.
    pub async fn user(&self, id: OwnerId) -> Result<Option<UserView>, StoreError> {
        let db = self.connection().await?;
        let query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE id = $1")).await?;
        db.query_opt(&query, &[&id.0]).await?.as_ref().map(read).transpose()
    }

    /// The user of this name.
    pub async fn user_named(&self, name: &str) -> Result<Option<UserView>, StoreError> {
        let db = self.connection().await?;
        let sql = format!("SELECT {COLUMNS} FROM users WHERE name = $1");
        db.query_opt(&sql, &[&name]).await?.as_ref().map(read).transpose()
    }

    /// Users with an id above `after`, by id.
    pub async fn list_users(&self, after: i64, limit: i64) -> Result<Vec<UserView>, StoreError> {
        let db = self.connection().await?;
        let sql = format!("SELECT {COLUMNS} FROM users WHERE id > $1 ORDER BY id LIMIT $2");
        let query = db.prepare_cached(&sql).await?;
        db.query(&query, &[&after, &limit]).await?.iter().map(read).collect()
    }

    /// Changes the quotas of a user; nobody where there is none of this id.
    pub async fn set_quotas(&self, id: OwnerId, change: QuotaChange) -> Result<Option<UserView>, StoreError> {
        let sql = format!(
            "UPDATE users SET
                queued_tasks_max = CASE WHEN $2 THEN $3 ELSE queued_tasks_max END,
                stored_bytes_max = CASE WHEN $4 THEN $5 ELSE stored_bytes_max END,
                requests_per_second = CASE WHEN $6 THEN $7::int8::integer ELSE requests_per_second END
             WHERE id = $1 RETURNING {COLUMNS}"
        );
        let db = self.connection().await?;
        let (tasks, bytes) = (change.queued_tasks, change.stored_bytes);
        let rate = change.requests_per_second.map(|rate| rate.map(i64::from));
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &id.0,
            &tasks.is_some(),
            &tasks.flatten(),
            &bytes.is_some(),
            &bytes.flatten(),
            &rate.is_some(),
            &rate.flatten(),
        ];
        let row = db.query_opt(&sql, &parameters).await?;
        row.as_ref().map(read).transpose()
    }

    /// Refuses a user's keys from now on, or takes them again. Its tasks go on. Safe to repeat.
    pub async fn set_disabled(&self, id: OwnerId, disabled: bool) -> Result<Option<UserView>, StoreError> {
        let sql = format!(
            "UPDATE users SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END WHERE id = $1
             RETURNING {COLUMNS}"
        );
        let db = self.connection().await?;
        db.query_opt(&sql, &[&id.0, &disabled]).await?.as_ref().map(read).transpose()
    }
}

fn read(row: &Row) -> Result<UserView, StoreError> {
    Ok(UserView {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        quotas: quotas(row)?,
        created_at: row.try_get("created_at")?,
        disabled_at: row.try_get("disabled_at")?,
    })
}

/// Of a row that has the three columns.
pub(super) fn quotas(row: &Row) -> Result<Quotas, StoreError> {
    let rate: Option<i32> = row.try_get("requests_per_second")?;
    Ok(Quotas {
        queued_tasks: row.try_get("queued_tasks_max")?,
        stored_bytes: row.try_get("stored_bytes_max")?,
        requests_per_second: rate.and_then(|rate| u32::try_from(rate).ok()),
    })
}
