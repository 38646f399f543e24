//! The mixed tasks: which comes next, and what its request says. Pure: all chance comes from the seed and the index.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::history::Kind;

/// Which tasks come how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mix {
    /// Everything but what kills its worker.
    Mixed,
    /// The same, none of them long: nobody is hit thrice by chance.
    Brief,
    /// Tasks of a quarter of a second, faster than the workers can take them: a backlog lies in the broker.
    Backlog,
    /// Brief, and one in two hundred takes its worker with it.
    Deadly,
    /// Mixed, and one in two hundred takes its worker with it: neighbours are hit again and again.
    DeadlyLong,
    /// Mixed, and one in fifty hangs past its limit.
    Hanging,
    /// Only tasks that go on whatever they are told, of two to four seconds.
    Deaf,
    /// Mostly unique tasks, of a few keys.
    Unique,
    /// The same of three keys, for which everybody contends.
    Contended,
}

impl Mix {
    const fn is_brief(self) -> bool {
        matches!(self, Self::Brief | Self::Deadly)
    }

    const fn is_unique(self) -> bool {
        matches!(self, Self::Unique | Self::Contended)
    }

    /// Of unique tasks: so many that each key is asked for about once in the time of a task.
    const fn unique_keys(self) -> u32 {
        match self {
            Self::Contended => 3,
            _ => 12,
        }
    }
}

/// What all tasks of a drill have in common.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) mix: Mix,
    pub(crate) queue: String,
    /// The item that images are made from.
    pub(crate) picture: Option<Uuid>,
    /// Attempts of each task.
    pub(crate) attempts: u32,
}

/// One task to submit.
pub(crate) struct Planned {
    pub(crate) key: String,
    pub(crate) keyed: bool,
    pub(crate) kind: Kind,
    pub(crate) body: Value,
    /// Milliseconds between its acceptance and its client's wish to cancel it.
    pub(crate) cancel_after: Option<u64>,
}

/// The task of this index.
pub(crate) fn plan(plan: &Plan, index: u64) -> Planned {
    let mut random = StdRng::seed_from_u64(plan.seed.wrapping_mul(1_000_003).wrapping_add(index));
    let kind = kind(plan, index, &mut random);
    let key = format!("{:x}-{index}", plan.seed);
    let mut body = body(kind, &key, plan, &mut random);
    body["tags"] = json!([key]);
    // a backlog is one queue's
    let priorities = if plan.mix == Mix::Backlog { 3..=6 } else { 0..=9 };
    body["priority"] = json!(random.random_range(priorities));
    let (attempts, backoff) = if kind == Kind::Hung { (2, 0.5) } else { (plan.attempts, 0.3) };
    let backoff = json!({ "type": "constant", "initial": backoff });
    let attempts = match kind {
        Kind::Abort => 20,
        Kind::Retry(times) => attempts + times.unsigned_abs(),
        _ => attempts,
    };
    body["retry"] = json!({ "max_attempts": attempts, "backoff": backoff });
    let cancel_after = (kind == Kind::Cancelled).then(|| random.random_range(0..800));
    // a part of the clients has no key, so that the plain way in is drilled too; they never repeat after "unknown"
    Planned { keyed: random.random_bool(0.75), key, kind, body, cancel_after }
}

fn kind(plan: &Plan, index: u64, random: &mut StdRng) -> Kind {
    match plan.mix {
        Mix::Backlog => return Kind::Sleep,
        Mix::Deaf => return Kind::Deaf,
        Mix::Deadly | Mix::DeadlyLong if index % 200 == 40 => return Kind::Abort,
        Mix::Hanging if index % 50 == 20 => return Kind::Hung,
        Mix::Unique | Mix::Contended if random.random_bool(0.7) => return unique(plan, random),
        _ => (),
    }
    match random.random_range(0..100) {
        0..34 => Kind::Echo,
        34..40 => unique(plan, random),
        40..64 => Kind::Sleep,
        64..66 if plan.mix.is_brief() => Kind::Echo,
        64..66 => Kind::Deaf,
        66..74 => Kind::Retry(random.random_range(1..=3)),
        74..80 => Kind::Large(random.random_range(1..60_000)),
        80..88 => Kind::Delayed(random.random_range(200..4000)),
        88..92 => Kind::Cancelled,
        92..95 => Kind::Expiring,
        95..99 => Kind::Spin,
        _ => plan.picture.map_or(Kind::Echo, |_| Kind::Image),
    }
}

fn unique(plan: &Plan, random: &mut StdRng) -> Kind {
    let key = random.random_range(0..plan.mix.unique_keys());
    if random.random_bool(0.75) { Kind::Latest(key) } else { Kind::Replace(key) }
}

fn body(kind: Kind, key: &str, plan: &Plan, random: &mut StdRng) -> Value {
    let queue = &plan.queue;
    let task = |name: &str, kwargs: Value| json!({ "name": name, "kwargs": kwargs, "queue": queue });
    let with = |mut task: Value, field: &str, value: Value| {
        task[field] = value;
        task
    };
    let (least, most) = match plan.mix {
        Mix::Backlog => (0.2, 0.3),
        mix if mix.is_brief() => (0.01, 0.06),
        mix if mix.is_unique() => (0.1, 0.5),
        _ => (0.02, 0.25),
    };
    let seconds = json!({ "seconds": random.random_range(least..most) });
    match kind {
        Kind::Echo => task("say", json!({ "token": key })),
        Kind::Deaf => {
            let (least, most) = if plan.mix == Mix::Deaf { (2.0, 4.0) } else { (0.2, 1.5) };
            task("sleep_deaf", json!({ "seconds": random.random_range(least..most) }))
        }
        Kind::Slow => task("sleep_deaf", json!({ "seconds": 5 })),
        Kind::Spin => task("spin", json!({ "seconds": 0.03 })),
        Kind::Retry(times) => task("fail", json!({ "times": times })),
        Kind::Large(bytes) => task("large", json!({ "token": key, "bytes": bytes })),
        Kind::Delayed(ms) => with(task("say", json!({ "token": key })), "delay", json!(f64_of(ms) / 1000.0)),
        Kind::Cancelled if random.random_bool(0.5) => with(task("sleep", seconds), "delay", json!(8)),
        Kind::Cancelled => task("sleep", json!({ "seconds": if plan.mix.is_brief() { 0.2 } else { 1.0 } })),
        // the client sets the time at which it expires when it sends the request
        Kind::Sleep | Kind::Expiring => task("sleep", seconds),
        Kind::Latest(of) => {
            with(task("sleep", seconds), "unique", json!({ "key": of.to_string(), "on_conflict": "keep_latest" }))
        }
        Kind::Replace(of) => {
            with(task("sleep", seconds), "unique", json!({ "key": of.to_string(), "on_conflict": "replace" }))
        }
        Kind::Hung => with(task("sleep_deaf", json!({ "seconds": 3600 })), "timeout", json!(1.5)),
        Kind::Image => {
            let kwargs = json!({ "image_id": plan.picture, "width": 64 });
            json!({ "name": "process_image", "kwargs": kwargs, "queue": format!("{queue}-images") })
        }
        Kind::Abort => task("abort", json!({})),
    }
}

fn f64_of(ms: u64) -> f64 {
    u32::try_from(ms).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_plan(seed: u64) -> Plan {
        Plan { seed, mix: Mix::DeadlyLong, queue: "q".into(), picture: Some(Uuid::from_u128(1)), attempts: 10 }
    }

    #[test]
    fn the_seed_says_it_all_and_every_kind_comes() {
        let all = |seed| (0..2000).map(|index| plan(&a_plan(seed), index).body.to_string()).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        assert!(all(1).iter().any(|body| body.contains("keep_latest")));
        for name in ["say", "sleep", "sleep_deaf", "spin", "fail", "large", "process_image", "abort"] {
            assert!(all(1).iter().any(|body| body.contains(&format!("\"name\":\"{name}\""))), "{name}");
        }
    }
}
