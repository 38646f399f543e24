//! All the SQL of the drill: what the rows say, seen past the system under test.

use std::{collections::HashMap, time::Duration};

use caraway_testkit::Ended;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error, NoTls, Row as PgRow, types::ToSql};
use uuid::Uuid;

use crate::history::{Attempt, Row};

/// Where a proxy's trap hits: a text of the statement that makes a task.
pub(crate) const ACCEPTS: &str = "INSERT INTO task_spec (";
/// The statement that claims.
pub(crate) const CLAIMS: &str = "SET state = 'running'";
/// The statement that records a last outcome.
pub(crate) const RECORDS: &str = "SET state = o.state::task_state";

const ROWS: &str = "
    SELECT t.id, t.tags[1], t.state::text, t.epoch, t.attempt, t.max_attempts, t.losses::int4, t.result, t.error,
        coalesce(t.started_at > t.expires_at, false), (to_jsonb(t) - 'input' - 'result')::text
    FROM task t";
const ATTEMPTS: &str = "SELECT a.task_id, a.epoch, a.outcome::text, to_jsonb(a)::text FROM attempt a ORDER BY a.epoch";
const ENDED: &str = "SELECT id, state::text, epoch, decode(md5(result), 'hex') FROM task WHERE finished_at IS NOT NULL";
const QUARANTINE: &str = "SELECT reason FROM quarantine ORDER BY id";
/// Invariant I9, at rest: a counter that is not what it counts, an end without its state, a node that nothing keeps waiting.
const MISCOUNTED: &str = "
    SELECT w.id FROM workflow w WHERE (w.open = 0) <> (w.finished_at IS NOT NULL)
        OR w.open <> (SELECT count(*) FROM workflow_node n JOIN task t ON t.id = n.task_id
            WHERE n.workflow_id = w.id AND t.finished_at IS NULL)
        OR EXISTS (SELECT FROM workflow_node n JOIN task t ON t.id = n.task_id
            WHERE n.workflow_id = w.id AND n.pending <= 0 AND t.state = 'waiting' AND w.max_in_flight IS NULL)";
/// Those of the workers' own that nobody knows to be dead hold what runs.
const HELD: &str = "SELECT count(*) FROM task WHERE state = 'running' AND worker LIKE '%:' || $1";
const HELD_SUSPECTS: &str =
    "SELECT count(*) FROM task WHERE state = 'running' AND losses >= 2 AND worker LIKE '%:' || $1";
const STATES: &str =
    "SELECT count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE finished_at IS NOT NULL),
        count(*) FILTER (WHERE finished_at IS NULL) FROM task";
const FIRST_SINCE: &str =
    "SELECT count(*) FROM task WHERE started_at > $1::text::timestamptz AND finished_at IS NOT NULL";
const END_CONNECTIONS: &str = "
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'caraway%'";
const NOW: &str = "SELECT clock_timestamp()::text";

/// A statement that takes longer has no answer: the server may be frozen.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for one that reads everything that a drill left: of a soak, some ten thousand tasks with their results.
const PATIENCE_WITH_ALL: Duration = Duration::from_mins(2);

/// The database of one drill. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rows {
    config: Config,
}

/// How many tasks are how far.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) running: i64,
    pub(crate) finished: i64,
    pub(crate) open: i64,
}

impl Rows {
    pub(crate) fn at(url: &str) -> anyhow::Result<Self> {
        let mut config: Config = url.parse()?;
        config.options("-c default_transaction_read_only=off"); // whatever a fault does to the programs' connections
        Ok(Self { config })
    }

    /// Every task, by id.
    pub(crate) async fn all(&self) -> anyhow::Result<HashMap<Uuid, Row>> {
        let rows = self.read_all(ROWS).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, read(row)?))).collect()
    }

    /// Every attempt that was not a task's last.
    pub(crate) async fn attempts(&self) -> anyhow::Result<HashMap<Uuid, Vec<Attempt>>> {
        let mut attempts: HashMap<Uuid, Vec<Attempt>> = HashMap::new();
        for row in self.read_all(ATTEMPTS).await? {
            let attempt = Attempt { epoch: row.try_get(1)?, outcome: row.try_get(2)?, text: row.try_get(3)? };
            attempts.entry(row.try_get(0)?).or_default().push(attempt);
        }
        Ok(attempts)
    }

    /// Every task that has ended, and how.
    pub(crate) async fn ended(&self) -> anyhow::Result<HashMap<Uuid, Ended>> {
        let rows = self.read_all(ENDED).await?;
        let read = |row: &PgRow| -> anyhow::Result<_> {
            let ended = Ended { state: row.try_get(1)?, epoch: row.try_get(2)?, result: row.try_get(3)? };
            Ok((row.try_get(0)?, ended))
        };
        rows.iter().map(read).collect()
    }

    /// Why each message in quarantine is there.
    pub(crate) async fn quarantine(&self) -> anyhow::Result<Vec<String>> {
        self.query(QUARANTINE, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Workflows whose counters are wrong.
    pub(crate) async fn miscounted(&self) -> anyhow::Result<Vec<Uuid>> {
        self.read_all(MISCOUNTED).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// What the worker with this process id holds.
    pub(crate) async fn held_by(&self, pid: u32) -> anyhow::Result<i64> {
        self.number(HELD, &[&pid.to_string()]).await
    }

    /// How much of that was lost twice before, and would be ended as poison at its next loss.
    pub(crate) async fn suspects_held_by(&self, pid: u32) -> anyhow::Result<i64> {
        self.number(HELD_SUSPECTS, &[&pid.to_string()]).await
    }

    /// How many tasks are how far.
    pub(crate) async fn counts(&self) -> anyhow::Result<Counts> {
        let rows = self.query(STATES, &[]).await?;
        let row = rows.first().ok_or_else(|| anyhow::anyhow!("no row"))?;
        Ok(Counts { running: row.try_get(0)?, finished: row.try_get(1)?, open: row.try_get(2)? })
    }

    /// The database's time, as text.
    pub(crate) async fn now(&self) -> anyhow::Result<String> {
        let rows = self.query(NOW, &[]).await?;
        Ok(rows.first().ok_or_else(|| anyhow::anyhow!("no row"))?.try_get(0)?)
    }

    /// Tasks that were started after that time, and have ended.
    pub(crate) async fn done_since(&self, time: &str) -> anyhow::Result<i64> {
        self.number(FIRST_SINCE, &[&time]).await
    }

    /// Any statement of a fault's own; how many rows it touched.
    pub(crate) async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> anyhow::Result<u64> {
        Ok(timeout(PATIENCE, async { self.open().await?.execute(sql, parameters).await }).await??)
    }

    /// Any count of a fault's own.
    pub(crate) async fn number(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> anyhow::Result<i64> {
        let rows = self.query(sql, parameters).await?;
        Ok(rows.first().ok_or_else(|| anyhow::anyhow!("no row"))?.try_get(0)?)
    }

    /// Lets no connection write that is made from now on, and ends those that are open, as a failover to a standby does.
    pub(crate) async fn turn_read_only(&self) -> anyhow::Result<u64> {
        let database = self.config.get_dbname().unwrap_or_default();
        self.execute(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on"), &[]).await?;
        self.execute(END_CONNECTIONS, &[]).await
    }

    /// Lets connections write that are made from now on. Those that are open stay as they are.
    pub(crate) async fn turn_writable(&self) -> anyhow::Result<()> {
        let database = self.config.get_dbname().unwrap_or_default();
        self.execute(&format!("ALTER DATABASE {database} RESET default_transaction_read_only"), &[]).await?;
        Ok(())
    }

    /// A connection that a fault keeps.
    pub(crate) async fn open(&self) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection); // ends when the client is dropped
        Ok(client)
    }

    async fn read_all(&self, sql: &str) -> anyhow::Result<Vec<PgRow>> {
        Ok(timeout(PATIENCE_WITH_ALL, async { self.open().await?.query(sql, &[]).await }).await??)
    }

    async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Vec<PgRow>> {
        Ok(timeout(PATIENCE, async { self.open().await?.query(sql, parameters).await }).await??)
    }
}

fn read(row: &PgRow) -> anyhow::Result<Row> {
    let json =
        |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let error = json(row.try_get(8)?);
    Ok(Row {
        key: row.try_get(1)?,
        state: row.try_get(2)?,
        epoch: row.try_get(3)?,
        attempt: row.try_get(4)?,
        max_attempts: row.try_get(5)?,
        losses: row.try_get(6)?,
        result: json(row.try_get(7)?),
        error_code: error.and_then(|error| error["code"].as_str().map(str::to_owned)),
        started_expired: row.try_get(9)?,
        text: row.try_get(10)?,
    })
}
