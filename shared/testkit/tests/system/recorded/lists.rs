//! `GET /v1/tasks` with every filter, alone and together, followed page by page.

use std::time::Duration;

use caraway_testkit::eventually;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Recorder, submit::with};
use crate::stage::SOON;

#[tokio::test]
async fn task_lists() {
    let mut it = Recorder::start("lists").await;
    it.get("nothing yet", "/v1/tasks").await;
    it.hold().await;
    let boundary = some_of_each(&mut it).await;
    let (main, held) = (it.main(), it.held());
    for query in [
        "",
        "?state=scheduled",
        "?state=waiting",
        "?state=queued",
        "?state=running",
        "?state=succeeded",
        "?state=failed",
        "?state=cancelled",
        "?state=expired",
        "?state=failed,cancelled,expired",
        "?state=scheduled,waiting,queued,running",
        "?state=queued,succeeded",
        "?state=succeeded,failed,queued,scheduled,running,cancelled,expired,waiting",
        "?name=echo",
        "?name=echo&state=succeeded",
        "?name=say&state=queued,scheduled",
        "?name=nothing",
        &format!("?queue={main}"),
        &format!("?queue={held}"),
        &format!("?queue={held}&state=queued"),
        &format!("?queue={main}&name=echo&state=failed"),
        "?queue=nowhere",
        "?error_code=asked_to_fail",
        "?error_code=asked_to_fail&state=failed",
        "?error_code=timed_out&name=sleep",
        "?error_code=nothing",
        "?tag=red",
        "?tag=blue",
        "?tag=%C3%A4%C3%B6%C3%BC",
        "?tag=none",
        "?batch_id=018f4b2e-7b1c-7000-8000-000000000001",
        &format!("?created_after={boundary}"),
        &format!("?created_before={boundary}"),
        &format!("?created_after={boundary}&state=queued"),
        &format!("?created_before={boundary}&name=echo"),
        "?created_after=2600-01-01T00:00:00Z",
        "?created_before=2001-01-01T00:00:00Z",
    ] {
        it.pages("a search", &format!("/v1/tasks{query}")).await;
    }
    refused(&mut it).await;
    it.finish();
}

/// Tasks in each state, one after the other, so that their order is known; a time in the middle.
async fn some_of_each(it: &mut Recorder) -> String {
    let echo = |it: &Recorder, message: Value| it.task("echo", json!({ "message": message }));
    let say = |it: &Recorder| it.held_task("say", json!({ "token": "a" }));
    let tagged = |task: Value, tags: Value| with(task, "tags", tags);
    let expires = with(say(it), "expires_at", json!(soon()));
    let expiring = it.quietly(expires).await;
    for (task, state) in [
        (tagged(echo(it, json!(1)), json!(["red", "blue"])), "succeeded"),
        (echo(it, json!("fail")), "failed"),
        (with(say(it), "delay", json!(3600)), "scheduled"),
        (tagged(say(it), json!(["red"])), "queued"),
        (with(say(it), "priority", json!(9)), "queued"),
        (echo(it, json!("fail")), "failed"),
    ] {
        let task = it.quietly(task).await;
        it.until(&task, state).await;
    }
    let middle = it.quietly(tagged(echo(it, json!(2)), json!(["äöü"]))).await;
    it.until(&middle, "succeeded").await;
    let boundary = after(it, &middle).await;
    let once = json!({ "max_attempts": 1 });
    let stopped = with(with(it.task("sleep", json!({ "seconds": 60 })), "soft_timeout", json!(0.1)), "retry", once);
    let stopped = it.quietly(stopped).await;
    it.until(&stopped, "failed").await;
    let later = json!({ "jitter": 0, "backoff": { "type": "constant", "initial": 3600 } });
    let again = it.quietly(with(it.task("fail", json!({ "times": 1 })), "retry", later)).await;
    it.until(&again, "scheduled").await;
    let unique = json!({ "key": "k", "on_conflict": "keep_latest" });
    let first = it.quietly(with(it.task("report", it.waits_for("never")), "unique", unique.clone())).await;
    it.until(&first, "running").await;
    let second = it.quietly(with(echo(it, json!(3)), "unique", unique)).await;
    it.until(&second, "waiting").await;
    for task in [say(it), with(say(it), "delay", json!(3600))] {
        let task = it.quietly(tagged(task, json!(["red"]))).await;
        it.post("cancelled", &format!("/v1/tasks/{task}/cancel"), json!({})).await;
    }
    it.until(&expiring, "expired").await;
    boundary.to_string()
}

/// A time that is clearly after this task and before the next: a search by time goes by ids, whose clock is coarser.
async fn after(it: &Recorder, task: &str) -> Timestamp {
    const GAP: Duration = Duration::from_millis(10);
    let document = it.peek(&format!("/v1/tasks/{task}")).await;
    let created: Timestamp = document["created_at"].as_str().and_then(|time| time.parse().ok()).expect("a time");
    eventually(SOON, "the boundary has passed", async || {
        let now = Timestamp::now();
        if now > created + 2 * GAP { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    created + GAP
}

fn soon() -> String {
    (Timestamp::now() + Duration::from_millis(800)).to_string()
}

async fn refused(it: &mut Recorder) {
    for query in [
        "tag=a&state=failed",
        "tag=a&batch_id=018f4b2e-7b1c-7000-8000-000000000001",
        "worker=me",
        "state=done",
        "state=failed&state=queued",
        "limit=0",
        "limit=501",
        "cursor=x",
        "batch_id=1",
        "created_after=yesterday",
        "error_code=",
    ] {
        it.get("a search that is none", &format!("/v1/tasks?{query}")).await;
    }
}
