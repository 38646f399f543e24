//! What happens around every handler, from the outside in; `startup.rs` and `routes/mod.rs` put it together.
//!
//! | file | does |
//! |---|---|
//! | `observe.rs` | request id, time, one log line, one metric, headers that every answer has |
//! | `cors.rs` | lets web pages of the origins in the setting call |
//! | `unread.rs` | keeps a connection clean when an answer comes before its request was read |
//! | `answer.rs` | one layer for the next three |
//! | `compress.rs` | compresses large answers where the client takes that |
//! | `problems.rs` | writes every error as a problem document |
//! | `gate.rs` | lets nobody in before the database is prepared |
//! | `deadline.rs` | lets nobody wait for ever, around the guard |
//! | `guard.rs` | lets in who has the scope that the route needs, and not more often than its user may |

mod answer;
mod compress;
mod cors;
mod deadline;
mod gate;
mod guard;
mod observe;
mod problems;
mod unread;

pub(crate) use answer::answer;
pub(crate) use compress::{gzip, takes_gzip};
pub(crate) use cors::cors;
pub(crate) use deadline::guarded_in_time;
pub(crate) use gate::is_always_open;
pub(crate) use guard::Needs;
pub(crate) use observe::{RequestId, observe};
pub(crate) use unread::unread;
