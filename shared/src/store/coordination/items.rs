//! Items of work queues: which of them a step can look at, and what it has changed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures::future::try_join;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use crate::coordination::{Item, ItemState, Kind, Object, PUTS, Reply, Unseen, limits};

/// Of the order, beside two for each request.
const FIRST_READY: i32 = 16;
/// Of those whose delay is over.
const DUE_MAX: i64 = 64;

/// Named ones, those of the leases in sight, those whose delay is over, the first ones in the queue's order, and where items are to
/// be removed those whose delay is not over.
const ITEMS: &str = "
    SELECT i.object_id, i.id, i.state::text, i.priority, i.turn, i.until_ms, i.attempt, i.digest FROM (
        SELECT n.object_id, n.id FROM unnest($1::uuid[], $2::uuid[]) AS n(object_id, id)
        UNION
        SELECT d.object_id, d.id FROM unnest($3::uuid[], $5::bigint[]) AS q(object_id, now_ms) CROSS JOIN LATERAL (
            SELECT i.object_id, i.id FROM work_item i
            WHERE i.state = 'delayed' AND (i.object_id, i.until_ms) >= (q.object_id, 0::bigint)
                AND (i.object_id, i.until_ms) <= (q.object_id, q.now_ms)
            ORDER BY i.object_id, i.until_ms LIMIT $6
        ) d
        UNION
        SELECT f.object_id, f.id FROM unnest($3::uuid[], $4::int4[]) AS q(object_id, most)
        JOIN coordination c ON c.id = q.object_id AND c.item_order <> 1 CROSS JOIN LATERAL (
            SELECT i.object_id, i.id FROM work_item i WHERE i.object_id = q.object_id AND i.state = 'ready'
            ORDER BY i.priority, i.turn LIMIT q.most
        ) f
        UNION
        SELECT f.object_id, f.id FROM unnest($3::uuid[], $4::int4[]) AS q(object_id, most)
        JOIN coordination c ON c.id = q.object_id AND c.item_order = 1 CROSS JOIN LATERAL (
            SELECT i.object_id, i.id FROM work_item i WHERE i.object_id = q.object_id AND i.state = 'ready'
            ORDER BY i.priority DESC, i.turn DESC LIMIT q.most
        ) f
        UNION
        SELECT l.object_id, l.id FROM unnest($7::uuid[]) AS q(object_id) CROSS JOIN LATERAL (
            SELECT i.object_id, i.id FROM work_item i WHERE i.object_id = q.object_id AND i.state = 'delayed' LIMIT $8
        ) l
    ) p JOIN work_item i ON i.object_id = p.object_id AND i.id = p.id";

/// How many are ready, open, and promised, no further than it matters.
const COUNTS: &str = "
    SELECT q.object_id,
        (SELECT count(*) FROM (SELECT FROM work_item i WHERE i.object_id = q.object_id AND i.state = 'ready'
            LIMIT coalesce(c.capacity, 0) + q.most) ready),
        (SELECT count(*) FROM (SELECT FROM work_item i WHERE i.object_id = q.object_id
            AND i.state IN ('ready', 'delayed', 'leased') LIMIT q.most) open),
        (SELECT count(*) FROM lease l WHERE l.object_id = q.object_id AND l.standing = 'held' AND l.line = $3)
    FROM unnest($1::uuid[], $2::int4[]) AS q(object_id, most) JOIN coordination c ON c.id = q.object_id";

const SAVE: &str = "
    INSERT INTO work_item AS i (object_id, id, state, priority, turn, until_ms, attempt, payload, digest)
    SELECT object_id, id, state::work_state, priority, turn, until_ms, attempt, payload, digest
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::float8[], $5::bigint[], $6::bigint[], $7::int4[], $8::bytea[],
            $9::bytea[])
        AS n(object_id, id, state, priority, turn, until_ms, attempt, payload, digest)
    ON CONFLICT (object_id, id) DO UPDATE SET state = excluded.state, turn = excluded.turn, until_ms = excluded.until_ms,
        attempt = excluded.attempt, payload = CASE WHEN excluded.state <> 'done' THEN coalesce(i.payload, excluded.payload) END";

/// Of queues that are deleted; an earlier, bounded statement has removed most of them (`delete.rs`).
const EMPTY: &str = "DELETE FROM work_item WHERE object_id = ANY($1::uuid[])";

const PAYLOADS: &str = "
    SELECT i.object_id, i.id, i.payload FROM unnest($1::uuid[], $2::uuid[]) AS n(object_id, id)
    JOIN work_item i ON i.object_id = n.object_id AND i.id = n.id";

/// Loads what can be looked at of each queue among the objects. `requests` tells how many there are for each; of the `purged` ones,
/// and of those that are halted, as many items as one step removes are looked at.
pub(super) async fn load(
    db: &Transaction<'_>,
    objects: &mut BTreeMap<Uuid, Object>,
    (requests, purged): (&BTreeMap<Uuid, i32>, &BTreeSet<Uuid>),
    named: &[(Uuid, Uuid)],
) -> Result<(), PgError> {
    let (mut queues, mut first, mut most, mut now, mut of, mut ids) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut emptied: Vec<Uuid> = Vec::new();
    for (id, object) in objects.iter().filter(|(_, object)| object.kind == Kind::WorkQueue) {
        let count = requests.get(id).copied().unwrap_or(1);
        let is_emptied = object.settings.halted || purged.contains(id);
        let removed = if is_emptied { limits::PURGED_MAX } else { 0 };
        emptied.extend(is_emptied.then_some(*id));
        let leased = object.leases.values().filter_map(|lease| lease.item);
        let before = ids.len();
        ids.extend(named.iter().filter(|(of, _)| of == id).map(|(_, item)| *item).chain(leased));
        of.resize(ids.len(), *id);
        let here = i32::try_from(ids.len() - before).unwrap_or(i32::MAX);
        queues.push(*id);
        first.push(FIRST_READY + 2 * count + removed);
        most.push(FIRST_READY + 2 * (count + removed) + here + i32::try_from(DUE_MAX).unwrap_or(0) + 1);
        now.push(object.now);
    }
    if queues.is_empty() {
        return Ok(());
    }
    let (items, counts) = (db.prepare_cached(ITEMS).await?, db.prepare_cached(COUNTS).await?);
    let (items, counts) = try_join(
        db.query(&items, &[&of, &ids, &queues, &first, &now, &DUE_MAX, &emptied, &i64::from(limits::PURGED_MAX)]),
        db.query(&counts, &[&queues, &most, &PUTS]),
    )
    .await?;
    for row in &items {
        let state: String = row.try_get(2)?;
        let item = Item {
            id: row.try_get(1)?,
            state: ItemState::named(&state).unwrap_or(ItemState::Done),
            priority: row.try_get(3)?,
            turn: row.try_get(4)?,
            until: row.try_get(5)?,
            attempt: row.try_get(6)?,
            payload: None,
            digest: row.try_get(7)?,
        };
        if let Some(object) = objects.get_mut(&row.try_get(0)?) {
            object.items.insert(item.id, item);
        }
    }
    for row in &counts {
        let id: Uuid = row.try_get(0)?;
        let first = queues.iter().position(|queue| *queue == id).and_then(|at| first.get(at)).copied().unwrap_or(0);
        if let Some(object) = objects.get_mut(&id) {
            object.unseen = unseen(object, first, (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
        }
    }
    Ok(())
}

/// What is out of sight, from the counts of everything.
fn unseen(object: &Object, first: i32, (ready, open, promised): (i64, i64, i64)) -> Unseen {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut in_order = object.in_order();
    let here = count(in_order.len());
    let open_here = object.items.values().filter(|item| item.is_open()).count();
    let promised_here = object.leases.values().filter(|lease| lease.is_held() && lease.line == PUTS).count();
    in_order.truncate(usize::try_from(first).unwrap_or(0));
    Unseen {
        ready: (ready - here).max(0),
        horizon: in_order.last().copied().filter(|_| ready > here),
        open: open > count(open_here),
        promised: (promised - count(promised_here)).max(0),
    }
}

/// Prepares what [`Payloads::load`] and [`Saved::save`] send; the connection remembers it.
pub(super) async fn prepare(db: &Transaction<'_>) -> Result<(), PgError> {
    db.prepare_cached(PAYLOADS).await?;
    db.prepare_cached(SAVE).await?;
    db.prepare_cached(EMPTY).await?;
    Ok(())
}

/// Items that were fetched, and whose contents are in the database.
pub(super) struct Payloads {
    queues: Vec<Uuid>,
    ids: Vec<Uuid>,
}

/// What is in items, by object and item.
type Contents = BTreeMap<(Uuid, Uuid), Bytes>;

impl Payloads {
    /// Of what the replies have fetched; what was put in by the same step is filled in at once. `of` names the object of each reply.
    pub(super) fn of(objects: &BTreeMap<Uuid, Object>, of: &[Uuid], replies: &mut [Reply]) -> Self {
        let mut payloads = Self { queues: Vec::new(), ids: Vec::new() };
        for (id, reply) in of.iter().zip(replies) {
            let Reply::Fetched(fetched) = reply else { continue };
            if let Some(payload) = objects.get(id).and_then(|object| object.items.get(&fetched.item)?.payload.clone()) {
                fetched.payload = payload;
            } else {
                payloads.queues.push(*id);
                payloads.ids.push(fetched.item);
            }
        }
        payloads
    }

    /// Reads them.
    pub(super) async fn load(&self, db: &Transaction<'_>) -> Result<Contents, PgError> {
        if self.ids.is_empty() {
            return Ok(Contents::new());
        }
        let payloads = db.prepare_cached(PAYLOADS).await?;
        let rows = db.query(&payloads, &[&self.queues, &self.ids]).await?;
        let payload = |row: &tokio_postgres::Row| {
            let payload: Option<Vec<u8>> = row.try_get(2)?;
            Ok(((row.try_get(0)?, row.try_get(1)?), Bytes::from(payload.unwrap_or_default())))
        };
        rows.iter().map(payload).collect()
    }
}

/// Fills in what was read.
pub(super) fn fill(found: &Contents, of: &[Uuid], replies: &mut [Reply]) {
    for (id, reply) in of.iter().zip(replies) {
        if let Reply::Fetched(fetched) = reply
            && let Some(payload) = found.get(&(*id, fetched.item))
        {
            fetched.payload = payload.clone();
        }
    }
}

/// Items that have changed.
pub(super) struct Saved<'a> {
    items: Vec<(Uuid, &'a Item)>,
    emptied: Vec<Uuid>,
}

impl<'a> Saved<'a> {
    /// Of these objects.
    pub(super) fn of(objects: &'a BTreeMap<Uuid, Object>) -> Self {
        let changed = |(id, object): (&Uuid, &'a Object)| {
            let id = *id;
            object.done.items.iter().filter_map(move |item| Some((id, object.items.get(item)?)))
        };
        let emptied = objects.iter().filter(|(_, object)| object.done.emptied).map(|(id, _)| *id);
        Self { items: objects.iter().flat_map(changed).collect(), emptied: emptied.collect() }
    }

    /// Writes them.
    pub(super) async fn save(&self, db: &Transaction<'_>) -> Result<(), PgError> {
        fn each<'a, T>(items: &[(Uuid, &'a Item)], get: impl Fn(&'a Item) -> T) -> Vec<T> {
            items.iter().map(|(_, item)| get(item)).collect()
        }
        if !self.emptied.is_empty() {
            let empty = db.prepare_cached(EMPTY).await?;
            db.execute(&empty, &[&self.emptied]).await?;
        }
        let all = &self.items;
        if all.is_empty() {
            return Ok(());
        }
        let objects: Vec<Uuid> = all.iter().map(|(object, _)| *object).collect();
        let statement = db.prepare_cached(SAVE).await?;
        db.execute(
            &statement,
            &[
                &objects,
                &each(all, |item| item.id),
                &each(all, |item| item.state.as_str()),
                &each(all, |item| item.priority),
                &each(all, |item| item.turn),
                &each(all, |item| item.until),
                &each(all, |item| item.attempt),
                &each(all, |item| item.payload.as_deref().filter(|_| item.state != ItemState::Done)),
                &each(all, |item| item.digest.as_deref()),
            ],
        )
        .await?;
        Ok(())
    }
}
