//! Lists of what is in use, by name; and the items of a queue that is to be deleted.

use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    coordination::{Address, Kind, Order, Settings},
    store::{Store, StoreError},
    task::OwnerId,
};

/// Objects that one page looks at, whatever it finds: most objects may be out of use.
const LOOKED_AT_MAX: i64 = 10_000;
/// Leases of one object that a list counts.
const COUNTED_MAX: i64 = 100;

/// The inner statement is read no further than the outer one needs.
const LIST: &str = "
    SELECT c.name, c.capacity, c.configured, c.generation, c.flag, c.item_order, c.attempts_max,
        (SELECT count(*) FROM (SELECT FROM lease l WHERE l.object_id = c.id AND l.standing = 'held' LIMIT $6) held),
        (SELECT count(*) FROM (SELECT FROM lease l WHERE l.object_id = c.id AND l.standing = 'waiting' LIMIT $6) waiting), c.halted
    FROM (
        SELECT * FROM coordination WHERE owner_id = $1 AND kind = $2::text::coordination_kind AND name > $3
        ORDER BY name LIMIT $5
    ) c
    WHERE c.configured OR c.flag OR c.generation > 0
        OR EXISTS (SELECT FROM lease l WHERE l.object_id = c.id AND l.standing = 'held')
        OR EXISTS (SELECT FROM lease l WHERE l.object_id = c.id AND l.standing = 'waiting')
    ORDER BY c.name LIMIT $4";

/// Where a page ends that has looked at as many as it may.
const LOOKED_AT: &str = "
    SELECT name FROM coordination WHERE owner_id = $1 AND kind = $2::text::coordination_kind AND name > $3
    ORDER BY name OFFSET $4 LIMIT 1";

const LOCK: &str = "SELECT FROM coordination WHERE id = $1 FOR UPDATE";

const PURGE: &str = "
    DELETE FROM work_item WHERE object_id = $1 AND id IN (SELECT id FROM work_item WHERE object_id = $1 LIMIT $2)";

const DEAD: &str = "SELECT id FROM work_item WHERE object_id = $1 AND state = 'dead' ORDER BY turn LIMIT $2";

/// An object in a list.
#[derive(Clone, Debug)]
pub struct ListedObject {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: Settings,
    /// How many leases hold, no further than 100.
    pub held: i64,
    /// How many wait in all its lines, no further than 100.
    pub waiting: i64,
}

impl Store {
    /// The objects of this kind behind this name that are in use, at most so many; and where the next page begins.
    pub async fn list_objects(
        &self,
        owner: OwnerId,
        kind: Kind,
        after: &str,
        limit: i64,
    ) -> Result<(Vec<ListedObject>, Option<String>), StoreError> {
        let db = self.connection().await?;
        let list = db.prepare_cached(LIST).await?;
        let rows =
            db.query(&list, &[&owner.0, &kind.as_str(), &after, &(limit + 1), &LOOKED_AT_MAX, &COUNTED_MAX]).await?;
        let mut found = rows.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
        let wanted = usize::try_from(limit).unwrap_or(0);
        if found.len() > wanted {
            found.truncate(wanted);
            let next = found.last().map(|last| last.name.clone());
            return Ok((found, next));
        }
        let looked_at = db.prepare_cached(LOOKED_AT).await?;
        let horizon = db.query_opt(&looked_at, &[&owner.0, &kind.as_str(), &after, &(LOOKED_AT_MAX - 1)]).await?;
        Ok((found, horizon.map(|row| row.try_get(0)).transpose()?))
    }

    /// Removes up to `limit` items of a queue, whatever has become of them; how many there were. For a queue that takes no more.
    pub async fn purge_items(&self, queue: &Address, limit: i64) -> Result<u64, StoreError> {
        let mut db = self.connection().await?;
        let transaction = db.transaction().await?;
        transaction.query_opt(LOCK, &[&queue.id()]).await?;
        let purged = transaction.execute(PURGE, &[&queue.id(), &limit]).await?;
        transaction.commit().await?;
        Ok(purged)
    }

    /// The first dead items of a queue, at most so many.
    pub async fn dead_item_ids(&self, queue: &Address, limit: i64) -> Result<Vec<Uuid>, StoreError> {
        let db = self.connection().await?;
        let dead = db.prepare_cached(DEAD).await?;
        db.query(&dead, &[&queue.id(), &limit]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

fn listed(row: &Row) -> Result<ListedObject, StoreError> {
    Ok(ListedObject {
        name: row.try_get(0)?,
        settings: Settings {
            capacity: row.try_get(1)?,
            configured: row.try_get(2)?,
            generation: row.try_get(3)?,
            flag: row.try_get(4)?,
            order: Order::numbered(row.try_get(5)?),
            attempts_max: row.try_get(6)?,
            halted: row.try_get(9)?,
        },
        held: row.try_get(7)?,
        waiting: row.try_get(8)?,
    })
}
