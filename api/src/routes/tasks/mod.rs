//! `/v1/tasks`: one file per endpoint.

mod arguments;
pub(crate) mod attempts;
pub(crate) mod batch;
pub(in crate::routes) mod bounds;
pub(crate) mod cancel;
pub(crate) mod cancel_many;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod reschedule;
pub(crate) mod result;
pub(crate) mod retry;
pub(crate) mod retry_many;
mod selection;
pub(crate) mod show;
pub(crate) mod submission;
pub(crate) mod submit;
pub(crate) mod wait;
