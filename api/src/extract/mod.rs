//! From what came over HTTP to values that are known to be good. Whatever is wrong becomes a problem here; inside,
//! invalid values do not exist.

mod body;
mod caller;
mod fields;
mod idempotency;
mod json;
mod lease;
mod order;
mod parameters;
mod path;
mod precondition;
mod query;
mod traceparent;
pub(crate) mod wait;

pub(crate) use body::{BodyLimit, Patience, broken};
pub(crate) use caller::OfAllQueues;
pub(crate) use fields::{Fields, typed};
pub(crate) use idempotency::IdempotencyKey;
pub(crate) use json::{JsonBody, read_json};
pub(crate) use lease::{ArrivalPath, ItemOfQueue, LeasePath, LeaseSecret, LeaseWait, NamePath};
pub(crate) use order::{OrderQuery, Whose, user_parameter};
pub(crate) use parameters::KnownParameters;
pub(crate) use path::{
    DataPath, ItemPath, KeyPath, TaskPath, UserPath, WorkflowPath, data_not_found, item_not_found, parse_id,
    task_not_found, workflow_not_found,
};
pub(crate) use precondition::{Precondition, version_tag};
pub(crate) use query::Query;
pub(crate) use traceparent::{Traceparent, traceparent};
pub(crate) use wait::{PreferWait, QueryWait, wait_asked};
