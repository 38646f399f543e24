//! Batches: all or each for itself, with refusals and with tasks that others stand for.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Recorder, submit::with};

#[tokio::test]
async fn batches() {
    let mut it = Recorder::start("batches").await;
    it.hold().await;
    let say = |it: &Recorder, token: &str| it.held_task("say", json!({ "token": token }));
    let unique =
        |it: &Recorder, key: &str, rule: &str| with(say(it, key), "unique", json!({ "key": key, "on_conflict": rule }));
    it.quietly(unique(&it, "taken", "reject")).await;
    let some = json!({ "tasks": [
        say(&it, "1"), with(say(&it, "2"), "delay", json!(3600)), { "name": "nobody" },
        { "name": "say", "kwargs": { "token": "x", "more": 1 }, "queue": it.held() },
        unique(&it, "taken", "return_existing"), unique(&it, "taken", "reject"),
        with(with(say(&it, "3"), "tags", json!(["red"])), "priority", json!(9)),
        unique(&it, "new", "replace"), unique(&it, "new", "replace"),
    ] });
    let answer = it.post("each for itself", "/v1/tasks/batch", some).await;
    let batch = answer["batch_id"].as_str().expect("an id").to_owned();
    it.pages("the tasks of the batch", &format!("/v1/tasks?batch_id={batch}")).await;
    it.get("those that are queued", &format!("/v1/tasks?batch_id={batch}&state=queued")).await;
    it.get("one of the batch", &format!("/v1/tasks/{}", answer["tasks"][1]["task"]["id"].as_str().expect("an id")))
        .await;
    let all = json!({ "atomic": true, "tasks": [say(&it, "1"), say(&it, "2")] });
    let key = [("idempotency-key", "batch")];
    for title in ["all or nothing, with a key", "with the same key again"] {
        it.send(title, Method::POST, "/v1/tasks/batch", &key, Some(all.clone())).await;
    }
    for (title, tasks) in [
        ("all or nothing, and one is refused", json!([say(&it, "1"), { "name": "nobody" }])),
        ("all or nothing, and one is kept out", json!([say(&it, "1"), unique(&it, "taken", "reject")])),
        ("all or nothing, and another stands for one", json!([say(&it, "1"), unique(&it, "taken", "return_existing")])),
    ] {
        it.post(title, "/v1/tasks/batch", json!({ "atomic": true, "tasks": tasks })).await;
    }
    it.post("an empty batch", "/v1/tasks/batch", json!({ "tasks": [] })).await;
    ended(&mut it).await;
    it.finish();
}

/// Whose tasks have run.
async fn ended(it: &mut Recorder) {
    let tasks: Vec<Value> = [json!(1), json!("fail"), json!(3)]
        .into_iter()
        .map(|message| it.task("echo", json!({ "message": message })))
        .collect();
    let answer = it.post("a batch that runs", "/v1/tasks/batch", json!({ "tasks": tasks })).await;
    for (index, state) in ["succeeded", "failed", "succeeded"].into_iter().enumerate() {
        it.until(answer["tasks"][index]["task"]["id"].as_str().expect("an id"), state).await;
    }
    let ids: Vec<&Value> = (0..3).map(|index| &answer["tasks"][index]["task"]["id"]).collect();
    it.post("its tasks are waited for", "/v1/tasks/wait", json!({ "ids": ids, "until": "all" })).await;
    let batch = answer["batch_id"].as_str().expect("an id");
    it.pages("its tasks have ended", &format!("/v1/tasks?batch_id={batch}")).await;
}
