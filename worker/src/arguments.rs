//! Positional and named arguments are bound to parameter names as Python binds them, without copying their values.

use std::collections::BTreeMap;

use serde::{
    Deserialize,
    de::{DeserializeOwned, value::MapDeserializer},
};
use serde_json::value::RawValue;

use crate::Failure;

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
    let input: Input<'_> = serde_json::from_slice(input).map_err(|error| invalid(error.to_string()))?;
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
    T::deserialize(MapDeserializer::<_, serde_json::Error>::new(bound.into_iter()))
        .map_err(|error| invalid(error.to_string()))
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
        assert!(fault(r#"{"args": [], "kwargs": {}}"#).contains("missing field `x`"));
        assert!(fault(r#"{"args": ["a"], "kwargs": {}}"#).contains("invalid type"));
    }
}
