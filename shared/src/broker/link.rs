//! One connection to the broker, supervised: connects, watches, and reconnects for ever with back-off and jitter. First
//! start and recovery are the same code.

use std::{sync::Arc, time::Duration};

use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::QueueType;
use crate::{
    task::{Backoff, BackoffKind},
    telemetry::names,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Seconds between heartbeats; two missed ones end the connection.
const HEARTBEAT_SECONDS: u16 = 10;
/// How soon a broken connection is noticed beside its users' own errors.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The wait between two tries to connect.
const RECONNECT: Backoff = Backoff { kind: BackoffKind::Exponential, initial: 0.2, factor: 2.0, max: 5.0 };
/// The part of that wait which is left to chance, so that a restarted broker is not met by everybody at once.
const JITTER: f64 = 0.5;

/// Any answer of the broker, and any channel's opening.
pub(super) const RPC_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the broker is, and which queues to declare there.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `amqp://user:password@host:port/vhost`.
    pub url: String,
    /// The type of the task queues.
    pub queue_type: QueueType,
}

/// What can go wrong with the broker. The cure is always the same: a new channel on the next connection.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The connection or the channel is gone, or the broker refused.
    #[error("the broker: {0}")]
    Amqp(#[from] lapin::Error),
    /// It refuses one queue, which exists with other arguments or is not ours to use. No other queue is concerned.
    #[error("the broker refuses the queue: {0}")]
    Refused(lapin::Error),
    /// It did not take a message: its queue is full, or gone.
    #[error("the broker did not take a message")]
    NotTaken,
    /// It did not answer in time.
    #[error("the broker did not answer in time")]
    Timeout,
    /// It has messages for us, and delivers none.
    #[error("messages lie ready, and none is delivered")]
    Silent,
    /// We are shutting down.
    #[error("shutting down")]
    Stopped,
}

/// A supervised connection. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    connection: watch::Receiver<Option<Arc<Connection>>>,
    queue_type: QueueType,
}

impl Link {
    /// Starts to connect on the current runtime. `role` names the connection in the broker's lists and in our logs.
    pub fn start(config: &BrokerConfig, role: &'static str, shutdown: CancellationToken) -> Self {
        let (publish, connection) = watch::channel(None);
        tokio::spawn(supervise(config.url.clone(), role, publish, shutdown));
        Self { connection, queue_type: config.queue_type }
    }

    /// The type of the task queues behind this link.
    pub const fn queue_type(&self) -> QueueType {
        self.queue_type
    }

    /// Whether there is a connection that takes publishes.
    pub fn is_up(&self) -> bool {
        let connection = self.connection.borrow();
        connection.as_ref().is_some_and(|connection| connection.status().connected() && !connection.status().blocked())
    }

    /// A new channel; waits for a connection as long as it takes. Cancel-safe.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        let mut watched = self.connection.clone();
        let up = |connection: &Option<Arc<Connection>>| connection.as_ref().is_some_and(|one| one.status().connected());
        let connection = watched.wait_for(up).await.map_err(|_| BrokerError::Stopped)?.clone();
        let connection = connection.ok_or(BrokerError::Stopped)?;
        timeout(RPC_TIMEOUT, connection.create_channel()).await.map_err(|_| BrokerError::Timeout)?.map_err(Into::into)
    }
}

async fn supervise(
    url: String,
    role: &'static str,
    publish: watch::Sender<Option<Arc<Connection>>>,
    shutdown: CancellationToken,
) {
    let mut failures = 0;
    while !shutdown.is_cancelled() {
        match connect(&url, role).await {
            Ok(connection) => {
                failures = 0;
                tracing::info!(broker.role = role, "connected to the broker");
                let connection = Arc::new(connection);
                publish.send_replace(Some(Arc::clone(&connection)));
                watch_over(&connection, role, &shutdown).await;
                publish.send_replace(None);
                let _ = timeout(CONNECT_TIMEOUT, connection.close(200, "bye".into())).await;
            }
            Err(error) => tracing::warn!(broker.role = role, %error, "cannot connect to the broker"),
        }
        if shutdown.is_cancelled() {
            return;
        }
        failures += 1;
        metrics::counter!(names::RECONNECTS, "role" => role).increment(1);
        let wait = RECONNECT.wait(failures, JITTER, rand::random());
        tokio::select! {
            () = tokio::time::sleep(wait) => (),
            () = shutdown.cancelled() => return,
        }
    }
}

async fn connect(url: &str, role: &'static str) -> Result<Connection, BrokerError> {
    let mut uri: AMQPUri = url.parse().map_err(|text: String| lapin::Error::from(std::io::Error::other(text)))?;
    uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
    let properties = ConnectionProperties::default().with_connection_name(format!("caraway {role}").into());
    let connecting = Connection::connect_uri(uri, properties);
    timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| BrokerError::Timeout)?.map_err(Into::into)
}

/// Returns when the connection is lost, or at shutdown.
async fn watch_over(connection: &Arc<Connection>, role: &'static str, shutdown: &CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut blocked = false;
    loop {
        look.tick().await;
        let status = connection.status();
        if !status.connected() {
            tracing::warn!(broker.role = role, "the connection to the broker is lost");
            return;
        }
        if status.blocked() != blocked {
            blocked = !blocked;
            note_blocked(role, blocked);
        }
        if shutdown.is_cancelled() {
            return;
        }
    }
}

/// The broker takes no messages while it is short of memory or disk. It says so to a connection that publishes.
fn note_blocked(role: &'static str, blocked: bool) {
    if blocked {
        metrics::counter!(names::BLOCKED, "role" => role).increment(1);
        tracing::warn!(broker.role = role, "the broker is short of memory or disk and takes no messages");
    } else {
        tracing::info!(broker.role = role, "the broker takes messages again");
    }
}
