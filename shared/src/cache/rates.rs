//! Requests a second of a user, over all processes: a bucket in Redis that holds a second's worth, from which processes take
//! several at a time.
//!
//! Invariants: one script, atomic; times are the Redis server's, so no two clocks are compared; a clock that was set back leaves
//! the bucket empty at worst, and never in debt. A bucket that Redis forgot is a full one.

use std::{sync::LazyLock, time::Duration};

use deadpool_redis::redis::Script;

use super::Cache;
use crate::task::OwnerId;

/// The bucket is the moment at which it will be full (GCRA), microseconds of the server's clock: at most a second ahead.
/// Written out in full, because Lua would round it.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local rate, wanted, second = tonumber(ARGV[1]), tonumber(ARGV[2]), 1000000
        local time = redis.call('TIME')
        local now = time[1] * second + time[2]
        local full = tonumber(redis.call('GET', KEYS[1]) or now)
        full = math.min(math.max(full, now), now + second)
        local there = math.floor((now + second - full) * rate / second + 0.001)
        local taken = math.min(there, wanted)
        if taken > 0 then
            full = full + taken * second / rate
            redis.call('SET', KEYS[1], string.format('%.2f', full), 'PX', 2000)
        end
        return {taken, there - taken, math.ceil(full + second / rate - now - second)}",
    )
});

/// What was taken out of a user's bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// So many requests; none from an empty bucket.
    pub taken: u32,
    /// What is left in it.
    pub left: u32,
    /// Until there is one more, if none is left.
    pub next_in: Duration,
}

impl Cache {
    /// Takes up to `wanted` requests out of a user's bucket, which holds `per_second` and gets as many a second; both at least
    /// 1. `None` where Redis does not answer. Cancel-safe, but what was taken is gone.
    pub async fn take_requests(&self, owner: OwnerId, per_second: u32, wanted: u32) -> Option<Taken> {
        let asked = self.link.ask(async |mut session| {
            let mut script = TAKE.key(session.names.rate(owner));
            script.arg(per_second).arg(wanted);
            script.invoke_async(&mut session.connection).await
        });
        let (taken, left, next_in): (u32, u32, i64) = asked.await?;
        Some(Taken { taken, left, next_in: Duration::from_micros(u64::try_from(next_in).unwrap_or(0)) })
    }
}
