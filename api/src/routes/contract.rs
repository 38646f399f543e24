//! `GET /openapi.json` for programs, `GET /docs` for people: the same contract, made when it is first asked for.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data},
};

use crate::{
    conditional::{Condition, Conditional, tag_of},
    pages::{Contract, STYLE},
    problem::Problem,
};

/// Read this document
///
/// The contract of this API in OpenAPI 3.1, generated from its code.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi",
    tag = "contract",
    params(Condition),
    responses(
        (status = 200, description = "The document.", body = Object, example = json!({"openapi": "3.1.0", "info": {}, "paths": {}})),
        (status = 304, description = "It has not changed."),
    ),
)]
pub(crate) async fn openapi(request: HttpRequest, contract: Data<Contract>) -> Result<HttpResponse, Problem> {
    Ok(contract.pages()?.openapi.json(&request))
}

/// Find the documentation
///
/// Leads to `/docs`.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "get_root",
    tag = "contract",
    responses((status = 307, description = "The documentation is at `/docs`.",
        headers(("Location" = String, description = "`/docs`.")))),
)]
pub(crate) async fn root() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, "/docs")).finish()
}

/// Read the documentation
///
/// This document as a page for people.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "get_docs",
    tag = "contract",
    params(Condition),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "It has not changed."),
    ),
)]
pub(crate) async fn docs(request: HttpRequest, contract: Data<Contract>) -> Result<HttpResponse, Problem> {
    Ok(contract.pages()?.docs.html(&request))
}

/// Fetch the pages' style sheet
#[utoipa::path(
    get,
    path = "/docs/style.css",
    operation_id = "get_docs_style",
    tag = "contract",
    params(Condition),
    responses(
        (status = 200, description = "The style sheet.", body = String, content_type = "text/css"),
        (status = 304, description = "It has not changed."),
    ),
)]
pub(crate) async fn style(request: HttpRequest) -> HttpResponse {
    let Conditional { mut response, fresh } = Conditional::new(&request, tag_of(STYLE.as_bytes()));
    response.content_type("text/css; charset=utf-8");
    if fresh { response.body(Bytes::from_static(STYLE.as_bytes())) } else { response.finish() }
}
