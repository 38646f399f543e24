//! The `task` table, one file per thing that happens to a task.

mod accept;
mod cancel;
mod cancel_all;
mod claim;
mod count;
mod guarded;
mod hold;
mod list;
mod owed;
mod progress;
mod promote;
mod record;
mod rescue;
mod retry;
mod show;
mod unique;

pub use accept::{Accept, Accepted, Offer};
pub(in crate::store) use accept::{insert, owed as owed_by};
pub use cancel::Cancelled;
pub use claim::{Claim, ClaimRow, Claimed, Claims};
pub use guarded::{AcceptGuarded, Admitted, Asked, Fate, Guarded, Key, Refusal};
pub use hold::{Hold, Holds};
pub use list::{Search, Sought, TaskLine};
pub(in crate::store) use owed::read_owed;
pub use owed::{Debt, HandBack, HandBacks, Owed, Taken};
pub(in crate::store) use record::{Done, record_rows, recorded_before};
pub use record::{Record, RecordRow, Recorded};
pub use rescue::Rescued;
pub use retry::Retriable;
pub use show::{AttemptView, TaskView};
