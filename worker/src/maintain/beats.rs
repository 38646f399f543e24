//! Who is dead: judged by beats that did not change over this watcher's own monotonic clock. No wall clock anywhere can
//! cause a rescue, and a watcher that was paused, or could not read, starts its count anew.

use std::{collections::HashMap, time::Duration};

use caraway_shared::{store::SeenSession, task::SessionId};

/// An unchanged beat for this long means death.
const TTL: Duration = Duration::from_secs(15);
/// It must have been read at least this often in that time.
const READS_MIN: u32 = 4;
/// Two reads further apart than this say nothing: the database stalled, or we did.
const GAP_MAX: Duration = Duration::from_secs(5);

/// What one watcher remembers. Times are durations since the watcher started, on a monotonic clock.
#[derive(Default)]
pub(super) struct Beats {
    last_read: Option<Duration>,
    seen: HashMap<SessionId, Count>,
}

struct Count {
    beat: i64,
    since: Duration,
    reads: u32,
}

impl Beats {
    /// Takes in one successful read of all living sessions; answers which of them are dead.
    pub(super) fn observe(&mut self, now: Duration, living: &[SeenSession]) -> Vec<SeenSession> {
        let gap = self.last_read.is_none_or(|last| now.saturating_sub(last) > GAP_MAX);
        self.last_read = Some(now);
        if gap {
            self.seen.clear();
        }
        self.seen.retain(|id, _| living.iter().any(|session| session.id == *id));
        living.iter().copied().filter(|session| self.count(now, *session)).collect()
    }

    fn count(&mut self, now: Duration, session: SeenSession) -> bool {
        let fresh = Count { beat: session.beat, since: now, reads: 0 };
        let count = self.seen.entry(session.id).or_insert(fresh);
        if count.beat != session.beat {
            *count = Count { beat: session.beat, since: now, reads: 0 };
        }
        count.reads += 1;
        count.reads >= READS_MIN && now.saturating_sub(count.since) >= TTL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(beat: i64) -> Vec<SeenSession> {
        vec![SeenSession { id: SessionId(7), beat }]
    }

    /// Reads at these seconds with this beat; when it was first declared dead.
    fn death(reads: &[(u64, i64)]) -> Option<u64> {
        let mut beats = Beats::default();
        let mut reads = reads.iter();
        reads.find(|(at, beat)| !beats.observe(Duration::from_secs(*at), &session(*beat)).is_empty()).map(|(at, _)| *at)
    }

    #[test]
    fn an_unchanged_beat_over_the_whole_time_is_death() {
        assert_eq!(death(&[(0, 1), (4, 1), (8, 1), (12, 1), (16, 1)]), Some(16));
    }

    #[test]
    fn one_beat_in_between_is_life() {
        assert_eq!(death(&[(0, 1), (4, 1), (8, 1), (12, 2), (16, 2), (20, 2), (24, 2)]), None);
    }

    #[test]
    fn a_gap_starts_the_count_anew() {
        assert_eq!(death(&[(0, 1), (4, 1), (8, 1), (14, 1), (18, 1), (22, 1), (26, 1), (28, 1), (29, 1)]), Some(29));
        assert_eq!(death(&[(0, 1), (3600, 1), (7200, 1), (10_800, 1)]), None);
    }

    #[test]
    fn too_few_reads_are_no_evidence() {
        assert_eq!(death(&[(0, 1), (5, 1), (10, 1), (15, 1)]), Some(15));
        assert_eq!(death(&[(0, 1), (5, 1), (10, 1)]), None);
    }
}
