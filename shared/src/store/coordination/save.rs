//! Writes what steps have changed.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use crate::coordination::{Lease, Object};

const LEASES: &str = "
    INSERT INTO lease AS l (object_id, id, standing, line, turn, until_ms, since_ms, claimed, owner, permits, ttl_ms,
        reentrant, secret, item_id, asker, notified, leaves_empty, alarm_ms)
    SELECT object_id, id, standing::lease_standing, line, turn, until_ms, since_ms, claimed, owner, permits, ttl_ms,
        reentrant, secret, item_id, asker, notified, leaves_empty, alarm_ms
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bool[],
            $9::text[], $10::int4[], $11::int4[], $12::bool[], $13::bytea[], $14::uuid[], $15::uuid[], $16::text[], $17::bool[],
            $18::bigint[])
        AS n(object_id, id, standing, line, turn, until_ms, since_ms, claimed, owner, permits, ttl_ms, reentrant, secret,
            item_id, asker, notified, leaves_empty, alarm_ms)
    ON CONFLICT (object_id, id) DO UPDATE SET standing = excluded.standing, line = excluded.line, turn = excluded.turn,
        until_ms = excluded.until_ms, since_ms = excluded.since_ms, claimed = excluded.claimed, owner = excluded.owner,
        permits = excluded.permits, ttl_ms = excluded.ttl_ms, reentrant = excluded.reentrant, secret = excluded.secret,
        item_id = excluded.item_id, asker = excluded.asker, notified = excluded.notified,
        leaves_empty = excluded.leaves_empty, alarm_ms = excluded.alarm_ms";

const SETTINGS: &str = "
    UPDATE coordination c SET capacity = n.capacity, configured = n.configured, generation = n.generation, flag = n.flag,
        item_order = n.item_order, attempts_max = n.attempts_max, halted = n.halted
    FROM unnest($1::uuid[], $2::int4[], $3::bool[], $4::bigint[], $5::bool[], $6::int2[], $7::int4[], $8::bool[])
        AS n(id, capacity, configured, generation, flag, item_order, attempts_max, halted)
    WHERE c.id = n.id";

/// Prepares what [`Written::save`] sends; the connection remembers it.
pub(super) async fn prepare(db: &Transaction<'_>) -> Result<(), PgError> {
    db.prepare_cached(LEASES).await?;
    db.prepare_cached(SETTINGS).await?;
    Ok(())
}

/// What is to be written.
pub(super) struct Written<'a> {
    leases: Vec<(Uuid, &'a Lease)>,
    objects: Vec<(Uuid, &'a Object)>,
}

impl<'a> Written<'a> {
    /// Of these objects whatever has changed.
    pub(super) fn of(objects: &'a BTreeMap<Uuid, Object>) -> Self {
        let changed = |(id, object): (&Uuid, &'a Object)| {
            let id = *id;
            object.done.leases.iter().filter_map(move |lease| Some((id, object.leases.get(lease)?)))
        };
        Self {
            leases: objects.iter().flat_map(changed).collect(),
            objects: objects
                .iter()
                .filter(|(_, object)| object.done.settings)
                .map(|(id, object)| (*id, object))
                .collect(),
        }
    }

    /// Writes it.
    pub(super) async fn save(&self, db: &Transaction<'_>) -> Result<(), PgError> {
        if !self.leases.is_empty() {
            self.leases(db).await?;
        }
        if !self.objects.is_empty() {
            self.settings(db).await?;
        }
        Ok(())
    }

    async fn leases(&self, db: &Transaction<'_>) -> Result<(), PgError> {
        fn each<'a, T>(leases: &[(Uuid, &'a Lease)], get: impl Fn(&'a Lease) -> T) -> Vec<T> {
            leases.iter().map(|(_, lease)| get(lease)).collect()
        }
        let all = &self.leases;
        let objects: Vec<Uuid> = all.iter().map(|(object, _)| *object).collect();
        let statement = db.prepare_cached(LEASES).await?;
        db.execute(
            &statement,
            &[
                &objects,
                &each(all, |lease| lease.id),
                &each(all, |lease| lease.standing.as_str()),
                &each(all, |lease| lease.line.as_str()),
                &each(all, |lease| lease.turn),
                &each(all, |lease| lease.until),
                &each(all, |lease| lease.since),
                &each(all, |lease| lease.claimed),
                &each(all, |lease| lease.terms.owner.as_str()),
                &each(all, |lease| lease.terms.permits),
                &each(all, |lease| lease.terms.ttl_ms),
                &each(all, |lease| lease.terms.reentrant),
                &each(all, |lease| lease.terms.secret.as_deref()),
                &each(all, |lease| lease.item),
                &each(all, |lease| lease.asker),
                &each(all, |lease| lease.notified.as_deref()),
                &each(all, |lease| lease.terms.leaves_empty),
                &each(all, |lease| lease.alarm),
            ],
        )
        .await?;
        Ok(())
    }

    async fn settings(&self, db: &Transaction<'_>) -> Result<(), PgError> {
        fn each<T>(objects: &[(Uuid, &Object)], get: impl Fn(&Object) -> T) -> Vec<T> {
            objects.iter().map(|(_, object)| get(object)).collect()
        }
        let all = &self.objects;
        let ids: Vec<Uuid> = all.iter().map(|(id, _)| *id).collect();
        let statement = db.prepare_cached(SETTINGS).await?;
        db.execute(
            &statement,
            &[
                &ids,
                &each(all, |object| object.settings.capacity),
                &each(all, |object| object.settings.configured),
                &each(all, |object| object.settings.generation),
                &each(all, |object| object.settings.flag),
                &each(all, |object| object.settings.order.number()),
                &each(all, |object| object.settings.attempts_max),
                &each(all, |object| object.settings.halted),
            ],
        )
        .await?;
        Ok(())
    }
}
