//! `GET /cached-data/{key}`: a value, and nothing around it.

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

/// A value.
#[derive(Serialize, ToSchema)]
struct CachedData {
    /// Any JSON, as it was stored.
    value: Value,
}

/// Read a value
///
/// From the cache where it can, and never older than a change that was answered before. `Cache-Status` tells where it comes
/// from.
#[utoipa::path(
    get,
    path = "/cached-data/{key}",
    operation_id = "get_cached_data",
    tag = "data",
    params(DataPath, Condition),
    responses(
        (status = 200, description = "The value.", body = CachedData,
            headers(
                ("ETag" = String, description = "Of this version; send it as `If-None-Match`."),
                ("Cache-Status" = String, description = "Where it comes from (RFC 9211)."),
            ),
            example = json!({"value": "hello"})),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!([DataPath::PROBLEMS, [Code::DataNotFound, Code::Overloaded]]))),
)]
pub(crate) async fn cached(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    DataPath(key): DataPath,
) -> Result<HttpResponse, Problem> {
    let value = data::read(&state, caller.owner, key).await?;
    Ok(answer(&request, &value, |json| [b"{\"value\":", json, b"}"].concat()))
}
