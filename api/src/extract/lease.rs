//! What requests about locks and their kin have in common: names, ids that their clients choose, the secret of a lease, and for
//! how long an answer may be waited for.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use caraway_shared::coordination::Name;
use sha2::{Digest, Sha256};
use utoipa::{
    IntoParams,
    openapi::{
        KnownFormat, ObjectBuilder, SchemaFormat, Type,
        path::{Parameter, ParameterIn},
    },
};
use uuid::Uuid;

use super::{parse_id, wait};
use crate::{
    openapi::{examples, parameter},
    problem::{Code, Fault, Problem},
};

const NAME_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}$";
const SECRET_BYTES_MAX: usize = 256;

/// `{name}` in a path.
pub(crate) struct NamePath(pub(crate) Name);

/// `{name}` and `{lease_id}` in a path.
pub(crate) struct LeasePath(pub(crate) Name, pub(crate) Uuid);

/// `{name}` and `{item_id}` in a path.
pub(crate) struct ItemOfQueue(pub(crate) Name, pub(crate) Uuid);

/// `{name}` and `{arrival_id}` in a path.
pub(crate) struct ArrivalPath(pub(crate) Name, pub(crate) Uuid);

/// SHA-256 of `Lease-Secret`.
pub(crate) struct LeaseSecret(pub(crate) Option<Vec<u8>>);

/// `?wait=N`, of what is waited for here.
pub(crate) struct LeaseWait(pub(crate) Duration);

impl NamePath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::InvalidRequest];
}

impl LeasePath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::InvalidRequest];
}

impl ItemOfQueue {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::InvalidRequest];
}

impl ArrivalPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::InvalidRequest];
}

impl LeaseSecret {
    /// What may come of one.
    pub(crate) const PROBLEMS: &[Code] = &[Code::InvalidRequest, Code::WrongSecret];
}

impl LeaseWait {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::InvalidRequest];
}

fn name_parameter() -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(NAME_PATTERN));
    parameter::path("name", "Its name, your own choice. Each user has names of its own.", "account:42", schema)
}

fn id_parameter(name: &str, description: &str) -> Parameter {
    let uuid = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    let id = ObjectBuilder::new().schema_type(Type::String).format(Some(uuid));
    parameter::path(name, description, examples::LEASE_ID, id)
}

impl IntoParams for NamePath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![name_parameter()]
    }
}

impl IntoParams for LeasePath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![name_parameter(), id_parameter("lease_id", "The lease's id, your own choice: a UUID.")]
    }
}

impl IntoParams for ItemOfQueue {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![name_parameter(), id_parameter("item_id", "The item's id, your own choice: a UUID.")]
    }
}

impl IntoParams for ArrivalPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![name_parameter(), id_parameter("arrival_id", "The arrival's id, your own choice: a UUID.")]
    }
}

impl IntoParams for LeaseSecret {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "A secret of your choice, up to 256 visible characters. A lease that was asked for with one is \
                           renewed and given back with the same only. Kept as a hash.";
        vec![parameter::header("Lease-Secret", description, "correct-horse-battery", ObjectBuilder::new())]
    }
}

impl IntoParams for LeaseWait {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let seconds = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).default(Some(0.into()));
        let description = "Wait for it, at most for this many seconds; more than 60 count as 60. To wait longer, repeat the \
                           request: the place in the line is kept for 15 seconds.";
        vec![parameter::query("wait", description, seconds)]
    }
}

impl FromRequest for NamePath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(name(request).map(Self))
    }
}

impl FromRequest for LeasePath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(name(request).and_then(|name| Ok(Self(name, id(request, "lease_id")?))))
    }
}

impl FromRequest for ItemOfQueue {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(name(request).and_then(|name| Ok(Self(name, id(request, "item_id")?))))
    }
}

impl FromRequest for ArrivalPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(name(request).and_then(|name| Ok(Self(name, id(request, "arrival_id")?))))
    }
}

impl FromRequest for LeaseSecret {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all("lease-secret");
        let secret = match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) if is_secret(value.as_bytes()) => Ok(Some(Sha256::digest(value.as_bytes()).to_vec())),
            _ => Err(invalid("Lease-Secret", "takes one string of 1 to 256 visible characters")),
        };
        ready(secret.map(Self))
    }
}

impl FromRequest for LeaseWait {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(wait::QueryWait::from_request(request, payload).into_inner().map(|wait| Self(wait.0)))
    }
}

fn name(request: &HttpRequest) -> Result<Name, Problem> {
    let name = request.match_info().get("name").unwrap_or_default();
    name.parse().map_err(|error: caraway_shared::coordination::NoName| invalid("{name}", &error.to_string()))
}

fn id(request: &HttpRequest, parameter: &str) -> Result<Uuid, Problem> {
    let id = request.match_info().get(parameter).and_then(parse_id);
    id.ok_or_else(|| invalid(&format!("{{{parameter}}}"), "must be a UUID in lower case with hyphens"))
}

fn is_secret(value: &[u8]) -> bool {
    (1..=SECRET_BYTES_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

fn invalid(pointer: &str, detail: &str) -> Problem {
    let (pointer, detail) = (pointer.to_owned(), detail.to_owned());
    Problem::faults(vec![Fault { pointer, code: Code::InvalidRequest, detail }])
}
