//! Hand on: a worker without a free slot publishes again what it holds of half-claimed messages, so that workers with free
//! slots have it at once. It writes nothing to the database: what is owed was paid when the first message was confirmed,
//! and the delivery that the pointers came with stays unsettled until the broker has the new messages.
//!
//! Invariant: `Ok` means that the broker has confirmed all of it; after anything else all of it may exist twice, which the
//! claim sorts out.

use futures::{StreamExt as _, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::time::timeout;

use super::{BrokerError, Link, link::RPC_TIMEOUT, topology::name};
use crate::task::{Bundle, Class, Pointer, QueueName};

/// Publishes pointers of one broker queue over a channel of its own, `size` to a message.
pub(super) async fn hand_on(
    link: &Link,
    queue: &QueueName,
    class: Class,
    pointers: &[Pointer],
    size: usize,
) -> Result<(), BrokerError> {
    let channel = link.channel().await?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    timeout(RPC_TIMEOUT, confirms).await.map_err(|_| BrokerError::Timeout)??;
    let mut unconfirmed = FuturesUnordered::new();
    for bundle in pointers.chunks(size.clamp(1, Bundle::MAX)) {
        let body = Bundle(bundle.to_vec()).encode();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let publishing =
            channel.basic_publish("".into(), name(queue, class, link.queue_type()), options, &body, properties);
        unconfirmed.push(timeout(RPC_TIMEOUT, publishing).await.map_err(|_| BrokerError::Timeout)??);
    }
    while let Some(answer) = timeout(RPC_TIMEOUT, unconfirmed.next()).await.map_err(|_| BrokerError::Timeout)? {
        match answer? {
            Confirmation::Ack(None) => (),
            // the queue is full, or gone
            Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested => {
                return Err(BrokerError::NotTaken);
            }
        }
    }
    let _ = timeout(RPC_TIMEOUT, channel.close(200, "bye".into())).await;
    Ok(())
}
