//! Unique tasks: others like one give way to it.

use caraway_shared::store::{Chore, Keep};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{answer::Answer, eventually::eventually_async, server::Api};

async fn submit(api: &Api, args: &[i32], unique: Value) -> Answer {
    api.post_json("/v1/tasks", json!({ "name": "add", "args": args, "unique": unique }).to_string()).await
}

fn id(answer: &Answer) -> Uuid {
    answer.json()["id"].as_str().unwrap().parse().unwrap()
}

async fn put(api: &Api, id: Uuid, change: &str) {
    api.sql(&format!("UPDATE task_run SET {change} WHERE id = $1"), &[&id]).await;
}

#[tokio::test]
async fn the_same_arguments_are_the_same_task_however_they_are_given() {
    let api = Api::start().await;
    let first = submit(&api, &[1, 2], json!({})).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let named = json!({ "name": "add", "args": [1], "kwargs": { "y": 2 }, "unique": {} });
    let second = api.post_json("/v1/tasks", named.to_string()).await;
    assert_eq!((second.status.as_u16(), second.json()["deduplicated"].clone()), (200, json!(true)));
    assert_eq!((id(&second), second.header("location")), (id(&first), first.header("location")));
    assert_eq!(submit(&api, &[1, 3], json!({})).await.status, 202, "other arguments");
    assert_eq!(submit(&api, &[1, 3], json!({ "by": ["name", "args.x"] })).await.status, 202, "another rule");
    assert_eq!(submit(&api, &[1, 4], json!({ "by": ["name", "args.x"] })).await.status, 200, "only x counts");
    let nothing = submit(&api, &[1, 4], json!({ "by": ["args.z"] })).await;
    assert_eq!(nothing.assert_problem(422, "invalid_request")["errors"][0]["pointer"], "/unique/by");
    api.stop().await;
}

#[tokio::test]
async fn how_long_it_keeps_others_out() {
    let api = Api::start().await;
    for (scope, while_running, after) in [("queued", 202, 202), ("incomplete", 200, 202), ("period", 200, 200)] {
        let mut unique = json!({ "key": scope, "while": scope });
        if scope == "period" {
            unique["period"] = json!(3600);
        }
        let first = id(&submit(&api, &[1], unique.clone()).await);
        assert_eq!(submit(&api, &[2], unique.clone()).await.status, 200, "{scope}: before the start");
        put(&api, first, "state = 'running', epoch = 1").await;
        let second = submit(&api, &[3], unique.clone()).await;
        assert_eq!(second.status, while_running, "{scope}: while it runs");
        put(&api, first, "state = 'succeeded'").await;
        put(&api, id(&second), "state = 'succeeded'").await;
        assert_eq!(submit(&api, &[4], unique.clone()).await.status, after, "{scope}: after its end");
    }
    api.sql("UPDATE task_unique SET until = now() WHERE scope = 'period'", &[]).await;
    let over = json!({ "key": "period", "period": 3600 });
    assert_eq!(submit(&api, &[5], over).await.status, 202, "after its time");
    api.stop().await;
}

#[tokio::test]
async fn what_becomes_of_the_second() {
    let api = Api::start().await;
    let unique = |on_conflict: &str| json!({ "key": "k", "on_conflict": on_conflict });
    let first = id(&submit(&api, &[1], unique("reject")).await);
    let rejected = submit(&api, &[2], unique("reject")).await.assert_problem(409, "duplicate_task");
    assert_eq!(rejected["existing_task_id"], json!(first));

    let second = submit(&api, &[2], unique("replace")).await;
    assert_eq!(second.status, 202, "{}", second.text());
    assert_eq!(api.get(&format!("/v1/tasks/{first}")).await.json()["state"], "cancelled");
    put(&api, id(&second), "state = 'running', epoch = 1").await;
    let third = submit(&api, &[3], unique("replace")).await;
    assert_eq!((third.status.as_u16(), id(&third)), (200, id(&second)), "what runs is not replaced");
    api.stop().await;
}

#[tokio::test]
async fn the_newest_waits_for_the_one_that_runs() {
    let api = Api::start().await;
    let latest = json!({ "key": "k", "on_conflict": "keep_latest" });
    let state = async |id: Uuid| api.get(&format!("/v1/tasks/{id}")).await.json()["state"].clone();
    let first = id(&submit(&api, &[1], latest.clone()).await);
    let second = submit(&api, &[2], latest.clone()).await;
    assert_eq!((second.status.as_u16(), state(first).await), (202, json!("cancelled")), "nothing runs yet");
    let running = id(&second);
    put(&api, running, "state = 'running', epoch = 1").await;
    let third = submit(&api, &[3], latest.clone()).await;
    assert_eq!((third.status.as_u16(), &third.json()["state"]), (202, &json!("waiting")), "{}", third.text());
    assert_eq!(third.json()["waiting_reason"], "unique");
    let fourth = submit(&api, &[4], latest.clone()).await;
    assert_eq!((fourth.status.as_u16(), &fourth.json()["state"]), (202, &json!("waiting")));
    assert_eq!(state(id(&third)).await, "cancelled", "one waits, the newest");
    let other = submit(&api, &[5], json!({ "key": "k", "on_conflict": "reject" })).await;
    assert_eq!(other.assert_problem(409, "duplicate_task")["existing_task_id"], json!(running));
    assert!(api.store.unblock(10).await.unwrap().is_empty(), "the first still runs");

    put(&api, running, "state = 'succeeded'").await;
    let unblocked = api.store.unblock(10).await.unwrap();
    assert_eq!(unblocked.iter().map(|owed| owed.pointer.id.0).collect::<Vec<_>>(), [id(&fourth)]);
    assert_eq!(state(id(&fourth)).await, "queued");
    let fifth = submit(&api, &[6], latest.clone()).await;
    assert_eq!((state(id(&fourth)).await, state(id(&fifth)).await), (json!("cancelled"), json!("queued")));

    // the holder ends, and a new one comes before anybody has looked: what waited is behind nobody
    put(&api, id(&fifth), "state = 'running', epoch = 1").await;
    let waits = id(&submit(&api, &[7], latest.clone()).await);
    put(&api, id(&fifth), "state = 'failed'").await;
    let last = submit(&api, &[8], latest.clone()).await;
    assert_eq!((state(waits).await, state(id(&last)).await), (json!("cancelled"), json!("queued")));
    assert!(api.store.unblock(10).await.unwrap().is_empty());
    api.stop().await;
}

#[tokio::test]
async fn what_keep_latest_does_not_go_with() {
    let api = Api::start().await;
    for (unique, pointer) in [
        (json!({ "on_conflict": "keep_latest", "while": "queued" }), "/unique/on_conflict"),
        (json!({ "on_conflict": "keep_latest", "period": 5 }), "/unique/on_conflict"),
    ] {
        let problem = submit(&api, &[1], unique).await.assert_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let body = json!({ "name": "add", "args": [1, 2], "delay": 5, "unique": { "on_conflict": "keep_latest" } });
    let problem = api.post_json("/v1/tasks", body.to_string()).await.assert_problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/unique");
    api.stop().await;
}

#[tokio::test]
async fn two_hundred_at_once_make_one_task() {
    let api = Api::start().await;
    let answers = join_all((0..200).map(|_| submit(&api, &[1, 2], json!({ "key": "one" })))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1);
    assert!(answers.iter().all(|answer| id(answer) == id(&answers[0])));
    assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 1);
    api.stop().await;
}

/// A task that another one stands for ends when that one does.
#[tokio::test]
async fn whoever_waits_hears_the_end_of_the_task_that_stands_for_it() {
    let api = Api::start().await;
    let body = json!({ "name": "add", "args": [1, 2], "unique": {} }).to_string();
    let holder = api.submit(&body).await;
    let request = api.client.post(format!("{}/v1/tasks", api.url)).header("content-type", "application/json");
    let waiting = tokio::spawn(request.header("prefer", "wait=20").body(body.clone()).send());
    // the request has been there when its task type has been asked for once more, and its wait is entered
    eventually_async("the wait", async || {
        let text = api.get("/metrics").await.text();
        text.contains("caraway_waits_open 1\n").then_some(())
    })
    .await;
    put(&api, holder, "state = 'succeeded', epoch = 1, result = '3', finished_at = now()").await;
    let answer = Answer::of(waiting.await.unwrap().unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("preference-applied")), (200, "wait=20"));
    let task = answer.json();
    assert_eq!(
        [&task["id"], &task["state"], &task["result"], &task["deduplicated"]],
        [&json!(holder), &json!("succeeded"), &json!(3), &json!(true)]
    );
    api.stop().await;
}

/// Between the end of the holder and the turn of the one that waits, others meet the one that waits.
#[tokio::test]
async fn what_waits_is_kept_from_those_that_would_not_replace_it() {
    let api = Api::start().await;
    let latest = json!({ "key": "k", "on_conflict": "keep_latest" });
    let running = id(&submit(&api, &[1], latest.clone()).await);
    put(&api, running, "state = 'running', epoch = 1").await;
    let next = submit(&api, &[2], latest).await;
    assert_eq!(next.json()["state"], "waiting");
    put(&api, running, "state = 'succeeded'").await;
    let existing = submit(&api, &[3], json!({ "key": "k" })).await;
    assert_eq!((existing.status.as_u16(), id(&existing)), (200, id(&next)), "{}", existing.text());
    let rejected = submit(&api, &[4], json!({ "key": "k", "on_conflict": "reject" })).await;
    assert_eq!(rejected.assert_problem(409, "duplicate_task")["existing_task_id"], json!(id(&next)));
    let shown = api.get(&format!("/v1/tasks/{}", id(&next))).await.json();
    assert_eq!((&shown["state"], &shown["waiting_reason"]), (&json!("queued"), &Value::Null), "its turn has come");
    let owed = api.sql("SELECT FROM owed WHERE $1 = ANY(ids) AND publish_after <= now()", &[&id(&next)]).await;
    assert_eq!(owed.len(), 1, "and a relay publishes it");
    api.stop().await;
}

#[tokio::test]
async fn a_period_outlives_the_row_of_its_task() {
    let api = Api::start().await;
    let body = |key: &str, extra: Value| {
        let mut unique = json!({ "key": key });
        unique.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({ "name": "add", "args": [1, 2], "result_ttl": 0, "unique": unique }).to_string()
    };
    let period = body("a", json!({ "period": 3600 }));
    let (first, other) = (api.submit(&period).await, api.submit(&body("b", json!({}))).await);
    for id in [first, other] {
        put(&api, id, "state = 'succeeded', epoch = 1, finished_at = now() - interval '1 second'").await;
    }
    let mut removed = 0;
    for chore in Chore::ALL {
        removed += api.store.retain(chore, &Keep::default(), Uuid::nil(), 1000).await.unwrap().removed;
    }
    assert_eq!(removed, 2, "both tasks, and no key whose period is not over");
    api.get(&format!("/v1/tasks/{first}")).await.assert_problem(404, "task_not_found");
    for on_conflict in ["return_existing", "reject", "replace"] {
        let again = body("a", json!({ "period": 3600, "on_conflict": on_conflict }));
        let refused = api.post_json("/v1/tasks", again).await.assert_problem(409, "duplicate_task");
        assert_eq!(refused["existing_task_id"], json!(first), "{on_conflict}");
    }
    let held: Vec<String> =
        api.sql("SELECT scope::text FROM task_unique", &[]).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(held, ["period"], "the other key went with its task");
    api.sql("UPDATE task_unique SET until = now()", &[]).await;
    assert_eq!(api.post_json("/v1/tasks", period).await.status, 202, "after its time");
    api.stop().await;
}
