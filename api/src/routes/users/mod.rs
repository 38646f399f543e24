//! `/v1/users`: one file per endpoint. Only the operator sees others than its own.

pub(crate) mod create;
pub(crate) mod disable;
pub(crate) mod list;
pub(crate) mod quotas;
pub(crate) mod show;

use caraway_shared::access::Quotas;
use serde_json::value::RawValue;

use crate::{
    extract::{Fields, typed},
    problem::{Code, Problem},
};

/// No user of this id, for this caller.
pub(crate) fn user_not_found() -> Problem {
    Problem::new(Code::UserNotFound, "no user has this id")
}

/// The three quotas, of an object that has no others.
fn read_quotas(fields: &mut Fields<'_>) -> Quotas {
    const COUNT: &str = "must be a whole number, at least 0";
    let count = |value: &RawValue| typed::<i64>(value).filter(|count| *count >= 0);
    Quotas {
        queued_tasks: fields.optional("queued_tasks", COUNT, count),
        stored_bytes: fields.optional("stored_bytes", COUNT, count),
        requests_per_second: fields.optional(
            "requests_per_second",
            "must be a whole number from 1 to 1000000",
            |value| typed(value).filter(|rate| (1..=Quotas::REQUESTS_PER_SECOND_MAX).contains(rate)),
        ),
    }
}
