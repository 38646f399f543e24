//! Unique tasks: the same answers however they come, alone or in a batch; and what counts as the same.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    access::{ask, make_key},
    server::Api,
};

fn task(args: &str, unique: &Value) -> String {
    format!(r#"{{"name":"add","args":{args},"unique":{unique}}}"#)
}

/// Statuses of these submissions to the API, one by one.
async fn alone(api: &Api, tasks: &[String]) -> Vec<Value> {
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(json!(api.post_json("/v1/tasks", task.clone()).await.status.as_u16()));
    }
    answers
}

/// Statuses of the same submissions in one batch.
async fn together(api: &Api, tasks: &[String]) -> Vec<Value> {
    let answer = api.post_json("/v1/tasks/batch", format!(r#"{{"tasks":[{}]}}"#, tasks.join(","))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["tasks"].as_array().unwrap().iter().map(|entry| entry["status"].clone()).collect()
}

/// Tasks by the order of their arguments: the state, and what they wait for.
async fn rows(api: &Api) -> Vec<(i32, String, Option<String>)> {
    let rows = "SELECT (convert_from(input, 'UTF8')::jsonb #>> '{args,0}')::int, state::text, waiting_reason FROM task
        ORDER BY 1, id";
    api.sql(rows, &[]).await.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn a_batch_is_answered_as_its_tasks_one_by_one() {
    let rules = ["return_existing", "reject", "replace", "keep_latest"];
    // every pair of rules, behind a holder that has not started and behind one that runs
    let pairs: Vec<(&str, &str)> = rules.iter().flat_map(|one| rules.iter().map(move |other| (*one, *other))).collect();
    for state in ["queued", "running"] {
        let mut outcomes = Vec::new();
        for way in ["alone", "together"] {
            let api = Api::start().await;
            let mut tasks = Vec::new();
            for (index, (one, other)) in pairs.iter().enumerate() {
                let unique = |rule: &str| json!({ "key": format!("{index}"), "on_conflict": rule });
                let args = |n: usize| format!("[{}, 0]", index * 10 + n);
                api.submit(&task(&args(0), &unique("keep_latest"))).await;
                tasks.extend([
                    task(&args(1), &unique(one)),
                    task(&args(2), &unique(other)),
                    task(&args(3), &unique(one)),
                ]);
            }
            api.sql(&format!("UPDATE task_run SET state = '{state}', epoch = 1"), &[]).await;
            let answers = if way == "alone" { alone(&api, &tasks).await } else { together(&api, &tasks).await };
            outcomes.push((answers, rows(&api).await));
            api.stop().await;
        }
        assert_eq!(outcomes[0], outcomes[1], "{state}");
    }
}

#[tokio::test]
async fn the_newest_of_a_batch_wins() {
    let api = Api::start().await;
    for rule in ["replace", "keep_latest"] {
        let unique = json!({ "key": rule, "on_conflict": rule });
        let tasks: Vec<String> = (1..=3).map(|n| task(&format!("[{n}, 0]"), &unique)).collect();
        assert_eq!(together(&api, &tasks).await, [202, 202, 202], "{rule}");
        let states: Vec<String> = rows(&api).await.into_iter().map(|(_, state, _)| state).collect();
        assert_eq!(states, ["cancelled", "cancelled", "queued"], "{rule}");
        let held = "SELECT FROM task_unique u JOIN task t ON t.id = u.task_id WHERE t.state = 'queued'";
        assert_eq!(api.sql(held, &[]).await.len(), 1, "{rule}");
        api.sql(
            "WITH gone AS (DELETE FROM task_run RETURNING id) DELETE FROM task_spec s USING gone g WHERE s.id = g.id",
            &[],
        )
        .await;
        api.sql("DELETE FROM task_unique", &[]).await;
    }
    api.stop().await;
}

/// What it leaves of the keys that it took, and of the tasks that it was to replace, is nothing.
#[tokio::test]
async fn an_atomic_batch_that_is_kept_out_leaves_nothing() {
    let api = Api::start().await;
    let held = api.submit(&task("[1, 0]", &json!({ "key": "held" }))).await;
    let tasks = [
        task("[2, 0]", &json!({ "key": "new" })),
        task("[3, 0]", &json!({ "key": "held", "on_conflict": "replace" })),
        task("[4, 0]", &json!({ "key": "held", "on_conflict": "reject" })),
    ];
    let body = format!(r#"{{"atomic":true,"tasks":[{}]}}"#, tasks.join(","));
    let refused = api.post_json("/v1/tasks/batch", body).await.assert_problem(409, "duplicate_task");
    assert_eq!(refused["index"], 2);
    assert_eq!(rows(&api).await, [(1, "queued".into(), None)]);
    let keys = api.sql("SELECT task_id FROM task_unique", &[]).await;
    assert_eq!(keys.iter().map(|row| row.get::<_, uuid::Uuid>(0)).collect::<Vec<_>>(), [held]);
    api.stop().await;
}

#[tokio::test]
async fn integers_of_any_size_are_told_apart() {
    let api = Api::start().await;
    for (one, other) in [
        ("18446744073709551616", "18446744073709551617"),
        ("-18446744073709551617", "-18446744073709551616"),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
        ("[[9007199254740993]]", "[[9007199254740992]]"),
    ] {
        for by in [json!({}), json!({ "by": ["args.x"] })] {
            for (args, status) in [(one, 202), (other, 202), (one, 200)] {
                let answer = api.post_json("/v1/tasks", task(&format!("[{args}, 0]"), &by)).await;
                assert_eq!(answer.status, status, "{args} of {one} and {other}, {by}: {}", answer.text());
            }
        }
    }
    // what means the same is the same
    for (one, other) in [("[\"\\u0061\", 0]", "[ \"a\" , 0 ]"), ("[{\"a\":1,\"b\":2}, 0]", "[{\"b\":2,\"a\":1}, 0]")] {
        let statuses = alone(&api, &[one, other].map(|args| task(args, &json!({})))).await;
        assert_eq!(statuses, [202, 200], "{one} {other}");
    }
    api.stop().await;
}

#[tokio::test]
async fn the_parts_of_a_rule_are_a_set() {
    let api = Api::start().await;
    let rules =
        [json!(["name", "args", "queue"]), json!(["queue", "args", "name"]), json!(["args", "name", "queue", "args"])];
    let tasks = rules.map(|by| task("[1, 0]", &json!({ "by": by })));
    assert_eq!(alone(&api, &tasks).await, [202, 200, 200]);
    let plain = [json!({}), json!({ "by": ["args", "name"] })].map(|unique| task("[2, 0]", &unique));
    assert_eq!(alone(&api, &plain).await, [202, 200], "the rule where none is given");
    let parameters = [json!(["args.x", "args.y"]), json!(["args.y", "args.x"]), json!(["args.x"])];
    let parameters = parameters.map(|by| task("[3, 0]", &json!({ "by": by })));
    assert_eq!(alone(&api, &parameters).await, [202, 200, 202]);
    api.stop().await;
}

/// A unique key is the user's, over all queues; a key of the API for some of them neither cancels nor learns of a task
/// elsewhere.
#[tokio::test]
async fn a_key_for_some_queues_learns_nothing_of_others() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
    let some = json!({"name": "some", "scopes": ["submit", "read"], "queues": ["def*"]});
    let (some, _) = make_key(&api, Some(&operator), some).await;
    let ask_for = async |key: &str, queue: &str, rule: &str| {
        let unique = json!({ "key": "k", "on_conflict": rule });
        let body = json!({ "name": "add", "args": [1, 2], "queue": queue, "unique": unique });
        ask(&api, &Method::POST, "/v1/tasks", Some(key), Some(body)).await
    };
    let secret = ask_for(&operator, "tests", "reject").await;
    assert_eq!(secret.status, 202);
    let id = secret.json()["id"].as_str().unwrap().to_owned();
    for state in ["queued", "running"] {
        api.sql(&format!("UPDATE task_run SET state = '{state}', epoch = 1"), &[]).await;
        for rule in ["return_existing", "reject", "replace", "keep_latest"] {
            let refused = ask_for(&some, "default", rule).await;
            let problem = refused.assert_problem(409, "duplicate_task");
            assert!(!refused.text().contains(&id), "{rule}: {problem}");
            let unique = json!({ "key": "k", "on_conflict": rule });
            let batch = json!({ "tasks": [{ "name": "add", "args": [1, 2], "queue": "default", "unique": unique }] });
            let batch = ask(&api, &Method::POST, "/v1/tasks/batch", Some(&some), Some(batch)).await;
            assert_eq!(batch.json()["tasks"][0]["status"], 409, "{rule}");
            assert!(!batch.text().contains(&id), "{rule}: {}", batch.text());
        }
        assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 1, "nothing waits, and nothing was cancelled");
        let known = ask_for(&operator, "default", "reject").await.assert_problem(409, "duplicate_task");
        assert_eq!(known["existing_task_id"], id, "whoever may know it is told");
    }
    api.sql("UPDATE task_run SET state = 'succeeded'", &[]).await;
    assert_eq!(ask_for(&some, "default", "reject").await.status, 202, "its key is free");
    api.stop().await;
}

/// What was answered to one key of a user is repeated to another only as far as that one reaches.
#[tokio::test]
async fn a_repeated_answer_tells_a_key_for_some_queues_nothing_of_others() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
    let some = json!({"name": "some", "scopes": ["submit", "read"], "queues": ["def*"]});
    let (some, _) = make_key(&api, Some(&operator), some).await;
    let task = |queue: &str| json!({ "name": "add", "args": [1, 2], "queue": queue, "unique": { "key": "k" } });
    let secret = ask(&api, &Method::POST, "/v1/tasks", Some(&operator), Some(task("tests"))).await;
    let id = secret.json()["id"].as_str().unwrap().to_owned();
    for (path, body, status) in [
        ("/v1/tasks", task("default"), 409),
        ("/v1/tasks/batch", json!({ "tasks": [task("default")] }), 200),
        ("/v1/tasks", task("tests"), 403),
    ] {
        let send = async |key: &str| {
            let request = api.client.post(format!("{}{path}", api.url)).header("idempotency-key", format!("{status}"));
            crate::answer::Answer::of(request.bearer_auth(key).json(&body).send().await.unwrap()).await
        };
        assert!(send(&operator).await.text().contains(&id));
        let repeated = send(&some).await;
        assert_eq!(repeated.status, status, "{path}: {}", repeated.text());
        assert!(!repeated.text().contains(&id), "{path}: {}", repeated.text());
    }
    api.stop().await;
}
