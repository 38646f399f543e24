//! Schemas that are old, broken, locked, edited or newer than the program.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use tokio_postgres::{Client, NoTls};

use crate::{
    database::query,
    eventually::eventually_async,
    server::{Api, Setup},
};

/// What is broken stays so, and a supervisor should see it at once.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Makes the program one of the versions that the drill upgrades between.
const VERSION: &str = "CARAWAY_DRILL_VERSION";

/// `api migrate` against this database.
fn migrate(postgres_url: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_api"))
        .env_clear()
        .envs(variables.iter().copied())
        .args(["migrate", "--postgres-url", postgres_url, "--amqp-url", "amqp://x", "--redis-url", "redis://x"])
        .output()
        .unwrap()
}

/// A database that was migrated by such a program.
async fn migrated(version: Option<&str>) -> Setup {
    let mut setup = Setup::new().await;
    let variables: Vec<_> = version.map(|version| (VERSION, version)).into_iter().collect();
    let output = migrate(&setup.postgres_url, &variables);
    assert!(output.status.success(), "{output:?}");
    setup.await_ready = false;
    setup
}

/// A session of the test's own.
async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Starts an API that must end by itself, soon, with these words.
async fn ends(setup: Setup, words: &[&str]) {
    let began = Instant::now();
    let mut api = setup.start().await;
    assert_eq!(api.ended().await, Some(1), "{}", api.log.text());
    let (took, text) = (began.elapsed(), api.log.text());
    assert!(took < AT_ONCE, "it took {took:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[tokio::test]
async fn a_broken_migration_ends_the_api_at_once_and_is_named() {
    let mut setup = Setup::new().await;
    query(&setup.postgres_url, "CREATE TABLE workflow (strange int)", &[]).await;
    setup.await_ready = false;
    let url = setup.postgres_url.clone();
    ends(setup, &["V1__base", "already exists"]).await;
    let applied = query(&url, "SELECT FROM refinery_schema_history", &[]).await;
    assert!(applied.is_empty(), "it is no migration that was applied");

    let began = Instant::now();
    let output = migrate(&url, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(began.elapsed() < AT_ONCE && output.status.code() == Some(1), "{output:?}");
    assert!(said.contains("V1__base") && said.contains("already exists"), "{said}");
}

/// Only with the crash points compiled in, as `deploy/dev test` does.
#[tokio::test]
async fn a_broken_upgrade_ends_the_api_at_once_and_leaves_the_schema_to_those_that_run() {
    if !fail::has_failpoints() {
        return;
    }
    let running = Api::start().await;
    let mut setup = Setup::new().await;
    setup.postgres_url.clone_from(&running.postgres_url);
    setup.await_ready = false;
    setup.variables = vec![(VERSION, "broken".into())];
    ends(setup, &["V9005__drill_broken", "no_such_type"]).await;
    running.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    running.stop().await;
}

#[tokio::test]
async fn an_edited_migration_is_named() {
    let setup = migrated(None).await;
    query(&setup.postgres_url, "UPDATE refinery_schema_history SET checksum = '7' WHERE version = 1", &[]).await;
    ends(setup, &["V1__base", "never be edited"]).await;
}

#[tokio::test]
async fn a_newer_schema_says_whether_an_older_program_may_work_with_it() {
    let setup = migrated(None).await;
    let url = setup.postgres_url.clone();
    let newer = "INSERT INTO refinery_schema_history VALUES (9999, 'newer', '2030-01-01T00:00:00Z', '7')";
    query(&url, newer, &[]).await;
    let api = setup.start().await;
    api.log.line("the schema is newer than this program, and says that this program can work with it").await;
    api.log.line("ready").await;
    drop(api);

    query(&url, "UPDATE schema_compatibility SET oldest_version = 9999", &[]).await;
    let again = async || {
        let mut setup = Setup::new().await;
        setup.postgres_url.clone_from(&url);
        setup.await_ready = false;
        setup
    };
    let said = ["version 9999", "use a newer version of Caraway"];
    ends(again().await, &said).await;
    let mut only_waits = again().await;
    only_waits.flags = vec!["--no-migrate".into()];
    ends(only_waits, &said).await;
    query(&url, "DROP TABLE schema_compatibility", &[]).await;
    ends(again().await, &said).await;
}

#[tokio::test]
async fn one_that_does_not_migrate_waits_for_the_schema_and_says_so_once() {
    let mut setup = Setup::new().await;
    setup.await_ready = false;
    setup.flags = vec!["--no-migrate".into()];
    let api = setup.start().await;
    api.log
        .line("the schema is older than this program needs; waiting until an API or `api migrate` migrates it")
        .await;
    api.get("/readyz").await.assert_problem(503, "not_ready");
    assert!(migrate(&api.postgres_url, &[]).status.success());
    api.log.line("ready").await;
    assert_eq!(api.log.text().matches("the schema is older").count(), 1);
    api.stop().await;
}

#[tokio::test]
async fn another_process_that_migrates_is_waited_for_aloud() {
    let mut setup = Setup::new().await;
    let other = session(&setup.postgres_url).await;
    // as the other process does, whose lock it is: "Caraway" in ASCII
    other.execute("SELECT pg_advisory_lock(18965967328993657)", &[]).await.unwrap();
    setup.await_ready = false;
    let api = setup.start().await;
    api.log.line("another process migrates the schema; waiting for it").await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
        AND wait_event_type = 'Lock'";
    let waiting: i64 = other.query_one(waiting, &[]).await.unwrap().get(0);
    assert_eq!(waiting, 0, "one that waits in a statement would hold up CREATE INDEX CONCURRENTLY");
    other.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
    api.log.line("ready").await;
    api.stop().await;
}

/// Only with the crash points compiled in, as `deploy/dev test` does.
#[tokio::test]
async fn a_locked_table_is_tried_again_and_nobody_queues_behind_it_for_long() {
    if !fail::has_failpoints() {
        return;
    }
    let mut setup = migrated(Some("previous")).await;
    let reader = session(&setup.postgres_url).await;
    reader.batch_execute("BEGIN; SELECT FROM task").await.unwrap();
    setup.variables = vec![(VERSION, "next".into())];
    let api = setup.start().await;
    let refused = api.log.line("the migration did not get its locks; trying again").await;
    assert_eq!(refused["migration.name"], "V9002__drill_new_column");
    let other = session(&api.postgres_url).await;
    other.batch_execute("SET statement_timeout = '10s'; SELECT FROM task").await.unwrap();
    reader.batch_execute("ROLLBACK").await.unwrap();
    api.log.line("ready").await;
    api.stop().await;
}

/// Only with the crash points compiled in, as `deploy/dev test` does.
#[tokio::test]
async fn an_index_that_a_dead_process_left_invalid_is_made_again() {
    if !fail::has_failpoints() {
        return;
    }
    let mut setup = migrated(Some("previous")).await;
    let url = setup.postgres_url.clone();
    setup.variables = vec![(VERSION, "next".into())];
    let owner = session(&url).await;
    // its snapshot is what CREATE INDEX CONCURRENTLY waits for; it takes no lock on the table that is altered before
    owner.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM session").await.unwrap();
    let mut api = setup.start().await;
    let invalid = "SELECT FROM pg_index WHERE NOT indisvalid AND indexrelid = to_regclass('task_drill_new')";
    eventually_async("the index to be half made", async || (!query(&url, invalid, &[]).await.is_empty()).then_some(()))
        .await;
    api.signal("KILL");
    api.ended().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%CREATE INDEX CONCURRENTLY%'
        AND datname = current_database() AND pid <> pg_backend_pid()";
    eventually_async("its backend to be gone", async || query(&url, end, &[]).await.is_empty().then_some(())).await;
    owner.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(query(&url, invalid, &[]).await.len(), 1, "it is left behind");

    let mut setup = Setup::new().await;
    setup.postgres_url.clone_from(&url);
    setup.variables = vec![(VERSION, "next".into())];
    let api = setup.start().await;
    api.log.line("an earlier try left this index invalid; it is dropped and made again").await;
    let valid = "SELECT FROM pg_index WHERE indisvalid AND indexrelid = to_regclass('task_drill_new')";
    assert_eq!(query(&url, valid, &[]).await.len(), 1);
    api.stop().await;
}
