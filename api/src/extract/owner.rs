//! Whose request it is.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use caraway_shared::task::OwnerId;

use crate::problem::Problem;

/// The account that a request acts for. There are no keys yet, and only loopback may ask: everybody is the local one.
#[derive(Clone, Copy)]
pub(crate) struct Owner(pub(crate) OwnerId);

impl FromRequest for Owner {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(OwnerId::LOCAL)))
    }
}
