//! Slot files: one holder at a time; a restart with the same file takes over at once, without waiting for a lease.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::stage::{SOON, Stage};

/// Well below the lease of fifteen seconds.
const AT_ONCE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_restart_in_the_same_slot_takes_over_at_once() {
    let mut stage = Stage::start("slot").await;
    let task = stage.client.run("sleep", json!({ "seconds": 2 })).await;
    stage.running(task).await;

    // the same slot file, while its holder lives: refused
    let mut second = stage.place.ledger_worker("worker-1", 4).spawn();
    assert!(!second.wait_exit(SOON).await.success());
    assert!(second.log().contains("another worker holds the slot file"), "{}", second.log());
    let alive = "SELECT count(*) FROM session WHERE NOT dead";
    assert_eq!(stage.database.number(alive).await, 1, "whoever was refused has no session");

    stage.worker.kill().await;
    // as for a container that is made again, and has another host name then
    let renamed = stage.database.execute("UPDATE session SET host = 'another' WHERE NOT dead", &[]).await;
    assert_eq!(renamed.expect("the statement works"), 1);
    let killed = Instant::now();
    stage.worker.restart().await;
    let ended = stage.client.wait(task, SOON).await;
    let took = killed.elapsed();
    println!(
        "slot: the task of the killed worker had run again {:.1} s later, two of them its own",
        took.as_secs_f64()
    );

    assert_eq!((&ended["state"], &ended["attempt"]), (&json!("succeeded"), &json!(2)), "{ended}");
    assert_eq!(stage.outcomes(task).await, ["lost", "succeeded"]);
    assert_eq!(stage.executions(task), 2);
    assert!(took < AT_ONCE, "it took {took:?}");
    assert_eq!(stage.database.number(alive).await, 1, "the killed worker's session is dead");
}
