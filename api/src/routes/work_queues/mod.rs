//! `/v1/work-queues/{name}`: one file per endpoint.

pub(crate) mod configure;
pub(crate) mod dead;
pub(crate) mod delete;
pub(crate) mod done;
pub(crate) mod extend;
pub(crate) mod get;
pub(crate) mod give_back;
pub(crate) mod join;
pub(crate) mod list;
pub(crate) mod purge;
pub(crate) mod put;
pub(crate) mod put_back;
pub(crate) mod show;
pub(crate) mod shutdown;
pub(crate) mod withdraw;

use caraway_shared::{
    coordination::{Address, Kind, Name, Order},
    task::OwnerId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

fn queue(owner: OwnerId, name: Name) -> Address {
    Address::new(owner, Kind::WorkQueue, name)
}

/// In which order items leave.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ItemOrder {
    /// The oldest first.
    Fifo,
    /// The newest first.
    Lifo,
    /// The lowest priority first, of equal ones the oldest.
    Priority,
}

impl From<Order> for ItemOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Fifo => Self::Fifo,
            Order::Lifo => Self::Lifo,
            Order::Priority => Self::Priority,
        }
    }
}

impl From<ItemOrder> for Order {
    fn from(order: ItemOrder) -> Self {
        match order {
            ItemOrder::Fifo => Self::Fifo,
            ItemOrder::Lifo => Self::Lifo,
            ItemOrder::Priority => Self::Priority,
        }
    }
}
