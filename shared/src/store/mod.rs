//! All of Caraway's SQL. PostgreSQL is the only truth: whatever the other two servers say is a hint or a copy.
//!
//! Invariants: every change of a task is one guarded UPDATE on `(id, state, epoch)` under READ COMMITTED; every
//! reconciler repeats its whole condition in its own WHERE; no transaction outlives a function of this module; times are
//! the database's, never a process's.
//!
//! A guard stands in brackets with `IS TRUE`: then no index can serve it, and the planner finds the row by what stands
//! before it. To a planner that last saw an empty table, as on every new installation, all indexes look alike, and it was
//! seen to look up each of 256 rows by a condition that all of them met.

mod api_keys;
mod audit;
mod audit_log;
mod batch;
mod cache_outbox;
mod connection;
pub mod coordination;
mod data;
mod database_state;
mod durability;
mod edits;
mod error;
mod items;
mod paces;
mod pool;
mod quarantine;
mod queues;
mod retention;
mod schema;
mod sessions;
mod stored_bytes;
mod task_types;
pub mod tasks;
mod users;
pub mod workflows;

pub use api_keys::{Access, KeyView, LiveKey, NewKey};
pub use audit_log::{AuditAction, AuditEntry, AuditOrder};
pub use batch::{Batched, Writer};
pub use cache_outbox::OwedInvalidation;
pub use data::{Changed, DATA, Expected, NewValue};
pub use database_state::DatabaseState;
pub use error::{StoreError, WriteError};
pub use items::{CHUNK_BYTES, Item, ItemSearch, NewItem, Upload};
pub use paces::{ServedQueue, TypePace};
pub use pool::{Store, StoreConfig};
pub use quarantine::QuarantineView;
pub use queues::QueueView;
pub use retention::{Keep, Walked};
pub use schema::{SchemaError, SchemaState};
pub use sessions::{BeatAnswer, LoadedQueue, NewSession, SeenSession, WorkerView};
pub use stored_bytes::Storable;
pub use task_types::TaskType;
pub use users::UserView;
