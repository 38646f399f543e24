//! A user's own worker (`examples/greeter.rs`) and the built-in one, side by side on one queue.

use std::time::Duration;

use caraway_testkit::{Launch, Place, Stack};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_users_own_worker_runs_beside_the_built_in_one() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "greeter").await;
    let api = place.api().start().await;
    let _built_in = place.worker("built-in").arguments(place.serving(4)).start().await;
    let _greeter = Launch::new(&place, "examples/greeter", "greeter").arguments(place.serving(4)).start().await;
    let client = place.client(&api);

    // each name ends at the worker that has it, wherever the broker delivers its message first
    let mut tasks = Vec::new();
    for n in 0..10 {
        tasks.push((
            client.submit(json!({ "name": "greet", "args": ["Ada"], "queue": place.queue() })).await,
            json!("hello, Ada"),
        ));
        tasks.push((client.run("add", json!({ "x": n, "y": 1 })).await, json!(n + 1)));
    }
    for (task, result) in tasks {
        let ended = client.wait(task, SOON).await;
        assert_eq!((&ended["state"], &ended["result"]), (&json!("succeeded"), &result), "{ended}");
    }
}
