//! One running API with a database of its own, and the ways to speak to it.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use caraway_shared::store::{Store, StoreConfig, TaskType};
use reqwest::{Client, StatusCode, header};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{
    answer::Answer,
    database::{create_database, drop_database, query, variable},
    eventually::eventually,
    log::Log,
};

/// Nothing listens there.
pub const NOWHERE: &str = "127.0.0.1:1";

/// The queue of the task types that every test knows.
pub const QUEUE: &str = "tests";

/// What to start.
pub struct Setup {
    pub postgres_url: String,
    pub amqp_url: String,
    pub redis_url: String,
    /// Where it listens.
    pub bind: String,
    /// Further flags.
    pub flags: Vec<String>,
    /// Further variables.
    pub variables: Vec<(&'static str, String)>,
    /// How many files it may have open, if not as many as we may.
    pub files: Option<u32>,
    /// Whether to wait until it is ready.
    pub await_ready: bool,
}

impl Setup {
    /// A fresh database, no broker, the real Redis.
    pub async fn new() -> Self {
        Self {
            postgres_url: create_database().await,
            amqp_url: format!("amqp://{NOWHERE}/%2f"),
            redis_url: variable("CARAWAY_REDIS_URL"),
            bind: "127.0.0.1:0".into(),
            flags: Vec::new(),
            variables: Vec::new(),
            files: None,
            await_ready: true,
        }
    }

    pub async fn start(self) -> Api {
        Api::run(self).await
    }
}

/// A running API. Ends with it; [`Api::stop`] ends it in order, and checks that.
pub struct Api {
    pub url: String,
    pub port: u16,
    pub client: Client,
    pub store: Store,
    pub postgres_url: String,
    pub log: Log,
    process: Child,
}

impl Api {
    /// One with task types to submit.
    pub async fn start() -> Self {
        let api = Setup::new().await.start().await;
        api.announce(&[
            ("add", &["x", "y"]),
            ("process_image", &["image_id", "width", "height", "fit", "format", "quality", "grayscale"]),
        ])
        .await;
        api
    }

    async fn run(setup: Setup) -> Self {
        let binary = env!("CARGO_BIN_EXE_api");
        let mut command = Command::new(setup.files.map_or(binary, |_| "prlimit"));
        if let Some(files) = setup.files {
            command.args([&format!("--nofile={files}"), binary]);
        }
        let mut process = command
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| !name.starts_with("CARAWAY_")))
            .envs(setup.variables)
            .args(["--bind", &setup.bind])
            .args(["--log-format", "json", "--loglevel", "debug,lapin=warn", "--queue-type", "classic"])
            .args([
                "--postgres-url",
                &setup.postgres_url,
                "--amqp-url",
                &setup.amqp_url,
                "--redis-url",
                &setup.redis_url,
            ])
            .args(&setup.flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::follow(process.stderr.take().unwrap());
        let port = log.line("listening").await["http.port"].as_u64().unwrap().try_into().unwrap();
        let store =
            Store::new(&StoreConfig { url: setup.postgres_url.clone(), application: "api tests", connections: 2 });
        let api = Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            client: Client::builder().no_proxy().timeout(Duration::from_secs(40)).build().unwrap(),
            store: store.unwrap(),
            postgres_url: setup.postgres_url,
            log,
            process,
        };
        if setup.await_ready {
            api.log.line("ready").await;
        }
        api
    }

    /// Announces task types, as a worker would.
    pub async fn announce(&self, types: &[(&str, &[&str])]) {
        let types: Vec<TaskType> = types.iter().map(|(name, parameters)| task_type(name, parameters)).collect();
        self.store.announce(&types, &[]).await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>, content_type: &str) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).body(body);
        let request =
            if content_type.is_empty() { request } else { request.header(header::CONTENT_TYPE, content_type) };
        Answer::of(request.send().await.unwrap()).await
    }

    pub async fn post_json(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.post(path, body, "application/json").await
    }

    /// Submits a task that is expected to be accepted; its id.
    pub async fn submit(&self, body: &str) -> Uuid {
        let answer = self.post_json("/v1/tasks", body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// Uploads an item that is expected to be stored; its id.
    pub async fn upload(&self, content: &[u8], content_type: &str) -> Uuid {
        let answer = self.post("/items", content.to_owned(), content_type).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// Runs SQL, as a worker or the passing of time would have.
    pub async fn sql(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<tokio_postgres::Row> {
        query(&self.postgres_url, statement, parameters).await
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal: `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the process's end; its exit code, if it ended by itself.
    pub async fn ended(&mut self) -> Option<i32> {
        let process = &mut self.process;
        eventually("the end of the process", || process.try_wait().unwrap()).await.code()
    }

    /// Database connections that are lent out now, by pool.
    pub async fn connections_in_use(&self) -> Vec<(String, f64)> {
        let metrics = self.get("/metrics").await.text();
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("caraway_database_connections_in_use"));
        let lent: Vec<(String, f64)> = lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(pool, count)| (pool.to_owned(), count.parse().unwrap()))
            .collect();
        assert!(!lent.is_empty(), "the gauge is not there: {metrics}");
        lent
    }

    /// Whether some connections do not come back. What runs beside HTTP has one now and then, so it is asked again and again
    /// whether there is a moment at which all are back.
    pub async fn leaks(&self) -> Option<String> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let lent = self.connections_in_use().await;
            if lent.iter().all(|(_, count)| *count == 0.0) {
                return None;
            }
            if Instant::now() > deadline {
                return Some(format!("connections that were never given back: {lent:?}"));
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Ends it as an operator would, and removes its database. Fails if a connection was leaked.
    pub async fn stop(mut self) {
        assert_eq!(self.leaks().await, None);
        self.signal("TERM");
        assert_eq!(self.ended().await, Some(0), "{}", self.log.text());
        drop_database(&self.postgres_url).await;
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the log of the API\n{}", self.log.text());
        }
    }
}

fn task_type(name: &str, parameters: &[&str]) -> TaskType {
    TaskType {
        name: name.parse().unwrap(),
        version: 1,
        parameters: parameters.iter().map(ToString::to_string).collect(),
        queue: QUEUE.parse().unwrap(),
        timeout: None,
        cpu: false,
    }
}
