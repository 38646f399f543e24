//! `GET /v1/data/{key}`: a value with its key and version.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::answer;
use crate::{
    callers::Caller,
    conditional::Condition,
    data,
    extract::DataPath,
    problem::{Code, Problem},
    state::ApiState,
};

/// A value, whole.
#[derive(Serialize, ToSchema)]
#[schema(as = DataValue)]
struct Shown {
    key: String,
    /// Rises with every change; the `ETag` is made of it.
    version: i64,
    /// Any JSON, as it was stored.
    value: Value,
}

/// Show a value
///
/// With its version, whose `ETag` is what `If-Match` of a change takes.
#[utoipa::path(
    get,
    path = "/v1/data/{key}",
    operation_id = "get_data",
    tag = "data",
    params(DataPath, Condition),
    responses(
        (status = 200, description = "The value.", body = Shown,
            headers(
                ("ETag" = String, description = "Of this version; send it as `If-None-Match`, or as `If-Match` of a change."),
                ("Cache-Status" = String, description = "Where it comes from (RFC 9211)."),
            ),
            example = json!({"key": "greeting", "version": 42, "value": "hello"})),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!([DataPath::PROBLEMS, [Code::DataNotFound, Code::Overloaded]]))),
)]
pub(crate) async fn show(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    DataPath(key): DataPath,
) -> Result<HttpResponse, Problem> {
    let value = data::read(&state, caller.owner, key.clone()).await?;
    // a key needs no escapes
    let head = format!("{{\"key\":\"{key}\",\"version\":{},\"value\":", value.version);
    Ok(answer(&request, &value, |json| [head.as_bytes(), json, b"}"].concat()))
}
