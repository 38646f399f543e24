//! `/v1/api-keys`: one file per endpoint. About the caller's own user; the operator may speak for others.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use caraway_shared::task::OwnerId;

use super::users::user_not_found;
use crate::{callers::Caller, problem::Problem};

/// Whose keys are meant: the caller's, where nobody else is named.
fn whose(caller: &Caller, named: Option<i64>) -> Result<OwnerId, Problem> {
    let owner = named.map_or(caller.owner, OwnerId);
    if owner == caller.owner || caller.is_operator() { Ok(owner) } else { Err(user_not_found()) }
}
