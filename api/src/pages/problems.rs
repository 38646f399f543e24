//! `/problems` and `/problems/{code}` for people.

use askama::Template;

use super::{
    rendered,
    text::{Paragraph, Piece, pieces},
};
use crate::problem::{Code, Problem};

/// One code, as a page tells it.
struct Entry {
    code: &'static str,
    status: u16,
    reason: &'static str,
    title: &'static str,
    meaning: Paragraph,
    remedy: Paragraph,
    retryable: bool,
}

#[derive(Template)]
#[template(path = "problems.html")]
struct Overview {
    entries: Vec<Entry>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct One {
    entry: Entry,
    example: String,
}

/// The whole catalogue, by status.
pub(crate) fn overview() -> Result<String, Problem> {
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| code.status().as_u16());
    rendered(&Overview { entries: codes.into_iter().map(Entry::of).collect() })
}

/// One code: what it means, what to do, what it looks like.
pub(crate) fn one(code: Code) -> Result<String, Problem> {
    let example = serde_json::to_string_pretty(&Problem::example(code)).map_err(Problem::internal)?;
    rendered(&One { entry: Entry::of(code), example })
}

impl Entry {
    fn of(code: Code) -> Self {
        Self {
            code: code.as_str(),
            status: code.status().as_u16(),
            reason: code.status().canonical_reason().unwrap_or_default(),
            title: code.title(),
            meaning: pieces(code.meaning()),
            remedy: pieces(code.remedy()),
            retryable: code.is_retryable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_the_overview_leads_to() {
        let overview = overview().unwrap();
        for code in Code::ALL {
            let page = one(*code).unwrap();
            assert!(page.contains(code.title()) || page.contains("&#39;"), "{code:?}");
            assert!(overview.contains(&format!("href=\"/problems/{}\"", code.as_str())), "{code:?}");
        }
    }
}
