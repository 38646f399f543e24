//! RabbitMQ, seen past the system under test.

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions, QueuePurgeOptions},
    types::FieldTable,
};

/// A connection of the test's own.
pub struct Broker {
    #[expect(dead_code, reason = "the channel lives as long as its connection")]
    connection: Connection,
    channel: Channel,
}

impl Broker {
    /// Connects.
    pub async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the broker answers");
        let channel = connection.create_channel().await.expect("the broker opens channels");
        Self { connection, channel }
    }

    /// The broker queue of a task queue's normal priorities.
    pub fn queue_name(queue: &str) -> String {
        format!("caraway.v1.{queue}.normal")
    }

    /// Messages that lie ready in a task queue (normal priorities).
    pub async fn ready(&self, queue: &str) -> u32 {
        let name = Self::queue_name(queue);
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(name.into(), options, FieldTable::default()).await;
        declared.expect("the queue is there").message_count()
    }

    /// Throws away what lies ready in a task queue (normal priorities); how many messages it were.
    pub async fn purge(&self, queue: &str) -> u32 {
        let name = Self::queue_name(queue);
        self.channel.queue_purge(name.into(), QueuePurgeOptions::default()).await.expect("the queue is there")
    }

    /// Puts any bytes into a task queue (normal priorities).
    pub async fn publish(&self, queue: &str, body: &[u8]) {
        let name = Self::queue_name(queue);
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let publishing = self.channel.basic_publish("".into(), name.into(), options, body, properties);
        publishing.await.expect("the broker takes it");
    }
}
