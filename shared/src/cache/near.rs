//! What this process itself was shown a moment ago: terminal documents that are asked for again and again, without the way to
//! Redis.
//!
//! Invariants: only what never changes is here; nothing for longer than [`FRESH`], so what retention has removed is not shown
//! for longer either; never more than [`BYTES_MAX`], whatever is asked for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use crate::task::{OwnerId, TaskId};

/// How long a document is served from here.
const FRESH: Duration = Duration::from_secs(1);
/// Of all documents together.
const BYTES_MAX: u64 = 8 << 20;
/// A larger document is not kept here: to send it costs more than to fetch it.
const DOCUMENT_MAX: usize = 64 << 10;
/// How large a document usually is, for the cache's first guess of how many there will be.
const DOCUMENT_USUAL: usize = 1 << 10;
/// What an entry costs beside its document.
const ENTRY_BYTES: u64 = 128;

type Key = (OwnerId, TaskId);

#[derive(Clone)]
struct Kept {
    document: Bytes,
    until: Instant,
}

#[derive(Clone)]
struct Bulk;

impl Weighter<Key, Kept> for Bulk {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        ENTRY_BYTES + u64::try_from(kept.document.len()).unwrap_or(BYTES_MAX)
    }
}

/// The documents.
pub(super) struct Near(Cache<Key, Kept, Bulk>);

impl Near {
    pub(super) fn new() -> Self {
        let documents = usize::try_from(BYTES_MAX).unwrap_or(usize::MAX) / DOCUMENT_USUAL;
        Self(Cache::with_weighter(documents, BYTES_MAX, Bulk))
    }

    pub(super) fn get(&self, owner: OwnerId, id: TaskId, now: Instant) -> Option<Bytes> {
        self.0.get(&(owner, id)).filter(|kept| now < kept.until).map(|kept| kept.document)
    }

    pub(super) fn forget(&self, owner: OwnerId, id: TaskId) {
        self.0.remove(&(owner, id));
    }

    /// Shares the document's memory, it does not copy it.
    pub(super) fn keep(&self, owner: OwnerId, id: TaskId, document: &Bytes, now: Instant) {
        if document.len() <= DOCUMENT_MAX {
            self.0.insert((owner, id), Kept { document: document.clone(), until: now + FRESH });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_its_owners_and_for_a_second() {
        let (near, id, now) = (Near::new(), TaskId(uuid::Uuid::now_v7()), Instant::now());
        near.keep(OwnerId(1), id, &Bytes::from_static(b"{}"), now);
        assert_eq!(near.get(OwnerId(1), id, now).as_deref(), Some(&b"{}"[..]));
        assert_eq!(near.get(OwnerId(2), id, now), None);
        assert_eq!(near.get(OwnerId(1), id, now + FRESH), None);
    }

    #[test]
    fn memory_is_bounded_and_large_documents_stay_out() {
        let (near, large, now) = (Near::new(), TaskId(uuid::Uuid::now_v7()), Instant::now());
        near.keep(OwnerId(1), large, &Bytes::from(vec![0; DOCUMENT_MAX + 1]), now);
        assert_eq!(near.get(OwnerId(1), large, now), None);
        for _ in 0..2 * BYTES_MAX / 32_768 {
            near.keep(OwnerId(1), TaskId(uuid::Uuid::now_v7()), &Bytes::from(vec![0; 32_768]), now);
        }
        assert!(near.0.weight() <= BYTES_MAX, "{} bytes", near.0.weight());
    }
}
