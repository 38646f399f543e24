//! `/v1/conditions/{name}`: a line beside a lock's. One file per endpoint.

pub(crate) mod notify;
pub(crate) mod wait;

use crate::problem::Code;

/// What both may be refused for.
const PROBLEMS: &[Code] = &[Code::EmptyBody, Code::NotOwner, Code::LeaseLost, Code::LeaseInUse];
const LOCK_MUST: &str = "must be the name of a lock";
