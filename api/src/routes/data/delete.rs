//! `DELETE /v1/data/{key}`: removes a value, under a condition if one is given.

use actix_web::{HttpResponse, web::Data};

use crate::{
    callers::Caller,
    data,
    extract::{DataPath, Precondition},
    problem::{Code, Problem},
    state::ApiState,
};

/// Delete a value
///
/// With `If-Match` only the version that it names. When this is answered, no read that begins after it finds the value.
#[utoipa::path(
    delete,
    path = "/v1/data/{key}",
    operation_id = "delete_data",
    tag = "data",
    params(DataPath, Precondition),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-problems" = json!([DataPath::PROBLEMS, Precondition::PROBLEMS, [Code::DataNotFound]]))),
)]
pub(crate) async fn delete(
    state: Data<ApiState>,
    caller: Caller,
    DataPath(key): DataPath,
    Precondition(expected): Precondition,
) -> Result<HttpResponse, Problem> {
    data::delete(&state, caller.owner, &key, expected).await?;
    Ok(HttpResponse::NoContent().finish())
}
