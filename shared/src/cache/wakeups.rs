//! Wake-ups: the ids of tasks that have just ended, and of what is waited for beside tasks, told to whoever waits for them. A
//! hint that may be lost: who waits looks at the row now and then anyway, and always before it answers.

use std::time::Duration;

use deadpool_redis::redis::{AsyncCommands, Client, Value};
use futures::StreamExt;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Cache;
use crate::task::TaskId;

/// Ids in one message.
const IDS_MAX: usize = 256;
/// Ids that may wait to be told; more are dropped.
const WAITING_MAX: usize = 8192;
/// Between two tries to subscribe.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a subscription is asked whether it still stands: one that was cut silently brings nothing, like one on which
/// nothing is told.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How long it may take to answer, or to subscribe.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

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
                let told = cache
                    .link
                    .ask(async |mut session| session.connection.publish(session.names.ended(), message).await);
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

/// Hears what has ended in this cache's installation, until shutdown; calls `heard` with the ids of each message. One
/// subscription for the whole process.
pub async fn listen(url: String, cache: Cache, shutdown: CancellationToken, heard: impl Fn(&[TaskId])) {
    let Some(names) = shutdown.run_until_cancelled(cache.link.names()).await else { return };
    let channel = names.ended();
    while !shutdown.is_cancelled() {
        if let Some(error) = shutdown.run_until_cancelled(listen_once(&url, &channel, &heard)).await {
            tracing::warn!(%error, "wake-ups are not heard; waits are answered by their timer");
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Returns why the subscription has ended, or could not be had.
async fn listen_once(url: &str, channel: &str, heard: &impl Fn(&[TaskId])) -> anyhow::Error {
    let subscribing = async {
        let mut subscription = Client::open(url)?.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        anyhow::Ok(subscription)
    };
    let (mut asking, mut messages) = match in_time(subscribing).await {
        Ok(subscription) => subscription.split(),
        Err(error) => return error,
    };
    let listening = async {
        while let Some(message) = messages.next().await {
            let (ids, _) = message.get_payload_bytes().as_chunks::<16>();
            let ids: Vec<TaskId> = ids.iter().map(|id| TaskId(Uuid::from_bytes(*id))).collect();
            heard(&ids);
        }
        anyhow::anyhow!("the subscription was ended")
    };
    let pinging = async {
        loop {
            tokio::time::sleep(PING_EVERY).await;
            if let Err(error) = in_time(async { Ok(asking.ping::<Value>().await?) }).await {
                return error;
            }
        }
    };
    tokio::select! {
        ended = listening => ended,
        silent = pinging => silent,
    }
}

async fn in_time<T>(answer: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| Err(anyhow::anyhow!("the subscription does not answer")))
}
