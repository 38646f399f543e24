//! `GET /problems` and `/problems/{code}`: the catalogue of codes. The `type` of every problem document is an address
//! here.

use actix_web::{HttpResponse, web::Path};
use serde::Serialize;

use crate::{
    problem::{Code, Problem},
    routes::listed,
};

/// A code as the API explains it.
#[derive(Serialize)]
struct CodeView {
    code: Code,
    status: u16,
    title: &'static str,
    retryable: bool,
}

/// `{"data": […]}`.
pub(crate) async fn all() -> HttpResponse {
    listed(&Code::ALL.iter().copied().map(CodeView::from).collect::<Vec<_>>())
}

/// One of them.
pub(crate) async fn one(code: Path<String>) -> Result<HttpResponse, Problem> {
    let known = Code::ALL.iter().copied().find(|known| known.as_str() == code.as_str());
    let known = known.ok_or_else(|| Problem::new(Code::NotFound, "no problem has this code"))?;
    Ok(HttpResponse::Ok().json(CodeView::from(known)))
}

impl From<Code> for CodeView {
    fn from(code: Code) -> Self {
        Self { code, status: code.status().as_u16(), title: code.title(), retryable: code.is_retryable() }
    }
}
