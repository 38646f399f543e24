//! `GET /problems` and `/problems/{code}`: the catalogue of codes. The `type` of every problem document is an address
//! here. Browsers get pages, programs get JSON.

use actix_web::{HttpRequest, HttpResponse, http::header, web::Path};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    pages,
    problem::{Code, Problem},
    routes::{List, listed},
};

/// A code as the API explains it.
#[derive(Serialize, ToSchema)]
#[schema(as = ProblemKind)]
struct CodeView {
    code: Code,
    /// The HTTP status that goes with it, always the same.
    status: u16,
    /// The kind of problem in a few words, always the same.
    title: &'static str,
    /// What it means.
    meaning: &'static str,
    /// What a client should do about it.
    remedy: &'static str,
    /// Whether the same request may well succeed later.
    retryable: bool,
    /// A document of this kind.
    #[schema(value_type = Problem)]
    example: Value,
}

/// List the problems
///
/// Every code that a problem document can carry. A page where `Accept` prefers HTML.
#[utoipa::path(
    get,
    path = "/problems",
    operation_id = "list_problems",
    tag = "contract",
    responses((status = 200, description = "All of them.", content(
        (List<CodeView> = "application/json", example = json!({"data": [CodeView::from(Code::TaskNotFound)]})),
        (String = "text/html"),
    ))),
)]
pub(crate) async fn all(request: HttpRequest) -> Result<HttpResponse, Problem> {
    if pages::wants_html(&request) {
        return Ok(pages::html(&request, pages::overview()?));
    }
    Ok(listed(&Code::ALL.iter().copied().map(CodeView::from).collect::<Vec<_>>()))
}

/// Explain a problem
///
/// What a code means, what to do about it, and what it looks like. The `type` of a problem document leads here. A page
/// where `Accept` prefers HTML.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "get_problem",
    tag = "contract",
    params(("code" = Code, Path, description = "The code.")),
    responses((status = 200, description = "The explanation.", content(
        (CodeView = "application/json", example = json!(CodeView::from(Code::TaskNotFound))),
        (String = "text/html"),
    ))),
    extensions(("x-problems" = json!([Code::NotFound]))),
)]
pub(crate) async fn one(request: HttpRequest, code: Path<String>) -> Result<HttpResponse, Problem> {
    let code = Code::named(&code).ok_or_else(|| Problem::new(Code::NotFound, "no problem has this code"))?;
    if pages::wants_html(&request) {
        return Ok(pages::html(&request, pages::one(code)?));
    }
    Ok(HttpResponse::Ok().insert_header((header::VARY, "Accept")).json(CodeView::from(code)))
}

impl From<Code> for CodeView {
    fn from(code: Code) -> Self {
        Self {
            code,
            status: code.status().as_u16(),
            title: code.title(),
            meaning: code.meaning(),
            remedy: code.remedy(),
            retryable: code.is_retryable(),
            example: Problem::example(code),
        }
    }
}
