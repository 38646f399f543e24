//! The query part of an address, parameter by parameter, so that an answer can point at everything that is wrong with it.

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use caraway_shared::task::{OwnerId, instant};
use jiff::Timestamp;

use super::parameters::pairs;
use crate::{
    cursor::{PagedList, Position},
    problem::{Code, Fault, Problem},
};

/// Rows of a page where nothing is said.
const LIMIT_DEFAULT: i64 = 50;
/// Rows of a page, at most.
const LIMIT_MAX: i64 = 500;
/// Characters of a reason: enough for a sentence and a ticket's address.
const REASON_CHARS_MAX: usize = 500;

/// Parameters, taken one by one; what is left at the end is unknown.
pub(crate) struct Query {
    left: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl FromRequest for Query {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request.query_string()))
    }
}

impl Query {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::BadRequest, Code::InvalidRequest, Code::UnknownParameter];

    /// The parameters of this query part.
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let mut query = Self { left: BTreeMap::new(), faults: Vec::new() };
        for (name, value) in pairs(text)? {
            if query.left.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                query.refuse(&name, "is given twice");
            }
        }
        Ok(query)
    }

    /// A parameter that may be left out. `must` completes "this parameter …".
    pub(crate) fn optional<T>(&mut self, name: &str, must: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        // U+0000 is in no name of ours, and the database cannot even look for it
        self.checked(name, |value| Some(value).filter(|value| !value.contains('\0')).and_then(read).ok_or(must))
    }

    /// A time that may be left out.
    pub(crate) fn instant(&mut self, name: &str) -> Option<Timestamp> {
        self.checked(name, instant)
    }

    fn checked<T, E: ToString>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let value = self.left.remove(name)?;
        read(&value).map_err(|fault| self.refuse(name, &fault.to_string())).ok()
    }

    /// Where a page of this list begins.
    pub(crate) fn cursor<P: Position>(&mut self, list: &PagedList<P>) -> Option<P> {
        self.checked("cursor", |cursor| list.position(cursor))
    }

    /// How many rows of a page are wanted.
    pub(crate) fn limit(&mut self) -> i64 {
        let limit = self.optional("limit", "must be a whole number from 1 to 500", |value| {
            value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
        });
        limit.unwrap_or(LIMIT_DEFAULT)
    }

    /// Whose objects are meant, where somebody else's than the caller's are.
    pub(crate) fn user(&mut self) -> Option<OwnerId> {
        self.optional("user_id", "must be a user's id", |id| id.parse().ok().map(OwnerId))
    }

    /// Why an order is given, for the audit log.
    pub(crate) fn reason(&mut self) -> Option<String> {
        self.optional("reason", "must be 1 to 500 characters", |text| {
            (1..=REASON_CHARS_MAX).contains(&text.chars().count()).then(|| text.to_owned())
        })
    }

    /// A parameter that is good by itself, and wrong beside another.
    pub(crate) fn refuse(&mut self, name: &str, detail: &str) {
        self.fault(name, Code::InvalidRequest, detail);
    }

    /// Ends the reading: `value` where nothing was wrong, else everything that was.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, Problem> {
        for name in std::mem::take(&mut self.left).into_keys() {
            self.fault(&name, Code::UnknownParameter, "does not exist");
        }
        if self.faults.is_empty() { Ok(value) } else { Err(Problem::faults(self.faults)) }
    }

    fn fault(&mut self, name: &str, code: Code, detail: &str) {
        self.faults.push(Fault { pointer: format!("?{name}"), code, detail: detail.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_pointed_at() {
        let mut query = Query::read("limit=0&x=1&x=2&name=a%00b").unwrap();
        assert_eq!(query.limit(), LIMIT_DEFAULT);
        let name: Option<String> = query.optional("name", "must be a name", |name| Some(name.into()));
        assert_eq!(name, None);
        let problem: serde_json::Value = serde_json::from_slice(&query.finish(()).unwrap_err().document(None)).unwrap();
        let pointers: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, ["?x", "?limit", "?name", "?x"]);
    }
}
