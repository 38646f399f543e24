//! Tasks that have not started: scheduled, waiting or queued. PostgreSQL counts them, along an index, up to the quota and no
//! further.
//!
//! A count is good for a tenth of the room that it found, divided by the number of processes, and for a second; what needs more is
//! counted anew. Whoever counts waits until no accept of this user is under way in this process, and keeps others out meanwhile:
//! so the quota is exact in one process. Several may pass it together by a tenth at most, each by what the others may add without
//! counting, and by what they commit while it counts. Near the limit nobody may add without counting. (A client that goes away
//! while its tasks are being accepted lets others count before they are there.)
//!
//! Where nothing fits, nobody counts again for a moment. What handlers submit counts, and is never refused: it commits with the
//! success of its task.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock},
    time::Instant,
};

use super::{Keeper, exceeded, in_turn};
use crate::{callers::Caller, problem::Problem};

const QUOTA: &str = "queued_tasks";

/// Of the room: what all processes together may add without counting.
const PARTS: i64 = 10;
/// How long they may.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How long nobody counts when there was no room; or so many times what the count took, if that is more.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_TIMES: u32 = 4;

/// Of one user in this process.
#[derive(Default)]
pub(super) struct Tasks(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    /// As of when, and until when it is good.
    good_until: Option<Instant>,
    /// What may be added without counting.
    spare: AtomicI64,
    /// There was no room for more than so many tasks; until then nobody counts.
    full: Option<(Instant, i64)>,
}

/// Held while tasks are being accepted.
#[must_use]
pub(crate) struct Place {
    _under_way: Option<OwnedRwLockReadGuard<Known>>,
}

impl Keeper {
    /// Room for so many tasks more, which are accepted while it is held.
    pub(crate) async fn tasks(&self, caller: &Caller, tasks: usize) -> Result<Place, Problem> {
        let Some(limit) = caller.quotas.queued_tasks.filter(|_| tasks > 0) else {
            return Ok(Place { _under_way: None });
        };
        let (more, known) = (i64::try_from(tasks).unwrap_or(i64::MAX), Arc::clone(&self.user(caller.owner).tasks.0));
        let under_way = in_turn(Arc::clone(&known).read_owned()).await?;
        if under_way.has_spare(more, limit)? {
            return Ok(Place { _under_way: Some(under_way) });
        }
        drop(under_way);
        let mut alone = in_turn(known.write_owned()).await?;
        if !alone.has_spare(more, limit)? {
            self.count_tasks(caller, &mut alone, more, limit).await?;
        }
        Ok(Place { _under_way: Some(OwnedRwLockWriteGuard::downgrade(alone)) })
    }

    /// Counts, with no accept of this user under way, and takes `more` of the room.
    async fn count_tasks(&self, caller: &Caller, known: &mut Known, more: i64, limit: i64) -> Result<(), Problem> {
        let began = Instant::now();
        let count = self.store.count_unstarted(caller.owner);
        let there = self.count(QUOTA, count).await?;
        let took = began.elapsed();
        let room = limit.saturating_sub(there).max(0);
        if more > room {
            *known = Known { full: Some((began + took + PAUSE.max(took * PAUSE_TIMES), room)), ..Known::default() };
            return Err(no_room(more, limit, room));
        }
        let spare = (room - more) / PARTS / i64::from(self.callers.processes());
        *known = Known { good_until: Some(began + GOOD_FOR), spare: spare.into(), full: None };
        Ok(())
    }
}

impl Known {
    /// Whether `more` can be added without counting, and then they are; or the problem that they certainly cannot.
    fn has_spare(&self, more: i64, limit: i64) -> Result<bool, Problem> {
        let now = Instant::now();
        if let Some((until, room)) = self.full
            && until > now
            && more > room
        {
            return Err(no_room(more, limit, room));
        }
        let is_good = self.good_until.is_some_and(|until| until > now);
        let take = |spare: i64| (spare >= more).then(|| spare - more);
        Ok(is_good && self.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok())
    }
}

fn no_room(more: i64, limit: i64, room: i64) -> Problem {
    let detail = format!(
        "you may have {limit} tasks that are scheduled, waiting or queued; {more} more do not fit, there is room for {room}"
    );
    exceeded(QUOTA, limit, detail)
}
