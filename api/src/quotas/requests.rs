//! Requests a second. The bucket that all processes share is in Redis (`shared/src/cache/rates.rs`); a process takes up to a
//! tenth of a second's worth at a time, divided by the number of processes, and spends it without asking. An empty bucket is not
//! asked again before it can have something.
//!
//! In any `w` seconds all processes together let through at most `limit * (w + 1)`, and what they held before: a tenth of the
//! limit, or one request for each process, whichever is more. Where Redis does not answer, a process lets through its share,
//! limit divided by processes, at least one request at once, and asks again after a second. It keeps account of that share all
//! the time, so that the change from one to the other gives nobody a second burst. But the bucket fills meanwhile: each question
//! that Redis does not answer adds a second of that share at most.

use std::{
    sync::{Mutex as Lock, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use caraway_shared::{
    access::{Pace, Rate},
    cache::Taken,
    telemetry::names,
};
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};

use super::Keeper;
use crate::{
    callers::Caller,
    problem::{Code, Problem},
};

/// What is told of the limit in every answer (draft-ietf-httpapi-ratelimit-headers-11).
pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// And what is left of it.
pub(crate) const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Of a second: what one process takes at a time, if it is the only one.
const PARTS: u32 = 10;
/// An empty bucket is asked at most so often.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a process goes by its share before it asks Redis again.
const ALONE: Duration = Duration::from_secs(1);

/// How a request stands with its user's limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    limit: u32,
    /// Requests that there are at once, as far as this process knows.
    left: u32,
    /// Refused: there will be one after so much time.
    wait: Option<Duration>,
}

/// Of one user in this process.
#[derive(Default)]
pub(super) struct Requests {
    known: Lock<Known>,
    /// Held by who asks Redis, so that a process has one question at a time for a user.
    asking: Mutex<()>,
}

struct Known {
    /// Times of the share are since then.
    since: Instant,
    /// Taken out of the bucket and not spent.
    held: u32,
    /// What the bucket had when it was last asked.
    left: u32,
    /// The bucket has nothing before.
    empty_until: Option<Instant>,
    /// Redis is not asked before.
    alone_until: Option<Instant>,
    share: Pace,
}

impl Default for Known {
    fn default() -> Self {
        let (empty_until, alone_until, share) = (None, None, Pace::default());
        Self { since: Instant::now(), held: 0, left: 0, empty_until, alone_until, share }
    }
}

impl Keeper {
    /// One more request of this caller; how it stands, if its user has a limit.
    pub(crate) async fn request(&self, caller: &Caller) -> Option<Standing> {
        let limit = caller.quotas.requests_per_second?;
        let (user, processes) = (self.user(caller.owner), self.callers.processes());
        let requests = &user.requests;
        if let Some(standing) = requests.known().by_itself(limit, processes) {
            return Some(standing);
        }
        let _asking = requests.asking.lock().await;
        // somebody else may have asked meanwhile
        if let Some(standing) = requests.known().by_itself(limit, processes) {
            return Some(standing);
        }
        let taken = self.cache.take_requests(caller.owner, limit, at_a_time(limit, processes)).await;
        Some(requests.known().told(taken, limit, processes))
    }
}

impl Requests {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What can be decided without asking anybody.
    fn by_itself(&mut self, limit: u32, processes: u32) -> Option<Standing> {
        let now = Instant::now();
        self.held = self.held.min(at_a_time(limit, processes)); // of a limit that was lowered
        if self.held > 0 {
            return Some(self.spend(limit, processes));
        }
        if self.alone_until.is_some_and(|until| until > now) {
            return Some(self.spend_share(limit, processes));
        }
        let wait = self.empty_until?.checked_duration_since(now).filter(|wait| !wait.is_zero())?;
        Some(Standing { limit, left: 0, wait: Some(wait) })
    }

    /// What Redis has said.
    fn told(&mut self, taken: Option<Taken>, limit: u32, processes: u32) -> Standing {
        let now = Instant::now();
        let Some(Taken { taken, left, next_in }) = taken else {
            metrics::counter!(names::RATE_ALONE).increment(1);
            (self.alone_until, self.empty_until, self.left) = (Some(now + ALONE), None, 0);
            return self.spend_share(limit, processes);
        };
        metrics::counter!(names::RATE_TAKES).increment(1);
        (self.held, self.left, self.alone_until) = (taken, left, None);
        if taken > 0 {
            self.empty_until = None;
            return self.spend(limit, processes);
        }
        let wait = next_in.max(PAUSE);
        self.empty_until = Some(now + wait);
        Standing { limit, left: 0, wait: Some(wait) }
    }

    fn spend(&mut self, limit: u32, processes: u32) -> Standing {
        self.held = self.held.saturating_sub(1);
        self.share.charge(Rate::share(limit, processes), self.since.elapsed());
        Standing { limit, left: self.held.saturating_add(self.left), wait: None }
    }

    fn spend_share(&mut self, limit: u32, processes: u32) -> Standing {
        let (share, now) = (Rate::share(limit, processes), self.since.elapsed());
        let wait = self.share.take(share, now).err();
        Standing { limit, left: self.share.left(share, now), wait }
    }
}

/// What a process takes out of the bucket at once.
fn at_a_time(limit: u32, processes: u32) -> u32 {
    (limit / PARTS / processes.max(1)).max(1)
}

impl Standing {
    /// The refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<Problem> {
        let seconds = self.wait.map(whole_seconds)?;
        metrics::counter!(names::RATE_REFUSED).increment(1);
        let limit = self.limit;
        let detail = format!("your user may send {limit} requests a second; try again after {seconds} s");
        let problem = Problem::new(Code::RateLimited, detail).with("quota", "requests_per_second");
        Some(problem.with("limit", limit).with("violated-policies", json!(["default"])))
    }

    /// Tells it in an answer.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let (limit, left, reset) = (self.limit, self.left, self.wait.map_or(1, whole_seconds));
        let mut insert = |name, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        insert(POLICY, format!(r#""default";q={limit};w=1"#));
        insert(LEFT, format!(r#""default";r={left};t={reset}"#));
        if let Some(wait) = self.wait {
            insert(RETRY_AFTER, whole_seconds(wait).to_string());
        }
    }
}

/// At least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(taken: u32, left: u32, millis: u64) -> Taken {
        Taken { taken, left, next_in: Duration::from_millis(millis) }
    }

    #[test]
    fn what_was_taken_is_spent_without_asking() {
        let mut known = Known::default();
        assert_eq!(known.by_itself(100, 2), None, "nothing is known");
        assert_eq!(known.told(Some(taken(5, 95, 0)), 100, 2), Standing { limit: 100, left: 99, wait: None });
        let spent = std::iter::from_fn(|| known.by_itself(100, 2));
        assert_eq!(spent.map(|standing| standing.left).collect::<Vec<_>>(), [98, 97, 96, 95]);
    }

    #[test]
    fn an_empty_bucket_is_not_asked_before_it_can_have_something() {
        let mut known = Known::default();
        assert_eq!(known.told(Some(taken(0, 0, 500)), 2, 1).wait, Some(Duration::from_millis(500)));
        assert!(known.by_itself(2, 1).unwrap().wait.unwrap() <= Duration::from_millis(500));
        assert_eq!(known.told(Some(taken(0, 0, 0)), 1000, 1).wait, Some(PAUSE));
    }

    #[test]
    fn a_process_alone_has_its_share_and_no_second_burst() {
        let mut known = Known::default();
        assert_eq!(known.told(None, 9, 3).wait, None);
        let more = (0..10).take_while(|_| known.by_itself(9, 3).unwrap().wait.is_none()).count();
        assert_eq!(more, 2);
        let mut known = Known::default();
        assert_eq!(known.told(Some(taken(1, 8, 0)), 9, 3).wait, None);
        assert_eq!(known.told(Some(taken(1, 7, 0)), 9, 3).wait, None);
        assert_eq!(known.told(None, 9, 3).wait, None);
        assert!(known.by_itself(9, 3).unwrap().wait.is_some(), "two of three were spent by Redis's leave");
    }

    #[test]
    fn at_least_one_request_is_taken_and_a_tenth_of_a_second_at_most() {
        assert_eq!(
            [at_a_time(1, 30), at_a_time(100, 1), at_a_time(100, 3), at_a_time(1_000_000, 2)],
            [1, 10, 3, 50_000]
        );
    }

    #[test]
    fn headers_say_whole_seconds() {
        let told = |wait| {
            let mut headers = HeaderMap::new();
            Standing { limit: 5, left: 0, wait }.tell(&mut headers);
            let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (text(LEFT).unwrap(), text(RETRY_AFTER))
        };
        assert_eq!(told(None), (r#""default";r=0;t=1"#.into(), None));
        assert_eq!(told(Some(Duration::from_millis(3001))), (r#""default";r=0;t=4"#.into(), Some("4".into())));
    }
}
