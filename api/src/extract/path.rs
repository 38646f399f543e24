//! Ids in paths. What cannot be an id names nothing: 404, as for one that is unknown.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use caraway_shared::task::TaskId;
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};
use uuid::Uuid;

use crate::{
    openapi::parameter,
    problem::{Code, Problem},
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

impl TaskPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::TaskNotFound];
}

impl ItemPath {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::ItemNotFound];
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
    fn one_form_only() {
        let id = "018f4b2e-7b1c-7000-8000-000000000001";
        assert_eq!(parse_id(id).map(|id| id.to_string()).as_deref(), Some(id));
        let others = ["", "1", "\0", "{018f4b2e-7b1c-7000-8000-000000000001}", "018f4b2e7b1c70008000000000000001", "x"];
        assert!(others.iter().all(|other| parse_id(other).is_none()));
    }
}
