//! `/v1/users`: one file per endpoint. Only the operator sees others than its own.

pub(crate) mod create;
pub(crate) mod disable;
pub(crate) mod list;
pub(crate) mod quotas;
pub(crate) mod show;

use crate::problem::{Code, Problem};

/// No user of this id, for this caller.
pub(crate) fn user_not_found() -> Problem {
    Problem::new(Code::UserNotFound, "no user has this id")
}
