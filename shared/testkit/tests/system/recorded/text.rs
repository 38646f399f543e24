//! How an answer is written down: JSON as it was sent, laid out for reading, and names in place of what differs from run to run.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use uuid::Uuid;

/// An object or list that fits is written on one line.
const LINE: usize = 110;
/// A member of a list may be longer, so that a list has one line for each of its members.
const MEMBER: usize = 640;
/// A longer text is told by its length.
const TEXT: usize = 300;
/// The years of the clock. Other times are a test's own choice, and stay.
const YEARS: std::ops::Range<i16> = 2020..2500;

/// What was replaced, so that the same thing has the same name wherever it is seen.
pub(super) struct Names {
    ids: HashMap<Uuid, String>,
    numbers: HashMap<(&'static str, String), usize>,
    counts: HashMap<&'static str, usize>,
    /// Texts that are replaced wherever they stand, the longer ones first.
    words: Vec<(String, String)>,
}

/// JSON whose members stand in the order that they were sent in, and whose leaves are the bytes that were sent.
enum Json {
    Leaf(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Names {
    /// Replaces these words.
    pub(super) fn new(words: Vec<(String, String)>) -> Self {
        Self { ids: HashMap::new(), numbers: HashMap::new(), counts: HashMap::new(), words }
    }

    /// A JSON document that answers a request for `path`.
    pub(super) fn json(&mut self, path: &str, text: &str) -> String {
        let mut json = Json::read(text);
        self.replace(path, "", &mut json);
        let mut laid_out = String::new();
        json.lay_out(0, false, &mut laid_out);
        laid_out
    }

    /// The same on one line.
    pub(super) fn line(&mut self, path: &str, text: &str) -> String {
        let mut json = Json::read(text);
        self.replace(path, "", &mut json);
        json.to_string()
    }

    /// Text with names for ids, times and words.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut named = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = if named.ends_with("cursor=") && !first.is_whitespace() {
                named.push_str("<cursor>");
                rest.find(['&', ' ', '\n']).unwrap_or(rest.len())
            } else if let Some(id) = rest.get(..36).and_then(|id| Uuid::try_parse(id).ok()) {
                let name = self.id(id, class_in_text(&named));
                named.push_str(&name);
                36
            } else if let Some(length) = time(rest) {
                named.push_str("<time>");
                length
            } else if let Some((class, length)) = class_of_number_in_text(&named, rest) {
                let name = self.number(class, &rest[..length]);
                named.push_str(&name);
                length
            } else {
                named.push(first);
                first.len_utf8()
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        self.words.iter().fold(named, |text, (word, name)| text.replace(word, name))
    }

    fn replace(&mut self, path: &str, key: &str, json: &mut Json) {
        match json {
            Json::List(members) => members.iter_mut().for_each(|member| self.replace(path, key, member)),
            Json::Object(fields) => fields.iter_mut().for_each(|(key, value)| self.replace(path, key, value)),
            Json::Leaf(leaf) => *leaf = self.leaf(path, key, leaf),
        }
    }

    fn leaf(&mut self, path: &str, key: &str, sent: &str) -> String {
        if key == "last_used_at" {
            return "<time or null>".into();
        }
        let is_text = sent.starts_with('"');
        if !is_text && sent.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            return match (key, class_of_number(path, key)) {
                ("pid", _) => "<pid>".into(),
                ("oldest_age" | "expires_in", _) => "<seconds>".into(),
                (_, Some(class)) => self.number(class, sent),
                _ => sent.into(),
            };
        }
        match key {
            _ if !is_text => sent.into(),
            "next_cursor" | "cursor" => "<cursor>".into(),
            "worker" | "host" => "<worker>".into(),
            "name" if path.starts_with("/v1/workers") && sent.contains(':') => "<worker>".into(),
            "instance" => "<request>".into(),
            "key" if sent.starts_with("\"cwy_") => "<key>".into(),
            "fence" | "seq" => "<number>".into(),
            _ if sent.len() > TEXT => format!("<text of {} bytes>", sent.len() - 2),
            _ => match sent.get(1..sent.len() - 1).and_then(|id| Uuid::try_parse(id).ok()).zip(class_of_id(key)) {
                Some((id, class)) => format!("\"{}\"", self.id(id, class)),
                None => self.text(sent),
            },
        }
    }

    fn id(&mut self, id: Uuid, class: &'static str) -> String {
        if id.is_nil() {
            return id.to_string();
        }
        let counts = &mut self.counts;
        let new = || {
            let count = counts.entry(class).or_default();
            *count += 1;
            format!("{class}-{count}")
        };
        self.ids.entry(id).or_insert_with(new).clone()
    }

    fn number(&mut self, class: &'static str, number: &str) -> String {
        let next = self.numbers.keys().filter(|(other, _)| *other == class).count() + 1;
        format!("<{class}-{}>", self.numbers.entry((class, number.into())).or_insert(next))
    }
}

/// What an id names, by the field that it stands in.
fn class_of_id(key: &str) -> Option<&'static str> {
    match key {
        "batch_id" => Some("batch"),
        "workflow_id" => Some("workflow"),
        "item_id" => Some("item"),
        "lease_id" => Some("lease"),
        _ => None,
    }
}

/// The same, by the path that it stands in.
fn class_in_text(before: &str) -> &'static str {
    let known = [("/workflows/", "workflow"), ("/items/", "item"), ("batch_id=", "batch"), ("/leases/", "lease")];
    known.into_iter().find(|(path, _)| before.ends_with(path)).map_or("task", |(_, class)| class)
}

/// The same of a number, and its length.
fn class_of_number_in_text(before: &str, text: &str) -> Option<(&'static str, usize)> {
    let length = text.chars().take_while(char::is_ascii_digit).count();
    let known = [("/users/", "user"), ("user_id=", "user"), ("/api-keys/", "key")];
    let (_, class) = known.into_iter().find(|(path, _)| before.ends_with(path)).filter(|_| length > 0)?;
    Some((class, length))
}

/// What a number names, if it is not a number of anything.
fn class_of_number(path: &str, key: &str) -> Option<&'static str> {
    match key {
        "user_id" | "owner_id" => Some("user"),
        "key_id" => Some("key"),
        "id" if path.starts_with("/v1/users") => Some("user"),
        "id" if path.starts_with("/v1/api-keys") => Some("key"),
        "id" if path.starts_with("/v1/audit") => Some("entry"),
        "id" if path.starts_with("/v1/workers") => Some("session"),
        _ => None,
    }
}

/// The length of the time that the text begins with.
fn time(text: &str) -> Option<usize> {
    let of_time = |letter: &char| letter.is_ascii_digit() || matches!(letter, '-' | ':' | '.' | 'T' | 'Z');
    let length = text.chars().take_while(of_time).count();
    let year: i16 = text.get(..4)?.parse().ok()?;
    let found = length >= 20 && YEARS.contains(&year) && text.get(..length)?.parse::<Timestamp>().is_ok();
    found.then_some(length)
}

impl Json {
    fn read(text: &str) -> Self {
        let read = "the answer is JSON";
        match text.trim_start().as_bytes().first() {
            Some(b'{') => {
                let fields: Fields<'_> = serde_json::from_str(text).expect(read);
                Self::Object(fields.0.into_iter().map(|(key, value)| (key, Self::read(value.get()))).collect())
            }
            Some(b'[') => {
                let members: Vec<&RawValue> = serde_json::from_str(text).expect(read);
                Self::List(members.into_iter().map(|value| Self::read(value.get())).collect())
            }
            _ => Self::Leaf(text.trim().into()),
        }
    }

    fn lay_out(&self, depth: usize, is_member: bool, text: &mut String) {
        let line = self.to_string();
        let room = if is_member { MEMBER } else { LINE };
        let (open, close, parts): (_, _, Vec<(String, &Self)>) = match self {
            _ if line.len() <= room => return text.push_str(&line),
            Self::Leaf(_) => return text.push_str(&line),
            Self::List(members) => ("[", "]", members.iter().map(|member| (String::new(), member)).collect()),
            Self::Object(fields) => {
                ("{", "}", fields.iter().map(|(key, value)| (format!("\"{key}\": "), value)).collect())
            }
        };
        text.push_str(open);
        for (index, (key, part)) in parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma}\n{:indent$}{key}", "", indent = 2 * depth + 2);
            part.lay_out(depth + 1, open == "[", text);
        }
        let _ = write!(text, "\n{:indent$}{close}", "", indent = 2 * depth);
    }
}

/// On one line.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comma = |index| if index == 0 { "" } else { ", " };
        match self {
            Self::Leaf(leaf) => f.write_str(leaf),
            Self::List(members) => {
                f.write_str("[")?;
                members.iter().enumerate().try_for_each(|(index, member)| write!(f, "{}{member}", comma(index)))?;
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                let mut fields = fields.iter().enumerate();
                fields.try_for_each(|(index, (key, value))| write!(f, "{}\"{key}\": {value}", comma(index)))?;
                f.write_str("}")
            }
        }
    }
}

/// An object's members in the order that they were sent in: a map would sort them.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_has_a_name_and_all_else_stays_as_it_was_sent() {
        let mut names = Names::new(vec![("q-1".into(), "main".into())]);
        let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
        let sent = format!(
            r#"{{"z":1.50,"a":"{one} of q-1","b":["{two}","{one}"],"t":"2026-01-02T03:04:05.6Z","far":"2600-01-01T00:00:00Z","n":null}}"#
        );
        let expected = r#"{
  "z": 1.50,
  "a": "task-1 of main",
  "b": ["task-2", "task-1"],
  "t": "<time>",
  "far": "2600-01-01T00:00:00Z",
  "n": null
}"#;
        assert_eq!(names.json("/", &sent), expected);
    }
}
