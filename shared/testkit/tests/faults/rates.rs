//! A user's requests a second over three APIs, before, while and after Redis is killed: neither is anything let through that is
//! too much, nor is everything refused.

use std::time::Duration;

use caraway_testkit::{Launch, Place, Program, Stack, eventually};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

const PER_SECOND: u32 = 90;
const APIS: u32 = 3;
/// Clients of each API.
const CLIENTS: u32 = 4;
const WINDOW: Duration = Duration::from_secs(3);

/// What came of a flood.
struct Flood {
    passed: u32,
    refused: u32,
    lasted: Duration,
}

#[tokio::test]
async fn a_rate_is_kept_without_redis_and_when_it_is_back() {
    let stack = Stack::start("rates").await;
    let place = Place::on(&stack, "rates").await;
    let mut apis = Vec::new();
    for number in 1..=APIS {
        let launch = Launch::new(&place, "api", &format!("api-{number}"));
        apis.push(launch.arguments(["serve", "--http-threads", "1"]).start().await);
    }
    limit(&apis).await;
    let (limit, share) = (f64::from(PER_SECOND), f64::from(PER_SECOND / APIS));
    flood_with_redis(&mut apis, "with Redis").await;
    stack.kill("redis").await;
    flood(&apis).await.check("Redis is killed", limit, limit * 1.1);
    flood(&apis).await.check("without Redis", limit, limit);
    flood(&apis[..1]).await.check("without Redis, one API of three", share, share);
    let alone = sum(&mut apis, "caraway_rate_alone_total").await;
    assert!(alone > 0, "no API was ever alone");
    stack.start_server("redis").await;
    let takes = sum(&mut apis, "caraway_rate_takes_total").await;
    eventually(Duration::from_secs(15), "all APIs ask Redis again", async || {
        flood_for(&apis, Duration::from_millis(300)).await;
        let more = sum(&mut apis, "caraway_rate_takes_total").await - takes;
        if more > 0 { Ok(()) } else { Err(format!("{more} questions")) }
    })
    .await;
    // one that still rests lets its share through beside the others
    flood(&apis).await.check("Redis is back", limit, limit * 1.1 + share * WINDOW.as_secs_f64());
    flood_with_redis(&mut apis, "with Redis again").await;
    flood_with_redis(&mut apis[..1], "with Redis again, one API of three").await;
}

/// In any w seconds limit * (w + 1), what the processes hold (a tenth of the limit together), and a second's share for each
/// question that a busy machine's Redis left unanswered.
async fn flood_with_redis(apis: &mut [Program], what: &str) {
    let limit = f64::from(PER_SECOND);
    let before = sum(apis, "caraway_rate_alone_total").await;
    let flood = flood(apis).await;
    let unanswered = u32::try_from(sum(apis, "caraway_rate_alone_total").await - before).expect("a few");
    flood.check(what, limit, limit * 1.1 + f64::from(unanswered * PER_SECOND / APIS));
}

/// Gives the local user of an open installation a limit, and waits until all have heard of it, and of each other.
async fn limit(apis: &[Program]) {
    let client = client();
    let set = client.put(format!("{}/v1/users/1/quotas", apis[0].url()));
    let set = set.json(&json!({"requests_per_second": PER_SECOND})).send().await.expect("the API answers");
    assert_eq!(set.status(), 200);
    for api in apis {
        eventually(Duration::from_secs(10), "the limit is known", async || {
            let answer = client.get(format!("{}/v1/queues", api.url())).send().await.expect("the API answers");
            if answer.headers().contains_key("ratelimit") { Ok(()) } else { Err("it is not".into()) }
        })
        .await;
    }
}

async fn sum(apis: &mut [Program], name: &str) -> u64 {
    let mut sum = 0;
    for api in apis {
        sum += api.counters().await.sum(name);
    }
    sum
}

async fn flood(apis: &[Program]) -> Flood {
    flood_for(apis, WINDOW).await
}

/// As many requests as the APIs answer.
async fn flood_for(apis: &[Program], window: Duration) -> Flood {
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    for api in apis {
        let url = format!("{}/v1/queues", api.url());
        for _ in 0..CLIENTS {
            let (client, url) = (client(), url.clone());
            clients.spawn(async move {
                let (mut passed, mut refused) = (0, 0);
                while began.elapsed() < window {
                    match client.get(&url).send().await.expect("the API answers").status().as_u16() {
                        200 => passed += 1,
                        429 => refused += 1,
                        other => panic!("{other}"),
                    }
                }
                (passed, refused)
            });
        }
    }
    let counts = clients.join_all().await;
    let (passed, refused) = counts.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    Flood { passed, refused, lasted: began.elapsed() }
}

impl Flood {
    /// That not more was let through than the rate gives in the time and `slack`, and most of it.
    fn check(&self, what: &str, per_second: f64, slack: f64) {
        let given = per_second * self.lasted.as_secs_f64();
        println!(
            "rates: {what}: {} passed, {} refused in {:.2} s; {given:.0} are the rate, {:.0} the most",
            self.passed,
            self.refused,
            self.lasted.as_secs_f64(),
            given + slack
        );
        assert!(self.refused > self.passed, "{what}: no flood");
        assert!(f64::from(self.passed) <= given + slack, "{what}: too much");
        assert!(f64::from(self.passed) >= given * 0.8, "{what}: too little");
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client can be built")
}
