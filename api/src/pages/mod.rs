//! Pages for people, made of what programs read: the OpenAPI document and the catalogue of problems. Plain HTML and one
//! style sheet inside the binary: no script, nothing from elsewhere, and a policy that says so to the browser.

mod docs;
mod kind;
mod problems;
mod text;

use std::sync::OnceLock;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::header::{self, Accept, ContentType, EntityTag, Header as _},
};
use askama::Template;
use bytes::Bytes;
use flate2::Compression;
use utoipa::OpenApi;

pub(crate) use self::problems::{one, overview};
use crate::{
    conditional::{Conditional, gzipped_tag, tag_of},
    middleware::{gzip, takes_gzip},
    openapi::Document,
    problem::Problem,
};

/// The one style sheet.
pub(crate) const STYLE: &str = include_str!("../../templates/style.css");

/// Nothing may run, and nothing comes from elsewhere.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document and its page, made when one of them is first asked for: few processes ever are, and to make them takes
/// several megabytes.
#[derive(Default)]
pub(crate) struct Contract(OnceLock<Pages>);

/// Both, as they are sent.
pub(crate) struct Pages {
    /// `GET /openapi.json`.
    pub(crate) openapi: Page,
    /// `GET /docs`.
    pub(crate) docs: Page,
}

/// A large answer that is always the same: packed once, and not for each of those who ask.
pub(crate) struct Page {
    tag: EntityTag,
    plain: Bytes,
    packed: Bytes,
}

impl Page {
    fn of(text: String) -> anyhow::Result<Self> {
        let packed = gzip(text.as_bytes(), Compression::best())?;
        Ok(Self { tag: tag_of(text.as_bytes()), plain: text.into(), packed })
    }

    /// Answers with it as JSON, or with nothing where the client has it.
    pub(crate) fn json(&self, request: &HttpRequest) -> HttpResponse {
        self.answer(request, |response| response.content_type(ContentType::json()))
    }

    /// Answers with it as HTML, or with nothing where the client has it.
    pub(crate) fn html(&self, request: &HttpRequest) -> HttpResponse {
        self.answer(request, for_people)
    }

    fn answer(
        &self,
        request: &HttpRequest,
        describe: impl FnOnce(&mut HttpResponseBuilder) -> &mut HttpResponseBuilder,
    ) -> HttpResponse {
        let Conditional { mut response, fresh } = Conditional::new(request, self.tag.clone());
        describe(&mut response);
        if !fresh {
            response.finish()
        } else if takes_gzip(request) {
            let tag = header::ETag(gzipped_tag(&self.tag));
            response.insert_header((header::CONTENT_ENCODING, "gzip")).insert_header(tag).body(self.packed.clone())
        } else {
            response.body(self.plain.clone())
        }
    }
}

impl Contract {
    /// Both. That they cannot be made is a bug.
    pub(crate) fn pages(&self) -> Result<&Pages, Problem> {
        if let Some(pages) = self.0.get() {
            return Ok(pages);
        }
        let pages = Pages::make().map_err(Problem::internal)?;
        Ok(self.0.get_or_init(|| pages))
    }
}

impl Pages {
    fn make() -> anyhow::Result<Self> {
        let openapi = Document::pretty()?;
        let docs = docs::Docs::of(&Document::openapi())?.render()?;
        Ok(Self { openapi: Page::of(openapi)?, docs: Page::of(docs)? })
    }
}

/// Whether this client would rather read than parse: it names HTML, before JSON.
pub(crate) fn wants_html(request: &HttpRequest) -> bool {
    let Ok(accept) = Accept::parse(request) else { return false };
    let first = accept.ranked().into_iter().find(|range| matches!(range.subtype().as_str(), "html" | "json" | "*"));
    first.is_some_and(|range| range.subtype() == "html")
}

/// Answers with a page of fixed content, or with nothing where the client has it.
pub(crate) fn html(request: &HttpRequest, page: impl Into<Bytes>) -> HttpResponse {
    let page = page.into();
    let Conditional { mut response, fresh } = Conditional::new(request, tag_of(&page));
    for_people(&mut response);
    if fresh { response.body(page) } else { response.finish() }
}

fn for_people(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::VARY, "Accept"))
}

/// A page whose template and content are ours: that it cannot be written is a bug.
fn rendered(page: &impl Template) -> Result<String, Problem> {
    page.render().map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn asked(accept: &str) -> bool {
        wants_html(&TestRequest::default().insert_header((header::ACCEPT, accept)).to_http_request())
    }

    #[test]
    fn browsers_read_and_programs_parse() {
        assert!(asked("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(asked("application/json;q=0.5, text/html"));
        assert!(!asked("*/*") && !asked("application/json") && !asked("text/html;q=0.5, application/json"));
        assert!(!asked("nonsense") && !wants_html(&TestRequest::default().to_http_request()));
    }
}
