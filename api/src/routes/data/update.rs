//! `POST /update-data/{key}`: stores a value, whatever was there.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::store::{Expected, NewValue as Stored};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        ObjectBuilder, Type,
        path::{Parameter, ParameterIn},
    },
};

use crate::{
    callers::Caller,
    data,
    extract::{DataPath, Fields, JsonBody, Query, version_tag},
    openapi::parameter,
    problem::{Code, Problem},
    state::ApiState,
};

/// A new value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the body is read field by field; this is its shape for the document")]
pub(crate) struct DataUpdate {
    /// Any JSON.
    new_value: Value,
}

/// That it was done.
#[derive(Serialize, ToSchema)]
struct Updated {
    message: &'static str,
}

/// `new_value` in the query.
pub(crate) struct NewValue;

impl IntoParams for NewValue {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The new value, a string; or send a body with any JSON.";
        vec![parameter::query("new_value", description, ObjectBuilder::new().schema_type(Type::String))]
    }
}

/// Store a value
///
/// Given in the query, as a string, or in the body, as any JSON. It creates what is not there, and lasts until it is changed. When this is answered, every
/// read that begins after it sees the new value, in every process; that takes a second where the cache does not answer.
#[utoipa::path(
    post,
    path = "/update-data/{key}",
    operation_id = "update_data",
    tag = "data",
    params(DataPath, NewValue),
    request_body(content = Option<DataUpdate>, example = json!({"new_value": {"text": "hello"}})),
    responses(
        (status = 200, description = "It is stored.", body = Updated,
            headers(("ETag" = String, description = "Of this version.")),
            example = json!({"message": "Data updated and cache invalidated"})),
    ),
    extensions(("x-problems" = json!([
        DataPath::PROBLEMS, Query::PROBLEMS, JsonBody::PROBLEMS, [Code::QuotaExceeded, Code::Overloaded]
    ]))),
)]
pub(crate) async fn update(
    state: Data<ApiState>,
    caller: Caller,
    DataPath(key): DataPath,
    query: Query,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let json = new_value(query, &body)?;
    let value = Stored { json: json.as_bytes(), ttl: None };
    let version = data::put(&state, &caller, &key, value, Expected::Any).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header(header::ETag(version_tag(version)));
    Ok(response.json(Updated { message: "Data updated and cache invalidated" }))
}

/// From the query or from the body, and not from both.
fn new_value(mut query: Query, body: &JsonBody) -> Result<String, Problem> {
    let told: Option<String> = query.optional("new_value", "must be a string", |value| Some(value.into()));
    let body = body.optional();
    match (&told, body) {
        (Some(_), Some(_)) => query.refuse("new_value", "is given, and so is a body; send one of them"),
        (None, None) => query.refuse("new_value", "is missing, and so is a body"),
        _ => (),
    }
    let told = query.finish(told)?;
    match (told, body) {
        (None, Some(body)) => from_body(body),
        (told, _) => serde_json::to_string(&told.unwrap_or_default()).map_err(Problem::internal),
    }
}

fn from_body(body: &[u8]) -> Result<String, Problem> {
    let mut fields = Fields::of(body)?;
    let value = fields.any("new_value").map(|value: &RawValue| value.get().to_owned());
    fields.finish(value)
}
