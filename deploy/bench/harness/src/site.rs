//! Where one round runs: a database and a virtual host that nobody used before, an emptied Redis, a folder for logs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use deadpool_redis::{Runtime, redis};
use tokio::process::Command;
use tokio_postgres::{Client, Config, NoTls, error::SqlState};

use crate::{proc::Watched, settings::Paths};

/// A database that stays until the end of the run, to be copied.
pub(crate) const TEMPLATE: &str = "bench_template";

/// Autovacuum is done with a database of a round in much less.
const DROP_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two tries.
const DROP_PAUSE: Duration = Duration::from_millis(50);

/// The servers, which outlive all rounds.
pub(crate) struct Servers {
    pub(crate) paths: Paths,
    config: Config,
    made: AtomicU32,
}

/// One round's own part of them.
pub(crate) struct Site {
    pub(crate) database: String,
    pub(crate) postgres_url: String,
    pub(crate) amqp_url: String,
    /// Of the server, without a database's number.
    pub(crate) redis_url: String,
    pub(crate) folder: PathBuf,
    /// To that database, for looking.
    pub(crate) client: Client,
}

impl Servers {
    pub(crate) fn new(paths: Paths) -> anyhow::Result<Self> {
        let config = paths.postgres_url.parse()?;
        Ok(Self { paths, config, made: AtomicU32::new(0) })
    }

    /// A new site, after the last one was removed. It begins as a copy of the template, if asked for.
    pub(crate) async fn site(&self, name: &str, template: bool) -> anyhow::Result<Site> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let unique = format!("bench_{}_{number}", std::process::id());
        self.remove_old(TEMPLATE).await?;
        self.create(&unique, template).await?;
        let folder = self.paths.state.join("log").join(name);
        fs::create_dir_all(&folder)?;
        let postgres_url = replace_last(&self.paths.postgres_url, &unique);
        Ok(Site {
            client: connect(&postgres_url.parse()?).await?,
            postgres_url,
            amqp_url: replace_last(&self.paths.amqp_url, &unique),
            redis_url: self.paths.redis_url.clone(),
            database: unique,
            folder,
        })
    }

    /// Makes the database of a site the template, without anybody connected to it.
    pub(crate) async fn keep(&self, site: Site) -> anyhow::Result<Client> {
        let database = site.database.clone();
        drop(site);
        let client = connect(&self.config).await?;
        drop_database(&client, TEMPLATE).await?;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        client.query(sql, &[&database]).await?;
        client.batch_execute(&format!("ALTER DATABASE {database} RENAME TO {TEMPLATE}")).await?;
        connect(&replace_last(&self.paths.postgres_url, TEMPLATE).parse()?).await
    }

    /// Nothing of any round stays.
    pub(crate) async fn remove_all(&self) -> anyhow::Result<()> {
        self.remove_old("").await
    }

    /// The servers' processes, and the generator.
    pub(crate) fn watched(&self) -> anyhow::Result<Watched> {
        let pid = |server: &str| -> anyhow::Result<u32> {
            let file = self.paths.servers.join("run").join(format!("{server}.pid"));
            Ok(fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?.trim().parse()?)
        };
        Ok(Watched::default()
            .with("postgres", pid("postgres")?)
            .with("rabbitmq", pid("rabbitmq")?)
            .with("redis", pid("redis")?)
            .with_myself("generator"))
    }

    async fn create(&self, unique: &str, template: bool) -> anyhow::Result<()> {
        let copy = if template { format!(" TEMPLATE {TEMPLATE} STRATEGY file_copy") } else { String::new() };
        connect(&self.config).await?.batch_execute(&format!("CREATE DATABASE {unique}{copy}")).await?;
        self.broker(&format!(
            "rabbit_vhost:add(<<\"{unique}\">>, <<\"bench\">>), rabbit_auth_backend_internal:set_permissions(\
             <<\"caraway\">>, <<\"{unique}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"bench\">>)."
        ))
        .await
    }

    /// Everything that rounds have left, in this run or one before, but for one database.
    async fn remove_old(&self, keep: &str) -> anyhow::Result<()> {
        let client = connect(&self.config).await?;
        let sql = "SELECT datname FROM pg_database WHERE datname LIKE 'bench\\_%' AND datname <> $1";
        for row in client.query(sql, &[&keep]).await? {
            drop_database(&client, row.get(0)).await?;
        }
        self.broker(
            "[rabbit_vhost:delete(V, <<\"bench\">>) || V <- rabbit_vhost:list_names(), binary:match(V, <<\"bench_\">>) =/= nomatch].",
        )
        .await?;
        let _: String =
            redis::cmd("FLUSHALL").query_async(&mut redis_connection(&self.paths.redis_url, 0).await?).await?;
        Ok(())
    }

    /// One call for all there is to do, because each starts an Erlang of its own for a second.
    async fn broker(&self, expression: &str) -> anyhow::Result<()> {
        self.rabbitmqctl(&["eval", expression]).await.map(drop)
    }

    /// What it prints.
    pub(crate) async fn rabbitmqctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let dev = self.paths.root.join("deploy/dev");
        let done = Command::new(dev).arg("rabbitmqctl").args(arguments).output().await?;
        ensure!(done.status.success(), "rabbitmqctl: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

impl Site {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Again for a while: autovacuum may be looking at the database, and only a superuser may interrupt that.
async fn drop_database(client: &Client, name: &str) -> anyhow::Result<()> {
    let until = Instant::now() + DROP_TIMEOUT;
    loop {
        match client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) && Instant::now() < until => {
                tokio::time::sleep(DROP_PAUSE).await;
            }
            ended => return Ok(ended?),
        }
    }
}

async fn connect(config: &Config) -> anyhow::Result<Client> {
    let (client, connection) = config.connect(NoTls).await.context("no connection to postgresql")?;
    tokio::spawn(connection); // ends when the client is dropped
    Ok(client)
}

pub(crate) async fn redis_connection(url: &str, database: u8) -> anyhow::Result<deadpool_redis::Connection> {
    let pool = deadpool_redis::Config::from_url(format!("{url}/{database}")).create_pool(Some(Runtime::Tokio1))?;
    pool.get().await.context("no connection to redis")
}

/// A URL's path, which is a database or a virtual host.
fn replace_last(url: &str, name: &str) -> String {
    let (base, _) = url.rsplit_once('/').unwrap_or((url, ""));
    format!("{base}/{name}")
}
