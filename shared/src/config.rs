//! What both binaries are told, by flag or by variable. `.env.example` lists every variable.

use clap::Args;

use crate::{
    broker::{BrokerConfig, QueueType},
    store::{Store, StoreConfig, StoreError},
    telemetry::LogFormat,
};

/// Flags that both binaries have.
#[derive(Clone, Args)]
pub struct Common {
    /// PostgreSQL: postgres://user:password@host:port/database
    #[arg(long, env = "CARAWAY_POSTGRES_URL", hide_env_values = true)]
    pub postgres_url: String,
    /// RabbitMQ: amqp://user:password@host:port/vhost
    #[arg(long, env = "CARAWAY_AMQP_URL", hide_env_values = true)]
    pub amqp_url: String,
    /// Redis: redis://host:port/database
    #[arg(long, env = "CARAWAY_REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// PostgreSQL connections for reads; the batched writers, edits, reconcilers and contents of items have up to 18 more
    #[arg(long, env = "CARAWAY_POSTGRES_CONNECTIONS", default_value_t = 8)]
    pub postgres_connections: usize,
    /// How the broker keeps task messages
    #[arg(long, env = "CARAWAY_QUEUE_TYPE", value_enum, default_value_t = QueueType::Quorum)]
    pub queue_type: QueueType,
    /// Do not bring the schema up to date at start
    #[arg(long, env = "CARAWAY_NO_MIGRATE")]
    pub no_migrate: bool,
    /// error, warn, info, debug, trace, or a filter such as `lapin=debug,info`
    #[arg(long, env = "CARAWAY_LOGLEVEL", default_value = "info")]
    pub loglevel: String,
    /// How log lines look
    #[arg(long, env = "CARAWAY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
}

impl Common {
    /// The database.
    pub fn store(&self, application: &'static str) -> Result<Store, StoreError> {
        Store::new(&StoreConfig { url: self.postgres_url.clone(), application, connections: self.postgres_connections })
    }

    /// The broker.
    pub fn broker(&self) -> BrokerConfig {
        BrokerConfig { url: self.amqp_url.clone(), queue_type: self.queue_type }
    }
}

/// Waits for the database for as long as it takes, migrates it, and refuses one that breaks the promise.
pub async fn prepare(store: &Store, migrate: bool) -> Result<(), StoreError> {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
    loop {
        let ready = async {
            store.check_durability().await?;
            if migrate { store.migrate().await } else { Ok(()) }
        };
        match ready.await {
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(%error, "the database is not available yet");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}
