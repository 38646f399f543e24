//! A database that takes no writes: what the answers say, and that all is well when it takes them again, without a restart.

use uuid::Uuid;

use crate::{
    answer::Answer,
    database::query,
    eventually::eventually_async,
    raw,
    server::{Api, Setup},
};

const ADD: &str = r#"{"name": "add", "args": [1, 2]}"#;
const UNIQUE: &str = r#"{"name": "add", "args": [1, 2], "unique": {"while": "incomplete"}}"#;
const GROUP: &str = r#"{"tasks": [{"name": "add", "args": [1, 2]}]}"#;
/// Every way to write: a batch, a guarded batch, a transaction, a single statement, a content, coordination.
const WRITES: [(&str, &str); 6] = [
    ("/v1/tasks", ADD),
    ("/v1/tasks", UNIQUE),
    ("/v1/groups", GROUP),
    ("/v1/locks/{new}/leases", r#"{"owner": "tests", "ttl": 30}"#),
    ("/update-data/key?new_value=1", ""),
    ("/items", "content"),
];

/// The database of one API, which a failover makes read-only.
struct Failover {
    api: Api,
    /// A session for orders: it can write whatever the database's default is.
    orders: String,
    name: String,
}

impl Failover {
    async fn start(url_parameter: &str, variables: Vec<(&'static str, String)>) -> Self {
        let mut setup = Setup::new().await;
        let direct = setup.postgres_url.clone();
        setup.postgres_url = format!("{direct}{url_parameter}");
        setup.variables = variables;
        let mut api = setup.start().await;
        api.announce(&[("add", &["x", "y"])]).await;
        api.postgres_url.clone_from(&direct);
        let name = direct.rsplit('/').next().unwrap().to_owned();
        Self { api, orders: format!("{direct}?options=-c%20default_transaction_read_only%3Doff"), name }
    }

    /// Every connection ends, and the next one reaches a server that takes no writes, as after a failover to a standby.
    async fn lose(&self) {
        self.order(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", self.name)).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'caraway-api%'";
        self.order(end).await;
    }

    /// The next connection reaches a server that takes writes; those that are open stay where they are.
    async fn regain(&self) {
        self.order(&format!("ALTER DATABASE {} RESET default_transaction_read_only", self.name)).await;
    }

    async fn order(&self, statement: &str) {
        query(&self.orders, statement, &[]).await;
    }

    async fn write(&self, (path, body): (&str, &str)) -> Answer {
        let content_type = if body.starts_with('{') { "application/json" } else { "" };
        let path = path.replace("{new}", &Uuid::now_v7().to_string());
        self.api.post(&path, body.to_owned(), content_type).await
    }

    async fn readiness(&self) -> (u16, String) {
        let answer = self.api.get("/readyz?verbose").await;
        let document = answer.json();
        (answer.status.as_u16(), document["checks"]["postgres"].as_str().unwrap().to_owned())
    }

    /// Waits until every way to write is refused with the code that says why.
    async fn refuses_writes(&self) {
        for write in WRITES {
            let refused = async || {
                let answer = self.write(write).await;
                (answer.status == 503 && answer.json()["code"] == "database_read_only").then_some(answer)
            };
            let answer = eventually_async(&format!("a refusal of {write:?}"), refused).await;
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        }
        let state = eventually_async("readiness to tell", async || {
            Some(self.readiness().await).filter(|(_, postgres)| postgres == "read_only")
        });
        assert_eq!(state.await.0, 503);
    }

    /// Waits until all writes are taken, and go on to be.
    async fn takes_writes(&self) {
        eventually_async("readiness", async || (self.readiness().await.0 == 200).then_some(())).await;
        for write in WRITES {
            let taken = async || self.write(write).await.status.is_success().then_some(());
            eventually_async(&format!("{write:?} to be taken"), taken).await;
        }
    }

    async fn stop(self) {
        self.api.stop().await;
    }
}

/// As it is by default: no connection is made to a server that takes no writes.
#[tokio::test]
async fn a_read_only_database_is_told_and_recovered_from() {
    let failover = Failover::start("", Vec::new()).await;
    failover.takes_writes().await;
    failover.lose().await;
    failover.refuses_writes().await;
    failover.regain().await;
    failover.takes_writes().await;
    failover.stop().await;
}

/// Where the URL allows connections that cannot write, one that had to write is not kept. Reads go on over the others.
#[tokio::test]
async fn no_connection_is_kept_on_which_a_write_was_refused() {
    let failover = Failover::start("?target_session_attrs=any", Vec::new()).await;
    let id = failover.api.submit(ADD).await;
    failover.lose().await;
    failover.refuses_writes().await;
    assert_eq!(failover.api.get(&format!("/v1/tasks/{id}")).await.status, 200, "what is there can be read");
    failover.regain().await;
    failover.takes_writes().await;
    failover.stop().await;
}

/// The control: a process that keeps such connections never recovers, so the tests above see what they are for.
#[tokio::test]
async fn a_process_that_keeps_them_does_not_recover() {
    let broken = vec![("FAILPOINTS", "break.drop-read-only=return".to_owned())];
    let failover = Failover::start("", broken).await;
    failover.lose().await;
    failover.refuses_writes().await;
    failover.regain().await;
    for _ in 0..20 {
        failover.write(("/v1/tasks", ADD)).await.assert_problem(503, "database_read_only");
    }
    failover.stop().await;
}

/// Readiness has a connection of its own, so a process whose readers are busy stays in rotation.
#[tokio::test]
async fn busy_readers_make_nobody_unready_and_a_flood_of_questions_takes_no_connection() {
    let api = Api::start().await;
    let (client, connection) = tokio_postgres::connect(&api.postgres_url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE item").await.unwrap();
    let readers: Vec<_> = (0..20)
        .map(|_| {
            use std::io::Write as _;
            let mut stream = raw::connect(api.port);
            stream.write_all(b"GET /items HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            stream
        })
        .collect();
    eventually_async("all readers to be busy", async || {
        let lent = api.connections_in_use().await;
        lent.iter().any(|(pool, count)| pool.contains("reads") && *count >= 8.0).then_some(())
    })
    .await;
    let asked = futures::future::join_all((0..200).map(|_| api.get("/readyz"))).await;
    let unready: Vec<_> = asked.iter().filter(|answer| answer.status != 200).collect();
    assert!(unready.is_empty(), "{} of 200: {:?}", unready.len(), unready.first());
    client.batch_execute("ROLLBACK").await.unwrap();
    drop((client, readers));
    connection.await.unwrap().unwrap();
    api.stop().await;
}
