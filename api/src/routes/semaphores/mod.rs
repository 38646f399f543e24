//! `/v1/semaphores/{name}`: one file per endpoint. A lock with many permits, so most of it is as there.

pub(crate) mod acquire;
pub(crate) mod break_open;
pub(crate) mod configure;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod release;
pub(crate) mod renew;
pub(crate) mod show;

use caraway_shared::{
    coordination::{Address, Kind, Name},
    task::OwnerId,
};

pub(crate) fn semaphore(owner: OwnerId, name: Name) -> Address {
    Address::new(owner, Kind::Semaphore, name)
}
