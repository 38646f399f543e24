//! A terminal task never changes, whoever asks for it: the database refuses.

use serde_json::json;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn the_database_refuses_to_change_an_ended_task() {
    let stage = Stage::start("terminal").await;
    let task = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    let before = stage.client.wait(task, SOON).await;

    let changes = [
        "state = 'queued'",
        "epoch = epoch + 1",
        "result = 'null'",
        "error = 'x'",
        "finished_at = now()",
        "attempt = 2",
    ];
    for change in changes {
        let sql = format!("UPDATE task_run SET {change} WHERE id = $1");
        let error = stage.database.execute(&sql, &[&task]).await.expect_err(change);
        let error = error.as_db_error().expect("the server said no");
        assert_eq!(error.constraint(), Some("task_terminal_stays"), "{change}: {error}");
    }
    let same = stage.database.execute("UPDATE task_run SET state = state WHERE id = $1", &[&task]).await;
    assert_eq!(same.expect("what changes nothing is allowed"), 1);
    assert_eq!(stage.client.show(task).await, before);
}
