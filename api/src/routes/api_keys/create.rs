//! `POST /v1/api-keys`: a new key, whose secret is shown here and never again.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::{
    access::{Grant, Key, Pattern, Scope},
    store::{KeyView, NewKey},
    task::OwnerId,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, typed},
    openapi::examples,
    problem::{Code, Fault, Problem},
    routes::users::user_not_found,
    state::ApiState,
};

const NAME_CHARS_MAX: usize = 128;
/// Each of them once.
const SCOPES_MAX: usize = 4;

/// A key to be.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct NewKeySchema {
    /// For people.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    #[schema(min_items = 1, max_items = 4)]
    scopes: Vec<Scope>,
    /// Patterns, in which `*` stands for anything, up to three times. Left out: all queues. `admin` goes with all.
    #[schema(max_items = 20)]
    queues: Option<Vec<String>>,
    /// From when on it is refused.
    expires_at: Option<Timestamp>,
    /// Whose; left out: your own. For the operator only.
    user_id: Option<i64>,
}

/// A new key, with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiKey)]
struct Made {
    /// To be sent as `Authorization: Bearer …`. It is shown only now.
    key: String,
    #[serde(flatten)]
    kept: KeyView,
}

struct Wanted {
    name: String,
    grant: Grant,
    expires_at: Option<Timestamp>,
    user_id: Option<i64>,
}

/// Make an API key
///
/// The answer holds the key itself, this once. To change one for another, make the other first: a user may have several.
/// The first key of an installation closes it to whoever has none, within 15 seconds.
#[utoipa::path(
    post,
    path = "/v1/api-keys",
    operation_id = "create_api_key",
    tag = "users",
    request_body(content = NewKeySchema, example = json!({"name": "shop", "scopes": ["submit", "read"], "queues": ["mail.*"]})),
    responses((status = 201, description = "Made.", body = Made, example = json!(examples::made_key()))),
    extensions(("x-problems" = json!([JsonBody::PROBLEMS, [Code::EmptyBody, Code::UserNotFound, Code::TooManyKeys]]))),
)]
pub(crate) async fn create(state: Data<ApiState>, caller: Caller, body: JsonBody) -> Result<HttpResponse, Problem> {
    let wanted = read(body.required()?)?;
    let owner = caller.whose(wanted.user_id.map(OwnerId))?;
    if caller.is_open() {
        check_first(&wanted, owner)?;
    }
    state.store.user(owner).await?.ok_or_else(user_not_found)?;
    let secret = rand::random();
    let hmac = state.store.key_secret().await?.hmac(&secret);
    let new = NewKey { owner, name: wanted.name, grant: wanted.grant, expires_at: wanted.expires_at, hmac };
    let too_many =
        || Problem::new(Code::TooManyKeys, "this user, or the whole installation, has as many keys as it may have");
    let kept = state.store.create_key(&new).await?.ok_or_else(too_many)?;
    // the first one closes this process at once; without an answer the next read does
    state.callers.read_since(tokio::time::Instant::now()).await.ok();
    let made = Made { key: Key::new(kept.id, secret).reveal(), kept };
    Ok(HttpResponse::Created().insert_header((header::CACHE_CONTROL, "no-store")).json(made))
}

/// The first key closes the installation, so it must be one that can make others: else nobody could over HTTP.
fn check_first(wanted: &Wanted, owner: OwnerId) -> Result<(), Problem> {
    let fault = |pointer: &str, detail: &str| Fault {
        pointer: pointer.into(),
        code: Code::InvalidRequest,
        detail: detail.into(),
    };
    let checks = [
        (wanted.grant.has(Scope::Admin), "/scopes", "must hold admin in the first key, with which the others are made"),
        (owner == OwnerId::LOCAL, "/user_id", "must be user 1 in the first key, who runs the installation"),
        (
            wanted.expires_at.is_none(),
            "/expires_at",
            "must be left out in the first key, with which the others are made",
        ),
    ];
    let faults: Vec<_> =
        checks.iter().filter(|(is_good, ..)| !is_good).map(|(_, pointer, detail)| fault(pointer, detail)).collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::faults(faults)) }
}

fn read(body: &[u8]) -> Result<Wanted, Problem> {
    let mut fields = Fields::of(body)?;
    let name = fields.required("name", "must be a string of 1 to 128 characters", |value| {
        typed::<String>(value).filter(|name| (1..=NAME_CHARS_MAX).contains(&name.chars().count()))
    });
    let scopes = fields.required("scopes", "must be a list of submit, read, cancel, admin", |value| {
        typed::<Vec<Scope>>(value).filter(|scopes| scopes.len() <= SCOPES_MAX)
    });
    let queues = fields.optional("queues", "must be a list of up to 20 patterns of queues' names", patterns);
    let expires_at = fields.instant("expires_at");
    let user_id = fields.optional("user_id", "must be a user's id", typed);
    let grant = match scopes.map(|scopes| Grant::new(scopes, queues.unwrap_or_default())) {
        Some(Err(error)) => {
            fields.refuse("scopes", &error.to_string());
            None
        }
        Some(Ok(grant)) => Some(grant),
        None => None,
    };
    fields.finish(name.zip(grant).map(|(name, grant)| Wanted { name, grant, expires_at, user_id }))
}

fn patterns(value: &RawValue) -> Option<Vec<Pattern>> {
    let patterns = typed::<Vec<String>>(value).filter(|patterns| patterns.len() <= Grant::PATTERNS_MAX)?;
    patterns.iter().map(|pattern| pattern.parse().ok()).collect()
}
