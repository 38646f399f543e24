//! What is owed to a queue that the broker refuses is put aside: it is not written again at each try, and what is owed to
//! other queues waits for none of it.

use std::time::Duration;

use caraway_testkit::{Place, Stack, eventually};
use serde_json::json;

use crate::stage::SOON;

/// Commits, each of which owes something to the refused queue.
const DEBTS: usize = 30;
const TASKS: usize = 50;
/// Tries grow rarer, up to one in twenty seconds.
const TRIED_WITHIN: Duration = Duration::from_mins(1);
/// A relay looks four times a second, and has nothing else to do.
const RELAYED_WITHIN: Duration = Duration::from_secs(5);

const OWED: &str = "SELECT count(*) FROM owed";
/// A row that is written again lies elsewhere.
const PLACES: &str = "SELECT id, ctid::text FROM owed WHERE publish_after = 'infinity' ORDER BY id";

#[tokio::test]
async fn a_refused_queue_is_not_written_again_and_keeps_nobody_waiting() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "parked-queue").await;
    let (broker, database) = (place.broker().await, place.database().await);
    let refused = format!("{}-refused", place.queue());
    broker.declare_otherwise(&refused).await;
    let worker = place.ledger_worker("worker-1", 4).arguments(["--queue".into(), format!("{refused}=4")]);
    let mut api = place.api().start().await; // which brings the schema that the worker waits for
    let mut worker = worker.start().await;
    let client = place.client(&api);

    let healthy = client.task("sleep", json!({ "seconds": 0 }));
    let mut unlucky = healthy.clone();
    unlucky["queue"] = json!(refused);
    let mut owed = Vec::new();
    for _ in 0..DEBTS {
        // every commit owes something to both
        let ids = client.batch(&[vec![unlucky.clone(); TASKS], vec![healthy.clone()]].concat()).await;
        let (last, of_refused) = ids.split_last().expect("tasks were accepted");
        owed.extend_from_slice(of_refused);
        assert_eq!(client.wait(*last, SOON).await["state"], "succeeded");
    }
    eventually(SOON, "all that is owed is put aside", async || {
        let count = database
            .number("SELECT count(*) FROM task t WHERE state = 'queued' AND EXISTS (SELECT FROM owed o WHERE t.id = ANY(o.ids))")
            .await;
        assert_eq!(count, i64::try_from(DEBTS * TASKS).unwrap_or(0), "nothing of it is lost, or taken for published");
        let plain = database.number("SELECT count(*) FROM owed WHERE publish_after < 'infinity'").await;
        if plain == 0 { Ok(()) } else { Err(format!("{plain} rows are not")) }
    })
    .await;
    let places = database.rows(PLACES).await;
    let places: Vec<(i64, String)> = places.iter().map(|row| (row.get(0), row.get(1))).collect();
    println!("parked queue: {} tasks of {DEBTS} commits are {} rows", DEBTS * TASKS, places.len());

    let tries = database.time("SELECT max(try_at) FROM parked_queue").await;
    eventually(TRIED_WITHIN, "the queue is tried once more", async || {
        let now = database.time("SELECT max(try_at) FROM parked_queue").await;
        if now == tries { Err(now) } else { Ok(()) }
    })
    .await;
    let rows = database.rows(PLACES).await;
    let now: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(now, places, "a try writes none of them");

    // what is owed to a healthy queue, and to be relayed, does not wait for these
    worker.terminate(SOON).await;
    let lost = client.submit(healthy).await;
    eventually(SOON, "it is with the broker", async || {
        let rows = database.number(OWED).await;
        let parked = i64::try_from(places.len()).unwrap_or(0);
        if rows == parked { Ok(()) } else { Err(format!("{rows} rows, {parked} of them parked")) }
    })
    .await;
    assert_eq!(broker.purge(place.queue()).await, 1);
    worker.restart().await;
    database
        .execute("INSERT INTO owed (publish_after, ids) VALUES (now(), ARRAY[$1::uuid])", &[&lost])
        .await
        .expect("it is owed");
    assert_eq!(client.wait(lost, RELAYED_WITHIN).await["state"], "succeeded");

    // somebody removes what is in the way
    broker.delete(&refused).await;
    for task in owed {
        assert_eq!(client.wait(task, TRIED_WITHIN).await["state"], "succeeded");
    }
    eventually(SOON, "nothing is parked any more", async || {
        let left = database.number("SELECT (SELECT count(*) FROM owed) + (SELECT count(*) FROM parked_queue)").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} rows are left")) }
    })
    .await;
    assert_eq!(api.counters().await.sum("caraway_audit_owed_again_total"), 0);
    assert_eq!(worker.counters().await.sum("caraway_audit_owed_again_total"), 0, "the audit leaves them alone");
}
