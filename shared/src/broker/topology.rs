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

use super::{BrokerError, Link, link::RPC_TIMEOUT};
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

/// Declares one queue; answers how many messages lie ready in it. A refusal has closed the channel.
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
    let declared = timeout(RPC_TIMEOUT, declaring).await.map_err(|_| BrokerError::Timeout)?;
    Ok(declared.map_err(refused_or_broken)?.message_count())
}

/// Declares one queue over a channel of its own, so that a refusal closes no other.
pub(super) async fn declare_apart(link: &Link, queue: &QueueName, class: Class) -> Result<(), BrokerError> {
    let channel = link.channel().await?;
    declare(&channel, queue, class, link.queue_type()).await?;
    let _ = timeout(RPC_TIMEOUT, channel.close(200, "bye".into())).await;
    Ok(())
}

/// The broker ends a channel, and not the connection, over what concerns only this declaration.
fn refused_or_broken(error: lapin::Error) -> BrokerError {
    if error.is_amqp_soft_error() { BrokerError::Refused(error) } else { error.into() }
}
