//! `big-table`: `submit` over 64 connections and cold reads, in an empty database and in one that holds two million
//! finished tasks; there, the reads are of these. The two million are rows, copied from one real task's, in a database
//! that each round copies.

use crate::{
    report::Row,
    round::{Entry, Measured},
    scenario::{Bench, status, submit},
    system::{Running, Setup, System},
};

const ROWS: i32 = 2_000_000;

/// Version 7 ids over the last hour or so, every other column as the real task has it.
/// The columns of a table that a filler has from the task that it is a copy of.
const COLUMNS: &str = "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns \
    WHERE table_schema = 'public' AND table_name = $1 AND column_name NOT IN ('id', 'name') AND is_generated = 'NEVER'";

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let parameters = ["submit, empty", "submit, 2 million", "cold, empty", "cold, 2 million"];
    let mut entries = bench.entries(&parameters, &[System::Caraway]);
    entries.retain(|entry| entry.system != System::CarawayBefore); // the filled table has this commit's schema
    if let Err(error) = fill(bench).await {
        let row = |entry: &Entry| Row {
            scenario: "big-table".into(),
            parameter: entry.parameter.clone(),
            system: entry.system.name().into(),
            not_run: Some(format!("the table could not be filled: {error:#}")),
            ..Row::default()
        };
        return entries.iter().map(row).collect();
    }
    bench.alternate("big-table", &entries, async |entry| measure(bench, entry).await).await
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let big = entry.parameter.ends_with("million");
    let mut running = Running::start(&bench.servers, entry.system, Setup { template: big, ..Setup::default() }).await?;
    if entry.parameter.starts_with("submit") {
        return submit::over_http(bench, running, status::CONNECTIONS).await;
    }
    let paths = if big { fillers(&running).await? } else { status::finished(&mut running, status::COLD).await? };
    let measured = status::read(bench, &running, &paths, true).await?;
    running.verify().await?;
    running.stop().await?;
    Ok(measured)
}

async fn fill(bench: &Bench) -> anyhow::Result<()> {
    eprintln!("big-table: writing {ROWS} finished tasks");
    let mut running = Running::start(&bench.servers, System::Caraway, Setup::default()).await?;
    running.shut_down().await?;
    let client = bench.servers.keep(running.site).await?;
    let model: uuid::Uuid =
        client.query_one("SELECT id FROM task WHERE state = 'succeeded' LIMIT 1", &[]).await?.get(0);
    let began: String = client.query_one("SELECT now()::text", &[]).await?.get(0);
    for (table, name, value) in [("task_run", "", ""), ("task_spec", "name, ", "'filler', ")] {
        let columns: String = client.query_one(COLUMNS, &[&table]).await?.get(0);
        let sql = format!(
            "INSERT INTO {table} (id, {name}{columns}) SELECT (lpad(to_hex((extract(epoch FROM timestamptz '{began}') * 1000)::bigint \
             - 3600000 + number), 12, '0') || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid, {value}{columns} \
             FROM (SELECT * FROM {table} WHERE id = $1) one, generate_series(1, {ROWS}) number, LATERAL md5(number::text) noise"
        );
        client.execute(&sql, &[&model]).await?;
    }
    client
        .execute("DELETE FROM task_run WHERE id NOT IN (SELECT id FROM task_spec WHERE name = 'filler')", &[])
        .await?;
    client.execute("DELETE FROM task_spec WHERE name <> 'filler'", &[]).await?;
    client.batch_execute("TRUNCATE backlog, owed, hold").await?;
    client.batch_execute("VACUUM (FREEZE, ANALYZE) task_spec, task_run").await?;
    Ok(())
}

/// In no order.
async fn fillers(running: &Running) -> anyhow::Result<Vec<String>> {
    let sql =
        "SELECT id FROM task_spec TABLESAMPLE BERNOULLI (10) WHERE name = 'filler' ORDER BY md5(id::text) LIMIT $1";
    let rows = running.site.client.query(sql, &[&i64::try_from(status::COLD)?]).await?;
    Ok(rows.iter().map(|row| format!("/v1/tasks/{}", row.get::<_, uuid::Uuid>(0))).collect())
}
