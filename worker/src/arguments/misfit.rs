//! Why a value does not fit its parameter, in the words of those who wrote it: which argument, what it must be, what it is. What
//! serde says names Rust's types, and a line and a column of bytes that the client never sees.

/// What serde's complaint about this argument means. `path` is empty where the complaint is about all of them.
pub(super) fn misfit(path: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let argument = if path.is_empty() { "an argument".into() } else { format!("argument {path}") };
    if let Some(field) = text.strip_prefix("missing field ") {
        let inside = if path.is_empty() { String::new() } else { format!("{path}.") };
        return format!("argument {inside}{} is missing", unquoted(field));
    }
    if text == "expected value" {
        return format!("{argument} must be a string"); // one of a few words was wanted, and it is neither text nor an object
    }
    let Some((what, expected)) = text.rsplit_once(", expected ") else {
        return format!("{argument}: {}", text.replace('`', "\"")); // a type's own words
    };
    let (kind, found) = what.split_once(' ').unwrap_or((what, ""));
    match (kind, found.split_once(' ').unwrap_or((found, ""))) {
        ("unknown", ("variant", word)) => {
            format!(
                "{argument} must be {}, but is {}",
                expected.replace('`', "").replace("one of ", "one of: "),
                unquoted(word)
            )
        }
        ("unknown", ("field", word)) => {
            format!("{argument} has an unknown field {}; known are {}", unquoted(word), expected.replace('`', ""))
        }
        ("invalid", ("type:" | "value:", found)) => {
            format!("{argument} must be {}, but is {}", wanted(expected), given(found))
        }
        ("invalid", ("length", count)) => {
            format!("{argument} must be {}, but has a length of {count}", wanted(expected))
        }
        _ => format!("{argument}: {text}"),
    }
}

/// A type of Rust's as a value of JSON's.
fn wanted(expected: &str) -> String {
    let range = |from: &str, to: &str| format!("a whole number from {from} to {to}");
    match expected {
        "u8" => range("0", "255"),
        "u16" => range("0", "65535"),
        "u32" => range("0", "4294967295"),
        "u64" | "u128" | "usize" => "a whole number, 0 or more".into(),
        "i8" => range("-128", "127"),
        "i16" => range("-32768", "32767"),
        "i32" => range("-2147483648", "2147483647"),
        "i64" | "i128" | "isize" => "a whole number".into(),
        "f32" | "f64" | "a JSON number" => "a number".into(),
        "a boolean" => "true or false".into(),
        "unit" => "null".into(),
        "a map" | "map" => "an object".into(),
        "a sequence" | "sequence" => "a list".into(),
        "a borrowed string" | "string or map" | "str" | "string" => "a string".into(),
        other if other.starts_with("struct ") => "an object".into(),
        other if other.starts_with("a tuple") || other.starts_with("tuple ") || other.starts_with("an array") => {
            let size: String = other.chars().filter(char::is_ascii_digit).collect();
            if size.is_empty() { "a list".into() } else { format!("a list of {size}") }
        }
        other => other.into(),
    }
}

/// What came instead, cut short.
fn given(found: &str) -> String {
    const CHARS_MAX: usize = 60;
    let word = match found.split_once(' ') {
        Some(("integer" | "boolean" | "character", value)) => unquoted(value).to_owned(),
        Some(("floating", value)) => unquoted(value.trim_start_matches("point ")).to_owned(),
        Some(("string", text)) => format!("the string {text}"),
        _ => match found {
            "sequence" => "a list".to_owned(),
            "map" => "an object".to_owned(),
            other => other.to_owned(),
        },
    };
    match word.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", word.get(..end).unwrap_or_default()),
        None => word,
    }
}

fn unquoted(word: &str) -> &str {
    word.trim_matches('`')
}
