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
    assert_eq!(stage.outcomes(snoozes).await, ["snoozed", "succeeded"], "one entry for all snoozes in a row");
    assert_eq!(stage.client.attempts(snoozes).await[0]["times"], 5);
    let hasty = "SELECT count(*) FROM attempt a JOIN task t ON t.id = a.task_id
        WHERE a.outcome = 'snoozed' AND t.finished_at < a.started_at + interval '4.5 seconds'";
    assert_eq!(stage.database.number(hasty).await, 0, "a snooze lasts for a second at least");

    let ended = stage.client.wait(misfits, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("invalid_arguments")), "{ended}");
    assert_eq!(
        (stage.outcomes(misfits).await.len(), stage.executions(misfits)),
        (1, 0),
        "no other attempt can do better"
    );
}

#[tokio::test]
async fn the_policy_says_after_which_errors_and_for_how_long() {
    let stage = Stage::start("retry-policy").await;
    let brief = json!({ "type": "constant", "initial": 0.1 });
    let mut submitted = Vec::new();
    for (policy, attempts) in [
        (json!({ "max_attempts": 3, "retry_on": ["asked_*"], "backoff": brief }), 3..=3),
        (json!({ "max_attempts": 3, "retry_on": ["other"], "backoff": brief }), 1..=1),
        (json!({ "max_attempts": 3, "no_retry_on": ["*_to_fail"], "backoff": brief }), 1..=1),
        (json!({ "max_attempts": 3, "retry_on": ["*"], "no_retry_on": ["other"], "backoff": brief }), 3..=3),
        // the second attempt begins in time, and a tenth could not
        (
            json!({ "max_attempts": 100, "max_retry_duration": 3, "jitter": 0,
                "backoff": { "type": "constant", "initial": 1 } }),
            2..=4,
        ),
    ] {
        let mut task = stage.client.task("fail", json!({ "times": 99 }));
        task["retry"] = policy.clone();
        submitted.push((stage.client.submit(task).await, policy, attempts));
    }
    for (task, policy, attempts) in submitted {
        let ended = stage.client.wait(task, SOON).await;
        let error = json!({ "code": "asked_to_fail", "message": format!("attempt {}", ended["attempt"]) });
        assert_eq!((&ended["state"], &ended["error"]), (&json!("failed"), &error), "{policy}: {ended}");
        let told = stage.client.attempts(task).await;
        assert!(attempts.contains(&told.len()), "{policy}: {told:?}");
        assert_eq!(stage.executions(task), told.len(), "{policy}");
        for (number, attempt) in (1..).zip(&told) {
            let error = json!({ "code": "asked_to_fail", "message": format!("attempt {number}") });
            assert_eq!((&attempt["outcome"], &attempt["error"]), (&json!("failed"), &error), "every one has its error");
        }
    }
}

/// None early, by the database's clock.
#[tokio::test]
async fn the_back_off_grows_as_it_was_asked_to() {
    let stage = Stage::start("back-off").await;
    let mut submitted = Vec::new();
    for (backoff, waits_ms) in [
        (json!({ "type": "constant", "initial": 0.4 }), [400, 400, 400]),
        (json!({ "type": "linear", "initial": 0.3 }), [300, 600, 900]),
        (json!({ "type": "exponential", "initial": 0.2, "factor": 3, "max": 1 }), [200, 600, 1000]),
    ] {
        let mut task = stage.client.task("fail", json!({ "times": 99 }));
        task["retry"] = json!({ "max_attempts": 4, "jitter": 0, "backoff": backoff });
        submitted.push((stage.client.submit(task).await, backoff, waits_ms));
    }
    for (task, backoff, waits_ms) in submitted {
        stage.client.wait(task, SOON).await;
        for (epoch, wait_ms) in (1..).zip(waits_ms) {
            let sql = format!(
                "SELECT floor(extract(epoch FROM coalesce(n.started_at, t.started_at) - a.ended_at) * 1000)::bigint
                 FROM attempt a JOIN task t ON t.id = a.task_id
                 LEFT JOIN attempt n ON n.task_id = a.task_id AND n.epoch = a.epoch + 1
                 WHERE a.task_id = '{task}' AND a.epoch = {epoch}"
            );
            let waited_ms = stage.database.number(&sql).await;
            assert!((wait_ms..wait_ms + 2_000).contains(&waited_ms), "{backoff}: {waited_ms} ms after attempt {epoch}");
        }
    }
}
