//! What orders of owners and operators have in common: whose object is meant, and why.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use caraway_shared::{
    store::{AuditAction, AuditOrder},
    task::OwnerId,
};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Type,
        path::{Parameter, ParameterIn},
    },
};

use super::Query;
use crate::{
    callers::Caller,
    openapi::parameter,
    problem::{Code, Problem},
};

/// `?user_id=N` and `?reason=…` of an order.
pub(crate) struct OrderQuery {
    user: Option<OwnerId>,
    reason: Option<String>,
}

impl OrderQuery {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] =
        &[Code::BadRequest, Code::InvalidRequest, Code::UnknownParameter, Code::UserNotFound];

    /// Whose object is meant; somebody else's only for the operator.
    pub(crate) fn owner(&self, caller: &Caller) -> Result<OwnerId, Problem> {
        caller.whose(self.user)
    }

    /// What the audit log is to say of it.
    pub(crate) fn order(
        &self,
        caller: &Caller,
        action: AuditAction,
        object: &(impl ToString + ?Sized),
    ) -> Result<AuditOrder, Problem> {
        let order = caller.order(self.owner(caller)?, action, object);
        Ok(AuditOrder { reason: self.reason.clone(), ..order })
    }
}

/// `?user_id=N`, whose object is to be shown.
pub(crate) struct Whose(Option<OwnerId>);

impl Whose {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = OrderQuery::PROBLEMS;

    /// Whose object is meant; somebody else's only for the operator.
    pub(crate) fn owner(&self, caller: &Caller) -> Result<OwnerId, Problem> {
        caller.whose(self.0)
    }
}

impl IntoParams for Whose {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![user_parameter()]
    }
}

impl FromRequest for Whose {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Query::from_request(request, payload).into_inner().and_then(|mut query| {
            let user = query.user();
            query.finish(Self(user))
        }))
    }
}

/// `?user_id=N`, whose objects are meant.
pub(crate) fn user_parameter() -> Parameter {
    let id = ObjectBuilder::new().schema_type(Type::Integer);
    parameter::query("user_id", "Whose; left out: your own. For the operator only.", id)
}

impl IntoParams for OrderQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let reason = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(500));
        vec![user_parameter(), parameter::query("reason", "Why, for the audit log.", reason)]
    }
}

impl FromRequest for OrderQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Query::from_request(request, payload).into_inner().and_then(|mut query| {
            let (user, reason) = (query.user(), query.reason());
            query.finish(Self { user, reason })
        }))
    }
}
