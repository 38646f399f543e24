//! The memory that pictures may take in all slots of this worker together. A slot waits for its share.
//!
//! Half of the budget is for files, half for pixels. A picture takes its share of the first, then of the second, and
//! needs nothing more once it has both, so slots cannot wait for each other.

use std::sync::Arc;

use caraway_picture::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A file is in memory here, in the codecs' process, and once more in the hands of libvips.
const COPIES: u64 = 3;

/// The budget.
pub(super) struct Budget {
    files: Arc<Semaphore>,
    pixels: Arc<Semaphore>,
    /// What one picture may take of each half: all of it.
    half: u32,
}

/// What a picture holds until it is dropped.
pub(crate) struct Share(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

impl Budget {
    pub(super) fn new(mebibytes: u32) -> Self {
        let half = mebibytes / 2;
        let semaphore = || Arc::new(Semaphore::new(usize::try_from(half).unwrap_or(usize::MAX)));
        Self { files: semaphore(), pixels: semaphore(), half }
    }

    /// The most that decoding one picture may take, in mebibytes.
    pub(super) const fn pixels_max(&self) -> u32 {
        self.half
    }

    /// Waits for the share of a file of so many bytes. Errors: a file that never fits.
    pub(super) async fn file(&self, bytes: u64) -> Result<Share, Fault> {
        let needed = u32::try_from((bytes * COPIES).div_ceil(1 << 20)).unwrap_or(u32::MAX);
        if needed > self.half {
            let most = u64::from(self.half) / COPIES;
            return Err(Fault::TooLarge(format!(
                "its file has {bytes} bytes; this worker's budget takes up to {most} MiB"
            )));
        }
        take(&self.files, needed).await
    }

    /// Waits for the share of decoding; at most [`Self::pixels_max`].
    pub(super) async fn pixels(&self, mebibytes: u32) -> Result<Share, Fault> {
        take(&self.pixels, mebibytes.min(self.half)).await
    }
}

async fn take(from: &Arc<Semaphore>, mebibytes: u32) -> Result<Share, Fault> {
    let taken = Arc::clone(from).acquire_many_owned(mebibytes).await;
    taken.map(Share).map_err(|_| Fault::TooLarge("this worker gives no more memory to pictures".to_owned()))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_picture_waits_for_its_share() {
        let budget = Budget::new(200);
        let first = budget.pixels(80).await.unwrap();
        assert!(budget.pixels(30).now_or_never().is_none(), "80 of 100 are taken");
        drop(first);
        assert!(budget.pixels(30).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_file_that_never_fits_is_refused() {
        let budget = Budget::new(200);
        assert!(budget.file(33 << 20).now_or_never().unwrap().is_ok());
        assert_eq!(budget.file(34 << 20).await.err().map(|fault| fault.code()), Some("image_too_large"));
    }
}
