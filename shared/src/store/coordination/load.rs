//! What of an object a step can look at: the leases that the requests name, those that hold and have run out (of a lock or a
//! barrier all that hold), as many of the first of each line as could be let in, and of a condition as many as have to take the
//! notify of one that may be gone, and those whose time limit is over. Who waits and has run out is not there, unless it
//! has a notify to pass on or is named: whoever looks at what is due names it.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use futures::future::try_join4;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::{change::Change, items};
use crate::coordination::{Kind, Lease, Millis, Object, Order, PUTS, Settings, Standing, Terms, View, limits};

/// Of a line, beside one for each request: several may be let in at once.
const FIRST_OF_A_LINE: i32 = 8;
/// Numbers that one draw from the sequence stands for.
const TURNS: i64 = 4096;

/// Makes what is not there, and locks all of them, in one order. The clock and the number are taken under the lock.
const LOCK: &str = "
    INSERT INTO coordination AS c (id, owner_id, kind, name, clock_ms)
    SELECT id, owner_id, kind::coordination_kind, name,
        coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) AS o(id, owner_id, kind, name) ORDER BY id
    ON CONFLICT (id) DO UPDATE SET clock_ms = greatest(c.clock_ms,
        coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint))
    RETURNING id, kind::text, clock_ms, capacity, configured, generation, flag, nextval('coordination_turn'), item_order,
        attempts_max, halted";

const LEASES: &str = "
    SELECT l.object_id, l.id, l.standing::text, l.line, l.turn, l.until_ms, l.since_ms, l.claimed, l.owner, l.permits,
        l.ttl_ms, l.reentrant, l.secret, l.item_id, l.asker, l.notified, l.leaves_empty, l.alarm_ms
    FROM (
        SELECT n.object_id, n.id FROM unnest($1::uuid[], $2::uuid[]) AS n(object_id, id)
        UNION
        SELECT w.object_id, w.id FROM unnest($3::uuid[], $4::text[], $5::int4[]) AS f(object_id, line, most)
        JOIN coordination c ON c.id = f.object_id CROSS JOIN LATERAL (
            SELECT l.object_id, l.id FROM lease l
            WHERE l.object_id = f.object_id AND l.line = f.line AND l.standing = 'waiting'
                AND (l.until_ms > c.clock_ms) IS TRUE AND (l.alarm_ms > 0 AND l.alarm_ms <= c.clock_ms) IS NOT TRUE
            ORDER BY l.turn LIMIT f.most
        ) w
        UNION
        SELECT h.object_id, h.id FROM unnest($6::uuid[], $7::bool[]) AS o(object_id, whole)
        JOIN coordination c ON c.id = o.object_id CROSS JOIN LATERAL (
            SELECT l.object_id, l.id FROM lease l
            WHERE l.object_id = o.object_id AND l.standing = 'held' AND (o.whole OR l.until_ms <= c.clock_ms) OFFSET 0
        ) h
        UNION
        SELECT e.object_id, e.id FROM unnest($8::uuid[]) AS o(object_id) CROSS JOIN LATERAL (
            SELECT l.object_id, l.id FROM lease l WHERE l.object_id = o.object_id AND l.standing = 'waiting' OFFSET 0
        ) e
        UNION
        SELECT g.object_id, g.id FROM unnest($6::uuid[]) AS o(object_id)
        JOIN coordination c ON c.id = o.object_id CROSS JOIN LATERAL (
            SELECT l.object_id, l.id FROM lease l
            WHERE l.object_id = o.object_id AND l.notified IS NOT NULL AND l.standing IN ('waiting', 'held')
                AND (l.until_ms <= c.clock_ms) IS TRUE OFFSET 0
        ) g
        UNION
        SELECT s.object_id, s.id FROM unnest($6::uuid[], $9::bool[]) AS o(object_id, broken)
        JOIN coordination c ON c.id = o.object_id CROSS JOIN LATERAL (
            SELECT l.notified AS line, count(*) AS most FROM lease l
            WHERE l.object_id = o.object_id AND l.notified IS NOT NULL AND l.standing IN ('waiting', 'held')
                AND (o.broken OR l.until_ms <= c.clock_ms OR EXISTS (SELECT FROM unnest($1::uuid[], $2::uuid[]) AS n(object_id, id)
                    WHERE n.object_id = l.object_id AND n.id = l.id)) IS TRUE
            GROUP BY l.notified OFFSET 0
        ) n CROSS JOIN LATERAL (
            SELECT l.object_id, l.id FROM lease l
            WHERE l.object_id = o.object_id AND l.line = n.line AND l.standing = 'waiting'
                AND (l.until_ms > c.clock_ms) IS TRUE AND (l.alarm_ms > 0 AND l.alarm_ms <= c.clock_ms) IS NOT TRUE
            ORDER BY l.turn LIMIT n.most
        ) s
        UNION
        SELECT r.object_id, r.id FROM unnest($6::uuid[]) AS o(object_id)
        JOIN coordination c ON c.id = o.object_id CROSS JOIN LATERAL (
            SELECT l.object_id, l.id FROM lease l
            WHERE l.standing = 'waiting' AND l.alarm_ms > 0 AND (l.object_id, l.alarm_ms) >= (o.object_id, 1::bigint)
                AND (l.object_id, l.alarm_ms) <= (o.object_id, c.clock_ms) AND (l.until_ms > c.clock_ms) IS TRUE
            ORDER BY l.object_id, l.alarm_ms, l.turn LIMIT $10
        ) r
    ) p JOIN lease l ON l.object_id = p.object_id AND l.id = p.id";

const SUMS: &str = "
    SELECT o.id, w.own, w.beside,
        (SELECT coalesce(sum(h.permits), 0) FROM lease h WHERE h.object_id = o.id AND h.standing = 'held')
    FROM unnest($1::uuid[]) AS o(id) JOIN coordination c ON c.id = o.id CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE l.line = '') AS own, count(*) FILTER (WHERE l.line <> '') AS beside
        FROM lease l WHERE l.object_id = o.id AND l.standing = 'waiting' AND (l.until_ms > c.clock_ms) IS TRUE
    ) w";

/// Of the leases that hold and could end or change those that no transaction of their holder's keeps as they are.
const FREE: &str = "
    SELECT l.object_id, l.id FROM (
        SELECT n.object_id, n.id FROM unnest($1::uuid[], $2::uuid[]) AS n(object_id, id)
        UNION
        SELECT h.object_id, h.id FROM unnest($3::uuid[], $4::bool[]) AS o(object_id, broken)
        JOIN coordination c ON c.id = o.object_id CROSS JOIN LATERAL (
            SELECT l.object_id, l.id FROM lease l
            WHERE l.object_id = o.object_id AND l.standing = 'held'
                AND (o.broken OR l.until_ms <= c.clock_ms) IS TRUE OFFSET 0
        ) h
    ) p JOIN lease l ON l.object_id = p.object_id AND l.id = p.id AND (l.standing = 'held') IS TRUE
    FOR UPDATE OF l SKIP LOCKED";

/// What the requests of a batch need to see.
#[derive(Default)]
pub(super) struct Wanted {
    ids: Vec<Uuid>,
    owners: Vec<i64>,
    kinds: Vec<&'static str>,
    names: Vec<String>,
    /// Of locks and barriers everything that holds is looked at, and where something is to be broken or deleted.
    whole: Vec<bool>,
    /// Where something is to be broken or deleted: whatever holds could end.
    broken: Vec<bool>,
    /// Where everybody who waits is looked at.
    waiters: Vec<Uuid>,
    /// Queues of which as many items as one step removes are looked at.
    purged: BTreeSet<Uuid>,
    named: (Vec<Uuid>, Vec<Uuid>),
    lines: BTreeMap<(Uuid, String), i32>,
    requests: BTreeMap<Uuid, i32>,
    items: Vec<(Uuid, Uuid)>,
}

impl Wanted {
    /// Of requests that are sorted by object.
    pub(super) fn of(rows: &[&Change]) -> Self {
        let mut wanted = Self::default();
        for row in rows {
            let (address, id) = (&row.address, row.address.id());
            if wanted.ids.last() != Some(&id) {
                wanted.ids.push(id);
                wanted.owners.push(address.owner().0);
                wanted.kinds.push(address.kind().as_str());
                wanted.names.push(address.name().to_string());
                wanted.whole.push(matches!(address.kind(), Kind::Lock | Kind::Barrier));
                wanted.broken.push(false);
            }
            let sight = row.op.sight();
            if sight.sees_holders()
                && let (Some(whole), Some(broken)) = (wanted.whole.last_mut(), wanted.broken.last_mut())
            {
                (*whole, *broken) = (true, true);
            }
            wanted.waiters.extend(sight.sees_waiters().then_some(id));
            wanted.purged.extend(row.op.purges().then_some(id));
            for lease in row.op.names() {
                wanted.named.0.push(id);
                wanted.named.1.push(lease);
            }
            *wanted.requests.entry(id).or_insert(0) += 1;
            wanted.items.extend(row.op.items().iter().map(|item| (id, *item)));
            if address.kind() == Kind::WorkQueue {
                *wanted.lines.entry((id, PUTS.to_owned())).or_insert(FIRST_OF_A_LINE) += 1;
            }
            *wanted.lines.entry((id, String::new())).or_insert(FIRST_OF_A_LINE) += 1;
            if let Some((line, count)) = row.op.line() {
                *wanted.lines.entry((id, line.to_owned())).or_insert(0) += count;
            }
        }
        wanted
    }

    /// Locks and loads. `now` is the time where it is not the database's.
    pub(super) async fn load(
        &self,
        db: &Transaction<'_>,
        now: Option<Millis>,
    ) -> Result<BTreeMap<Uuid, Object>, PgError> {
        let lock = db.prepare_cached(LOCK).await?;
        let leases = db.prepare_cached(LEASES).await?;
        let sums = db.prepare_cached(SUMS).await?;
        let free = db.prepare_cached(FREE).await?;
        let (mut of, mut lines, mut most) = (Vec::new(), Vec::new(), Vec::new());
        for ((id, line), count) in &self.lines {
            of.push(*id);
            lines.push(line.as_str());
            most.push(*count);
        }
        // sent together, and done one after the other: each sees what is there when it begins, and that is under the locks
        let (locked, leases, sums, free) = try_join4(
            db.query(&lock, &[&self.ids, &self.owners, &self.kinds, &self.names, &now]),
            db.query(
                &leases,
                &[
                    &self.named.0,
                    &self.named.1,
                    &of,
                    &lines,
                    &most,
                    &self.ids,
                    &self.whole,
                    &self.waiters,
                    &self.broken,
                    &i64::from(limits::NOTIFIED_MAX),
                ],
            ),
            db.query(&sums, &[&self.ids]),
            db.query(&free, &[&self.named.0, &self.named.1, &self.ids, &self.broken]),
        )
        .await?;
        let mut objects: BTreeMap<Uuid, Object> = locked.iter().map(object).collect::<Result<_, _>>()?;
        for row in &leases {
            let (object, lease): (Uuid, Lease) = (row.try_get(0)?, lease(row)?);
            if let Some(object) = objects.get_mut(&object) {
                object.leases.insert(lease.id, lease);
            }
        }
        for row in &sums {
            if let Some(object) = objects.get_mut(&row.try_get(0)?) {
                let first = self.lines.get(&(row.try_get(0)?, String::new())).copied().unwrap_or(0);
                object.view = view(object, first, (row.try_get(1)?, row.try_get(2)?), row.try_get(3)?);
            }
        }
        self.find_pinned(&free, &mut objects)?;
        items::load(db, &mut objects, (&self.requests, &self.purged), &self.items).await?;
        Ok(objects)
    }

    /// What could end or change and is not free.
    fn find_pinned(&self, free: &[Row], objects: &mut BTreeMap<Uuid, Object>) -> Result<(), PgError> {
        let named: BTreeSet<(&Uuid, &Uuid)> = self.named.0.iter().zip(&self.named.1).collect();
        let free = free.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let free: BTreeSet<(Uuid, Uuid)> = free.collect::<Result<_, PgError>>()?;
        let broken = self.ids.iter().zip(&self.broken).filter(|(_, broken)| **broken).map(|(id, _)| *id);
        let broken: BTreeSet<Uuid> = broken.collect();
        for (id, object) in objects.iter_mut() {
            let (now, all) = (object.now, broken.contains(id));
            let touched = |lease: &&Lease| all || lease.until <= now || named.contains(&(id, &lease.id));
            let touched = object.leases.values().filter(|lease| lease.is_held()).filter(touched);
            let pinned = touched.map(|lease| lease.id).filter(|lease| !free.contains(&(*id, *lease)));
            object.view.pinned = pinned.collect();
        }
        Ok(())
    }
}

/// What is out of sight, from the counts of everything.
fn view(object: &Object, first: i32, (waiting, beside): (i64, i64), held: i64) -> View {
    let (mut in_line, mut puts, mut beside_here, mut held_here) = (Vec::new(), Vec::new(), 0, 0);
    for lease in object.leases.values() {
        let waits = lease.standing == Standing::Waiting && lease.until > object.now;
        beside_here += i64::from(waits && !lease.line.is_empty());
        if lease.waits_in("") && lease.until > object.now {
            in_line.push(lease.turn);
        } else if lease.waits_in(PUTS) && lease.until > object.now {
            puts.push(lease.turn);
        } else if lease.is_held() {
            held_here += i64::from(lease.terms.permits);
        }
    }
    in_line.sort_unstable();
    puts.sort_unstable();
    let seen = i64::try_from(in_line.len()).unwrap_or(i64::MAX);
    let horizon = in_line.get(usize::try_from(first - 1).unwrap_or(0)).or(in_line.last()).copied();
    View {
        held: (held - held_here).max(0),
        waiting: (waiting - seen).max(0),
        beside: (beside - beside_here).max(0),
        horizon: horizon.filter(|_| waiting > seen),
        puts_horizon: puts.get(usize::try_from(first - 1).unwrap_or(0)).copied(),
        pinned: BTreeSet::new(),
    }
}

fn object(row: &Row) -> Result<(Uuid, Object), PgError> {
    let (kind, draw): (String, i64) = (row.try_get(1)?, row.try_get(7)?);
    let kind = Kind::named(&kind).unwrap_or(Kind::Lock);
    let turns = (draw * TURNS, draw * TURNS + TURNS - 1);
    let mut object = Object::new(kind, row.try_get(2)?, turns);
    object.settings = Settings {
        capacity: row.try_get(3)?,
        configured: row.try_get(4)?,
        generation: row.try_get(5)?,
        flag: row.try_get(6)?,
        order: Order::numbered(row.try_get(8)?),
        attempts_max: row.try_get(9)?,
        halted: row.try_get(10)?,
    };
    Ok((row.try_get(0)?, object))
}

fn lease(row: &Row) -> Result<Lease, PgError> {
    let standing: String = row.try_get(2)?;
    Ok(Lease {
        id: row.try_get(1)?,
        standing: Standing::named(&standing).unwrap_or(Standing::Lost),
        line: row.try_get(3)?,
        turn: row.try_get(4)?,
        until: row.try_get(5)?,
        since: row.try_get(6)?,
        claimed: row.try_get(7)?,
        terms: Terms {
            owner: row.try_get(8)?,
            permits: row.try_get(9)?,
            ttl_ms: row.try_get(10)?,
            reentrant: row.try_get(11)?,
            secret: row.try_get(12)?,
            leaves_empty: row.try_get(16)?,
        },
        item: row.try_get(13)?,
        asker: row.try_get(14)?,
        notified: row.try_get(15)?,
        alarm: row.try_get(17)?,
    })
}
