//! API keys: what is kept of them, and what every API process reads again and again to tell who asks.
//!
//! Invariants: no secret is ever stored, only its HMAC; times are the database's, an expiry too; a revoked key stays as a
//! row, because an installation that ever had a key must never be open again.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::{Store, StoreError, users::quotas};
use crate::{
    access::{Grant, KeyId, KeySecret, Pattern, Quotas, Scope},
    task::OwnerId,
};

const COLUMNS: &str = "id, owner_id, name, scopes, queues, created_at, expires_at, last_used_at, revoked_at";

/// In one statement, so that two at once cannot pass the bounds by more than each other.
const CREATE: &str = "
    INSERT INTO api_key (owner_id, name, hmac, scopes, queues, expires_at)
    SELECT id, $2, $3, $4, $5, $6 FROM users
    WHERE id = $1
        AND (SELECT count(*) FROM (
            SELECT FROM api_key WHERE revoked_at IS NULL AND (expires_at > now() OR expires_at IS NULL) LIMIT $7) live) < $7
        AND (SELECT count(*) FROM (
            SELECT FROM api_key WHERE owner_id = $1 AND id > 0 AND revoked_at IS NULL
                AND (expires_at > now() OR expires_at IS NULL) LIMIT $8) own) < $8
    RETURNING id, owner_id, name, scopes, queues, created_at, expires_at, last_used_at, revoked_at";

/// Keys that are good now. The condition on the id is there for the planner, which may scan no table.
const LIVE: &str = "
    SELECT k.id, k.owner_id, k.hmac, k.scopes, k.queues, u.queued_tasks_max, u.stored_bytes_max, u.requests_per_second
    FROM api_key k JOIN users u ON u.id = k.owner_id
    WHERE k.id > 0 AND k.revoked_at IS NULL AND (k.expires_at > now() OR k.expires_at IS NULL) AND u.disabled_at IS NULL
    ORDER BY k.id LIMIT $1";

const QUOTAS: &str = "SELECT queued_tasks_max, stored_bytes_max, requests_per_second FROM users WHERE id = $1";

/// Not more than once a minute for each key.
const USED: &str = "
    UPDATE api_key SET last_used_at = now()
    WHERE id = ANY($1) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')";

/// A key as the API shows it; its secret is not part of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyView {
    /// Its id, which stands in the key as well.
    pub id: KeyId,
    /// Whose it is.
    pub user_id: i64,
    /// For people.
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Vec<String>,
    /// On which queues: patterns, of which one must match. None: on all.
    pub queues: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    #[schema(required)]
    pub expires_at: Option<Timestamp>,
    /// To the minute.
    #[schema(required)]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(required)]
    pub revoked_at: Option<Timestamp>,
}

/// A key to be kept.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose.
    pub owner: OwnerId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Of its secret.
    pub hmac: Vec<u8>,
}

/// A key that is good now.
#[derive(Clone, Debug)]
pub struct LiveKey {
    /// Whose.
    pub owner: OwnerId,
    /// How much that user may take, whatever key is used.
    pub quotas: Quotas,
    /// What it may do.
    pub grant: Grant,
    /// Of its secret.
    pub hmac: Vec<u8>,
}

/// Everything that tells who may ask for what, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whether there was ever a key, revoked ones included.
    pub has_keys: bool,
    /// How much the local user may take.
    pub local: Quotas,
    /// How many processes of this program are connected, this one included.
    pub processes: u32,
    /// The keys that are good.
    pub keys: HashMap<KeyId, Arc<LiveKey>>,
}

impl Store {
    /// Keys of an installation that are good at once, at most: every API process has them in memory.
    pub const KEYS_MAX: i64 = 10_000;

    /// Keys of one user that are good at once.
    pub const KEYS_OF_A_USER_MAX: i64 = 200;
    /// The same of user 1, who runs the installation.
    pub const KEYS_OF_THE_OPERATOR_MAX: i64 = 1000;

    /// What the HMACs of this installation are made with.
    pub async fn key_secret(&self) -> Result<KeySecret, StoreError> {
        let db = self.connection().await?;
        let secret: Vec<u8> = db.query_one("SELECT secret FROM key_secret WHERE single", &[]).await?.try_get(0)?;
        KeySecret::new(&secret).ok_or_else(|| StoreError::Data("the secret of the keys".into()))
    }

    /// Keeps a key; none where there is no such user, or as many are good as may be: of this user, or of all. The last ones
    /// of all are for the operator, who would otherwise not get one to put things right.
    pub async fn create_key(&self, key: &NewKey) -> Result<Option<KeyView>, StoreError> {
        let scopes: Vec<&str> = key.grant.scopes().iter().map(|scope| scope.as_str()).collect();
        let queues: Vec<&str> = key.grant.queues().iter().map(Pattern::as_str).collect();
        let (of_all, of_user) = if key.owner == OwnerId::LOCAL {
            (Self::KEYS_MAX, Self::KEYS_OF_THE_OPERATOR_MAX)
        } else {
            (Self::KEYS_MAX - Self::KEYS_OF_THE_OPERATOR_MAX, Self::KEYS_OF_A_USER_MAX)
        };
        let db = self.connection().await?;
        let row = db
            .query_opt(
                CREATE,
                &[&key.owner.0, &key.name, &key.hmac, &scopes, &queues, &key.expires_at, &of_all, &of_user],
            )
            .await?;
        row.as_ref().map(view).transpose()
    }

    /// A user's keys with an id below `before`, the newest first.
    pub async fn list_keys(&self, owner: OwnerId, before: i64, limit: i64) -> Result<Vec<KeyView>, StoreError> {
        let db = self.connection().await?;
        let sql = format!("SELECT {COLUMNS} FROM api_key WHERE owner_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
        let query = db.prepare_cached(&sql).await?;
        db.query(&query, &[&owner.0, &before, &limit]).await?.iter().map(view).collect()
    }

    /// Revokes a key, of this user if one is named; whether there is such a key. Safe to repeat.
    pub async fn revoke_key(&self, owner: Option<OwnerId>, id: KeyId) -> Result<bool, StoreError> {
        let db = self.connection().await?;
        let revoke = "UPDATE api_key SET revoked_at = coalesce(revoked_at, now())
                      WHERE id = $1 AND (owner_id = $2 OR $2 IS NULL) IS TRUE";
        Ok(db.execute(revoke, &[&id.0, &owner.map(|owner| owner.0)]).await? == 1)
    }

    /// Who may ask for what now.
    pub async fn access(&self) -> Result<Access, StoreError> {
        let db = self.connection().await?;
        let any = db.prepare_cached("SELECT EXISTS (SELECT FROM api_key WHERE id > 0)").await?;
        let has_keys: bool = db.query_one(&any, &[]).await?.try_get(0)?;
        let of_local = db.prepare_cached(QUOTAS).await?;
        let local = quotas(&db.query_one(&of_local, &[&OwnerId::LOCAL.0]).await?)?;
        let processes = self.processes(&db).await?;
        if !has_keys {
            return Ok(Access { has_keys, local, processes, keys: HashMap::new() });
        }
        let live = db.prepare_cached(LIVE).await?;
        let keys = db.query(&live, &[&Self::KEYS_MAX]).await?.iter().filter_map(key).collect();
        Ok(Access { has_keys, local, processes, keys })
    }

    /// These keys were used.
    pub async fn keys_used(&self, ids: &[KeyId]) -> Result<(), StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let db = self.lazy().await?;
        let used = db.prepare_cached(USED).await?;
        db.execute(&used, &[&ids]).await?;
        Ok(())
    }
}

fn view(row: &Row) -> Result<KeyView, StoreError> {
    Ok(KeyView {
        id: KeyId(row.try_get("id")?),
        user_id: row.try_get("owner_id")?,
        name: row.try_get("name")?,
        scopes: row.try_get("scopes")?,
        queues: row.try_get("queues")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        last_used_at: row.try_get("last_used_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

/// A row that somebody has broken by hand is no key, and does not keep the others out.
fn key(row: &Row) -> Option<(KeyId, Arc<LiveKey>)> {
    let id = KeyId(row.try_get("id").ok()?);
    match live(row) {
        Ok(key) => Some((id, Arc::new(key))),
        Err(error) => {
            tracing::warn!(key.id = %id, %error, "a key cannot be read");
            None
        }
    }
}

fn live(row: &Row) -> Result<LiveKey, StoreError> {
    let (scopes, queues): (Vec<&str>, Vec<&str>) = (row.try_get("scopes")?, row.try_get("queues")?);
    let scopes = scopes.into_iter().map(str::parse).collect::<Result<_, _>>();
    let queues = queues.into_iter().map(str::parse).collect::<Result<_, _>>();
    let grant = scopes.and_then(|scopes| Grant::new(scopes, queues?));
    let grant = grant.map_err(|error| StoreError::Data(error.to_string()))?;
    let owner = OwnerId(row.try_get("owner_id")?);
    Ok(LiveKey { owner, quotas: quotas(row)?, grant, hmac: row.try_get("hmac")? })
}
