//! `PUT /v1/data/{key}`: stores a value, under a condition if one is given.

use std::time::Duration;

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::store::NewValue;
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::Written;
use crate::{
    callers::Caller,
    data,
    extract::{DataPath, Fields, JsonBody, Precondition, typed, version_tag},
    problem::{Code, Problem},
    state::ApiState,
};

/// A new value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the body is read field by field; this is its shape for the document")]
pub(crate) struct NewData {
    /// Any JSON.
    value: Value,
    /// Seconds after which it is gone, as if it had been deleted; left out, it lasts until it is changed.
    #[schema(minimum = 1, maximum = 31_536_000)]
    ttl: Option<f64>,
}

/// The longest time to live: a year.
const TTL_MAX: Duration = Duration::from_hours(365 * 24);

/// Store a value under a condition
///
/// With `If-Match` only over the version that it names, with `If-None-Match: *` only where there is nothing, else whatever is
/// there. When this is answered, every read that begins after it sees the new value. A value with a `ttl` is gone when that is over;
/// every change sets it anew, or takes it away.
#[utoipa::path(
    put,
    path = "/v1/data/{key}",
    operation_id = "put_data",
    tag = "data",
    params(DataPath, Precondition),
    request_body(content = NewData, example = json!({"value": {"text": "hello"}, "ttl": 3600})),
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
    let ttl = fields.optional("ttl", "must be a number of seconds from 1 to 31536000", ttl);
    let json = fields.finish(value)?;
    let value = NewValue { json: json.as_bytes(), ttl };
    let version = data::put(&state, &caller, &key, value, expected).await?;
    Ok(HttpResponse::Ok().insert_header(header::ETag(version_tag(version))).json(Written { key, version }))
}

fn ttl(value: &RawValue) -> Option<Duration> {
    let ttl = Duration::try_from_secs_f64(typed(value)?).ok()?;
    (Duration::from_secs(1)..=TTL_MAX).contains(&ttl).then_some(ttl)
}
