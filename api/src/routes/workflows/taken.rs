//! What is answered to whoever submits a workflow, in whichever of its five forms: for the OpenAPI document, said once.

use std::collections::BTreeMap;

use caraway_shared::store::workflows::WorkflowView;
use serde_json::Value;
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder, link::Link},
};

use crate::openapi::examples;

const HEADERS: [(&str, &str); 3] = [
    ("Location", "The workflow's address."),
    ("Idempotency-Replayed", "`true` where the answer was given before."),
    ("Preference-Applied", "The wait that was applied."),
];

/// 202, or 200 where it has ended already.
pub(super) struct Taken;

impl IntoResponses for Taken {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let link = |operation| Link::builder().operation_id(operation).parameter("id", "$response.body#/id").build();
        let accepted = answer("Accepted; it can no longer be lost.", examples::workflow())
            .link("workflow", link("get_workflow"))
            .link("results", link("get_workflow_results"));
        let ended = answer("It has ended already.", examples::workflow_ended());
        [("202", accepted), ("200", ended)].map(|(status, answer)| (status.into(), answer.build().into())).into()
    }
}

fn answer(description: &str, example: Value) -> ResponseBuilder {
    let schema = Ref::from_schema_name(WorkflowView::name());
    let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
    let answer = ResponseBuilder::new().description(description).content("application/json", content);
    HEADERS.into_iter().fold(answer, |answer, (name, meaning)| {
        answer.header(name, HeaderBuilder::new().schema(Some(String::schema())).description(Some(meaning)).build())
    })
}
