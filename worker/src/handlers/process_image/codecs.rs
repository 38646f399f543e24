//! The processes of the codecs: started when there is a picture, used for the next ones, ended when they are idle.
//!
//! A worker without pictures has none of them, and so none of their memory. A process that had a fault, or its share of
//! pictures, is not used again.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use caraway_picture::{Fault, Made, Options, Request};
use caraway_worker::Failure;
use tokio::time::{Instant, sleep};

use super::{
    budget::{Budget, Share},
    codec::{Broken, Codec},
};

/// How long a process may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// A process is replaced after so many pictures: what one did to it does not stay for ever.
const PICTURES_MAX: u32 = 1_000;
const UNSUPPORTED: &str = "unsupported_picture";

/// What a worker is told about pictures.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The program of the codecs; by default `caraway-pictures` beside the worker's own.
    pub(crate) program: Option<PathBuf>,
    /// Memory for all pictures at once, in MiB.
    pub(crate) mebibytes: u32,
    /// Most pixels of a picture, in millions.
    pub(crate) megapixels: u32,
}

/// The codecs of this worker.
pub(crate) struct Codecs {
    program: Option<PathBuf>,
    pixels_max: u64,
    budget: Budget,
    idle: Mutex<Vec<(Codec, Instant)>>,
}

impl Codecs {
    /// Starts nothing yet.
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let beside = || Some(std::env::current_exe().ok()?.with_file_name("caraway-pictures"));
        let program = settings.program.or_else(beside).filter(|program| program.is_file());
        if program.is_none() {
            tracing::info!("caraway-pictures is not installed here: pictures end as {UNSUPPORTED}");
        }
        let (budget, idle) = (Budget::new(settings.mebibytes), Mutex::new(Vec::new()));
        Arc::new(Self { program, pixels_max: u64::from(settings.megapixels) * 1_000_000, budget, idle })
    }

    /// Waits until a file of so many bytes may be in memory.
    pub(super) async fn file_share(&self, bytes: i64) -> Result<Share, Failure> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.budget.file(bytes).await.map_err(|fault| final_failure(&fault))
    }

    /// Has a picture made, in a process that is free or new.
    pub(super) async fn make(self: &Arc<Self>, file: Bytes, options: Options) -> Result<(Made, Vec<u8>), Failure> {
        let mut codec = self.codec()?;
        let request = Request {
            options,
            bytes: u64::try_from(file.len()).unwrap_or(u64::MAX),
            pixels_max: self.pixels_max,
            mebibytes_max: self.budget.pixels_max(),
        };
        match codec.make(file, &request, &self.budget).await {
            Ok(Ok(made)) => {
                self.give_back(codec);
                Ok(made)
            }
            Ok(Err(fault)) => Err(final_failure(&fault)),
            Err(broken @ Broken::Killed) => Err(Failure::retryable("codecs_killed", broken.to_string())),
            Err(broken @ Broken::NotStarted) => {
                tracing::error!("caraway-pictures does not start; run it by hand to see why");
                Err(Failure::fatal(UNSUPPORTED, broken.to_string()))
            }
        }
    }

    fn codec(&self) -> Result<Codec, Failure> {
        if let Some((codec, _)) = self.idle().pop() {
            return Ok(codec);
        }
        let told = "pictures are not supported by this worker: caraway-pictures is not installed beside it";
        let program = self.program.as_deref().ok_or_else(|| Failure::fatal(UNSUPPORTED, told))?;
        Ok(Codec::start(program, self.budget.pixels_max())?)
    }

    fn give_back(self: &Arc<Self>, codec: Codec) {
        if codec.pictures >= PICTURES_MAX {
            return;
        }
        let mut idle = self.idle();
        let first = idle.is_empty();
        idle.push((codec, Instant::now()));
        drop(idle);
        if first {
            tokio::spawn(Arc::clone(self).end_idle());
        }
    }

    /// Ends what is idle for long, until nothing is idle.
    async fn end_idle(self: Arc<Self>) {
        loop {
            sleep(IDLE / 4).await;
            let mut idle = self.idle();
            idle.retain(|(_, since)| since.elapsed() < IDLE);
            if idle.is_empty() {
                return;
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Codec, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with the picture or the options stays wrong.
pub(super) fn final_failure(fault: &Fault) -> Failure {
    Failure::fatal(fault.code(), fault.to_string())
}
