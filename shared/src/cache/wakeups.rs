//! Wake-ups: the ids of tasks that have just ended, and of what is waited for beside tasks, told to whoever waits for them. A
//! hint that may be lost: who waits looks at the row now and then anyway, and always before it answers.

use std::time::Duration;

use futures::StreamExt;
use redis::AsyncCommands;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Cache, keys};
use crate::task::TaskId;

/// Ids in one message.
const IDS_MAX: usize = 256;
/// Ids that may wait to be told; more are dropped.
const WAITING_MAX: usize = 8192;
/// Between two tries to subscribe.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the others what has ended. Cheap to clone.
#[derive(Clone)]
pub struct Announcer(mpsc::Sender<Uuid>);

impl Announcer {
    /// Starts telling on the current runtime. One message carries whatever ended meanwhile.
    pub fn start(cache: Cache) -> Self {
        let (ended, mut waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            let mut ids: Vec<Uuid> = Vec::new();
            while waiting.recv_many(&mut ids, IDS_MAX).await > 0 {
                let message: Vec<u8> = ids.drain(..).flat_map(Uuid::into_bytes).collect();
                let told = cache.link.ask(async |mut session| session.connection.publish(keys::ENDED, message).await);
                let _: Option<()> = told.await;
            }
        });
        Self(ended)
    }

    /// A task has ended. Never waits.
    pub fn ended(&self, id: TaskId) {
        self.moved(id.0);
    }

    /// Whoever waits by this id should look again. Never waits.
    pub fn moved(&self, id: Uuid) {
        let _ = self.0.try_send(id);
    }
}

/// Hears what has ended, until shutdown; calls `heard` with the ids of each message. One subscription for the whole
/// process.
pub async fn listen(url: String, shutdown: CancellationToken, heard: impl Fn(&[TaskId])) {
    while !shutdown.is_cancelled() {
        if let Some(Err(error)) = shutdown.run_until_cancelled(listen_once(&url, &heard)).await {
            tracing::warn!(%error, "wake-ups are not heard; waits are answered by their timer");
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Returns when the subscription has ended.
async fn listen_once(url: &str, heard: &impl Fn(&[TaskId])) -> redis::RedisResult<()> {
    let mut subscription = redis::Client::open(url)?.get_async_pubsub().await?;
    subscription.subscribe(keys::ENDED).await?;
    let mut messages = subscription.into_on_message();
    while let Some(message) = messages.next().await {
        let (ids, _) = message.get_payload_bytes().as_chunks::<16>();
        let ids: Vec<TaskId> = ids.iter().map(|id| TaskId(Uuid::from_bytes(*id))).collect();
        heard(&ids);
    }
    Ok(())
}
