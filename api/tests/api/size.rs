//! Nothing that is asked for grows with the tables: lists, the queues' view, a quota's count and the reconcilers' steps answer in a
//! bounded time whatever has ended and whatever waits.
//!
//! `CARAWAY_SIZE_ENDED` and `CARAWAY_SIZE_QUEUED` set other sizes; with ten million and a million it was run by hand
//! (`deploy/docs/PERFORMANCE.md`).

use std::time::{Duration, Instant};

use caraway_shared::{
    store::{Chore, Keep},
    task::{Class, QueueName},
};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::{
    quotas::World,
    server::{Api, Setup},
};

/// Warm. Ten times less than a person notices, and with room for other work on the machine.
const WITHIN: Duration = Duration::from_millis(200);
/// Tasks a second that the audit owes again.
const OWED_AGAIN_MIN: f64 = 5_000.0;

fn size(variable: &str, default: i64) -> i64 {
    std::env::var(variable).ok().and_then(|size| size.parse().ok()).unwrap_or(default)
}

/// What ended, of five queues' worth of names, one in a hundred of it badly and with fifty different codes.
const ENDED: &str = "
    WITH made AS MATERIALIZED (
        SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 86000000 + i % 80000000), 12, '0') || '7'
                || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 12) || '000')::uuid AS id,
            'n' || i % 5 AS name, CASE WHEN i % 100 = 0 THEN 'failed' ELSE 'succeeded' END::task_state AS state,
            CASE WHEN i % 100 = 0 THEN 'code' || i / 100 % 50 ELSE '' END AS code
        FROM generate_series($1::int8, $2::int8) i
    ), spec AS (
        INSERT INTO task_spec (id, owner_id, name, queue, priority, class, max_attempts, input)
        SELECT id, $3, name, 'tests', 4, 1, 5, '{}' FROM made
    ), run AS (
        INSERT INTO task_run (id, owner_id, state, finished_at, error_code) SELECT id, $3, state, now(), code FROM made
    )
    INSERT INTO ended SELECT $3, state, id, 'tests', name, code FROM made WHERE state = 'failed'";

/// What has been queued for an hour, posted 25 at a time.
const QUEUED: &str = "
    WITH made AS MATERIALIZED (
        SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 3600000 + i % 3000000), 12, '0') || '7'
                || substr(md5(i::text), 1, 3) || '9' || substr(md5(i::text), 4, 12) || '000')::uuid AS id, i / 25 AS commit
        FROM generate_series($1::int8, $2::int8) i
    ), spec AS (
        INSERT INTO task_spec (id, owner_id, name, queue, priority, class, max_attempts, input)
        SELECT id, $3, 'n0', 'tests', 4, 1, 5, '{}' FROM made
    ), run AS (
        INSERT INTO task_run (id, owner_id, state, queued_at) SELECT id, $3, 'queued', now() - interval '1 hour' FROM made
    )
    INSERT INTO backlog (owner_id, queue, class, queued, since, ids)
    SELECT $3, 'tests', 1, true, now() - interval '1 hour', array_agg(id) FROM made GROUP BY commit";

async fn fill(api: &Api, statement: &str, count: i64, owner: i64) {
    const PART: i64 = 50_000;
    for first in (0..count).step_by(usize::try_from(PART).unwrap()) {
        api.sql(statement, &[&first, &(first + PART.min(count - first) - 1), &owner]).await;
    }
}

#[tokio::test]
async fn what_is_asked_for_answers_at_once_at_any_size() {
    let (ended, queued) = (size("CARAWAY_SIZE_ENDED", 300_000), size("CARAWAY_SIZE_QUEUED", 100_000));
    let world = World::with(Setup::new().await, json!({ "queued_tasks": queued + 1_000_000 })).await;
    let (api, user) = (&world.api, world.user);
    api.sql("INSERT INTO queue (name) VALUES ('tests') ON CONFLICT DO NOTHING", &[]).await;
    fill(api, ENDED, ended, user).await;
    fill(api, QUEUED, queued, user).await;
    api.sql("ANALYZE task_spec, task_run, ended, backlog", &[]).await;

    for query in [
        "",
        "queue=tests",
        "name=n3",
        "queue=tests&name=n3",
        "state=succeeded",
        "state=succeeded&name=n3",
        "state=failed",
        "state=failed&name=n3",
        "error_code=code7",
        "state=failed,cancelled,expired",
        "state=queued",
        "state=queued,running",
        "state=scheduled,waiting",
        "state=running",
        "name=nobody",
        "state=succeeded&name=nobody",
    ] {
        let path = format!("/v1/tasks?{query}");
        let took = warm(async || assert_eq!(world.ask(Method::GET, &path, None).await.status, 200, "{path}")).await;
        judge(&path, took);
    }
    let took = warm(async || assert!(api.store.show_queues().await.unwrap().len() > 1)).await;
    judge("the queues", took);
    let owner = caraway_shared::task::OwnerId(user);
    let took = warm(async || assert!(api.store.count_unstarted(owner).await.unwrap() >= queued)).await;
    judge("a quota's count", took);
    let took = warm(async || assert!(api.store.clear_backlog(0, 500).await.is_ok())).await;
    judge("a step of the backlog's walk", took);
    let took = warm(async || assert_eq!(api.store.unclaimed().await.unwrap().len(), 1)).await;
    judge("the audit's look", took);
    let took = warm(async || assert!(api.store.next_due().await.unwrap().is_none())).await;
    judge("the promoter's look", took);
    for chore in Chore::ALL {
        let step = async || assert!(api.store.retain(chore, &Keep::default(), Uuid::nil(), 1000).await.is_ok());
        judge(&format!("{chore:?}"), warm(step).await);
    }

    let began = Instant::now();
    let (queue, mut tasks): (QueueName, u64) = ("tests".parse().unwrap(), 0);
    loop {
        let step = api.store.owe_again(&queue, Class::ALL[1], None, 100).await.unwrap();
        tasks += step.tasks;
        if step.is_through {
            break;
        }
    }
    assert_eq!(i64::try_from(tasks), Ok(queued), "all of it is owed again");
    let rate = f64::from(u32::try_from(tasks).unwrap()) / began.elapsed().as_secs_f64();
    println!("size: {tasks} tasks owed again, {rate:.0} a second");
    assert!(rate >= OWED_AGAIN_MIN, "{rate}");
}

/// Asked for twice, and told of the second time.
async fn warm(ask: impl AsyncFn()) -> Duration {
    ask().await;
    let began = Instant::now();
    ask().await;
    began.elapsed()
}

fn judge(what: &str, took: Duration) {
    println!("size: {:>5} ms for {what}", took.as_millis());
    assert!(took < WITHIN, "{what} took {took:?}");
}
