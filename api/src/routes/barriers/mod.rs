//! `/v1/barriers/{name}`: one file per endpoint.

pub(crate) mod arrive;
pub(crate) mod configure;
pub(crate) mod delete;
pub(crate) mod leave;
pub(crate) mod list;
pub(crate) mod mend;
pub(crate) mod show;

use caraway_shared::{
    coordination::{Address, Kind, Name},
    task::OwnerId,
};
use serde::Serialize;
use utoipa::ToSchema;

/// A barrier.
#[derive(Serialize, ToSchema)]
#[schema(as = Barrier)]
struct BarrierView {
    name: String,
    /// How many open it.
    #[schema(minimum = 1, maximum = 1000)]
    parties: i32,
    /// How many have arrived since it was last open.
    arrived: i64,
    /// How often it was open.
    generation: i64,
    /// Who arrives is refused, until it is reset.
    broken: bool,
}

fn barrier(owner: OwnerId, name: Name) -> Address {
    Address::new(owner, Kind::Barrier, name)
}
