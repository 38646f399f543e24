//! Keeps users to their quotas: requests a second, tasks that have not started, bytes that are stored. One entry for each user that
//! has one, made when it is first asked for; a user without pays a look at three fields that are none.
//!
//! Invariants: what is counted is counted in PostgreSQL, and only by who adds to it; a user's counts never overtake each other
//! in one process, and those of all users together never take more than half the connections for reads; how many processes share
//! a limit is as old as the memory of keys (`callers.rs`) at most.

mod bytes;
mod requests;
mod tasks;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use caraway_shared::{
    cache::Cache,
    store::{Store, StoreError},
    task::OwnerId,
    telemetry::names,
};
use tokio::{sync::Semaphore, time::timeout};

use self::{requests::Requests, tasks::Tasks};
pub(crate) use self::{
    requests::{LEFT, POLICY, Standing},
    tasks::Place,
};
use crate::{
    callers::Callers,
    problem::{Code, Problem},
};

/// Users with quotas in memory; of more, those that nobody asks for at this moment are forgotten, which costs them a count and
/// gives them a new share where Redis is away.
const USERS_MAX: usize = 16_384;
/// How long a request waits for its user's other requests that are counted, or stored.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the users with quotas. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keeper {
    store: Store,
    cache: Cache,
    callers: Callers,
    users: Arc<Mutex<HashMap<OwnerId, Arc<User>>>>,
    counts: Arc<Semaphore>,
}

/// Of one user.
#[derive(Default)]
struct User {
    requests: Requests,
    tasks: Tasks,
    storing: Arc<tokio::sync::Mutex<()>>,
}

impl Keeper {
    /// Knows nothing yet. At most `counts_max` counts go on at once, at least one.
    pub(crate) fn new(store: Store, cache: Cache, callers: Callers, counts_max: usize) -> Self {
        Self { store, cache, callers, users: Arc::default(), counts: Arc::new(Semaphore::new(counts_max.max(1))) }
    }

    fn user(&self, owner: OwnerId) -> Arc<User> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS_MAX && !users.contains_key(&owner) {
            users.retain(|_, user| Arc::strong_count(user) > 1);
        }
        Arc::clone(users.entry(owner).or_default())
    }

    /// What a user has, when it is its turn to be counted.
    async fn count(
        &self,
        quota: &'static str,
        of: impl Future<Output = Result<i64, StoreError>>,
    ) -> Result<i64, Problem> {
        let _turn = in_turn(self.counts.acquire()).await?.map_err(Problem::internal)?;
        metrics::counter!(names::QUOTA_COUNTS, "quota" => quota).increment(1);
        Ok(of.await?)
    }
}

/// Waits, but not for ever.
async fn in_turn<T>(turn: impl Future<Output = T>) -> Result<T, Problem> {
    let overloaded = |_| Problem::new(Code::Overloaded, "too many requests of this user wait for each other");
    timeout(PATIENCE, turn).await.map_err(overloaded)
}

/// That a quota does not suffice for what was asked.
fn exceeded(quota: &'static str, limit: i64, detail: String) -> Problem {
    metrics::counter!(names::QUOTA_REFUSED, "quota" => quota).increment(1);
    Problem::new(Code::QuotaExceeded, detail).with("quota", quota).with("limit", limit)
}
