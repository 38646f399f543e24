//! Finding what references stand for, in bounded time and memory: what a node left behind is taken apart once, whatever
//! refers to it, and what is found is measured before it is put together.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use serde_json::{json, value::RawValue};

use super::{
    RESOLVED_BYTES_MAX,
    reference::{Ended, Entries, Part, Reference, Unresolved},
};

/// What the references of one input stand for.
pub(super) struct Lookup<'n> {
    nodes: &'n HashMap<String, Ended>,
    results: Option<&'n str>,
    /// By a reference's text up to some step: the value there.
    values: HashMap<String, &'n RawValue>,
    /// The same: what is in it.
    inside: HashMap<String, Inside<'n>>,
    /// Bytes that were found so far.
    found: usize,
}

/// A value, taken apart.
enum Inside<'n> {
    Items(Vec<&'n RawValue>),
    /// Of a field that stands twice the first counts.
    Fields(HashMap<String, &'n RawValue>),
    /// It holds no others.
    Nothing,
}

impl<'n> Lookup<'n> {
    /// Nothing is taken apart yet.
    pub(super) fn new(nodes: &'n HashMap<String, Ended>, results: Option<&'n str>) -> Self {
        Self { nodes, results, values: HashMap::new(), inside: HashMap::new(), found: 0 }
    }

    /// What this reference stands for, as long as all that was found may stand in one task's arguments.
    pub(super) fn find(&mut self, text: &str) -> Result<Cow<'n, str>, Unresolved> {
        let nowhere = || Unresolved::Nowhere(text.into());
        let found = match Reference::parse(text).ok_or_else(nowhere)? {
            Reference::Results => self.results.map(Cow::Borrowed).ok_or_else(nowhere)?,
            Reference::Node { key, part, path } => self.part(&key, part, &path).ok_or_else(nowhere)?,
        };
        self.found = self.found.saturating_add(found.len());
        if self.found > RESOLVED_BYTES_MAX { Err(Unresolved::TooLarge) } else { Ok(found) }
    }

    fn part(&mut self, key: &str, part: Part, path: &[String]) -> Option<Cow<'n, str>> {
        let node = self.nodes.get(key)?;
        let (left, name) = match part {
            Part::Result => (node.result.as_deref(), "result"),
            Part::Error => (node.error.as_deref(), "error"),
            Part::State => return path.is_empty().then(|| Cow::Owned(json!(node.state).to_string())),
        };
        let Some(left) = left else { return Some(Cow::Borrowed("null")) };
        let mut at = format!("{key}.{name}");
        let mut value = match self.values.entry(at.clone()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => new.insert(serde_json::from_slice(left).ok()?),
        };
        for step in path {
            let inside = self.inside.entry(at.clone()).or_insert_with(|| Inside::of(value));
            value = inside.at(step)?;
            at.push('.');
            at.push_str(step);
        }
        Some(Cow::Borrowed(value.get()))
    }
}

impl<'n> Inside<'n> {
    fn of(value: &'n RawValue) -> Self {
        if let Ok(items) = serde_json::from_str(value.get()) {
            return Self::Items(items);
        }
        let Ok(Entries(entries)) = serde_json::from_str::<Entries<'n>>(value.get()) else { return Self::Nothing };
        let mut fields = HashMap::with_capacity(entries.len());
        for (name, value) in entries {
            fields.entry(name).or_insert(value);
        }
        Self::Fields(fields)
    }

    /// A field of an object, or a place in a list.
    fn at(&self, step: &str) -> Option<&'n RawValue> {
        match self {
            Self::Items(items) => items.get(step.parse::<usize>().ok()?).copied(),
            Self::Fields(fields) => fields.get(step).copied(),
            Self::Nothing => None,
        }
    }
}
