//! `/v1/api-keys`: one file per endpoint. About the caller's own user; the operator may speak for others.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;
