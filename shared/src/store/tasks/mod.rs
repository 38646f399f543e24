//! The `task` table, one file per thing that happens to a task.

mod accept;
mod cancel;
mod claim;
mod owed;
mod progress;
mod promote;
mod record;
mod rescue;
mod show;

pub use accept::Accept;
pub use cancel::Cancelled;
pub use claim::{Claim, ClaimRow, Claimed, Claims};
pub use owed::{HandBack, HandBacks, Owed};
pub use record::{Record, RecordRow, Recorded};
pub use rescue::Rescued;
pub use show::{AttemptView, TaskView};
