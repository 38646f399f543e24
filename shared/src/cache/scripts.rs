//! What an entry goes through in Redis: four scripts, each atomic, over three keys of one slot.
//!
//! | key | holds | lives |
//! |---|---|---|
//! | `v` | the value: version, when it is due for a refresh, how long its load took, the shape of its bytes, its bytes (none: not found) | its time to live and the grace |
//! | `f` | the fill token: a random number that whoever loads has drawn | the longest load, and 2 s |
//! | `n` | the floor: the highest version that was invalidated | a minute, longer than any load |
//!
//! Invariants: a value is written only by the holder of the token, and an invalidation takes the token away, so what was
//! loaded before an invalidation never becomes visible after it. What is below the floor, or below the value that is there,
//! is not written either. Whatever is lost (eviction, `FLUSHALL`) makes a fill be refused, never accepted. Times are the
//! Redis server's, so no two clocks are compared. Versions are written with leading zeros and compared as text, because
//! Lua's numbers are doubles.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use deadpool_redis::redis::{AsyncCommands, FromRedisValue, RedisResult, Script, ScriptInvocation};

use super::{keys::Keys, link::Session};
use crate::broken::Rule;

/// Longer than any load, and than a replica may lag behind.
const FLOOR_TTL: Duration = Duration::from_mins(1);
/// How long nobody else loads what just failed to load.
const FAILED_TTL: Duration = Duration::from_secs(1);

/// Answers what there is; who is to load (nothing there), or to refresh (due, or drawn early), gets the token.
static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local function claim() return redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0 end
        local v = redis.call('HMGET', KEYS[1], 'version', 'due', 'load', 'body', 'shape')
        if v[1] and v[2] and v[3] and v[5] == ARGV[4] then
            local time = redis.call('TIME')
            local left = tonumber(v[2]) - (time[1] * 1000 + math.floor(time[2] / 1000))
            local refresh = 0
            if left <= tonumber(v[3]) * tonumber(ARGV[3]) then refresh = claim() end
            return {'value', v[1], v[4], math.floor(left), refresh}
        end
        if claim() == 1 then return {'load', redis.call('GET', KEYS[3]), false, 0, 0} end
        return {'wait', false, false, 0, 0}",
    )
});

/// Accepts a value from the holder of the token that is not older than the floor and than what is there.
static FILL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 'token' end
        redis.call('DEL', KEYS[2])
        local floor, there = redis.call('GET', KEYS[3]), redis.call('HGET', KEYS[1], 'version')
        if (floor and ARGV[2] < floor) or (there and ARGV[2] < there) then return 'floor' end
        local time = redis.call('TIME')
        local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
        redis.call('DEL', KEYS[1])
        redis.call('HSET', KEYS[1], 'version', ARGV[2], 'due', due, 'load', ARGV[5], 'shape', ARGV[6])
        if ARGV[7] then redis.call('HSET', KEYS[1], 'body', ARGV[7]) end
        redis.call('PEXPIRE', KEYS[1], ARGV[3] + ARGV[4])
        return 'stored'",
    )
});

/// Removes what is older, takes the token away, raises the floor. Again, or late, it changes nothing: then every token that
/// is out was drawn after it.
static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local floor = redis.call('GET', KEYS[3])
        if floor and ARGV[1] <= floor then return 0 end
        local there = redis.call('HGET', KEYS[1], 'version')
        if there and there < ARGV[1] then redis.call('DEL', KEYS[1]) end
        redis.call('DEL', KEYS[2])
        redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
        return 1",
    )
});

/// The load has failed: the token stays for a moment, so that not everybody tries at once.
static ABANDON: LazyLock<Script> = LazyLock::new(|| {
    Script::new("if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end return 0")
});

/// What a read has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    Value {
        version: i64,
        body: Option<Bytes>,
        /// Until it is due for a refresh, milliseconds; negative: it is past that.
        left_ms: i64,
        /// The reader holds the token and should load it anew.
        refresh: bool,
    },
    /// Nothing is there; the reader holds the token. What it loads must not be below the floor.
    Load { floor: i64 },
    /// Nothing is there, and somebody else loads it.
    Wait,
}

/// What became of a fill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Filled {
    Stored,
    /// The token was taken away: it was invalidated, or Redis forgot it.
    TokenGone,
    /// It is older than what was invalidated, or than what is there.
    BelowFloor,
}

/// What is to be kept.
pub(super) struct Fill<'a> {
    pub(super) token: &'a str,
    pub(super) version: i64,
    pub(super) body: Option<&'a [u8]>,
    pub(super) shape: u8,
    pub(super) ttl: Duration,
    pub(super) grace: Duration,
    /// How long the load took.
    pub(super) took: Duration,
}

/// How an entry is looked at.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    /// What the reader becomes the holder of, if it is to load.
    pub(super) token: &'a str,
    pub(super) token_ttl: Duration,
    /// How many load times before its time a value counts as due.
    pub(super) early: f64,
    pub(super) shape: u8,
}

pub(super) async fn read(mut session: Session, keys: &Keys, look: Look<'_>) -> RedisResult<Seen> {
    let mut script = with(&READ, keys);
    script.arg(look.token).arg(millis(look.token_ttl)).arg(look.early).arg(look.shape);
    let (state, version, body, left_ms, refresh): Reply = invoke(&script, &mut session).await?;
    Ok(match (state.as_str(), version) {
        ("value", Some(version)) => Seen::Value {
            version: version.parse().unwrap_or(0),
            body: body.map(Bytes::from),
            left_ms,
            refresh: refresh == 1,
        },
        ("load", floor) => Seen::Load { floor: floor.and_then(|floor| floor.parse().ok()).unwrap_or(0) },
        _ => Seen::Wait,
    })
}

type Reply = (String, Option<String>, Option<Vec<u8>>, i64, i64);

pub(super) async fn fill(mut session: Session, keys: &Keys, value: &Fill<'_>) -> RedisResult<Filled> {
    let mut script = with(&FILL, keys);
    script.arg(value.token).arg(padded(value.version)).arg(millis(value.ttl)).arg(millis(value.grace));
    script.arg(millis(value.took)).arg(value.shape).arg(value.body);
    let filled: String = invoke(&script, &mut session).await?;
    Ok(match filled.as_str() {
        "stored" => Filled::Stored,
        "floor" => Filled::BelowFloor,
        _ => Filled::TokenGone,
    })
}

pub(super) async fn invalidate(mut session: Session, keys: &Keys, version: i64) -> RedisResult<()> {
    let mut script = with(&INVALIDATE, keys);
    script.arg(padded(version)).arg(millis(FLOOR_TTL));
    let _: i64 = invoke(&script, &mut session).await?;
    Ok(())
}

pub(super) async fn abandon(mut session: Session, keys: &Keys, token: &str) -> RedisResult<()> {
    let mut script = with(&ABANDON, keys);
    script.arg(token).arg(millis(FAILED_TTL));
    let _: i64 = invoke(&script, &mut session).await?;
    Ok(())
}

/// For the negative controls: as if a fill asked for no token, or for no floor.
pub(super) async fn break_rules(mut session: Session, keys: &Keys, token: &str) -> RedisResult<()> {
    let [_, fill_token, floor] = keys.all();
    if Rule::CacheToken.is_broken() {
        let _: () = session.connection.set(fill_token, token).await?;
    }
    if Rule::CacheFloor.is_broken() {
        let _: () = session.connection.del(floor).await?;
    }
    Ok(())
}

fn with<'a>(script: &'a Script, keys: &Keys) -> ScriptInvocation<'a> {
    let mut invocation = script.prepare_invoke();
    for key in keys.all() {
        invocation.key(key);
    }
    invocation
}

async fn invoke<T: FromRedisValue>(script: &ScriptInvocation<'_>, session: &mut Session) -> RedisResult<T> {
    script.invoke_async(&mut session.connection).await
}

/// As text that sorts like the number. Versions come from a sequence and are not negative.
fn padded(version: i64) -> String {
    format!("{version:020}")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
