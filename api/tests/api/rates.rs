//! Requests a second: over all keys and processes of a user, with Redis and without it. Each test has a database of Redis to
//! itself, because a user's bucket there is told by its id.

use std::time::{Duration, Instant};

use caraway_testkit::{Protocol, Proxy, Way};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    access::{ask, make_key},
    answer::Answer,
    database::variable,
    eventually::eventually_async,
    quotas::World,
    server::{Api, NOWHERE, Setup},
};

/// How long a flood goes on.
const WINDOW: Duration = Duration::from_secs(3);

async fn world(redis_url: String, per_second: u32) -> World {
    let mut setup = Setup::new().await;
    setup.redis_url = redis_url;
    World::with(setup, json!({"requests_per_second": per_second})).await
}

fn redis(database: u32) -> String {
    format!("{}/{database}", variable("CARAWAY_REDIS_URL").trim_end_matches('/'))
}

/// What came of a flood.
#[derive(Debug, Default)]
struct Flood {
    passed: u32,
    refused: u32,
    lasted: Duration,
    /// How often Redis did not answer one of them, as happens on a machine that has too much to do.
    unanswered: u64,
}

impl Flood {
    /// Requests of this key for [`WINDOW`], as many as the APIs answer, from four clients for each.
    async fn of(apis: &[&Api], key: &str) -> Self {
        let unanswered = unanswered(apis).await;
        let (began, mut clients) = (Instant::now(), JoinSet::new());
        for api in apis.iter().flat_map(|api| [*api; 4]) {
            let (client, url, key) = (api.client.clone(), format!("{}/v1/queues", api.url), key.to_owned());
            clients.spawn(async move {
                let (mut passed, mut refused) = (0, 0);
                while began.elapsed() < WINDOW {
                    match client.get(&url).bearer_auth(&key).send().await.unwrap().status().as_u16() {
                        200 => passed += 1,
                        429 => refused += 1,
                        other => panic!("{other}"),
                    }
                }
                (passed, refused)
            });
        }
        let counts = clients.join_all().await;
        let lasted = began.elapsed();
        let (passed, refused) = counts.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Self { passed, refused, lasted, unanswered: self::unanswered(apis).await - unanswered }
    }

    /// By how much the bucket may be passed: what the processes held, and a second's share for each question that Redis did not
    /// answer.
    fn slack(&self, per_second: u32, processes: u32) -> f64 {
        let unanswered = u32::try_from(self.unanswered).unwrap();
        f64::from(per_second) / 10.0 + f64::from(unanswered) * f64::from(per_second) / f64::from(processes)
    }

    /// That so much was let through, all in all: the rate over the time, a burst of a second, and what was held.
    #[track_caller]
    fn assert_within(&self, what: &str, per_second: f64, least: f64, slack: f64) {
        let seconds = self.lasted.as_secs_f64();
        let most = per_second * (seconds + 1.0) + slack;
        println!(
            "rates: {what}: {} passed and {} refused in {seconds:.2} s, {} questions unanswered; at {per_second}/s at most {most:.0}",
            self.passed, self.refused, self.unanswered
        );
        assert!(f64::from(self.passed) <= most, "{self:?}, at most {most}");
        assert!(f64::from(self.passed) >= least * per_second * seconds, "{self:?} is too little");
        assert!(self.refused > self.passed, "{self:?} was no flood");
    }
}

async fn unanswered(apis: &[&Api]) -> u64 {
    let mut sum = 0;
    for api in apis {
        sum += counter(api, "caraway_rate_alone_total").await;
    }
    sum
}

async fn counter(api: &Api, name: &str) -> u64 {
    let metrics = api.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn every_answer_tells_the_limit_and_who_waits_as_told_is_let_in() {
    let world = world(redis(2), 5).await;
    let (other, _) = make_key(
        &world.api,
        Some(&world.operator),
        json!({"name": "second", "scopes": ["read"], "user_id": world.user}),
    )
    .await;
    let asked = async |key: &str, path: &str| ask(&world.api, &Method::GET, path, Some(key), None).await;
    let first = asked(&world.key, "/v1/queues").await;
    assert_eq!(first.header("ratelimit-policy"), r#""default";q=5;w=1"#);
    assert_eq!(first.header("ratelimit"), r#""default";r=4;t=1"#);
    let problem = asked(&other, "/v1/tasks/018f4b2e-7b1c-7000-8000-000000000001").await;
    problem.assert_problem(404, "task_not_found");
    assert_eq!(problem.header("ratelimit-policy"), r#""default";q=5;w=1"#, "on problems, too");
    // a refused scope counts, and so does another key of the same user
    asked(&other, "/v1/users").await.assert_problem(403, "missing_scope");
    let refused = loop {
        let answer = asked(&world.key, "/v1/queues").await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            break answer;
        }
    };
    let problem = refused.assert_problem(429, "rate_limited");
    assert_eq!(
        [&problem["quota"], &problem["limit"], &problem["retryable"], &problem["violated-policies"]],
        [&json!("requests_per_second"), &json!(5), &json!(true), &json!(["default"])]
    );
    assert_eq!(refused.header("ratelimit"), r#""default";r=0;t=1"#);
    asked(&other, "/v1/queues").await.assert_problem(429, "rate_limited");
    // nobody else is touched: the operator has no limit, and hears of none
    let free = asked(&world.operator, "/v1/queues").await;
    assert_eq!((free.status, free.header("ratelimit"), free.header("ratelimit-policy")), (StatusCode::OK, "", ""));
    let wait: u64 = refused.header(header::RETRY_AFTER).parse().unwrap();
    assert_eq!(wait, 1);
    tokio::time::sleep(Duration::from_secs(wait)).await; // as a client would
    assert_eq!(asked(&world.key, "/v1/queues").await.status, StatusCode::OK);
    // no quota any more: no limit, and no headers
    assert_eq!(world.set(json!({"requests_per_second": null})).await.status, StatusCode::OK);
    for _ in 0..20 {
        let free = asked(&world.key, "/v1/queues").await;
        assert_eq!((free.status, free.header("ratelimit")), (StatusCode::OK, ""));
    }
    world.api.stop().await;
}

#[tokio::test]
async fn what_needs_no_key_needs_no_leave() {
    let world = world(redis(3), 1).await;
    for _ in 0..10 {
        for path in ["/livez", "/docs", "/openapi.json"] {
            let request = world.api.client.get(format!("{}{path}", world.api.url)).bearer_auth(&world.key);
            assert_eq!(Answer::of(request.send().await.unwrap()).await.status, StatusCode::OK);
        }
    }
    world.api.stop().await;
}

#[tokio::test]
async fn three_processes_together_let_through_what_one_may_and_seldom_ask_redis() {
    const PER_SECOND: u32 = 150;
    let redis_url = redis(4);
    let world = world(redis_url.clone(), PER_SECOND).await;
    let (second, third) = tokio::join!(world.beside(&redis_url), world.beside(&redis_url));
    let apis = [&world.api, &second, &third];
    know_of_each_other(&world, &apis, 3).await;
    let flood = Flood::of(&apis, &world.key).await;
    // each may hold five: a tenth of the limit together
    flood.assert_within("three processes", f64::from(PER_SECOND), 0.9, flood.slack(PER_SECOND, 3));
    let mut takes = 0;
    for api in apis {
        takes += counter(api, "caraway_rate_takes_total").await;
    }
    println!("rates: {takes} questions to Redis for {} requests", flood.passed + flood.refused);
    assert!(takes > 0 && takes < u64::from(flood.passed + flood.refused) / 4, "{takes}");
    drop((second, third));
    world.api.stop().await;
}

#[tokio::test]
async fn without_redis_each_process_keeps_to_its_share_and_with_it_all_is_as_before() {
    const PER_SECOND: u32 = 60;
    let direct = redis(5);
    let (login, rest) = direct.rsplit_once('@').unwrap();
    let address = rest.split('/').next().unwrap().to_owned();
    let proxy = Proxy::to(&address, Protocol::Bytes).await;
    let redis_url = format!("{login}@{}/5", proxy.address());
    let world = world(redis_url.clone(), PER_SECOND).await;
    let (second, third) = tokio::join!(world.beside(&redis_url), world.beside(&redis_url));
    let apis = [&world.api, &second, &third];
    know_of_each_other(&world, &apis, 3).await;
    let rate = f64::from(PER_SECOND);
    let with = Flood::of(&apis, &world.key).await;
    with.assert_within("with Redis", rate, 0.9, with.slack(PER_SECOND, 3));
    for way in [Way::Cut, Way::Stalled] {
        proxy.set(way);
        let flood = Flood::of(&apis, &world.key).await;
        flood.assert_within(&format!("{way:?}"), rate, 0.7, 3.0);
        let alone = Flood::of(&apis[..1], &world.key).await;
        alone.assert_within(&format!("{way:?}, one of three asked"), rate / 3.0, 0.7, 1.0);
    }
    assert!(counter(&world.api, "caraway_rate_alone_total").await > 0);
    proxy.set(Way::Open);
    let takes = counter(&world.api, "caraway_rate_takes_total").await;
    eventually_async("Redis in use again", async || {
        ask(&world.api, &Method::GET, "/v1/queues", Some(&world.key), None).await;
        (counter(&world.api, "caraway_rate_takes_total").await > takes).then_some(())
    })
    .await;
    let again = Flood::of(&apis[..1], &world.key).await;
    again.assert_within("with Redis again, one of three asked", rate, 0.9, again.slack(PER_SECOND, 3));
    drop((second, third));
    world.api.stop().await;
}

#[tokio::test]
async fn a_process_that_never_met_redis_keeps_to_the_limit() {
    let world = world(format!("redis://{NOWHERE}"), 20).await;
    Flood::of(&[&world.api], &world.key).await.assert_within("never a Redis", 20.0, 0.9, 1.0);
    assert_eq!(counter(&world.api, "caraway_rate_takes_total").await, 0);
    world.api.stop().await;
}

/// Waits until all know how many they are.
async fn know_of_each_other(world: &World, apis: &[&Api], processes: i64) {
    eventually_async("all processes in the database", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'caraway-api beats'";
        (world.api.sql(sql, &[]).await[0].get::<_, i64>(0) == processes).then_some(())
    })
    .await;
    // a key that nobody knows makes a process look again
    let (fresh, id) = make_key(&world.api, Some(&world.operator), json!({"name": "fresh", "scopes": ["read"]})).await;
    for api in apis {
        assert_eq!(ask(api, &Method::GET, "/v1/queues", Some(&fresh), None).await.status, StatusCode::OK);
    }
    let path = format!("/v1/api-keys/{id}");
    let gone: Answer = ask(&world.api, &Method::DELETE, &path, Some(&world.operator), None::<Value>).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}
