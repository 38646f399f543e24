//! Retrying: what fails is tried again, what panics has failed, what snoozes has not.

use serde_json::json;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn a_failing_task_is_tried_until_it_succeeds_or_its_attempts_are_spent() {
    let stage = Stage::start("retry").await;
    let quick = json!({ "max_attempts": 3, "backoff": { "type": "constant", "initial": 0.1 } });
    let submit = async |name: &str, kwargs| {
        let mut task = stage.client.task(name, kwargs);
        task["retry"] = quick.clone();
        stage.client.submit(task).await
    };
    let succeeds = submit("fail", json!({ "times": 2 })).await;
    let fails = submit("fail", json!({ "times": 9 })).await;
    let panics = submit("panic", json!({})).await;
    let panics_early = submit("panic_early", json!({})).await;
    let snoozes = submit("snooze", json!({ "times": 5 })).await;
    let misfits = submit("sleep", json!({ "seconds": "long" })).await;

    let ended = stage.client.wait(succeeds, SOON).await;
    assert_eq!((&ended["state"], &ended["attempt"]), (&json!("succeeded"), &json!(3)), "{ended}");
    assert_eq!(stage.outcomes(succeeds).await, ["failed", "failed", "succeeded"]);
    assert_eq!(stage.executions(succeeds), 3);

    let ended = stage.client.wait(fails, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("asked_to_fail")), "{ended}");
    assert_eq!(stage.outcomes(fails).await, ["failed"; 3]);
    assert_eq!(stage.executions(fails), 3);

    let ended = stage.client.wait(panics, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("panic")), "{ended}");
    assert_eq!(stage.executions(panics), 3);
    let ended = stage.client.wait(panics_early, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("panic")), "{ended}");

    let ended = stage.client.wait(snoozes, SOON).await;
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&json!("succeeded"), &json!(1)),
        "snoozing costs nothing: {ended}"
    );
    assert_eq!(stage.executions(snoozes), 6);

    let ended = stage.client.wait(misfits, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("invalid_arguments")), "{ended}");
    assert_eq!(
        (stage.outcomes(misfits).await.len(), stage.executions(misfits)),
        (1, 0),
        "no other attempt can do better"
    );
}
