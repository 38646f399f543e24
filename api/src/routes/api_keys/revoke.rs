//! `DELETE /v1/api-keys/{id}`: a key that is good no more.

use actix_web::{HttpResponse, web::Data};
use tokio::time::Instant;

use crate::{
    callers::Caller,
    extract::KeyPath,
    problem::{Code, Problem},
    state::ApiState,
};

/// Revoke an API key
///
/// At once for the process that is asked, within 15 seconds for all. For ever, and safe to repeat.
#[utoipa::path(
    delete,
    path = "/v1/api-keys/{id}",
    operation_id = "revoke_api_key",
    tag = "users",
    params(KeyPath),
    responses((status = 204, description = "Revoked.")),
    extensions(("x-problems" = json!(KeyPath::PROBLEMS))),
)]
pub(crate) async fn revoke(
    state: Data<ApiState>,
    caller: Caller,
    KeyPath(id): KeyPath,
) -> Result<HttpResponse, Problem> {
    let owner = Some(caller.owner).filter(|_| !caller.is_operator());
    if !state.store.revoke_key(owner, id).await? {
        return Err(Problem::new(Code::ApiKeyNotFound, "no API key has this id"));
    }
    state.callers.read_since(Instant::now()).await.ok(); // without an answer the next read does it
    Ok(HttpResponse::NoContent().finish())
}
