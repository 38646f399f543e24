//! Consume: one channel for each broker queue, and acks for what is settled. A channel of its own, because closing it gives
//! what is unsettled back to the broker without a write, and a lane gives its classes back one by one.
//!
//! Invariants: nothing is acked before every pointer of it is settled; what is unsettled when a [`Consumer`] is closed or
//! dropped goes back to the queue, because its channel closes; an ack reaches only the channel that its delivery came from.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::StreamExt;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    BrokerError, Link,
    acks::Acks,
    link::RPC_TIMEOUT,
    topology::{declare, name},
};
use crate::task::{Class, QueueName};

/// Words that one round of acks takes.
const WORDS_MAX: usize = 1024;

/// A message as it came.
#[derive(Debug)]
pub struct Delivery {
    /// The class of the queue it came from.
    pub class: Class,
    /// Its body.
    pub body: Vec<u8>,
    tag: u64,
    words: mpsc::UnboundedSender<Word>,
}

impl Delivery {
    /// `count` shares of it, each to be settled once.
    pub fn shares(&self, count: usize) -> Vec<Settle> {
        let open = Arc::new(AtomicUsize::new(count));
        let settle = Settle { tag: self.tag, open, words: self.words.clone() };
        vec![settle; count]
    }
}

/// A share of a delivery. When the last clone of it is settled, the delivery is acked.
#[derive(Clone, Debug)]
pub struct Settle {
    tag: u64,
    open: Arc<AtomicUsize>,
    words: mpsc::UnboundedSender<Word>,
}

/// What the task that acks is told.
#[derive(Debug)]
enum Word {
    /// Every pointer of this delivery is settled.
    Settled(u64),
    /// Ack what was settled before this, then close the channel, and say so.
    Close(oneshot::Sender<()>),
}

impl Settle {
    /// This share's pointer needs the message no more: its claim or hand-back is committed, or it is stale.
    pub fn done(self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.words.send(Word::Settled(self.tag)); // the channel is gone: the broker delivers again, harmlessly
        }
    }
}

/// One class of a queue being consumed.
pub struct Consumer {
    class: Class,
    messages: lapin::Consumer,
    words: mpsc::UnboundedSender<Word>,
}

impl Consumer {
    /// Declares the broker queue of this class and consumes it, with at most `prefetch` unacked messages. Waits for a
    /// connection as long as it takes.
    pub async fn open(link: &Link, queue: &QueueName, class: Class, prefetch: u16) -> Result<Self, BrokerError> {
        let channel = link.channel().await?;
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
        timeout(RPC_TIMEOUT, qos).await.map_err(|_| BrokerError::Timeout)??;
        declare(&channel, queue, class, link.queue_type()).await?;
        let consuming = channel.basic_consume(
            name(queue, class, link.queue_type()),
            class.as_str().into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let messages = timeout(RPC_TIMEOUT, consuming).await.map_err(|_| BrokerError::Timeout)??;
        let (words, heard) = mpsc::unbounded_channel();
        tokio::spawn(acknowledge(channel, heard));
        Ok(Self { class, messages, words })
    }

    /// The class that it consumes.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The next message; an error when the channel or the queue is gone.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Delivery, BrokerError>> {
        self.messages.poll_next_unpin(context).map(|message| match message {
            Some(Ok(message)) => {
                let (class, tag, words) = (self.class, message.delivery_tag, self.words.clone());
                Ok(Delivery { class, body: message.data, tag, words })
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(lapin::Error::from(std::io::Error::other("cancelled")).into()), // the queue was deleted
        })
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

    /// Stops: acks what is settled; the broker takes back the rest and gives it to others.
    pub async fn close(self) {
        let (closed, done) = oneshot::channel();
        if self.words.send(Word::Close(closed)).is_ok() {
            let _ = timeout(RPC_TIMEOUT, done).await;
        }
    }
}

/// Acks what is settled, for as long as anybody can settle, or until it is told to close the channel.
async fn acknowledge(channel: Channel, mut heard: mpsc::UnboundedReceiver<Word>) {
    let mut acks = Acks::default();
    let mut words = Vec::new();
    while heard.recv_many(&mut words, WORDS_MAX).await > 0 {
        let mut close = None;
        let mut settled = Vec::new();
        for word in words.drain(..) {
            match word {
                Word::Settled(tag) => settled.push(tag),
                Word::Close(closed) => close = Some(closed),
            }
        }
        for ack in acks.settle(settled) {
            if let Err(error) = channel.basic_ack(ack.tag, BasicAckOptions { multiple: ack.multiple }).await {
                tracing::debug!(%error, "an ack was not sent; the broker delivers again");
                return;
            }
        }
        if let Some(closed) = close {
            let _ = timeout(RPC_TIMEOUT, channel.close(200, "bye".into())).await;
            let _ = closed.send(());
            return;
        }
    }
}
