//! Real exclusion for data in the same database: a transaction that stands on the lease of its holder.

use tokio_postgres::{Client, Error as PgError, Transaction};
use uuid::Uuid;

use crate::{
    coordination::Address,
    store::{Store, StoreError},
};

const PIN: &str = "
    SELECT FROM lease
    WHERE object_id = $1 AND id = $2 AND turn = $3 AND standing = 'held'
        AND until_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FOR SHARE";

impl Store {
    /// Locks the lease's row within a transaction of the caller's, in this same database: until that has ended, nobody else is
    /// granted what is held, whatever the clock says. `false` if the lease is no longer held under this fence; then the
    /// transaction must change nothing.
    ///
    /// While it stands, a renewal changes nothing and a release waits. A long one delays this one object only.
    pub async fn pin_lease(
        transaction: &Transaction<'_>,
        object: &Address,
        lease: Uuid,
        fence: i64,
    ) -> Result<bool, StoreError> {
        let pinned: Result<_, PgError> = transaction.query_opt(PIN, &[&object.id(), &lease, &fence]).await;
        Ok(pinned?.is_some())
    }

    /// A connection of its own to this database, for such transactions. It is the caller's, and closed when it is dropped.
    pub async fn own_connection(&self) -> Result<impl std::ops::DerefMut<Target = Client>, StoreError> {
        Ok(self.connection().await?.take())
    }
}
