//! The store as a run sees it: what a run asks is repeated until the database answers, so a pause of the database is waited for
//! and spends no attempt. It ends when the run must end; a run that is at its time limit while it waits like this is released, and
//! not timed out (`execute.rs`).

use std::{future::Future, time::Duration};

use caraway_shared::store::{Store, StoreError};
use tokio::time::sleep;

use crate::{Failure, running::Ticket};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// A question that takes longer is taken for one that the database does not answer now.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Asks the store for one run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PatientStore {
    store: Store,
    ticket: Ticket,
}

impl PatientStore {
    pub(crate) const fn new(store: Store, ticket: Ticket) -> Self {
        Self { store, ticket }
    }

    /// Asks until there is an answer, or the run must end for another reason than its soft limit. `ask` must be safe to repeat.
    pub(crate) async fn ask<'a, T, F>(&'a self, ask: impl Fn(&'a Store) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        tokio::select! {
            biased;
            answer = self.repeat(ask) => answer.map_err(Failure::from),
            _ = self.ticket.stopped() => Err(Failure::retryable("stopped", "this run should end")),
        }
    }

    async fn repeat<'a, T, F>(&'a self, ask: impl Fn(&'a Store) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut stalled = None;
        loop {
            let mut asked = std::pin::pin!(ask(&self.store));
            let answer = tokio::select! {
                biased;
                answer = &mut asked => answer,
                () = sleep(ANSWER_MAX), if stalled.is_none() => {
                    stalled = Some(self.ticket.stall());
                    asked.await
                }
            };
            match answer {
                Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) => {
                    stalled.get_or_insert_with(|| self.ticket.stall());
                    sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}
