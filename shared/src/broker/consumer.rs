//! Consume: one channel, one consumer per priority class, and acks for what is settled.
//!
//! Invariants: nothing is acked before every pointer of it is settled; what is unsettled when a [`Consumer`] is dropped
//! goes back to the queue, because its channel closes; an ack reaches only the channel that its delivery came from.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{Stream, StreamExt, stream::SelectAll};
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    BrokerError, Link,
    acks::Acks,
    link::RPC_TIMEOUT,
    topology::{declare, name},
};
use crate::task::{Class, QueueName};

/// Settled tags that one round of acks takes.
const SETTLED_MAX: usize = 1024;

/// A message as it came.
#[derive(Debug)]
pub struct Delivery {
    /// The class of the queue it came from.
    pub class: Class,
    /// Its body.
    pub body: Vec<u8>,
    tag: u64,
}

/// A share of a delivery. When the last clone of it is settled, the delivery is acked.
#[derive(Clone, Debug)]
pub struct Settle {
    tag: u64,
    open: Arc<AtomicUsize>,
    settled: mpsc::UnboundedSender<u64>,
}

impl Settle {
    /// This share's pointer needs the message no more: its claim or hand-back is committed, or it is stale.
    pub fn done(self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.settled.send(self.tag); // the channel is gone: the broker delivers again, harmlessly
        }
    }
}

type Messages =
    SelectAll<std::pin::Pin<Box<dyn Stream<Item = (Class, lapin::Result<lapin::message::Delivery>)> + Send>>>;

/// A queue being consumed.
pub struct Consumer {
    messages: Messages,
    channel: Channel,
    settled: mpsc::UnboundedSender<u64>,
}

impl Consumer {
    /// Declares the queue's three broker queues and consumes them, with at most `prefetch` unacked messages of each.
    /// Waits for a connection as long as it takes.
    pub async fn open(link: &Link, queue: &QueueName, prefetch: u16) -> Result<Self, BrokerError> {
        let channel = link.channel().await?;
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
        timeout(RPC_TIMEOUT, qos).await.map_err(|_| BrokerError::Timeout)??;
        let mut messages: Messages = SelectAll::new();
        for class in Class::ALL {
            declare(&channel, queue, class, link.queue_type()).await?;
            let consuming = channel.basic_consume(
                name(queue, class, link.queue_type()),
                class.as_str().into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            );
            let consumer = timeout(RPC_TIMEOUT, consuming).await.map_err(|_| BrokerError::Timeout)??;
            // one stream's end (its queue was deleted) must end the whole, which a plain merge would hide
            let ended = futures::stream::once(async { Err(lapin::Error::from(std::io::Error::other("cancelled"))) });
            messages.push(consumer.chain(ended).map(move |message| (class, message)).boxed());
        }
        let (settled, tags) = mpsc::unbounded_channel();
        tokio::spawn(acknowledge(channel.clone(), tags));
        Ok(Self { messages, channel, settled })
    }

    /// The next message; an error when the channel or one of its queues is gone. Cancel-safe.
    pub async fn next(&mut self) -> Result<Delivery, BrokerError> {
        match self.messages.next().await {
            Some((class, Ok(message))) => Ok(Delivery { class, body: message.data, tag: message.delivery_tag }),
            Some((_, Err(error))) => Err(error.into()),
            None => Err(BrokerError::Stopped),
        }
    }

    /// `count` shares of a delivery, each to be settled once.
    pub fn shares(&self, delivery: &Delivery, count: usize) -> Vec<Settle> {
        let open = Arc::new(AtomicUsize::new(count));
        let settle = Settle { tag: delivery.tag, open, settled: self.settled.clone() };
        vec![settle; count]
    }

    /// Ready messages in the queue of each class.
    pub async fn ready(link: &Link, queue: &QueueName) -> Result<Vec<(Class, u32)>, BrokerError> {
        let channel = link.channel().await?;
        let mut counts = Vec::new();
        for class in Class::ALL {
            counts.push((class, declare(&channel, queue, class, link.queue_type()).await?));
        }
        let _ = timeout(RPC_TIMEOUT, channel.close(200, "bye".into())).await;
        Ok(counts)
    }

    /// Stops: the broker takes back what is unsettled and gives it to others.
    pub async fn close(self) {
        let _ = timeout(RPC_TIMEOUT, self.channel.close(200, "bye".into())).await;
    }
}

/// Acks what is settled, for as long as anybody can settle.
async fn acknowledge(channel: Channel, mut tags: mpsc::UnboundedReceiver<u64>) {
    let mut acks = Acks::default();
    let mut settled = Vec::new();
    while tags.recv_many(&mut settled, SETTLED_MAX).await > 0 {
        for ack in acks.settle(settled.drain(..)) {
            if let Err(error) = channel.basic_ack(ack.tag, BasicAckOptions { multiple: ack.multiple }).await {
                tracing::debug!(%error, "an ack was not sent; the broker delivers again");
                return;
            }
        }
    }
}
