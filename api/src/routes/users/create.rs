//! `POST /v1/users`: a new account.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::{access::Quotas, store::UserView, task::TaskName};
use utoipa::ToSchema;

use super::quotas::{self, QuotasSchema};
use crate::{
    extract::{Fields, JsonBody, typed},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// A user to be.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
pub(super) struct NewUserSchema {
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
    name: String,
    quotas: Option<QuotasSchema>,
}

/// Make a user
///
/// An account that owns tasks, items and keys. It has no key yet: make one with `user_id` at `POST /v1/api-keys`.
#[utoipa::path(
    post,
    path = "/v1/users",
    operation_id = "create_user",
    tag = "users",
    request_body(content = NewUserSchema, example = json!({"name": "shop", "quotas": {"queued_tasks": 10_000}})),
    responses((
        status = 201, description = "Made.", body = UserView,
        headers(("Location" = String, description = "The user's address.")), example = json!(examples::user()),
    )),
    extensions(("x-problems" = json!([JsonBody::PROBLEMS, [Code::EmptyBody, Code::NameTaken]]))),
)]
pub(crate) async fn create(state: Data<ApiState>, body: JsonBody) -> Result<HttpResponse, Problem> {
    let (name, quotas) = read(body.required()?)?;
    let taken = || Problem::new(Code::NameTaken, format!("another user is named {name}"));
    let user = state.store.create_user(&name, quotas).await?.ok_or_else(taken)?;
    Ok(HttpResponse::Created().insert_header((header::LOCATION, format!("/v1/users/{}", user.id))).json(user))
}

fn read(body: &[u8]) -> Result<(String, Quotas), Problem> {
    let mut fields = Fields::of(body)?;
    // by the rule of all names
    let name =
        fields.required("name", "must be a name: a letter, then up to 127 letters, digits, '_', '.' or '-'", |value| {
            typed::<TaskName>(value).map(|name| name.to_string())
        });
    let quotas = fields.object("quotas", quotas::read).unwrap_or_default().of_new_user();
    fields.finish(name.map(|name| (name, quotas)))
}
