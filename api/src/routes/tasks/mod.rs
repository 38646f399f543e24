//! `/v1/tasks`: one file per endpoint.

mod arguments;
pub(crate) mod attempts;
pub(crate) mod batch;
pub(crate) mod cancel;
pub(crate) mod result;
pub(crate) mod show;
pub(crate) mod submission;
pub(crate) mod submit;
