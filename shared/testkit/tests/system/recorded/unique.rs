//! Unique tasks: each rule before the other task starts, while it runs, and after its end.

use serde_json::{Value, json};

use super::{Recorder, submit::with};

#[tokio::test]
async fn unique_tasks() {
    let mut it = Recorder::start("unique").await;
    it.hold().await;
    for rule in ["return_existing", "reject", "replace", "keep_latest"] {
        let unique = json!({ "key": format!("queued-{rule}"), "on_conflict": rule });
        let first = it.quietly(with(it.held_task("say", json!({ "token": "1" })), "unique", unique.clone())).await;
        let second = with(it.held_task("say", json!({ "token": "2" })), "unique", unique);
        it.post(&format!("{rule}, and the first is queued"), "/v1/tasks", second).await;
        it.get(&format!("{rule}: the first"), &format!("/v1/tasks/{first}")).await;
    }
    for rule in ["return_existing", "reject", "replace", "keep_latest"] {
        running(&mut it, rule).await;
    }
    scopes(&mut it).await;
    parts(&mut it).await;
    refused(&mut it).await;
    it.finish();
}

/// The first one runs; then it ends, and what waits has its turn.
async fn running(it: &mut Recorder, rule: &str) {
    let unique = json!({ "key": format!("running-{rule}"), "on_conflict": rule });
    let first = it.quietly(with(it.task("report", it.waits_for(rule)), "unique", unique.clone())).await;
    it.until(&first, "running").await;
    let task = |it: &Recorder, n: u32| with(it.task("echo", json!({ "message": n })), "unique", unique.clone());
    let second = it.post(&format!("{rule}, and the first runs"), "/v1/tasks", task(it, 2)).await;
    let third = it.post(&format!("{rule}: a third"), "/v1/tasks", task(it, 3)).await;
    if rule == "keep_latest" {
        it.get("keep_latest: the second", &format!("/v1/tasks/{}", super::id(&second))).await;
        it.show("keep_latest: the third waits", &super::id(&third)).await;
        it.pages("keep_latest: what waits", "/v1/tasks?state=waiting").await;
    }
    it.release(rule);
    it.until(&first, "succeeded").await;
    if rule == "keep_latest" {
        it.until(&super::id(&third), "succeeded").await;
        it.show("keep_latest: the third has run", &super::id(&third)).await;
    }
    it.post(&format!("{rule}, and the first has ended"), "/v1/tasks", task(it, 4)).await;
}

async fn scopes(it: &mut Recorder) {
    for (scope, period) in [("queued", None), ("incomplete", None), ("period", Some(3600))] {
        let mut unique = json!({ "key": scope, "while": scope });
        if let Some(period) = period {
            unique["period"] = json!(period);
        }
        let first = it.quietly(with(it.task("report", it.waits_for(scope)), "unique", unique.clone())).await;
        it.until(&first, "running").await;
        let held = with(it.held_task("say", json!({ "token": "2" })), "unique", unique.clone());
        it.post(&format!("while {scope}, and the first runs"), "/v1/tasks", held).await;
        it.release(scope);
        it.until(&first, "succeeded").await;
        let held = with(it.held_task("say", json!({ "token": "3" })), "unique", unique);
        it.post(&format!("while {scope}, and the first has ended"), "/v1/tasks", held).await;
    }
}

/// What counts as the same.
async fn parts(it: &mut Recorder) {
    let by = |parts: Value| json!({ "by": parts });
    let named = |it: &Recorder, seconds: u32, unique: Value| {
        with(it.held_task("echo", json!({ "message": "same", "seconds": seconds })), "unique", unique)
    };
    it.post("by all, the first", "/v1/tasks", named(it, 1, json!({}))).await;
    it.post("by all, the same", "/v1/tasks", named(it, 1, json!({}))).await;
    it.post("by all, another", "/v1/tasks", named(it, 2, json!({}))).await;
    it.post("by one argument, the first", "/v1/tasks", named(it, 3, by(json!(["name", "args.message"])))).await;
    it.post("by one argument, the same", "/v1/tasks", named(it, 4, by(json!(["name", "args.message"])))).await;
}

async fn refused(it: &mut Recorder) {
    for unique in [
        json!({ "on_conflict": "keep_latest", "while": "queued" }),
        json!({ "on_conflict": "keep_latest", "period": 5 }),
        json!({ "while": "period" }),
        json!({ "by": ["args.nothing"] }),
        json!({ "key": "" }),
    ] {
        let task = with(it.held_task("say", json!({ "token": "x" })), "unique", unique);
        it.post("a rule that is none", "/v1/tasks", task).await;
    }
}
