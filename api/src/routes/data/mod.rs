//! Cached data: one file per endpoint. The first two are for those who want a value and nothing else, the others know
//! versions and conditions.

pub(crate) mod cached;
pub(crate) mod delete;
pub(crate) mod put;
pub(crate) mod show;
pub(crate) mod update;

use actix_web::{HttpRequest, HttpResponse, http::header::ContentType};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    conditional::Conditional,
    data::{CACHE_STATUS, Value},
    extract::version_tag,
};

/// A value and its version.
#[derive(Serialize, ToSchema)]
#[schema(as = Data)]
struct Written {
    key: String,
    /// Rises with every change; the `ETag` is made of it.
    version: i64,
}

/// Answers with a value in this document, or 304.
fn answer(request: &HttpRequest, value: &Value, document: impl FnOnce(&[u8]) -> Vec<u8>) -> HttpResponse {
    let Conditional { mut response, fresh } = Conditional::new(request, version_tag(value.version));
    response.insert_header((CACHE_STATUS, value.cache_status.clone()));
    if fresh { response.content_type(ContentType::json()).body(document(&value.json)) } else { response.finish() }
}
