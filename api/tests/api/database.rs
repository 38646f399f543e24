//! A database for every test, and SQL as a worker or the passing of time would run it.

use tokio_postgres::{Error, NoTls, Row, types::ToSql};
use uuid::Uuid;

use crate::eventually::eventually_async;

pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `deploy/dev test`"))
}

pub async fn query(url: &str, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
    try_query(url, statement, parameters).await.unwrap()
}

async fn try_query(url: &str, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let rows = client.query(statement, parameters).await?;
    drop(client);
    connection.await.unwrap()?;
    Ok(rows)
}

pub async fn create_database() -> String {
    let server = variable("CARAWAY_POSTGRES_URL");
    let name = format!("api_test_{}", Uuid::now_v7().simple());
    query(&server, &format!("CREATE DATABASE {name}"), &[]).await;
    with_database(&server, &name)
}

/// Again until it works: autovacuum may be looking at the database, and only a superuser may interrupt that.
pub async fn drop_database(url: &str) {
    let name = url.rsplit('/').next().unwrap();
    let (server, drop) = (variable("CARAWAY_POSTGRES_URL"), format!("DROP DATABASE {name} WITH (FORCE)"));
    eventually_async("the end of the database", async || try_query(&server, &drop, &[]).await.ok()).await;
}

fn with_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}
