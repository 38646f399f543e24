//! `/v1/locks/{name}`: one file per endpoint.

pub(crate) mod acquire;
pub(crate) mod break_open;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod release;
pub(crate) mod renew;
pub(crate) mod show;

use caraway_shared::{
    coordination::{Address, Kind, Name},
    task::OwnerId,
};

pub(crate) fn lock(owner: OwnerId, name: Name) -> Address {
    Address::new(owner, Kind::Lock, name)
}
