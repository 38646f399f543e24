//! RabbitMQ, seen past the system under test.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions},
    types::FieldTable,
};

use crate::eventually;

/// A worker that says that it is ready may still be declaring its queues.
const DECLARED_WITHIN: Duration = Duration::from_secs(10);

/// A connection of the test's own.
pub struct Broker {
    connection: Connection,
}

impl Broker {
    /// Connects.
    pub async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the broker answers");
        Self { connection }
    }

    /// The broker queue of a task queue's normal priorities.
    pub fn queue_name(queue: &str) -> String {
        format!("caraway.v1.{queue}.normal")
    }

    /// Messages that lie ready in a task queue (normal priorities); none in one that nobody has declared yet.
    pub async fn ready(&self, queue: &str) -> u32 {
        let name = Self::queue_name(queue);
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel().await.queue_declare(name.into(), options, FieldTable::default()).await;
        declared.map_or(0, |queue| queue.message_count())
    }

    /// Declares the broker queue of a task queue (normal priorities) as no Caraway would: with other arguments.
    pub async fn declare_otherwise(&self, queue: &str) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let name = Self::queue_name(queue).into();
        self.channel().await.queue_declare(name, options, FieldTable::default()).await.expect("nobody else had it");
    }

    /// Removes the broker queue of a task queue (normal priorities).
    pub async fn delete(&self, queue: &str) {
        let name = Self::queue_name(queue).into();
        self.channel().await.queue_delete(name, QueueDeleteOptions::default()).await.expect("a queue can be deleted");
    }

    /// Throws away what lies ready in a task queue (normal priorities); how many messages it were.
    pub async fn purge(&self, queue: &str) -> u32 {
        let name = Self::queue_name(queue);
        self.channel().await.queue_purge(name.into(), QueuePurgeOptions::default()).await.expect("the queue is there")
    }

    /// Puts any bytes into a task queue (normal priorities), as soon as a worker has declared it.
    pub async fn publish(&self, queue: &str, body: &[u8]) {
        eventually(DECLARED_WITHIN, &format!("the broker queue of {queue} is declared"), async || {
            let channel = self.channel().await;
            channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the broker confirms");
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let name = Self::queue_name(queue).into();
            let publishing = channel.basic_publish("".into(), name, options, body, BasicProperties::default()).await;
            match publishing.expect("the broker takes it").await.expect("the broker answers") {
                Confirmation::Ack(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Whether the broker takes a message of this body for a task queue (normal priorities).
    pub async fn takes(&self, queue: &str, body: &[u8]) -> bool {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the broker confirms");
        let (name, options) = (Self::queue_name(queue).into(), BasicPublishOptions::default());
        let publishing = channel.basic_publish("".into(), name, options, body, BasicProperties::default()).await;
        matches!(publishing.expect("it is sent").await, Ok(Confirmation::Ack(None)))
    }

    /// A new one each time: the broker closes a channel that asks for what is not there.
    async fn channel(&self) -> Channel {
        self.connection.create_channel().await.expect("the broker opens channels")
    }
}
