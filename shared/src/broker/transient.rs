//! Messages that may be lost: credit, and what is handed over by it. Published without confirms, consumed without acks, and kept
//! in memory by the broker for a second at most.
//!
//! Invariant: nothing rests on them. Who sends has committed what they tell of, and somebody finds it without them.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use lapin::{
    BasicProperties, Channel,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{BrokerError, Link, link::RPC_TIMEOUT};

/// Messages that wait to be sent; what comes beyond them is dropped.
const WAITING_MAX: usize = 4096;
/// How long a message is kept that nobody takes, here and by the broker.
const KEPT: Duration = Duration::from_secs(1);
const KEPT_MS: i32 = 1000;
/// Milliseconds after which the broker removes a queue that nobody uses.
const UNUSED_MS: i32 = 60_000;
/// Between two tries to open a channel.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends such messages. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sender(mpsc::Sender<Message>);

/// What is to be sent, and since when.
struct Message {
    queue: String,
    body: Vec<u8>,
    since: Instant,
}

impl Sender {
    /// Starts sending over `link` on the current runtime.
    pub(super) fn start(link: Link, shutdown: CancellationToken) -> Self {
        let (messages, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move { shutdown.run_until_cancelled(send(link, waiting)).await });
        Self(messages)
    }

    /// Sends to a broker queue. Never waits.
    pub(super) fn send(&self, queue: String, body: Vec<u8>) {
        let _ = self.0.try_send(Message { queue, body, since: Instant::now() }); // too many wait already
    }
}

async fn send(link: Link, mut waiting: mpsc::Receiver<Message>) {
    while let Ok(channel) = link.channel().await {
        while let Some(Message { queue, body, since }) = waiting.recv().await {
            if since.elapsed() > KEPT {
                continue; // the broker was away, and nobody waits for it any more
            }
            let properties = BasicProperties::default().with_delivery_mode(1);
            let publishing =
                channel.basic_publish("".into(), queue.into(), BasicPublishOptions::default(), &body, properties);
            if !matches!(timeout(RPC_TIMEOUT, publishing).await, Ok(Ok(_))) {
                break;
            }
        }
        if waiting.is_closed() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Consumes such messages.
struct Receiver {
    messages: lapin::Consumer,
    /// Open as long as it consumes.
    _channel: Channel,
}

impl Receiver {
    /// Declares the queue and consumes it: alone (the queue goes with this connection), or beside others that share its messages.
    async fn open(link: &Link, queue: &str, alone: bool) -> Result<Self, BrokerError> {
        let channel = link.channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(KEPT_MS));
        if !alone {
            arguments.insert("x-expires".into(), AMQPValue::LongInt(UNUSED_MS));
        }
        // RabbitMQ 4 wants queues that are shared to be durable; their messages are not
        let options = QueueDeclareOptions { exclusive: alone, durable: !alone, ..QueueDeclareOptions::default() };
        let declaring = channel.queue_declare(queue.into(), options, arguments);
        timeout(RPC_TIMEOUT, declaring).await.map_err(|_| BrokerError::Timeout)??;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let messages = timeout(RPC_TIMEOUT, consuming).await.map_err(|_| BrokerError::Timeout)??;
        Ok(Self { messages, _channel: channel })
    }

    /// The next message's body; nothing when the channel or the queue is gone. Cancel-safe.
    async fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.messages.next().await?.ok()?.data)
    }
}

/// Hears a queue for as long as the future is polled, over whatever connection there is.
pub(super) async fn hear(link: &Link, queue: &str, alone: bool, mut each: impl FnMut(Vec<u8>)) {
    loop {
        match Receiver::open(link, queue, alone).await {
            Ok(mut receiver) => {
                while let Some(body) = receiver.next().await {
                    each(body);
                }
            }
            Err(BrokerError::Stopped) => return,
            Err(error) => tracing::debug!(broker.queue = queue, %error, "a transient queue cannot be consumed"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
