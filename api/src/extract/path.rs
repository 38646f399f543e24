//! Ids and keys in paths. What cannot be an id names nothing: 404, as for one that is unknown. Clients choose keys
//! themselves, so they are told what a key must be.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use caraway_shared::{
    access::KeyId,
    task::{OwnerId, TaskId},
};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Type,
        path::{Parameter, ParameterIn},
    },
};
use uuid::Uuid;

use crate::{
    openapi::parameter,
    problem::{Code, Fault, Problem},
    routes::users::user_not_found,
};

/// `{id}` of a task.
#[derive(Clone, Copy)]
pub(crate) struct TaskPath(pub(crate) TaskId);

/// `{id}` of an item.
#[derive(Clone, Copy)]
pub(crate) struct ItemPath(pub(crate) Uuid);

/// `{id}` of a workflow.
#[derive(Clone, Copy)]
pub(crate) struct WorkflowPath(pub(crate) Uuid);

impl WorkflowPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::WorkflowNotFound];
}

impl IntoParams for WorkflowPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::path_id("The workflow's id.")]
    }
}

impl FromRequest for WorkflowPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(id(request).map(Self).ok_or_else(workflow_not_found))
    }
}

/// `{key}` of cached data.
#[derive(Clone, Debug)]
pub(crate) struct DataPath(pub(crate) String);

impl TaskPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::TaskNotFound];
}

impl ItemPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::ItemNotFound];
}

impl DataPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::InvalidRequest];
}

impl IntoParams for TaskPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::path_id("The task's id.")]
    }
}

impl IntoParams for ItemPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::path_id("The item's id.")]
    }
}

impl IntoParams for DataPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(KEY_PATTERN));
        vec![parameter::path("key", "The value's name, your own choice.", "greeting", schema)]
    }
}

impl FromRequest for TaskPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(id(request).map(|id| Self(TaskId(id))).ok_or_else(task_not_found))
    }
}

impl FromRequest for ItemPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(id(request).map(Self).ok_or_else(item_not_found))
    }
}

impl FromRequest for DataPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let key = request.match_info().get("key").filter(|key| is_key(key));
        ready(key.map(|key| Self(key.into())).ok_or_else(|| {
            let detail = "must be 1 to 255 letters, digits and `_.:~@-`, and begin with a letter, a digit or `_`";
            let (pointer, code) = ("{key}".into(), Code::InvalidRequest);
            Problem::faults(vec![Fault { pointer, code, detail: detail.into() }])
        }))
    }
}

/// `{id}` of a user.
#[derive(Clone, Copy)]
pub(crate) struct UserPath(pub(crate) OwnerId);

/// `{id}` of an API key.
#[derive(Clone, Copy)]
pub(crate) struct KeyPath(pub(crate) KeyId);

impl UserPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::UserNotFound];
}

impl KeyPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::ApiKeyNotFound];
}

impl IntoParams for UserPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::path_number("The user's id.")]
    }
}

impl IntoParams for KeyPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::path_number("The key's id.")]
    }
}

impl FromRequest for UserPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(number(request).map(|id| Self(OwnerId(id))).ok_or_else(user_not_found))
    }
}

impl FromRequest for KeyPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let missing = || Problem::new(Code::ApiKeyNotFound, "no API key has this id");
        ready(number(request).map(|id| Self(KeyId(id))).ok_or_else(missing))
    }
}

/// As our answers write it: without a sign, and without zeros before it.
fn number(request: &HttpRequest) -> Option<i64> {
    let text = request.match_info().get("id")?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// No task of this owner has this id.
pub(crate) fn task_not_found() -> Problem {
    Problem::new(Code::TaskNotFound, "no task has this id")
}

/// No workflow of this owner has this id.
pub(crate) fn workflow_not_found() -> Problem {
    Problem::new(Code::WorkflowNotFound, "no workflow has this id")
}

/// No item of this owner has this id.
pub(crate) fn item_not_found() -> Problem {
    Problem::new(Code::ItemNotFound, "no item has this id")
}

/// No value of this owner has this key.
pub(crate) fn data_not_found() -> Problem {
    Problem::new(Code::DataNotFound, "nothing is stored under this key")
}

/// As [`is_key`] reads it.
const KEY_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9_.:~@-]{0,254}$";
const KEY_BYTES_MAX: usize = 255;

/// Names that stand in a path as they are, and in a Redis key between braces.
fn is_key(text: &str) -> bool {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:~@-".contains(&byte);
    begins && text.len() <= KEY_BYTES_MAX && text.bytes().all(goes_on)
}

fn id(request: &HttpRequest) -> Option<Uuid> {
    parse_id(request.match_info().get("id")?)
}

/// The one form that our answers use, so that a resource has one address.
pub(crate) fn parse_id(text: &str) -> Option<Uuid> {
    const HYPHENATED_CHARS: usize = 36;
    Uuid::try_parse(text).ok().filter(|_| text.len() == HYPHENATED_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain() {
        for good in ["a", "user:42", "_x", "0", "a.b~c@d-e", &"k".repeat(KEY_BYTES_MAX)] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", ".", "..", ":a", "a b", "a/b", "a%2Fb", "a{b}", "ä", "a\0", &"k".repeat(KEY_BYTES_MAX + 1)] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn one_form_only() {
        let id = "018f4b2e-7b1c-7000-8000-000000000001";
        assert_eq!(parse_id(id).map(|id| id.to_string()).as_deref(), Some(id));
        let others = ["", "1", "\0", "{018f4b2e-7b1c-7000-8000-000000000001}", "018f4b2e7b1c70008000000000000001", "x"];
        assert!(others.iter().all(|other| parse_id(other).is_none()));
    }
}
