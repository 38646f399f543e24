//! References: an argument `{"$ref": "nodes.fetch.result.body"}` stands for what a dependency left behind.
//!
//! `nodes.KEY.result`, `nodes.KEY.error` and `nodes.KEY.state` of a dependency, each with a path into it (names of fields,
//! places in lists); `dependencies.results`: the results of all of them as a list, in the order of `depends_on`. What a node
//! left nothing of is `null`; a path that leads nowhere is an error.
//!
//! Data that looks like a reference is wrapped: `{"$literal": …}` stands for what is in it, whatever that is. One wrapper
//! protects a whole document and leaves it as it is, which no escape of single keys does.
//!
//! Invariants: an object is a reference when `$ref` is its only field, and then it must be a good one; everything beside it
//! keeps its bytes. A terminal task never changes, so it is the same whenever it is resolved: the worker does so when it runs
//! the node, and what is large is copied into no row.

use std::{borrow::Cow, collections::HashMap, fmt::Write as _};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{json, value::RawValue};

use super::{KEY_BYTES_MAX, RESOLVED_BYTES_MAX, lookup::Lookup};
use crate::task::State;

/// What a reference looks like, so that nothing else is ever parsed.
const SIGN: &str = "\"$ref\"";
/// What data looks like that is no reference, whatever it looks like.
const LITERAL: &str = "\"$literal\"";

/// What an argument stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reference {
    /// Something of one dependency.
    Node {
        /// Its key.
        key: String,
        /// What of it.
        part: Part,
        /// Where in that.
        path: Vec<String>,
    },
    /// The results of all dependencies.
    Results,
}

/// What of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// What it returned.
    Result,
    /// Why it failed.
    Error,
    /// How it ended.
    State,
}

/// A reference that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct ReferenceFault {
    /// Where in the arguments: a JSON pointer.
    pub pointer: String,
    /// Completes "this part …".
    pub detail: String,
}

/// What a node left behind.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended; one that has not (its dependant did not wait for it) has left nothing.
    pub state: State,
    /// What it returned.
    pub result: Option<Bytes>,
    /// Why it failed.
    pub error: Option<Bytes>,
}

/// Why arguments cannot be resolved.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unresolved {
    /// A path leads nowhere.
    #[error("{0} leads nowhere")]
    Nowhere(String),
    /// Together they are too large.
    #[error("with every reference resolved the arguments have more than {RESOLVED_BYTES_MAX} bytes")]
    TooLarge,
}

/// Whether a node may be called that.
pub fn is_key(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(good)
}

impl Reference {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "dependencies.results" {
            return Some(Self::Results);
        }
        let mut parts = text.split('.');
        let (nodes, key, part) = (parts.next()?, parts.next()?, parts.next()?);
        let part = match part {
            "result" => Part::Result,
            "error" => Part::Error,
            "state" => Part::State,
            _ => return None,
        };
        let path: Vec<String> = parts.map(Into::into).collect();
        let good = nodes == "nodes" && !key.is_empty() && path.iter().all(|step| !step.is_empty());
        good.then(|| Self::Node { key: key.into(), part, path })
    }
}

/// Whether an input could hold a reference, or data that is wrapped because it looks like one. Costs a search for a few bytes.
pub fn may_refer(input: &str) -> bool {
    input.contains("\"$") && (input.contains(SIGN) || input.contains(LITERAL))
}

/// Every reference in a task's input, or the first that makes no sense. `is_dependency` knows the keys.
pub fn references(input: &str, is_dependency: impl Fn(&str) -> bool) -> Result<Vec<Reference>, ReferenceFault> {
    let mut found = Vec::new();
    let mut look = |text: &str, pointer: &str| {
        let wrong = |detail: String| ReferenceFault { pointer: pointer.into(), detail };
        match Reference::parse(text) {
            None => Err(wrong(
                "must be nodes.KEY.result, nodes.KEY.error or nodes.KEY.state, or dependencies.results; \
                 data that looks like a reference goes into {\"$literal\": …}"
                    .into(),
            )),
            Some(Reference::Node { key, .. }) if !is_dependency(&key) => {
                Err(wrong(format!("refers to {key}, which this node does not depend on")))
            }
            Some(reference) => {
                found.push(reference);
                Ok(Cow::Borrowed("null"))
            }
        }
    };
    walk(input, &mut look)?;
    Ok(found)
}

/// The input with what its references stand for. `results` is the list of all dependencies' results.
#[expect(clippy::implicit_hasher, reason = "there is one kind of map of nodes")]
pub fn resolve(input: &str, nodes: &HashMap<String, Ended>, results: Option<&str>) -> Result<String, Unresolved> {
    let mut lookup = Lookup::new(nodes, results);
    let resolved = walk(input, &mut |text: &str, _: &str| lookup.find(text))?;
    if resolved.len() > RESOLVED_BYTES_MAX { Err(Unresolved::TooLarge) } else { Ok(resolved) }
}

/// What stands for a node in a list of results: its result, or an object with its error.
pub fn result_entry(state: State, result: Option<&[u8]>, error: Option<&[u8]>) -> Cow<'static, [u8]> {
    if state == State::Succeeded {
        return result.map_or(Cow::Borrowed(b"null"), |result| Cow::Owned(result.to_vec()));
    }
    let kept =
        error.and_then(|error| serde_json::from_slice::<&RawValue>(error).ok()).map(|error| error.get().to_owned());
    let error = kept
        .unwrap_or_else(|| json!({ "code": state.as_str(), "message": format!("the task is {state}") }).to_string());
    Cow::Owned(format!(r#"{{"error":{error},"state":{}}}"#, json!(state)).into_bytes())
}

/// Writes JSON anew, with something else in the place of each reference. Values without one keep their bytes.
fn walk<'r, E>(input: &str, replace: &mut impl FnMut(&str, &str) -> Result<Cow<'r, str>, E>) -> Result<String, E> {
    let mut out = String::with_capacity(input.len());
    Walk { replace, pointer: String::new() }.value(input, &mut out)?;
    Ok(out)
}

struct Walk<'w, F> {
    replace: &'w mut F,
    pointer: String,
}

impl<'r, E, F: FnMut(&str, &str) -> Result<Cow<'r, str>, E>> Walk<'_, F> {
    fn value(&mut self, text: &str, out: &mut String) -> Result<(), E> {
        let text = text.trim_ascii();
        if !may_refer(text) {
            out.push_str(text);
            return Ok(());
        }
        if let Ok(Entries(entries)) = serde_json::from_str(text) {
            let first = text.strip_prefix('{').unwrap_or(text).trim_ascii_start();
            return match entries.as_slice() {
                [(_, value)] if first.starts_with(SIGN) => self.reference(value, out),
                [(_, value)] if first.starts_with(LITERAL) => {
                    out.push_str(value.get());
                    Ok(())
                }
                _ => self.object(&entries, out),
            };
        }
        if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
            return self.list(&items, out);
        }
        out.push_str(text);
        Ok(())
    }

    fn reference(&mut self, value: &RawValue, out: &mut String) -> Result<(), E> {
        let reference: String = serde_json::from_str(value.get()).unwrap_or_default();
        out.push_str(&(self.replace)(&reference, &self.pointer)?);
        Ok(())
    }

    fn object(&mut self, entries: &[(String, &RawValue)], out: &mut String) -> Result<(), E> {
        out.push('{');
        for (index, (name, value)) in entries.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(out, "{comma}{}:", json!(name));
            let length = self.pointer.len();
            let _ = write!(self.pointer, "/{}", name.replace('~', "~0").replace('/', "~1"));
            self.value(value.get(), out)?;
            self.pointer.truncate(length);
        }
        out.push('}');
        Ok(())
    }

    fn list(&mut self, items: &[&RawValue], out: &mut String) -> Result<(), E> {
        out.push('[');
        for (index, value) in items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let length = self.pointer.len();
            let _ = write!(self.pointer, "/{index}");
            self.value(value.get(), out)?;
            self.pointer.truncate(length);
        }
        out.push(']');
        Ok(())
    }
}

/// An object's fields in their order.
pub(super) struct Entries<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        reader.deserialize_map(Fields).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> HashMap<String, Ended> {
        let ended = |state, result: Option<&str>, error: Option<&str>| Ended {
            state,
            result: result.map(|text| Bytes::from(text.to_owned())),
            error: error.map(|text| Bytes::from(text.to_owned())),
        };
        HashMap::from([
            ("a".into(), ended(State::Succeeded, Some(r#"{"body": [1.50, {"x": 1e2}]}"#), None)),
            ("b".into(), ended(State::Failed, None, Some(r#"{"code": "boom"}"#))),
        ])
    }

    #[test]
    fn references_are_resolved_and_all_else_keeps_its_bytes() {
        let input = r#"{"args":[1.0, {"$ref": "nodes.a.result.body.0"}],"kwargs":{"k" : {"x":{"$ref":"nodes.a.result.body.1"}, "y": 1E5},
            "e":{"$ref":"nodes.b.error.code"},"s":{"$ref":"nodes.b.state"},"n":{"$ref":"nodes.b.result"},"all":{"$ref":"dependencies.results"}}}"#;
        let resolved = resolve(input, &nodes(), Some("[1,2]")).unwrap();
        let expected = r#"{"args":[1.0,1.50],"kwargs":{"k":{"x":{"x": 1e2},"y":1E5},"e":"boom","s":"failed","n":null,"all":[1,2]}}"#;
        assert_eq!(resolved, expected);
    }

    #[test]
    fn data_may_look_like_a_reference() {
        let input = r##"{"args":[{"$literal": {"$ref": "#/a", "n": [{"$ref": 1.50}]}},{ "$literal" :{"$literal":1E2}},{"$literal":1,"x":2},
            {"\u0024ref":"x"},{"$ref":"nodes.b.state"}],"kwargs":{}}"##;
        assert_eq!(references(input, |key| key == "b").unwrap().len(), 1);
        let expected = r##"{"args":[{"$ref": "#/a", "n": [{"$ref": 1.50}]},{"$literal":1E2},{"$literal":1,"x":2},{"\u0024ref":"x"},"failed"],"kwargs":{}}"##;
        assert_eq!(resolve(input, &nodes(), None).unwrap(), expected);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_an_error() {
        for reference in ["nodes.a.result.no", "nodes.a.result.body.7", "nodes.z.result", "nodes.a.state.x"] {
            let input = json!({ "args": [{ "$ref": reference }] }).to_string();
            assert_eq!(resolve(&input, &nodes(), None), Err(Unresolved::Nowhere(reference.into())));
        }
    }

    #[test]
    fn too_large_is_an_error_too() {
        let large = format!("\"{}\"", "x".repeat(RESOLVED_BYTES_MAX));
        let input = r#"{"args":[{"$ref":"dependencies.results"}]}"#;
        assert_eq!(resolve(input, &HashMap::new(), Some(&large)), Err(Unresolved::TooLarge));
    }

    /// Put together first and measured then, this was gigabytes; and taken apart for each reference, minutes.
    #[test]
    fn many_references_to_something_large_are_measured_first() {
        let times = |reference: &str| {
            let arguments: Vec<_> = (0..9000).map(|_| json!({ "$ref": reference })).collect();
            json!({ "args": arguments }).to_string()
        };
        let large = format!("[{}1]", "1,".repeat(125_000));
        let ended = Ended { state: State::Succeeded, result: Some(Bytes::from(large)), error: None };
        let nodes = HashMap::from([("a".to_owned(), ended)]);
        let began = std::time::Instant::now();
        assert_eq!(resolve(&times("nodes.a.result"), &nodes, None), Err(Unresolved::TooLarge));
        let small = resolve(&times("nodes.a.result.124999"), &nodes, None).unwrap();
        assert!(small.len() < 20_000, "{}", small.len());
        assert!(began.elapsed() < std::time::Duration::from_secs(3), "took {:?}", began.elapsed());
    }

    #[test]
    fn what_makes_no_sense_is_pointed_at() {
        let at = |argument: serde_json::Value| {
            let input = json!({ "args": [0, { "deep": argument }] }).to_string();
            references(&input, |key| key == "a").unwrap_err().pointer
        };
        for wrong in [json!({ "$ref": "nodes.b.result" }), json!({ "$ref": "a" }), json!({ "$ref": 1 })] {
            assert_eq!(at(wrong), "/args/1/deep");
        }
        let good =
            json!({ "args": [{ "$ref": "nodes.a.result.x" }, { "$ref": "#/x", "and": 1 }, "\"$ref\""] }).to_string();
        assert_eq!(references(&good, |key| key == "a").unwrap().len(), 1);
    }

    #[test]
    fn failures_stand_in_results_as_objects() {
        let entry = |state, result: Option<&[u8]>, error: Option<&[u8]>| {
            serde_json::from_slice::<serde_json::Value>(&result_entry(state, result, error)).unwrap()
        };
        assert_eq!(entry(State::Succeeded, Some(b"[1]"), None), json!([1]));
        assert_eq!(entry(State::Succeeded, None, None), json!(null));
        let failed = entry(State::Failed, None, Some(br#"{"code":"boom"}"#));
        assert_eq!(failed, json!({ "error": { "code": "boom" }, "state": "failed" }));
        assert_eq!(entry(State::Expired, None, None)["error"]["code"], "expired");
    }
}
