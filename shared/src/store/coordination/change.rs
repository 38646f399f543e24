//! Requests in groups: lock their objects, load what can be looked at, let the specification step, write what changed, one
//! commit.

use std::collections::BTreeMap;

use deadpool_postgres::Object as Db;
use futures::future::try_join3;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::{
    items,
    load::Wanted,
    save::{self, Written},
};
use crate::{
    coordination::{Address, Millis, Object, Op, Reply, wake_id},
    store::{AuditOrder, Batched, audit_log},
    telemetry::names,
};

/// A request to one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which object.
    pub address: Address,
    /// What it is asked.
    pub op: Op,
    /// What the audit log is to say of it, if it is done.
    pub order: Option<AuditOrder>,
}

/// What a commit has brought for others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// By these ids those who wait are woken.
    pub woken: Vec<Uuid>,
    /// There is more to do here than was in sight.
    pub again: Vec<Address>,
}

/// The writer's statements.
pub struct Changes {
    /// Is told after each commit; must not wait.
    pub tell: Box<dyn Fn(Told) + Send + Sync>,
    /// The time, where it is not the database's: for tests.
    pub clock: Option<Box<dyn Fn() -> Millis + Send + Sync>>,
}

impl Batched for Changes {
    type Row = Change;
    type Answer = Reply;
    const NAME: &'static str = "coordination";
    /// The client knows whether it still wants it, and repeats it by the same id.
    const PERSISTENT: bool = false;

    fn key(row: &Change) -> Uuid {
        row.address.id()
    }

    fn bytes(row: &Change) -> usize {
        match &row.op {
            Op::Put(put) => put.payload.len(),
            _ => 0,
        }
    }

    async fn write(&self, db: &mut Db, rows: &[&Change], _again: bool) -> Result<Vec<Reply>, PgError> {
        let now = self.clock.as_ref().map(|clock| clock());
        let transaction = db.transaction().await?;
        let mut objects = Wanted::of(rows).load(&transaction, now).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.address.id()).collect();
        let step = |(id, row): (&Uuid, &&Change)| match objects.get_mut(id) {
            Some(object) => object.step(&row.op),
            None => Reply::Missing,
        };
        let mut replies: Vec<Reply> = ids.iter().zip(rows).map(step).collect();
        // sent together, and done one after the other: what is in an item is read before it goes, because it is done. For that
        // each has to be sent when it is first asked for, and so has to be prepared
        items::prepare(&transaction).await?;
        save::prepare(&transaction).await?;
        let written = Written::of(&objects);
        let (fetched, saved) = (items::Payloads::of(&objects, &ids, &mut replies), items::Saved::of(&objects));
        let (payloads, (), ()) =
            try_join3(fetched.load(&transaction), saved.save(&transaction), written.save(&transaction)).await?;
        items::fill(&payloads, &ids, &mut replies);
        let orders = rows.iter().zip(&replies).filter(|(_, reply)| is_done(reply));
        audit_log::log(&transaction, &orders.filter_map(|(row, _)| row.order.as_ref()).collect::<Vec<_>>()).await?;
        transaction.commit().await?;
        count(&objects);
        (self.tell)(told(rows, &objects));
        Ok(replies)
    }
}

/// Whether an order was carried out.
fn is_done(reply: &Reply) -> bool {
    matches!(reply, Reply::Released | Reply::Done(_) | Reply::PutBack(1..))
}

fn count(objects: &BTreeMap<Uuid, Object>) {
    for object in objects.values() {
        let (kind, done) = (object.kind.as_str(), &object.done);
        for (name, count) in [
            (names::LEASES_GRANTED, done.granted),
            (names::LEASES_LOST, done.lost),
            (names::LEASES_UNCLAIMED, done.unclaimed),
        ] {
            if count > 0 {
                metrics::counter!(name, "kind" => kind).increment(count);
            }
        }
    }
}

fn told(rows: &[&Change], objects: &BTreeMap<Uuid, Object>) -> Told {
    let mut told = Told::default();
    for (id, object) in objects {
        told.woken.extend(object.done.woken.iter().map(|lease| wake_id(*id, *lease)));
        told.woken.extend(object.done.stirred.then_some(*id));
        if object.done.again
            && let Some(row) = rows.iter().find(|row| row.address.id() == *id)
        {
            told.again.push(row.address.clone());
        }
    }
    told
}
