//! Questions that change nothing: what an object looks like, and what has become of what is waited for.

use serde::Serialize;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    coordination::{Address, Kind, Millis, Order, Settings, seconds},
    store::{Store, StoreError},
    task::OwnerId,
};

/// Holders that are shown.
const HOLDERS_MAX: i64 = 100;

const OBJECT: &str = "
    SELECT c.capacity, c.configured, c.generation, c.flag,
        (SELECT count(*) FROM lease w WHERE w.object_id = c.id AND w.line = '' AND w.standing = 'waiting'),
        (SELECT count(*) FROM lease h WHERE h.object_id = c.id AND h.standing = 'held'), c.item_order, c.attempts_max,
        EXISTS (SELECT FROM work_item i WHERE i.object_id = c.id AND i.state IN ('ready', 'delayed', 'leased')), c.halted,
        (SELECT count(*) FROM lease p WHERE p.object_id = c.id AND p.line = 'put' AND p.standing = 'waiting'),
        (SELECT coalesce(sum(s.permits), 0) FROM lease s WHERE s.object_id = c.id AND s.standing = 'held')
    FROM coordination c WHERE c.id = $1";

const HOLDERS: &str = "
    SELECT owner, turn::text, permits, (until_ms - (extract(epoch FROM statement_timestamp()) * 1000)::bigint)
    FROM lease WHERE object_id = $1 AND standing = 'held'
        AND until_ms > (extract(epoch FROM statement_timestamp()) * 1000)::bigint
    ORDER BY turn, id LIMIT $2";

/// One statement for everything that a process wants to know now and then: which of the waited leases stand otherwise, which of
/// the waited objects have another generation, what has run out and nobody has looked at, and when the next thing does. The time
/// is the statement's, which an index can serve.
const TICK: &str = "
    SELECT 0::int2 AS what, n.object_id, n.id, NULL::bigint AS number, NULL::bigint AS owner_id, NULL::text AS kind, NULL::text AS name
    FROM unnest($1::uuid[], $2::uuid[], $5::text[]) AS n(object_id, id, standing)
    LEFT JOIN lease l ON l.object_id = n.object_id AND l.id = n.id
    WHERE l.standing::text IS DISTINCT FROM n.standing
    UNION ALL
    SELECT 1::int2, c.id, NULL, c.generation, NULL, NULL, NULL
    FROM unnest($3::uuid[]) AS o(id) JOIN coordination c ON c.id = o.id
    UNION ALL
    SELECT 2::int2, d.object_id, d.id, NULL, c.owner_id, c.kind::text, c.name FROM (
        SELECT object_id, id FROM lease
        WHERE standing IN ('waiting', 'held') AND until_ms <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint
        ORDER BY until_ms LIMIT $4
    ) d JOIN coordination c ON c.id = d.object_id
    UNION ALL
    SELECT 2::int2, d.object_id, d.id, NULL, c.owner_id, c.kind::text, c.name FROM (
        SELECT object_id, id FROM work_item
        WHERE state = 'delayed' AND until_ms <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint
        ORDER BY until_ms LIMIT $4
    ) d JOIN coordination c ON c.id = d.object_id
    UNION ALL
    SELECT 2::int2, d.object_id, d.id, NULL, c.owner_id, c.kind::text, c.name FROM (
        SELECT object_id, id FROM lease
        WHERE standing = 'waiting' AND alarm_ms > 0
            AND alarm_ms <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint
        ORDER BY alarm_ms LIMIT $4
    ) d JOIN coordination c ON c.id = d.object_id
    UNION ALL
    SELECT 3::int2, NULL, NULL, m.until_ms - (extract(epoch FROM statement_timestamp()) * 1000)::bigint, NULL, NULL, NULL FROM (
        SELECT until_ms FROM lease
        WHERE standing IN ('waiting', 'held') AND until_ms > (extract(epoch FROM statement_timestamp()) * 1000)::bigint
        ORDER BY until_ms LIMIT 1
    ) m
    UNION ALL
    SELECT 3::int2, NULL, NULL, m.alarm_ms - (extract(epoch FROM statement_timestamp()) * 1000)::bigint, NULL, NULL, NULL FROM (
        SELECT alarm_ms FROM lease
        WHERE standing = 'waiting' AND alarm_ms > (extract(epoch FROM statement_timestamp()) * 1000)::bigint
            AND alarm_ms > 0
        ORDER BY alarm_ms LIMIT 1
    ) m";

/// Who holds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Holder {
    /// The label that it gave.
    pub owner: String,
    /// Its fence, a decimal number.
    pub fence: String,
    /// Permits.
    pub permits: i32,
    /// Seconds until it ends, unless it is renewed.
    pub expires_in: f64,
}

/// An object as it is now.
#[derive(Clone, Debug)]
pub struct ObjectView {
    /// Its settings.
    pub settings: Settings,
    /// How many wait in its own line.
    pub waiting: i64,
    /// How many producers wait for room in a queue.
    pub producers: i64,
    /// How many leases hold.
    pub held: i64,
    /// How many permits they hold.
    pub permits: i64,
    /// Of a queue, whether something is not done.
    pub open: bool,
    /// Who holds, the first 100.
    pub holders: Vec<Holder>,
}

/// What a process waits for.
#[derive(Clone, Debug, Default)]
pub struct Waited {
    /// Of leases: their objects.
    pub leases: Vec<Uuid>,
    /// The leases.
    pub ids: Vec<Uuid>,
    /// How they stand while they are waited for.
    pub standings: Vec<&'static str>,
    /// Objects whose generation is waited for.
    pub objects: Vec<Uuid>,
}

/// What has become of that, and what else is due.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// Leases that stand otherwise now: object and lease.
    pub moved: Vec<(Uuid, Uuid)>,
    /// Generations of the objects.
    pub generations: Vec<(Uuid, i64)>,
    /// Leases that have run out, and items whose delay has.
    pub over: Vec<(Address, Uuid)>,
    /// Milliseconds until the next one does.
    pub next: Option<Millis>,
}

impl Store {
    /// What an object looks like; `None` where nobody has used it.
    pub async fn coordination(&self, address: &Address) -> Result<Option<ObjectView>, StoreError> {
        let db = self.connection().await?;
        let (object, holders) = (db.prepare_cached(OBJECT).await?, db.prepare_cached(HOLDERS).await?);
        let Some(row) = db.query_opt(&object, &[&address.id()]).await? else { return Ok(None) };
        let settings = Settings {
            capacity: row.try_get(0)?,
            configured: row.try_get(1)?,
            generation: row.try_get(2)?,
            flag: row.try_get(3)?,
            order: Order::numbered(row.try_get(6)?),
            attempts_max: row.try_get(7)?,
            halted: row.try_get(9)?,
        };
        let holder = |row: &tokio_postgres::Row| {
            let expires_in = seconds(row.try_get(3)?);
            Ok(Holder { owner: row.try_get(0)?, fence: row.try_get(1)?, permits: row.try_get(2)?, expires_in })
        };
        let holders = db.query(&holders, &[&address.id(), &HOLDERS_MAX]).await?;
        let holders = holders.iter().map(holder).collect::<Result<_, StoreError>>()?;
        Ok(Some(ObjectView {
            settings,
            waiting: row.try_get(4)?,
            producers: row.try_get(10)?,
            held: row.try_get(5)?,
            permits: row.try_get(11)?,
            open: row.try_get(8)?,
            holders,
        }))
    }

    /// Looks at what is waited for and what is due, at most `limit` of that.
    pub async fn coordination_due(&self, waited: &Waited, limit: i64) -> Result<Due, StoreError> {
        let db = self.connection().await?;
        let tick = db.prepare_cached(TICK).await?;
        let mut due = Due::default();
        let waited: [&(dyn ToSql + Sync); 5] =
            [&waited.leases, &waited.ids, &waited.objects, &limit, &waited.standings];
        for row in db.query(&tick, &waited).await? {
            match row.try_get::<_, i16>(0)? {
                0 => due.moved.push((row.try_get(1)?, row.try_get(2)?)),
                1 => due.generations.push((row.try_get(1)?, row.try_get(3)?)),
                2 => due.over.push((address(&row)?, row.try_get(2)?)),
                _ => {
                    let next: Millis = row.try_get(3)?;
                    due.next = Some(due.next.map_or(next, |known| known.min(next)));
                }
            }
        }
        Ok(due)
    }
}

fn address(row: &tokio_postgres::Row) -> Result<Address, StoreError> {
    let (kind, name): (String, String) = (row.try_get(5)?, row.try_get(6)?);
    let broken = || StoreError::Data(format!("a {kind} named {name}"));
    let (kind, name) = (Kind::named(&kind).ok_or_else(broken)?, name.parse().map_err(|_| broken())?);
    Ok(Address::new(OwnerId(row.try_get(4)?), kind, name))
}
