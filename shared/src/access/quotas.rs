//! How much a user may take.

use serde::Serialize;
use utoipa::ToSchema;

/// A user's quotas. None is none: nothing is counted, and nothing paid for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
pub struct Quotas {
    /// Tasks that are scheduled, waiting or queued.
    #[schema(required, minimum = 0)]
    pub queued_tasks: Option<i64>,
    /// Bytes of items, those that tasks have made included.
    #[schema(required, minimum = 0)]
    pub stored_bytes: Option<i64>,
    /// Requests a second, and how many may come at once.
    #[schema(required, minimum = 1, maximum = 1_000_000)]
    pub requests_per_second: Option<u32>,
}

/// What is to become of a user's quotas: what is left out stays, `Some(None)` ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QuotaChange {
    /// Tasks that are scheduled, waiting or queued.
    pub queued_tasks: Option<Option<i64>>,
    /// Bytes of items.
    pub stored_bytes: Option<Option<i64>>,
    /// Requests a second.
    pub requests_per_second: Option<Option<u32>>,
}

impl QuotaChange {
    /// The quotas of a new user.
    pub fn of_new_user(self) -> Quotas {
        Quotas {
            queued_tasks: self.queued_tasks.flatten(),
            stored_bytes: self.stored_bytes.flatten(),
            requests_per_second: self.requests_per_second.flatten(),
        }
    }
}

impl Quotas {
    /// The highest rate that can be asked for.
    pub const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;
}
