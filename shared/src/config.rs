//! What both binaries are told, by flag or by variable. `.env.example` lists every variable.

use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use crate::{
    broker::{BrokerConfig, QueueType},
    store::{SchemaError, SchemaState, Store, StoreConfig, StoreError},
    task::{Cell, Installation},
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
    /// This installation's number, 0 to 4095, where several stand behind one address. The first migration keeps it, 0 where nothing is
    /// said; a program that is told another number than the database has refuses to start
    #[arg(long, env = "CARAWAY_CELL")]
    pub cell: Option<Cell>,
    /// How the broker keeps task messages
    #[arg(long, env = "CARAWAY_QUEUE_TYPE", value_enum, default_value_t = QueueType::Quorum)]
    pub queue_type: QueueType,
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

/// Who brings the schema up to date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schema {
    /// This process.
    Migrate,
    /// Another one: an API, or `api migrate`. This one waits for it.
    Await,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It breaks the promise, or cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its schema is not for this program, or cannot be migrated.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// It is another cell's.
    #[error("the database is that of cell {has}, and CARAWAY_CELL says {asked}: a cell's number never changes")]
    OtherCell {
        /// The database's.
        has: Cell,
        /// What this program was told.
        asked: Cell,
    },
}

/// Waits for the database, and for its schema, for as long as it takes; refuses a database that breaks the promise, a schema
/// that is not for this program, a migration that fails, and another cell than `cell`, where one is named. Tells which installation it
/// is.
pub async fn prepare(store: &Store, schema: Schema, cell: Option<Cell>) -> Result<Installation, PrepareError> {
    const PAUSE: Duration = Duration::from_secs(1);
    let mut told = false;
    loop {
        let error = match try_prepare(store, schema, cell).await {
            Ok(SchemaState::Ready(installation)) => {
                return match cell {
                    Some(asked) if asked != installation.cell => {
                        Err(PrepareError::OtherCell { has: installation.cell, asked })
                    }
                    _ => Ok(installation),
                };
            }
            Ok(SchemaState::Older { has, needs }) => {
                // once, also where a migration of several steps is seen half way
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(
                        schema.version = has,
                        schema.needed = needs,
                        "the schema is older than this program needs; waiting until an API or `api migrate` migrates it"
                    );
                }
                sleep(PAUSE).await;
                continue;
            }
            Err(error) => error,
        };
        match error {
            PrepareError::Store(StoreError::Unavailable(error))
            | PrepareError::Schema(SchemaError::Store(StoreError::Unavailable(error))) => {
                tracing::warn!(%error, "the database is not available yet");
                sleep(PAUSE).await;
            }
            unfit => return Err(unfit),
        }
    }
}

async fn try_prepare(store: &Store, schema: Schema, cell: Option<Cell>) -> Result<SchemaState, PrepareError> {
    store.check_durability().await?;
    if schema == Schema::Migrate {
        store.migrate().await?;
        store.settle_cell(cell.unwrap_or_default()).await?;
    }
    Ok(store.schema_state().await?)
}
