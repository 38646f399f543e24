//! A JSON schema in words: what kind of value it is, and within which limits.

use serde_json::Value;

/// A longer one is for programs; the description beside it says as much to people.
const PATTERN_BYTES_MAX: usize = 60;

/// A word of a type's name; some lead to a schema of their own.
pub(super) struct Word {
    pub(super) text: String,
    /// The schema's name.
    pub(super) to: Option<String>,
}

/// What kind of value this schema describes.
pub(super) fn kind(schema: &Value) -> Vec<Word> {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return vec![Word { text: name.into(), to: Some(name.into()) }];
    }
    for (joined, glue) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        if let Some(parts) = schema[joined].as_array() {
            let mut parts = parts.iter().filter(|part| part["type"] != "null" && part["properties"].is_null());
            let mut words = parts.next().map(kind).unwrap_or_default();
            for part in parts {
                words.push(plain(glue));
                words.extend(kind(part));
            }
            return words;
        }
    }
    let name = match &schema["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any"),
        _ => return vec![plain("any JSON")],
    };
    match (name, schema["format"].as_str()) {
        ("array", _) => {
            let mut words = vec![plain("list of ")];
            words.extend(kind(&schema["items"]));
            words
        }
        ("string", Some("date-time")) => vec![plain("time")],
        ("string", Some("uuid")) => vec![plain("UUID")],
        ("string", Some("binary")) => vec![plain("bytes")],
        ("integer", _) => vec![plain("whole number")],
        (other, _) => vec![plain(other)],
    }
}

/// Within which limits, in a few words; empty where there are none.
pub(super) fn limits(schema: &Value) -> String {
    let mut limits = Vec::new();
    let bound = |name: &str| schema[name].as_number().map(ToString::to_string);
    limits.extend(between(bound("minimum"), bound("maximum"), ""));
    limits.extend(bound("exclusiveMinimum").map(|least| format!("more than {least}")));
    limits.extend(between(bound("minLength"), bound("maxLength"), " characters"));
    limits.extend(between(bound("minItems"), bound("maxItems"), " entries"));
    if schema["uniqueItems"] == true {
        limits.push("all different".into());
    }
    let pattern = schema["pattern"].as_str().filter(|pattern| pattern.len() <= PATTERN_BYTES_MAX);
    limits.extend(pattern.map(|pattern| format!("like {pattern}")));
    if let Some(values) = schema["enum"].as_array() {
        let values = values.iter().filter_map(|value| value.as_str().map(String::from).or(Some(value.to_string())));
        limits.push(format!("one of {}", values.collect::<Vec<_>>().join(", ")));
    }
    limits.extend(
        schema.get("default").filter(|default| !default.is_object()).map(|default| format!("default {default}")),
    );
    limits.join("; ")
}

fn between(least: Option<String>, most: Option<String>, unit: &str) -> Option<String> {
    match (least, most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (None, None) => None,
    }
}

fn plain(text: &str) -> Word {
    Word { text: text.into(), to: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(schema: &Value) -> String {
        kind(schema).iter().map(|word| word.text.as_str()).collect()
    }

    #[test]
    fn kinds() {
        assert_eq!(
            words(&json!({"type": ["array", "null"], "items": {"$ref": "#/components/schemas/Tag"}})),
            "list of Tag"
        );
        assert_eq!(words(&json!({"oneOf": [{"type": "null"}, {"$ref": "#/x/Retry"}]})), "Retry");
        assert_eq!(words(&json!({"type": "string", "format": "date-time"})), "time");
        assert_eq!(words(&json!({})), "any JSON");
    }

    #[test]
    fn limits_are_told() {
        assert_eq!(limits(&json!({"minimum": 0, "maximum": 9, "default": 4})), "0 to 9; default 4");
        assert_eq!(limits(&json!({"maxItems": 20, "uniqueItems": true})), "at most 20 entries; all different");
        assert_eq!(limits(&json!({"enum": ["a", "b"]})), "one of a, b");
        assert_eq!(limits(&json!({"type": "string"})), "");
    }
}
