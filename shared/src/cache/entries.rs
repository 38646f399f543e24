//! Reading through the cache: [`Cache::get_or_load`]. `mod.rs` argues why nothing that is found is too old.
//!
//! One round: look at Redis; serve the value that is there, or load it with a token and fill it in, or wait for whoever has
//! the token. Without Redis, and where a value may not be served, load without filling in. All loads stand in one line,
//! which is short: who finds it full is told so, and the database lives.

use std::{
    borrow::Cow,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::timeout;

use super::{
    Cache, replica,
    rounds::Answer,
    scripts::{self, Fill, Filled, Look, Seen},
};
use crate::{broken::Rule, store::StoreError, task::OwnerId, telemetry::names};

/// Longest load.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A token outlives its load by so much.
const TOKEN_TTL: Duration = LOAD_TIMEOUT.saturating_add(Duration::from_secs(2));
/// How long a load waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait for what another process loads, before it is loaded here too.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Between two looks at what another process loads: first, and at most.
const LOOKS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(80)];
/// Between two loads of what is below the floor.
const LAG_PAUSE: Duration = Duration::from_millis(20);
/// Larger values are not kept.
const BYTES_MAX: usize = 1 << 20;
/// How much of a time to live is left to chance, so that what was filled at once does not end at once.
const JITTER: f64 = 0.1;

/// Which entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// A [`Kind`]'s name.
    pub kind: Cow<'static, str>,
    /// Whose it is.
    pub owner: OwnerId,
    /// Within the kind: ASCII without braces, spaces and control characters, at most 255 bytes.
    pub key: String,
}

/// What entries of one kind have in common.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name, as rows of the outbox have it too.
    pub name: &'static str,
    /// The number of the shape of its bytes. To a process of another version, a value of another shape is not there.
    pub shape: u8,
    /// How long a value is kept, ten per cent more or less.
    pub ttl: Duration,
    /// How long that nothing was found is kept.
    pub negative_ttl: Duration,
    /// How long after its time a value is still served, while it is loaded anew. Zero: not at all.
    pub grace: Duration,
    /// Whether a value may be loaded anew a little before its time, by one of those who ask for it often (`XFetch`).
    pub early: bool,
}

/// What a load brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Rises with every change, deletion included; 0 for what never was.
    pub version: i64,
    /// The value; none where there is nothing.
    pub body: Option<Bytes>,
    /// How long it lasted when the load read it, where it has an end that nobody tells.
    pub left: Option<Duration>,
}

/// What a read found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// As [`Loaded::version`].
    pub version: i64,
    /// As [`Loaded::body`].
    pub body: Option<Bytes>,
    /// Where it comes from.
    pub how: How,
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Redis, for so much longer.
    Hit(Duration),
    /// Redis, past its time; it is being loaded anew.
    Stale,
    /// The database, and whether it was kept.
    Miss {
        /// It was.
        stored: bool,
    },
    /// The database, because Redis did not answer or is left alone.
    Away,
    /// The database, because an invalidation has not reached Redis, or nobody knows whether one has.
    Outstanding,
    /// The database, because another process did not load it in time.
    Waited,
    /// The database: the cache is switched off.
    Off,
}

/// Why a read found nothing out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Too many loads, or too many readers of this entry, wait.
    #[error("too many loads wait for the database")]
    Busy,
    /// The load took too long.
    #[error("the load did not end in time")]
    TimedOut,
    /// The load failed.
    #[error(transparent)]
    Failed(Arc<StoreError>),
    /// The round ended without an answer: the process stops, or a bug of ours.
    #[error("the round was lost")]
    Lost,
}

impl Cache {
    /// An entry's value, from Redis or by `load`, which may be run more than once. Never older than a write that was
    /// answered before this call. Cancel-safe: what was begun is finished for others who wait for it.
    pub async fn get_or_load<L, F>(&self, kind: &'static Kind, owner: OwnerId, key: &str, load: L) -> Answer
    where
        L: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Loaded, StoreError>> + Send + 'static,
    {
        if self.entries.off {
            let loaded = timeout(LOAD_TIMEOUT, load()).await.map_err(|_| ReadError::TimedOut)?;
            let loaded = loaded.map_err(|error| ReadError::Failed(Arc::new(error)))?;
            return Ok(loaded.found(How::Off));
        }
        let entry = Entry { kind: Cow::Borrowed(kind.name), owner, key: key.into() };
        let round = Round { cache: self.clone(), kind, entry: entry.clone(), load };
        self.entries.rounds.join(&entry, move || round.clone().run()).await
    }
}

impl Loaded {
    fn found(self, how: How) -> Found {
        Found { version: self.version, body: self.body, how }
    }
}

/// One look at an entry, and what follows from it.
#[derive(Clone)]
struct Round<L> {
    cache: Cache,
    kind: &'static Kind,
    entry: Entry,
    load: L,
}

impl<L, F> Round<L>
where
    L: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Loaded, StoreError>> + Send + 'static,
{
    async fn run(self) -> Answer {
        let began = Instant::now();
        let mut pause = LOOKS[0];
        loop {
            let token = format!("{:032x}", rand::random::<u128>());
            match self.look(&token).await {
                None => return self.load_around(How::Away).await,
                Some(Seen::Value { version, body, left_ms, refresh }) => {
                    if refresh {
                        self.clone().refresh(token);
                    }
                    if !self.cache.is_servable(&self.entry, version) {
                        return self.load_around(How::Outstanding).await;
                    }
                    return Ok(Found { version, body, how: self.served(left_ms) });
                }
                Some(Seen::Load { floor }) => {
                    metrics::counter!(names::CACHE_MISSES, "kind" => self.kind.name).increment(1);
                    return self.load_and_fill(&token, floor).await;
                }
                Some(Seen::Wait) if began.elapsed() < WAIT_MAX => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LOOKS[1]);
                }
                Some(Seen::Wait) => return self.load_around(How::Waited).await,
            }
        }
    }

    async fn look(&self, token: &str) -> Option<Seen> {
        let early = if self.kind.early { -(1.0 - rand::random::<f64>()).ln() } else { 0.0 };
        let entry = &self.entry;
        let look = self.cache.link.ask(async |session| {
            let keys = session.names.entry(entry, &session.run);
            let look = Look { token, token_ttl: TOKEN_TTL, early, shape: self.kind.shape };
            scripts::read(session, &keys, look).await
        });
        look.await
    }

    fn served(&self, left_ms: i64) -> How {
        let (name, how) = match u64::try_from(left_ms) {
            Ok(left) if left > 0 => (names::CACHE_HITS, How::Hit(Duration::from_millis(left))),
            _ => (names::CACHE_STALE, How::Stale),
        };
        metrics::counter!(name, "kind" => self.kind.name).increment(1);
        how
    }

    /// Past the cache.
    async fn load_around(&self, how: How) -> Answer {
        let reason = match how {
            How::Away => "away",
            How::Outstanding => "outstanding",
            _ => "waited",
        };
        metrics::counter!(names::CACHE_BYPASSES, "kind" => self.kind.name, "reason" => reason).increment(1);
        Ok(self.load(None).await?.found(how))
    }

    /// As the holder of the token.
    async fn load_and_fill(&self, token: &str, floor: i64) -> Answer {
        let began = Instant::now();
        let loaded = match self.load(Some(floor)).await {
            Ok(loaded) => loaded,
            Err(error) => {
                self.abandon(token).await;
                return Err(error);
            }
        };
        let stored = self.fill(token, &loaded, began.elapsed()).await;
        Ok(loaded.found(How::Miss { stored }))
    }

    /// Loads anew beside the readers, who have what is there.
    fn refresh(self, token: String) {
        metrics::counter!(names::CACHE_REFRESHES, "kind" => self.kind.name).increment(1);
        tokio::spawn(async move {
            if let Err(error) = self.load_and_fill(&token, 0).await {
                tracing::debug!(%error, entry.key = self.entry.key, "a value could not be loaded anew");
            }
        });
    }

    /// In its turn; with a token, again while it brings what was invalidated already. Around the cache nobody knows a floor:
    /// where there is a replica, that must not be asked.
    async fn load(&self, floor: Option<i64>) -> Result<Loaded, ReadError> {
        let least = floor.filter(|_| !Rule::CacheFloor.is_broken()).unwrap_or(0);
        let lags = floor.is_some() && Rule::CurrentLoads.is_broken();
        let turn = timeout(TURN_TIMEOUT, self.cache.entries.loads.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(ReadError::Busy) };
        let load = async {
            loop {
                let loaded = if lags { replica::load(&self.entry, (self.load)()).await } else { (self.load)().await };
                let loaded = loaded.map_err(|error| ReadError::Failed(Arc::new(error)))?;
                if loaded.version >= least {
                    return Ok(loaded);
                }
                tokio::time::sleep(LAG_PAUSE).await;
            }
        };
        timeout(LOAD_TIMEOUT, load).await.map_err(|_| ReadError::TimedOut)?
    }

    /// Whether it was kept.
    async fn fill(&self, token: &str, loaded: &Loaded, took: Duration) -> bool {
        let body = loaded.body.as_deref();
        if body.is_some_and(|body| body.len() > BYTES_MAX) {
            self.abandon(token).await;
            return false;
        }
        let ttl = if body.is_some() { self.kind.ttl } else { self.kind.negative_ttl };
        let ttl = ttl.mul_f64(1.0 + JITTER * (2.0 * rand::random::<f64>() - 1.0));
        let grace = if body.is_some() { self.kind.grace } else { Duration::ZERO };
        let (ttl, grace) = until_its_end(ttl, grace, loaded.left.filter(|_| body.is_some()), took);
        let value = Fill { token, version: loaded.version, body, shape: self.kind.shape, ttl, grace, took };
        let entry = &self.entry;
        let filled = self.cache.link.ask(async |session| {
            let keys = session.names.entry(entry, &session.run);
            scripts::break_rules(session.clone(), &keys, token).await?;
            scripts::fill(session, &keys, &value).await
        });
        match filled.await {
            Some(Filled::Stored) => return true,
            Some(Filled::TokenGone) => refused("token"),
            Some(Filled::BelowFloor) => refused("floor"),
            None => (),
        }
        false
    }

    async fn abandon(&self, token: &str) {
        let entry = &self.entry;
        let abandon = self.cache.link.ask(async |session| {
            let keys = session.names.entry(entry, &session.run);
            scripts::abandon(session, &keys, token).await
        });
        let _ = abandon.await;
    }
}

/// Time to live and grace of a copy that must not outlive what it copies. What was left is counted from when the load began.
fn until_its_end(ttl: Duration, grace: Duration, left: Option<Duration>, took: Duration) -> (Duration, Duration) {
    let Some(left) = left.map(|left| left.saturating_sub(took)) else { return (ttl, grace) };
    let ttl = ttl.min(left);
    (ttl, grace.min(left.saturating_sub(ttl)))
}

fn refused(because: &'static str) {
    metrics::counter!(names::CACHE_FILLS_REFUSED, "because" => because).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_copy_outlives_its_value() {
        let seconds = Duration::from_secs;
        let kept = |left: Option<u64>, took| until_its_end(seconds(60), seconds(5), left.map(seconds), seconds(took));
        assert_eq!(kept(None, 3), (seconds(60), seconds(5)));
        assert_eq!(kept(Some(600), 3), (seconds(60), seconds(5)));
        assert_eq!(kept(Some(64), 1), (seconds(60), seconds(3)), "the grace ends with the value");
        assert_eq!(kept(Some(10), 3), (seconds(7), Duration::ZERO));
        assert_eq!(kept(Some(2), 3), (Duration::ZERO, Duration::ZERO));
    }
}
