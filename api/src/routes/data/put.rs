//! `PUT /v1/data/{key}`: stores a value, under a condition if one is given.

use actix_web::{HttpResponse, http::header, web::Data};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::Written;
use crate::{
    callers::Caller,
    data,
    extract::{DataPath, Fields, JsonBody, Precondition, version_tag},
    problem::{Code, Problem},
    state::ApiState,
};

/// A new value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the body is read field by field; this is its shape for the document")]
pub(crate) struct NewData {
    /// Any JSON.
    value: Value,
}

/// Store a value under a condition
///
/// With `If-Match` only over the version that it names, with `If-None-Match: *` only where there is nothing, else whatever is
/// there. When this is answered, every read that begins after it sees the new value.
#[utoipa::path(
    put,
    path = "/v1/data/{key}",
    operation_id = "put_data",
    tag = "data",
    params(DataPath, Precondition),
    request_body(content = NewData, example = json!({"value": {"text": "hello"}})),
    responses(
        (status = 200, description = "It is stored.", body = Written,
            headers(("ETag" = String, description = "Of this version.")), example = json!({"key": "greeting", "version": 43})),
    ),
    extensions(("x-problems" = json!([
        DataPath::PROBLEMS, Precondition::PROBLEMS, JsonBody::PROBLEMS, [Code::EmptyBody, Code::QuotaExceeded, Code::Overloaded]
    ]))),
)]
pub(crate) async fn put(
    state: Data<ApiState>,
    caller: Caller,
    DataPath(key): DataPath,
    Precondition(expected): Precondition,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.required()?)?;
    let value = fields.any("value").map(|value: &RawValue| value.get().to_owned());
    let json = fields.finish(value)?;
    let version = data::put(&state, &caller, &key, json.as_bytes(), expected).await?;
    Ok(HttpResponse::Ok().insert_header(header::ETag(version_tag(version))).json(Written { key, version }))
}
