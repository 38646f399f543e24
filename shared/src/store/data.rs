//! Cached data: values by key. The row is the truth; what Redis is owed by a change is written in the same statement.
//!
//! Invariants: every change takes a new version from one sequence while it holds the row's lock, so a row's versions rise in
//! the order of its commits; a deletion leaves its row for a day, so that what is created again comes out above it. A value whose
//! time is over counts as deleted, without a new version: whoever copied it knows its end.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use tokio_postgres::types::ToSql;

use super::{
    Store, StoreError, WriteError,
    error::{Verdict, chain, verdict},
};
use crate::{
    cache::{Entry, Invalidation, Kind, Loaded},
    task::OwnerId,
};

/// The entries that copy these rows. An entry that is past its time is as right as any other, because every change tells:
/// so it is served while it is loaded anew. The end of a value nobody tells: so no copy outlives it.
pub static DATA: Kind = Kind {
    name: "data",
    shape: 1,
    ttl: Duration::from_hours(1),
    negative_ttl: Duration::from_secs(30),
    grace: Duration::from_mins(5),
    early: true,
};

/// Whether a value's time is over.
pub(super) const ENDED: &str = "(d.end_set_at = d.updated_at AND d.ends_at <= clock_timestamp()) IS TRUE";

const READ: &str = "
    SELECT d.version, CASE WHEN NOT ({ended}) THEN d.value END,
        CASE WHEN d.end_set_at = d.updated_at THEN (extract(epoch FROM d.ends_at - clock_timestamp()) * 1000)::bigint END
    FROM data d WHERE d.owner_id = $1 AND d.key = $2";

/// When the value that is written ends: counted from when the row's lock was got.
const ENDS_AT: &str = "clock_timestamp() + $4::int8 * interval '1 millisecond'";

/// A value that is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewValue<'a> {
    /// JSON.
    pub json: &'a [u8],
    /// How long it lasts; as long as nobody changes it where nothing is said.
    pub ttl: Option<Duration>,
}

/// What a change needs to find.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Anything, or nothing.
    Any,
    /// A value.
    Something,
    /// No value.
    Nothing,
    /// A value of one of these versions.
    OneOf(Vec<i64>),
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Changed {
    /// Committed; this is owed before it may be answered.
    Done(Invalidation),
    /// What was expected is not there; nothing was changed.
    Unexpected,
}

impl Store {
    /// An owner's value; version 0 where there never was one.
    pub async fn data(&self, owner: OwnerId, key: &str) -> Result<Loaded, StoreError> {
        let db = self.connection().await?;
        let read = db.prepare_cached(&READ.replace("{ended}", ENDED)).await?;
        let Some(row) = db.query_opt(&read, &[&owner.0, &key]).await? else {
            return Ok(Loaded { version: 0, body: None, left: None });
        };
        let body: Option<Vec<u8>> = row.try_get(1)?;
        let left: Option<i64> = row.try_get(2)?;
        let left = left.map(|left| Duration::from_millis(u64::try_from(left).unwrap_or(0)));
        Ok(Loaded { version: row.try_get(0)?, body: body.map(Bytes::from), left })
    }

    /// Sets an owner's value, which ends after its time to live if it has one, or deletes it (`None`).
    pub async fn change_data(
        &self,
        owner: OwnerId,
        key: &str,
        value: Option<NewValue<'_>>,
        expected: Expected,
    ) -> Result<Changed, WriteError> {
        let (change, versions) = match expected {
            Expected::Any if value.is_some() => (upsert("TRUE"), None),
            Expected::Nothing => (upsert(&format!("d.value IS NULL OR {ENDED}")), None),
            Expected::Any | Expected::Something => (update("TRUE"), None),
            Expected::OneOf(versions) => (update("d.version = ANY($5)"), Some(versions)),
        };
        let (json, ttl) = (value.map(|value| value.json), value.and_then(|value| value.ttl));
        let ttl_ms = ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&owner.0, &key, &json, &ttl_ms];
        if let Some(versions) = &versions {
            parameters.push(versions);
        }
        let db = self.connection().await?;
        let statement = db.prepare_cached(&change).await.map_err(|error| not_written(&error))?;
        let row = db.query_opt(&statement, &parameters).await.map_err(|error| not_written(&error))?;
        let Some(row) = row else { return Ok(Changed::Unexpected) };
        let told = (|| Ok((row.try_get(0)?, row.try_get(1)?)))();
        // it is committed, and only a bug of ours could keep us from reading what came back
        let (version, id) = told.map_err(|error: tokio_postgres::Error| WriteError::Unknown(chain(&error)))?;
        let entry = Entry { kind: Cow::Borrowed(DATA.name), owner, key: key.into() };
        Ok(Changed::Done(Invalidation { id, entry, version }))
    }
}

/// The version is taken after the lock, also where the row was there already.
fn upsert(expected: &str) -> String {
    owing(&format!(
        "INSERT INTO data AS d (owner_id, key, value, version, end_set_at, ends_at)
        VALUES ($1, $2, $3, nextval('data_version'), now(), {ENDS_AT})
        ON CONFLICT (owner_id, key) DO UPDATE SET value = $3, version = nextval('data_version'), updated_at = now(),
            end_set_at = now(), ends_at = {ENDS_AT} WHERE {expected}"
    ))
}

/// Where another changes the row first, the condition and the version are taken again after its commit.
fn update(expected: &str) -> String {
    owing(&format!(
        "UPDATE data d SET value = $3, version = nextval('data_version'), updated_at = now(), end_set_at = now(),
            ends_at = {ENDS_AT}
        WHERE d.owner_id = $1 AND d.key = $2 AND (d.value IS NOT NULL AND NOT ({ENDED}) AND ({expected})) IS TRUE"
    ))
}

fn owing(change: &str) -> String {
    let kind = DATA.name;
    format!(
        "WITH changed AS ({change} RETURNING version), owed AS (
            INSERT INTO cache_outbox (owner_id, kind, key, version)
            SELECT $1, '{kind}', $2, version FROM changed RETURNING id, version
        )
        SELECT version, id FROM owed"
    )
}

fn not_written(error: &tokio_postgres::Error) -> WriteError {
    let text = chain(error);
    match verdict(error) {
        Verdict::Unknown => WriteError::Unknown(text),
        Verdict::NotNow | Verdict::Contended | Verdict::RolledBack => WriteError::Unavailable(text),
        Verdict::ReadOnly => WriteError::ReadOnly(text),
        Verdict::Refused => WriteError::Refused(text),
    }
}
