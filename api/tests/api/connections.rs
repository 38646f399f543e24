//! Database connections: one for a unit of work, given back on every path.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    eventually::eventually_async,
    raw,
    server::{Api, Setup},
};

/// The control: every test here ends with the question whether all connections are back, so it must see one that is not.
#[tokio::test]
async fn a_leaked_connection_is_seen() {
    let mut setup = Setup::new().await;
    setup.variables.push(("FAILPOINTS", "break.return-connection=1*return".into()));
    let api = setup.start().await;
    let leaks = api.leaks().await.expect("one is gone for good");
    assert!(leaks.contains("never given back"), "{leaks}");
    assert_eq!(api.get("/v1/queues").await.status, 200, "the others go on");
}

/// A request whose client goes, or that is given up, drops its future; the statement goes on at the server.
#[tokio::test]
async fn an_abandoned_statement_holds_nobody_up() {
    let api = Api::start().await; // whose database is migrated; the store under test is this process's, with two connections
    let (client, connection) = tokio_postgres::connect(&api.postgres_url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE item").await.unwrap();
    for _ in 0..2 {
        let read = api.store.item(caraway_shared::task::OwnerId::LOCAL, Uuid::nil());
        assert!(timeout(Duration::from_millis(300), read).await.is_err(), "it waits for the lock");
    }
    let began = Instant::now();
    api.store.queues().await.unwrap();
    let waited = began.elapsed();
    // behind one of the abandoned statements it would be lock_timeout, five seconds
    assert!(waited < Duration::from_secs(3), "waited for {waited:?}");
    client.batch_execute("ROLLBACK").await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    api.stop().await;
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_of_a_statement_takes_no_connection_along() {
    let api = Api::start().await;
    let (client, connection) = tokio_postgres::connect(&api.postgres_url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE item").await.unwrap();
    let mut gone: Vec<_> = (0..20).map(|_| raw::connect(api.port)).collect();
    for stream in &mut gone {
        stream.write_all(b"GET /items HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    }
    eventually_async("all connections of the pool in use", async || {
        let lent = api.connections_in_use().await;
        lent.iter().any(|(pool, count)| pool.contains("reads") && *count >= 8.0).then_some(())
    })
    .await;
    drop(gone);
    client.batch_execute("ROLLBACK").await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    assert_eq!(api.leaks().await, None);
    assert_eq!(api.get("/items").await.status, 200);
    api.stop().await;
}
