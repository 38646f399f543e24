//! Positional and named arguments are bound to parameter names as Python binds them, without copying their values.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, value::MapDeserializer},
};
use serde_json::value::RawValue;

use self::misfit::misfit;
use crate::Failure;

mod misfit;

/// A task's input as the API stored it.
#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    args: Vec<&'a RawValue>,
    #[serde(borrow)]
    kwargs: BTreeMap<String, &'a RawValue>,
}

/// Binds `input` to `parameters` and reads it as `T`. What does not fit is final: no other attempt can do better.
pub(crate) fn bind<T: DeserializeOwned>(input: &[u8], parameters: &'static [&'static str]) -> Result<T, Failure> {
    let invalid = |message: String| Failure::fatal("invalid_arguments", message);
    let input: Input<'_> = serde_json::from_slice(input).map_err(|_| invalid("what is stored is no input".into()))?;
    if input.args.len() > parameters.len() {
        let (takes, given) = (parameters.len(), input.args.len());
        return Err(invalid(format!("takes {takes} positional arguments but {given} were given")));
    }
    let mut bound: Vec<(&str, &RawValue)> = parameters.iter().copied().zip(input.args).collect();
    for (name, value) in &input.kwargs {
        let Some(parameter) = parameters.iter().find(|parameter| *parameter == name) else {
            return Err(invalid(format!("got an unexpected argument {name:?}")));
        };
        if bound.iter().any(|(known, _)| known == parameter) {
            return Err(invalid(format!("got more than one value for argument {name:?}")));
        }
        bound.push((parameter, value));
    }
    T::deserialize(arguments(&bound)).map_err(|error| invalid(explained::<T>(&bound, &error)))
}

fn arguments<'a>(bound: &'a [(&'a str, &'a RawValue)]) -> impl Deserializer<'a, Error = serde_json::Error> {
    MapDeserializer::new(bound.iter().copied())
}

/// Reads them once more to learn where it went wrong, so that only mistakes pay for it.
fn explained<'a, T: Deserialize<'a>>(bound: &'a [(&'a str, &'a RawValue)], error: &serde_json::Error) -> String {
    match serde_path_to_error::deserialize::<_, T>(arguments(bound)) {
        Ok(_) => misfit("", error),
        Err(located) => misfit(located.path().to_string().trim_matches('.'), located.inner()),
    }
}

#[cfg(test)]
mod tests {
    use caraway_shared::task::Ending;

    use super::*;

    #[derive(Deserialize, PartialEq, Debug)]
    struct Args {
        x: f64,
        #[serde(default)]
        y: Option<Box<str>>,
    }

    fn fault(input: &str) -> String {
        match bind::<Args>(input.as_bytes(), &["x", "y"]).unwrap_err().into_ending() {
            Ending::Raised { error, retryable: false, .. } if error.code == "invalid_arguments" => error.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn binds_by_place_and_by_name() {
        let bound = |input: &str| bind::<Args>(input.as_bytes(), &["x", "y"]).unwrap();
        assert_eq!(bound(r#"{"args": [1], "kwargs": {}}"#), Args { x: 1.0, y: None });
        assert_eq!(bound(r#"{"args": [1, "a"], "kwargs": {}}"#), Args { x: 1.0, y: Some("a".into()) });
        assert_eq!(bound(r#"{"args": [1], "kwargs": {"y": "b"}}"#), Args { x: 1.0, y: Some("b".into()) });
        assert_eq!(bound(r#"{"args": [], "kwargs": {"y": "c", "x": 2}}"#), Args { x: 2.0, y: Some("c".into()) });
    }

    #[test]
    fn refuses_as_python_does() {
        assert!(fault(r#"{"args": [1, "a", 3], "kwargs": {}}"#).contains("takes 2 positional"));
        assert!(fault(r#"{"args": [1], "kwargs": {"x": 1}}"#).contains("more than one value"));
        assert!(fault(r#"{"args": [1], "kwargs": {"z": 1}}"#).contains("unexpected argument"));
        assert_eq!(fault(r#"{"args": [], "kwargs": {}}"#), "argument x is missing");
        assert_eq!(fault(r#"{"args": ["a"], "kwargs": {}}"#), r#"argument x must be a number, but is the string "a""#);
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Many {
        small: u8,
        size: Option<usize>,
        signed: i32,
        share: f64,
        flag: bool,
        text: String,
        list: Vec<u32>,
        pair: (u8, u8),
        map: BTreeMap<String, String>,
        inner: Option<Inner>,
        word: Option<Word>,
        id: uuid::Uuid,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only what does not fit is looked at")]
    struct Inner {
        depth: u16,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Cover,
        Contain,
    }

    const MANY: [&str; 12] =
        ["small", "size", "signed", "share", "flag", "text", "list", "pair", "map", "inner", "word", "id"];

    fn misfit(kwargs: &str) -> String {
        let input = format!(r#"{{"args": [], "kwargs": {kwargs}}}"#);
        match bind::<Many>(input.as_bytes(), &MANY).err().unwrap().into_ending() {
            Ending::Raised { error, .. } => error.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_are_told_by_argument_and_in_words() {
        for (kwargs, told) in [
            (r#"{"size": "5"}"#, r#"argument size must be a whole number, 0 or more, but is the string "5""#),
            (r#"{"size": -1}"#, "argument size must be a whole number, 0 or more, but is -1"),
            (r#"{"small": 256}"#, "argument small must be a whole number from 0 to 255, but is 256"),
            (r#"{"signed": 1.5}"#, "argument signed must be a whole number from -2147483648 to 2147483647, but is 1.5"),
            (r#"{"share": [1]}"#, "argument share must be a number, but is a list"),
            (r#"{"flag": null}"#, "argument flag must be true or false, but is null"),
            (r#"{"text": {"a": 1}}"#, "argument text must be a string, but is an object"),
            (r#"{"list": [1, true]}"#, "argument list[1] must be a whole number from 0 to 4294967295, but is true"),
            (r#"{"pair": [1]}"#, "argument pair must be a list of 2, but has a length of 1"),
            (r#"{"map": {"a": 1}}"#, "argument map.a must be a string, but is 1"),
            (r#"{"inner": {}}"#, "argument inner.depth is missing"),
            (r#"{"inner": 7}"#, "argument inner must be an object, but is 7"),
            (r#"{"word": "fill"}"#, "argument word must be cover or contain, but is fill"),
            (r#"{"word": 3}"#, "argument word must be a string"),
        ] {
            assert_eq!(misfit(kwargs), told);
        }
        assert!(misfit(r#"{"id": "x"}"#).starts_with("argument id: UUID parsing failed"));
        assert!(misfit(&format!(r#"{{"flag": "{}"}}"#, "long, expected u8 ".repeat(20))).len() < 150);
    }

    #[test]
    fn no_mistake_is_told_in_words_of_rust() {
        let values = ["null", "true", "-1", "1.5", "99999999999999999999", r#""text""#, "[[]]", r#"{"a": []}"#];
        for (parameter, value) in MANY.iter().flat_map(|parameter| values.map(|value| (parameter, value))) {
            let input = format!(r#"{{"args": [], "kwargs": {{"{parameter}": {value}}}}}"#);
            let Err(failure) = bind::<Many>(input.as_bytes(), &MANY) else { continue };
            let Ending::Raised { error, .. } = failure.into_ending() else { panic!("{input}") };
            let told = error.message;
            assert!(told.starts_with(&format!("argument {parameter}")), "{input}: {told}");
            for foreign in ["line ", "column", "usize", "u8", "f64", "struct", "enum", "sequence", "invalid type", "`"]
            {
                assert!(!told.contains(foreign), "{input}: {told}");
            }
        }
    }
}
