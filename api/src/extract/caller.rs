//! On whose behalf a request acts: what `middleware/guard.rs` found out. A handler of an address that needs nothing has no
//! caller; asking for one there is a bug, and a 500.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};

use crate::{
    callers::Caller,
    problem::{Code, Problem},
};

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        ready(caller.ok_or_else(|| Problem::internal("a handler asks for the caller of an address that needs none")))
    }
}

/// A caller whose key is good for every queue: a workflow may have tasks of any, and is shown and ended as a whole.
pub(crate) struct OfAllQueues(pub(crate) Caller);

impl OfAllQueues {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::QueueForbidden];
}

impl FromRequest for OfAllQueues {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::from_request(request, payload).into_inner();
        let narrow = || {
            Problem::new(Code::QueueForbidden, "this key is for some queues only, and a workflow may have tasks of any")
        };
        ready(caller.and_then(|caller| if caller.covers_all() { Ok(Self(caller)) } else { Err(narrow()) }))
    }
}
