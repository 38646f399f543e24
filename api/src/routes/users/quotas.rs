//! `PUT /v1/users/{id}/quotas`: how much a user may take.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    access::{QuotaChange, Quotas},
    store::UserView,
};
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::user_not_found;
use crate::{
    extract::{Fields, JsonBody, UserPath, typed},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// How much a user may take. Null is no limit.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewQuotas)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
pub(super) struct QuotasSchema {
    /// Tasks that are scheduled, waiting or queued.
    #[schema(minimum = 0)]
    queued_tasks: Option<i64>,
    /// Bytes of items, values by key and items of work queues, those that tasks have made included.
    #[schema(minimum = 0)]
    stored_bytes: Option<i64>,
    /// Requests a second, and how many may come at once.
    #[schema(minimum = 1, maximum = 1_000_000)]
    requests_per_second: Option<u32>,
}

/// Set a user's quotas
///
/// What is left out stays as it is; null ends a limit. They count within 15 seconds. What is there already stays, also where it is
/// more.
#[utoipa::path(
    put,
    path = "/v1/users/{id}/quotas",
    operation_id = "set_user_quotas",
    tag = "users",
    params(UserPath),
    request_body(content = QuotasSchema, example = json!({"queued_tasks": 10_000, "requests_per_second": 100})),
    responses((status = 200, description = "The user.", body = UserView, example = json!(examples::user()))),
    extensions(("x-problems" = json!([UserPath::PROBLEMS, JsonBody::PROBLEMS, [Code::EmptyBody]]))),
)]
pub(crate) async fn set(
    state: Data<ApiState>,
    UserPath(id): UserPath,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.required()?)?;
    let quotas = read(&mut fields);
    let quotas = fields.finish(Some(quotas))?;
    let user = state.store.set_quotas(id, quotas).await?.ok_or_else(user_not_found)?;
    state.callers.read_since(Instant::now()).await.ok(); // without an answer the next read does it
    Ok(HttpResponse::Ok().json(user))
}

/// The three quotas, of an object that has no other fields.
pub(super) fn read(fields: &mut Fields<'_>) -> QuotaChange {
    const COUNT: &str = "must be a whole number, at least 0";
    let count = |value: &RawValue| typed::<i64>(value).filter(|count| *count >= 0);
    let rate = |value: &RawValue| typed(value).filter(|rate| (1..=Quotas::REQUESTS_PER_SECOND_MAX).contains(rate));
    QuotaChange {
        queued_tasks: fields.nullable("queued_tasks", COUNT, count),
        stored_bytes: fields.nullable("stored_bytes", COUNT, count),
        requests_per_second: fields.nullable("requests_per_second", "must be a whole number from 1 to 1000000", rate),
    }
}
