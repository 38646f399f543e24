//! One process of the codecs, and what is said to it.

use std::{io, os::unix::process::ExitStatusExt, path::Path, process::Stdio, time::Duration};

use caraway_picture::{Fault, Go, HEADER_BYTES_MAX, Made, Reply, Request, WireFault, frame};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::budget::Budget;

/// Processor time that a picture may take.
const SECONDS_MAX: u32 = 60;
/// Time by the clock that a picture may take when it has its memory; on a busy machine that is more.
const PATIENCE: Duration = Duration::from_mins(2);
/// Reading a header is quick; what takes longer is made to.
const HEADER_PATIENCE: Duration = Duration::from_secs(20);
/// A result is no larger. (All channels of the largest, uncompressed, are 268 MB.)
const RESULT_BYTES_MAX: u64 = 300_000_000;
/// `SIGKILL` and `SIGXCPU`.
const KILLED: i32 = 9;
const OUT_OF_TIME: i32 = 24;

/// All that it is told of its surroundings. By default, glibc gives a small picture's buffers back to the kernel and takes
/// them again for the next picture, which costs a quarter of the time.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("VIPS_BLOCK_UNTRUSTED", "1"),
    ("VIPS_NOVECTOR", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "4194304"),
    ("MALLOC_TRIM_THRESHOLD_", "16777216"),
    ("MALLOC_TOP_PAD_", "1048576"),
];

/// A running process. It is killed when this is dropped.
pub(super) struct Codec {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// Pictures so far.
    pub(super) pictures: u32,
}

/// Why there is neither a picture nor a fault of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// It did not come up: a library is missing, or the kernel cannot confine it.
    #[error("the picture codecs do not start")]
    NotStarted,
    /// Somebody else ended it, such as a kernel that is out of memory.
    #[error("the picture codecs were ended by somebody else")]
    Killed,
}

impl Codec {
    /// Starts a process that knows nothing of ours: no environment but what it needs, no files.
    pub(super) fn start(program: &Path, mebibytes_max: u32) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(mebibytes_max.to_string()).env_clear().envs(ENVIRONMENT);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).current_dir("/");
        let mut child = command.spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        Ok(Self { child, stdin, stdout, pictures: 0 })
    }

    /// Has one picture made. After a fault the process is not used again, whatever the fault is.
    pub(super) async fn make(
        &mut self,
        file: bytes::Bytes,
        request: &Request,
        budget: &Budget,
    ) -> Result<Result<(Made, Vec<u8>), Fault>, Broken> {
        self.pictures += 1;
        match self.converse(file, request, budget).await {
            Ok(outcome) => Ok(outcome),
            Err(Ended::Slow) => Ok(Err(too_slow())),
            Err(Ended::Gone) => self.gone().await,
        }
    }

    async fn converse(
        &mut self,
        file: bytes::Bytes,
        request: &Request,
        budget: &Budget,
    ) -> Result<Result<(Made, Vec<u8>), Fault>, Ended> {
        let header = async {
            self.say(request).await?;
            self.stdin.write_all(&file).await?;
            drop(file);
            self.stdin.flush().await?;
            self.hear().await
        };
        let mebibytes = match timeout(HEADER_PATIENCE, header).await.map_err(|_| Ended::Slow)?? {
            Reply::Needs(mebibytes) => mebibytes.min(budget.pixels_max()),
            Reply::Fault(fault) => return Ok(Err(fault)),
            Reply::Made(_) => return Err(Ended::Gone),
        };
        let share = match budget.pixels(mebibytes).await {
            Ok(share) => share,
            Err(fault) => return Ok(Err(fault)),
        };
        let picture = async {
            self.say(&Go { mebibytes, seconds: SECONDS_MAX }).await?;
            match self.hear().await? {
                Reply::Made(made) if made.bytes <= RESULT_BYTES_MAX => {
                    let mut bytes = vec![0; usize::try_from(made.bytes).map_err(|_| Ended::Gone)?];
                    self.stdout.read_exact(&mut bytes).await?;
                    Ok(Ok((made, bytes)))
                }
                Reply::Fault(fault) => Ok(Err(fault)),
                Reply::Needs(_) | Reply::Made(_) => Err(Ended::Gone),
            }
        };
        let outcome = timeout(PATIENCE, picture).await.map_err(|_| Ended::Slow)?;
        drop(share);
        outcome
    }

    async fn say(&mut self, said: &impl Serialize) -> Result<(), Ended> {
        self.stdin.write_all(&frame(said)?).await?;
        Ok(self.stdin.flush().await?)
    }

    async fn hear(&mut self) -> Result<Reply, Ended> {
        let length = usize::try_from(self.stdout.read_u32_le().await?).unwrap_or(usize::MAX);
        if length > HEADER_BYTES_MAX {
            return Err(Ended::Gone);
        }
        let mut json = vec![0; length];
        self.stdout.read_exact(&mut json).await?;
        serde_json::from_slice(&json).map_err(|_| Ended::Gone)
    }

    /// It ended, or said nonsense. Which of both is the picture's doing, except where somebody else killed it.
    async fn gone(&mut self) -> Result<Result<(Made, Vec<u8>), Fault>, Broken> {
        // A process that still runs has said nonsense; it is killed when it is dropped.
        let ended = timeout(Duration::from_secs(1), self.child.wait()).await;
        let Ok(Ok(status)) = ended else { return Ok(Err(stopped("nonsense"))) };
        match (status.signal(), status.code()) {
            (Some(OUT_OF_TIME), _) => Ok(Err(too_slow())),
            (Some(KILLED), _) => Err(Broken::Killed),
            (Some(signal), _) => Ok(Err(stopped(&format!("signal {signal}")))),
            // 127 is the dynamic linker's: a library is missing
            (None, Some(1 | 127)) if self.pictures == 1 => Err(Broken::NotStarted),
            (None, code) => Ok(Err(stopped(&format!("code {}", code.unwrap_or_default())))),
        }
    }
}

enum Ended {
    Slow,
    Gone,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<WireFault> for Ended {
    fn from(_: WireFault) -> Self {
        Self::Gone
    }
}

fn too_slow() -> Fault {
    Fault::TooLarge(format!("it takes more than {SECONDS_MAX} s"))
}

fn stopped(how: &str) -> Fault {
    Fault::Corrupt(format!("its decoder stopped ({how})"))
}
