//! Starting, stopping, and refusing to start.

use std::{
    io::{Read, Write},
    process::Command,
    time::Duration,
};

use crate::{
    database::query,
    eventually::eventually,
    raw,
    server::{Api, Setup},
};

/// Runs the binary to its end with a configuration that cannot work; what it said.
fn refused(flags: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_api"))
        .env_clear()
        .args(["serve", "--postgres-url", "postgres://x@127.0.0.1:1/x", "--amqp-url", "amqp://127.0.0.1:1/%2f"])
        .args(["--redis-url", "redis://127.0.0.1:1"])
        .args(flags)
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_refuses_new_ones() {
    let mut api = Api::start().await;
    let body = r#"{"name": "add", "args": [1, 2]}"#;
    let mut running = raw::connect(api.port);
    let head = format!(
        "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    running.write_all(head.as_bytes()).unwrap();
    running.write_all(&body.as_bytes()[..5]).unwrap();
    // the first answer on another connection proves that the server has seen ours
    assert_eq!(api.get("/livez").await.status, 200);
    api.signal("TERM");
    api.log.line("stopping").await;
    running.write_all(&body.as_bytes()[5..]).unwrap();
    let answer = raw::read_to_end(&mut running);
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(std::net::TcpStream::connect(("127.0.0.1", api.port)).is_err(), "new connections are refused");
    assert_eq!(api.ended().await, Some(0));
    assert_eq!(query(&api.postgres_url, "SELECT FROM task", &[]).await.len(), 1);
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_kill() {
    let mut api = Api::start().await;
    let id = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    api.signal("KILL");
    assert_eq!(api.ended().await, None, "killed");
    let mut setup = Setup::new().await;
    setup.postgres_url.clone_from(&api.postgres_url);
    let again = setup.start().await;
    assert_eq!(again.get(&format!("/v1/tasks/{id}")).await.json()["state"], "queued");
    again.stop().await;
}

#[tokio::test]
async fn many_may_start_at_once_on_an_empty_database() {
    let setup = Setup::new().await;
    let another = || Setup {
        postgres_url: setup.postgres_url.clone(),
        amqp_url: setup.amqp_url.clone(),
        redis_url: setup.redis_url.clone(),
        bind: "127.0.0.1:0".into(),
        flags: Vec::new(),
        variables: Vec::new(),
        files: None,
        await_ready: true,
    };
    let (mut one, two, mut three) = tokio::join!(another().start(), another().start(), another().start());
    for api in [&mut one, &mut three] {
        api.signal("TERM");
        assert_eq!(api.ended().await, Some(0));
    }
    two.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&["--bind", &address]);
    assert!(said.contains(&address) && said.contains("--bind"), "{said}");
}

#[tokio::test]
async fn migrate_migrates_and_ends() {
    let setup = Setup::new().await;
    for _ in 0..2 {
        let status = Command::new(env!("CARGO_BIN_EXE_api"))
            .env_clear()
            .args(["migrate", "--postgres-url", &setup.postgres_url])
            .args(["--amqp-url", &setup.amqp_url, "--redis-url", &setup.redis_url])
            .status();
        assert!(status.unwrap().success());
    }
    query(&setup.postgres_url, "SELECT FROM task", &[]).await;
    let mut setup = setup;
    setup.flags = vec!["--no-migrate".into()];
    setup.start().await.stop().await;
}

#[tokio::test]
async fn a_database_that_may_forget_is_refused() {
    let mut setup = Setup::new().await;
    let name = setup.postgres_url.rsplit('/').next().unwrap().to_owned();
    query(&setup.postgres_url, &format!("ALTER DATABASE {name} SET synchronous_commit = off"), &[]).await;
    setup.await_ready = false;
    let mut api = setup.start().await;
    assert_eq!(api.ended().await, Some(1));
    let text = api.log.text();
    assert!(text.contains("synchronous_commit"), "{text}");
}

#[tokio::test]
async fn idle_it_is_small() {
    let api = Api::start().await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", api.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 40 << 10, "{kib} KiB");
    api.stop().await;
}

/// Only with the crash points compiled in (`--features caraway-shared/failpoints`), as `deploy/dev test` does.
#[tokio::test]
async fn a_crash_between_commit_and_publish_loses_nothing() {
    if !fail::has_failpoints() {
        return;
    }
    let mut setup = Setup::new().await;
    setup.variables = vec![("FAILPOINTS", "api.accept.committed=return".into())];
    let mut api = setup.start().await;
    api.announce(&[("add", &["x", "y"])]).await;
    let request = api.client.post(format!("{}/v1/tasks", api.url)).header("content-type", "application/json");
    let answer = request.body(r#"{"name": "add", "args": [1, 2]}"#).timeout(Duration::from_secs(10)).send().await;
    assert!(answer.is_err(), "the process is gone before it could answer");
    assert_eq!(api.ended().await, None, "aborted");
    let owed = query(
        &api.postgres_url,
        "SELECT FROM task t WHERE state = 'queued' AND EXISTS (SELECT FROM owed o WHERE t.id = ANY(o.ids))",
        &[],
    )
    .await;
    assert_eq!(owed.len(), 1, "committed, and owed to the broker");
}

/// Keys of cached values carry the run id of the Redis process that they were written to. `INFO`, which tells it, is forbidden
/// to this user of the real server.
#[tokio::test]
async fn a_redis_that_tells_no_run_id_is_refused_with_a_clear_message() {
    let mut setup = Setup::new().await;
    let (_, server) = setup.redis_url.split_once("://").unwrap();
    let (login, address) = server.split('/').next().unwrap().rsplit_once('@').unwrap();
    let password = login.rsplit(':').next().unwrap();
    let mut redis = std::net::TcpStream::connect(address).unwrap();
    let orders = format!("AUTH {password}\r\nACL SETUSER blind on >blind ~* &* +@all -info\r\n");
    redis.write_all(orders.as_bytes()).unwrap();
    let mut answers = [0; 10];
    redis.read_exact(&mut answers).unwrap();
    assert_eq!(&answers, b"+OK\r\n+OK\r\n");
    setup.redis_url = format!("redis://blind:blind@{address}");
    setup.await_ready = false;
    let mut api = setup.start().await;
    assert_ne!(api.ended().await, Some(0));
    let is_told = |log: String| log.contains("Redis cannot be used") && log.contains("Redis tells no run_id");
    eventually("the message", || is_told(api.log.text()).then_some(())).await;
}
