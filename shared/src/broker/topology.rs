//! The broker's queues as data: three per task queue, one a priority class. Declaring is idempotent.
//!
//! Invariant: a queue's arguments never change in place, because the broker refuses that; another type is another name.

use clap::ValueEnum;
use lapin::{
    Channel,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::timeout;

use super::{BrokerError, link::RPC_TIMEOUT};
use crate::task::{Class, QueueName};

/// Redeliveries after which the broker may drop a message. RabbitMQ 4 would do so after 20; the audit would find it.
const DELIVERY_LIMIT: i64 = 1000;

/// How the broker keeps task messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum QueueType {
    /// Confirms after fsync; replicated on clusters.
    Quorum,
    /// Confirms may precede the disk.
    Classic,
}

/// `caraway.v1.<queue>.<class>`, with the type where it is not the default.
pub(super) fn name(queue: &QueueName, class: Class, queue_type: QueueType) -> ShortString {
    let suffix = match queue_type {
        QueueType::Quorum => "",
        QueueType::Classic => ".classic",
    };
    format!("caraway.v1.{queue}.{}{suffix}", class.as_str()).into()
}

/// Declares one queue; answers how many messages lie ready in it.
pub(super) async fn declare(
    channel: &Channel,
    queue: &QueueName,
    class: Class,
    queue_type: QueueType,
) -> Result<u32, BrokerError> {
    let mut arguments = FieldTable::default();
    let kind = match queue_type {
        QueueType::Quorum => {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
            "quorum"
        }
        QueueType::Classic => "classic",
    };
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declaring = channel.queue_declare(name(queue, class, queue_type), options, arguments);
    let declared = timeout(RPC_TIMEOUT, declaring).await.map_err(|_| BrokerError::Timeout)??;
    Ok(declared.message_count())
}
