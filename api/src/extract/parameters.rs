//! What a route knows of the query part of an address. Everything else is refused at the door, on every route alike: a
//! parameter that is ignored silently does what nobody asked for.
//!
//! A route that says nothing takes no parameters, so a new one cannot forget to refuse them (`routes/table.rs`).

use std::{borrow::Cow, rc::Rc};

use percent_encoding::percent_decode;
use utoipa::{IntoParams, openapi::path::ParameterIn};

use crate::problem::{Code, Fault, Problem};

/// Unknown parameters that one answer names: enough to find a slip, and no answer grows with its request.
const TOLD_MAX: usize = 10;

/// The names of the parameters that a route takes, as its OpenAPI parameters state them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownParameters(Rc<[String]>);

impl KnownParameters {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::BadRequest, Code::UnknownParameter];

    /// Those among `P` that stand in the query.
    pub(crate) fn of<P: IntoParams>() -> Self {
        let stated = P::into_params(|| None).into_iter();
        Self(stated.filter(|one| one.parameter_in == ParameterIn::Query).map(|one| one.name).collect())
    }

    /// Their names.
    #[cfg(test)]
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    /// Refuses a query that is no UTF-8, or that has a parameter which is not among these.
    pub(crate) fn check(&self, query: &str) -> Result<(), Problem> {
        if query.is_empty() {
            return Ok(());
        }
        let mut unknown: Vec<Cow<'_, str>> =
            pairs(query)?.into_iter().map(|(name, _)| name).filter(|name| !self.knows(name)).collect();
        unknown.dedup();
        unknown.truncate(TOLD_MAX);
        if unknown.is_empty() { Ok(()) } else { Err(self.refusal(&unknown)) }
    }

    fn knows(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    fn refusal(&self, unknown: &[Cow<'_, str>]) -> Problem {
        let takes = match self.0.as_ref() {
            [] => "takes no parameters".to_owned(),
            [one] => format!("takes {one} only"),
            many => format!("takes {}", many.join(", ")),
        };
        let detail = format!("does not exist; this address {takes}");
        let fault = |name: &Cow<'_, str>| Fault {
            pointer: format!("?{name}"),
            code: Code::UnknownParameter,
            detail: detail.clone(),
        };
        Problem::faults(unknown.iter().map(fault).collect())
    }
}

/// A parameter of a query: its name and its value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The parameters of a query, in their order.
pub(crate) fn pairs(query: &str) -> Result<Vec<Pair<'_>>, Problem> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let pairs = parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decoded(name)?, decoded(value)?))
    });
    let unreadable = || Problem::new(Code::BadRequest, "the query part of the address must be UTF-8, percent-encoded");
    pairs.collect::<Option<_>>().ok_or_else(unreadable)
}

/// As forms write it (`+` is a space), and strictly: bytes that are no UTF-8 are no text of anybody's.
fn decoded(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains('+') {
        return percent_decode(part.as_bytes()).decode_utf8().ok();
    }
    let part = part.replace('+', " ");
    percent_decode(part.as_bytes()).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> KnownParameters {
        KnownParameters(names.iter().map(ToString::to_string).collect())
    }

    fn detail(known: &KnownParameters, query: &str) -> String {
        let document = known.check(query).unwrap_err().document(None);
        let problem: serde_json::Value = serde_json::from_slice(&document).unwrap();
        problem["errors"][0]["detail"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_is_not_known_is_named_beside_what_is() {
        assert!(known(&[]).check("").is_ok() && known(&["wait"]).check("wait=1&&wait").is_ok());
        assert_eq!(detail(&known(&[]), "x"), "does not exist; this address takes no parameters");
        assert_eq!(detail(&known(&["wait"]), "Wait=1"), "does not exist; this address takes wait only");
        assert_eq!(detail(&known(&["a", "b"]), "a=1&%63=1"), "does not exist; this address takes a, b");
    }

    #[test]
    fn an_answer_does_not_grow_with_its_request() {
        let query = (0..1000).map(|index| format!("x{index}")).collect::<Vec<_>>().join("&");
        assert!(known(&[]).check(&query).unwrap_err().document(None).len() < 4_000);
    }

    #[test]
    fn text_is_utf_8_or_refused() {
        let read = |query| pairs(query).map(|pairs| pairs[0].1.clone().into_owned()).ok();
        assert_eq!(read("v=caf%C3%A9+au+lait%2B").as_deref(), Some("café au lait+"));
        assert_eq!(read("v=100%").as_deref(), Some("100%"));
        for broken in ["v=caf%E9", "%E9=1", "v=%ff+", "v=%ed%a0%80"] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }
}
