//! One read of the database for all who need the same thing at the same time.
//!
//! Invariants: nobody is given what does not suit it, so a read that began before a question answers it only where the asker
//! says so; a read that failed is shared too; an asker that goes away leaves the read to the next one.

use std::time::Duration;

use caraway_shared::store::StoreError;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// The last read, and the next one's turn.
pub(crate) struct SharedRead<T> {
    last: Mutex<Option<Read<T>>>,
    every: Duration,
}

struct Read<T> {
    began: Instant,
    /// Or why it brought nothing.
    brought: Result<T, String>,
}

impl<T> Default for SharedRead<T> {
    /// Reads as often as it must.
    fn default() -> Self {
        Self { last: Mutex::new(None), every: Duration::ZERO }
    }
}

impl<T: Clone> SharedRead<T> {
    /// Reads at most once in `every`; nothing was read yet.
    pub(crate) fn new(every: Duration) -> Self {
        Self { last: Mutex::new(None), every }
    }

    /// What a read has brought that began after `asked`, whoever did it. `read` is run if nobody has.
    pub(crate) async fn since(
        &self,
        asked: Instant,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.suiting(|began, _| began >= asked, read).await
    }

    /// What the last read has brought, if that suits: when it began, and what it found. Else `read` is run.
    pub(crate) async fn suiting(
        &self,
        suits: impl Fn(Instant, Option<&T>) -> bool,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut last = self.last.lock().await;
        if last.as_ref().is_none_or(|last| !suits(last.began, last.brought.as_ref().ok())) {
            if let Some(last) = last.as_ref() {
                sleep_until(last.began + self.every).await;
            }
            let began = Instant::now();
            let brought = read.await.map_err(|error| error.to_string());
            *last = Some(Read { began, brought });
        }
        let Some(Read { brought, .. }) = &*last else { unreachable!("it was read just now") };
        brought.clone().map_err(|failure| StoreError::Unavailable(failure.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn who_asks_before_a_read_begins_shares_it() {
        let (shared, reads) = (SharedRead::new(Duration::from_millis(200)), AtomicU32::new(0));
        let asked = Instant::now();
        let read = async || Ok(reads.fetch_add(1, Ordering::Relaxed));
        let together = join_all((0..100).map(|_| shared.since(asked, read()))).await;
        assert!(together.into_iter().all(|read| matches!(read, Ok(0))));
        let later = Instant::now();
        assert!(matches!(shared.since(later, read()).await, Ok(1)));
        assert!(later.elapsed() >= Duration::from_millis(199), "reads are not more frequent than that");
        assert!(matches!(shared.suiting(|_, found| found == Some(&1), read()).await, Ok(1)));
    }

    #[tokio::test]
    async fn a_failure_is_shared() {
        let shared = SharedRead::new(Duration::ZERO);
        let asked = Instant::now();
        let failed = shared.since(asked, async { Err(StoreError::Unavailable("away".into())) }).await;
        let same: Result<(), _> = shared.since(asked, async { unreachable!("it is not read again") }).await;
        assert!(failed.is_err() && same.unwrap_err().to_string().contains("away"));
    }
}
