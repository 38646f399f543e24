//! PostgreSQL, seen past the system under test. SQL that only tests need lives here.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use tokio_postgres::{Client, Config, Error, NoTls, types::ToSql};
use uuid::Uuid;

/// Connections of the test's own. They are made anew where a server was restarted.
pub struct Database {
    config: Config,
}

/// What of a task's row must never change once it has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The state that it ended in.
    pub state: String,
    /// The claim that ended it.
    pub epoch: i32,
    /// Its result, as stored.
    pub result: Option<Vec<u8>>,
}

impl Ended {
    /// A field of the result's JSON.
    pub fn result_field(&self, field: &str) -> Option<Value> {
        let result: Value = serde_json::from_slice(self.result.as_deref()?).ok()?;
        result.get(field).cloned()
    }
}

impl Database {
    /// Makes a new database beside the one that `url` names; its URL.
    pub async fn create(url: &str, name: &str) -> String {
        let client = open(&url.parse().expect("a PostgreSQL URL")).await.expect("the database answers");
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database can be made");
        let (base, _) = url.rsplit_once('/').expect("a URL that names a database");
        format!("{base}/{name}")
    }

    /// The database at `url`.
    pub async fn connect(url: &str) -> Self {
        let database = Self { config: url.parse().expect("a PostgreSQL URL") };
        database.try_query("SELECT 1", &[]).await.expect("the database answers");
        database
    }

    /// Runs a statement that a test has made up; how many rows it touched.
    pub async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        open(&self.config).await?.execute(sql, parameters).await
    }

    /// The first value of the first row.
    pub async fn number(&self, sql: &str) -> i64 {
        let rows = self.try_query(sql, &[]).await.expect("the statement works");
        rows.first().expect("a row").try_get(0).expect("a bigint")
    }

    /// The same, while the server may be down.
    pub async fn try_number(&self, sql: &str) -> Result<i64, Error> {
        open(&self.config).await?.query_one(sql, &[]).await?.try_get(0)
    }

    /// The first value of the first row, as RFC 3339.
    pub async fn time(&self, sql: &str) -> String {
        let text = format!("SELECT to_char(({sql}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
        let rows = self.try_query(&text, &[]).await.expect("the statement works");
        rows.first().expect("a row").try_get(0).expect("text")
    }

    /// How many connections to this database are open, the asking one left out.
    pub async fn connections(&self) -> i64 {
        self.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await
    }

    /// How many tasks are in each state.
    pub async fn states(&self) -> BTreeMap<String, i64> {
        self.try_states().await.expect("the statement works")
    }

    /// The same, while the server may be down.
    pub async fn try_states(&self) -> Result<BTreeMap<String, i64>, Error> {
        let rows = self.try_query("SELECT state::text, count(*) FROM task GROUP BY 1", &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Every task that has ended, and how.
    pub async fn ended(&self) -> HashMap<Uuid, Ended> {
        let sql = "SELECT id, state::text, epoch, result FROM task WHERE finished_at IS NOT NULL";
        let rows = self.try_query(sql, &[]).await.expect("the statement works");
        let read = |row: &tokio_postgres::Row| -> Result<_, Error> {
            Ok((row.try_get(0)?, Ended { state: row.try_get(1)?, epoch: row.try_get(2)?, result: row.try_get(3)? }))
        };
        rows.iter().map(|row| read(row).expect("the columns are as the schema says")).collect()
    }

    /// What was put into quarantine from a queue: reason and body.
    pub async fn quarantined(&self, queue: &str) -> Vec<(String, Vec<u8>)> {
        let sql = "SELECT reason, body FROM quarantine WHERE queue = $1 ORDER BY id";
        let rows = self.try_query(sql, &[&queue]).await.expect("the statement works");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// All rows that a statement of a test's own finds.
    pub async fn rows(&self, sql: &str) -> Vec<tokio_postgres::Row> {
        self.try_query(sql, &[]).await.expect("the statement works")
    }

    async fn try_query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        open(&self.config).await?.query(sql, parameters).await
    }
}

/// A connection for one statement: a pooled one would fail once after every restart of the server.
async fn open(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection); // ends when the client is dropped
    Ok(client)
}
