//! All of Caraway's AMQP. RabbitMQ carries pointers; it may lose, double or shuffle them, which costs time and nothing
//! else.
//!
//! Invariants: lapin's own recovery stays off, because it gives up, does not cover channels that the broker closed, and
//! can leave a consumer waiting for ever; [`Link`] reconnects instead, without end. Publishing and consuming use two
//! connections, so that a broker that blocks publishers (memory, disk) still takes acks. Every wait has a deadline.

mod acks;
mod consumer;
mod full;
mod hand_on;
mod hand_over;
mod link;
mod messages;
mod payments;
mod publisher;
mod refusals;
pub mod relay;
mod spread;
mod topology;
mod transient;

pub use consumer::{Consumer, Delivery, Settle};
pub use hand_over::{CREDIT_VALID, CreditLine, HandOver};
pub use link::{BrokerConfig, BrokerError, Link};
pub use publisher::Publisher;
pub use topology::QueueType;
