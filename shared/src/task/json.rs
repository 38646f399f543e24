//! What every JSON body must keep, checked once at the door and without building a tree: bounded nesting, no NUL (which
//! PostgreSQL's text refuses), no key twice (parsers disagree on which one counts), no number that a double cannot hold.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::limits::{BODY_NESTING_MAX, NESTING_MAX};

/// Why a body is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON, or JSON that not every parser reads alike.
    #[error("{0}")]
    Malformed(String),
    /// Good JSON that nests deeper than that.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// Good JSON that holds a NUL character.
    #[error("strings must not hold the character U+0000")]
    Nul,
}

const NUL: &str = "caraway: nul";
const DEEP: &str = "caraway: deep";

/// Checks a value of a user's: what it nests is bounded by [`NESTING_MAX`], its own brackets included.
pub fn check_json(value: &[u8]) -> Result<(), JsonFault> {
    check(value, NESTING_MAX)
}

/// Checks a request's body, in which a user's value may stand some levels deep: its nesting is judged by [`nests_too_deep`].
pub fn check_body(body: &[u8]) -> Result<(), JsonFault> {
    check(body, BODY_NESTING_MAX)
}

/// Whether a value that is known to be good JSON nests deeper than [`NESTING_MAX`].
pub fn nests_too_deep(value: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    // what is shorter than all those brackets cannot
    value.len() > 2 * NESTING_MAX
        && value.bytes().any(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'[' | b'{' if !in_string => depth += 1,
                b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
                _ => (),
            }
            depth > NESTING_MAX
        })
}

fn check(json: &[u8], nesting_max: usize) -> Result<(), JsonFault> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let checked = Check { left: nesting_max }.deserialize(&mut reader).and_then(|()| reader.end());
    checked.map_err(|error| {
        let text = error.to_string();
        match no_number(json, &error) {
            _ if text.starts_with(NUL) => JsonFault::Nul,
            _ if text.starts_with(DEEP) => JsonFault::TooDeep(nesting_max),
            Some(word) => {
                let (line, column) = (error.line(), error.column());
                let advice = "send null or a string instead";
                JsonFault::Malformed(format!("JSON has no number {word}, {advice}; at line {line} column {column}"))
            }
            None => JsonFault::Malformed(text),
        }
    })
}

/// What other languages write for numbers, where the reading stopped at one of these.
fn no_number(body: &[u8], error: &serde_json::Error) -> Option<&'static str> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let line = body.split(|byte| *byte == b'\n').nth(error.line().checked_sub(1)?)?;
    // the column is that of the last byte that was looked at: the first one of the word, or the second after a sign
    let starts = [error.column().checked_sub(2), error.column().checked_sub(1)];
    let at = |start: usize| {
        WORDS.into_iter().find(|word| line.get(start..).is_some_and(|rest| rest.starts_with(word.as_bytes())))
    };
    starts.into_iter().flatten().find_map(at)
}

#[derive(Clone, Copy)]
struct Check {
    /// Levels that may follow.
    left: usize,
}

impl Check {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        self.left.checked_sub(1).map(|left| Self { left }).ok_or_else(|| E::custom(DEEP))
    }
}

fn without_nul<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom(NUL)) } else { Ok(()) }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        without_nul(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        while items.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            without_nul(&key)?;
            if let Some(twice) = seen.replace(key) {
                return Err(A::Error::custom(format!("key {twice:?} stands twice")));
            }
            entries.next_value_seed(inside)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_every_parser_reads_alike() {
        for good in ["null", "[1, -2.5e3, true, \"ä\"]", r#"{"a": {"b": [{}]}, "c": ""}"#, " 18446744073709551615 "] {
            for (body, word) in [("[NaN]", "NaN"), ("{\"a\":\n -Infinity}", "-Infinity"), ("Infinity", "Infinity")] {
                let Err(JsonFault::Malformed(told)) = check_json(body.as_bytes()) else { panic!("{body}") };
                assert!(told.starts_with(&format!("JSON has no number {word}, send null")), "{body}: {told}");
            }
            assert_eq!(check_json(good.as_bytes()), Ok(()), "{good}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        let bad: &[&[u8]] = &[
            b"",
            b"{",
            b"[1] [2]",
            b"\xef\xbb\xbf{}",
            br#"{"a": 1, "a": 2}"#,
            br#""\ud800""#,
            b"\"\xff\"",
            b"1e400",
            b"NaN",
            b"[1,]",
        ];
        for body in bad {
            assert!(matches!(check_json(body), Err(JsonFault::Malformed(_))), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn nesting_is_bounded_and_told_apart() {
        let deep = |levels: usize| format!("{}\"[[\\\"[[{{\"{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!((check_json(deep(32).as_bytes()), nests_too_deep(&deep(32))), (Ok(()), false));
        assert_eq!((check_json(deep(33).as_bytes()), nests_too_deep(&deep(33))), (Err(JsonFault::TooDeep(32)), true));
        assert_eq!(check_body(deep(40).as_bytes()), Ok(()));
        assert_eq!(check_body(deep(41).as_bytes()), Err(JsonFault::TooDeep(40)));
        assert_eq!(check_body("[".repeat(100_000).as_bytes()), Err(JsonFault::TooDeep(40)));
        let flat = format!("[{}]", vec!["[{}]"; 100].join(","));
        assert!(!nests_too_deep(&flat));
    }

    #[test]
    fn refuses_nul_in_values_and_keys() {
        assert_eq!(check_json(br#"{"a": ["x\u0000y"]}"#), Err(JsonFault::Nul));
        assert_eq!(check_json(br#"{"\u0000": 1}"#), Err(JsonFault::Nul));
    }
}
