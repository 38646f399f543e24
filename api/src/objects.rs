//! Locks and their kind as things that are listed, broken and deleted: what their addresses do alike.
//!
//! Invariant: whatever takes something from who has it is logged, in the commit that does it.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload};
use caraway_shared::{
    coordination::{Address, Kind, Name, Op, Reply},
    store::{AuditAction, AuditOrder, coordination::ListedObject},
    task::OwnerId,
};
use serde::Serialize;
use serde_json::json;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        ObjectBuilder, Type,
        path::{Parameter, ParameterIn},
    },
};

use crate::{
    callers::Caller,
    cursor::PagedList,
    extract::{Fields, OrderQuery, Query, user_parameter},
    leases::{fence, refused},
    openapi::parameter,
    problem::{Code, Problem},
    routes::page,
    state::ApiState,
};

/// By name, whatever their kind.
const OBJECTS: PagedList<Name> = PagedList::new("objects");

/// What a page of objects can be asked for.
pub(crate) struct ObjectsQuery {
    user: Option<OwnerId>,
    after: Option<Name>,
    limit: i64,
}

impl ObjectsQuery {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] =
        &[Code::BadRequest, Code::InvalidRequest, Code::UnknownParameter, Code::UserNotFound];
}

impl IntoParams for ObjectsQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let cursor = ObjectBuilder::new().schema_type(Type::String);
        let limit = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(500));
        vec![
            user_parameter(),
            parameter::query("cursor", "The `next_cursor` of the page before.", cursor),
            parameter::query("limit", "Rows of a page.", limit.default(Some(50.into()))),
        ]
    }
}

impl FromRequest for ObjectsQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Query::from_request(request, payload).into_inner().and_then(|mut query| {
            let user = query.user();
            let after = query.cursor(&OBJECTS);
            let limit = query.limit();
            query.finish(Self { user, after, limit })
        }))
    }
}

/// A page of what is in use. It looks at 10,000 objects at most, so it may be short and have a next one.
pub(crate) async fn list<T: Serialize>(
    state: &ApiState,
    caller: &Caller,
    query: &ObjectsQuery,
    kind: Kind,
    view: impl Fn(ListedObject) -> T,
) -> Result<HttpResponse, Problem> {
    let owner = caller.whose(query.user)?;
    let after = query.after.as_ref().map_or("", Name::as_str);
    let (found, next) = state.store.list_objects(owner, kind, after, query.limit).await?;
    let next: Option<Name> = next.map(|name| name.parse()).transpose().map_err(Problem::internal)?;
    Ok(page(found.into_iter().map(view).collect::<Vec<_>>(), next.map(|name| OBJECTS.cursor(&name))))
}

/// What is to be broken.
#[derive(ToSchema)]
#[schema(as = BrokenLease)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
pub(crate) struct BreakSchema {
    /// The fence of the lease, as `holders` tell it.
    #[schema(pattern = "^[0-9]{1,18}$")]
    fence: String,
}

/// What breaking may be refused for.
pub(crate) const BREAK_PROBLEMS: &[Code] = &[Code::EmptyBody, Code::LeaseNotFound, Code::LeaseInUse];

/// Ends the leases of a fence, whoever holds them.
pub(crate) async fn break_open(
    state: &ApiState,
    address: &Address,
    order: AuditOrder,
    body: &[u8],
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body)?;
    let fence = fields.required("fence", "must be a fence, a string of digits", fence);
    let fence = fields.finish(fence)?;
    let order = AuditOrder { detail: Some(json!({"fence": fence.to_string()})), ..order };
    match state.coordination.order(address, Op::Break(fence), order).await? {
        Reply::Released => Ok(HttpResponse::NoContent().finish()),
        Reply::Missing => Err(Problem::new(Code::LeaseNotFound, "nobody holds it with this fence now")),
        other => Err(refused(&other)),
    }
}

/// What deleting may be refused for.
pub(crate) const DELETE_PROBLEMS: &[Code] = &[Code::LeaseInUse];

/// Deletes an object. Safe to repeat: what is not there is gone.
pub(crate) async fn delete(
    state: &ApiState,
    caller: &Caller,
    query: &OrderQuery,
    (kind, name): (Kind, Name),
    action: AuditAction,
) -> Result<HttpResponse, Problem> {
    let order = query.order(caller, action, &name)?;
    let address = Address::new(order.owner, kind, name);
    match state.coordination.order(&address, Op::Delete, order).await? {
        Reply::Done(_) | Reply::Missing => Ok(HttpResponse::NoContent().finish()),
        other => Err(refused(&other)),
    }
}
