//! JSON in one spelling: values that mean the same are written the same. Exact for numbers of any size, for a double would
//! make one of two integers that differ beyond its 53 bits.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Digits that a double keeps whatever they are: decimal numbers up to here are told apart by it.
const DOUBLE_DIGITS: usize = 15;
/// Powers of ten between which it does so.
const DOUBLE_EXPONENTS: std::ops::Range<i64> = -290..290;

/// A value in the one spelling: no spaces, members by their names, strings and numbers in one way each. An integer and a
/// decimal number are never the same, as in the languages that read them.
pub fn canonical_json(value: &RawValue) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    write(value.get(), &mut text)?;
    Ok(text)
}

fn write(value: &str, text: &mut String) -> Result<(), serde_json::Error> {
    match value.trim_start().bytes().next() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(value)?;
            text.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                text.push_str(&serde_json::to_string(&name)?);
                text.push(':');
                write(member.get(), text)?;
            }
            text.push('}');
        }
        Some(b'[') => {
            let parts: Vec<&RawValue> = serde_json::from_str(value)?;
            text.push('[');
            for (index, part) in parts.into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write(part.get(), text)?;
            }
            text.push(']');
        }
        Some(b'-' | b'0'..=b'9') => text.push_str(&number(value.trim())?),
        _ => text.push_str(&serde_json::to_string(&serde_json::from_str::<serde_json::Value>(value)?)?),
    }
    Ok(())
}

fn number(literal: &str) -> Result<String, serde_json::Error> {
    if literal.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        return Ok(if literal == "-0" { "0".into() } else { literal.into() });
    }
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let shift = i64::try_from(zeros).ok().zip(i64::try_from(fraction.len()).ok()).map(|(zeros, after)| zeros - after);
    let exponent = exponent.parse::<i64>().ok().zip(shift).and_then(|(exponent, shift)| exponent.checked_add(shift));
    match exponent {
        _ if significant.is_empty() => Ok("0.0".into()),
        Some(exponent) if significant.len() <= DOUBLE_DIGITS && DOUBLE_EXPONENTS.contains(&exponent) => {
            Ok(serde_json::from_str::<serde_json::Number>(literal)?.to_string())
        }
        Some(exponent) => Ok(format!("{sign}{significant}e{exponent}")),
        None => Ok(literal.into()), // its exponent has twenty digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        canonical_json(&serde_json::from_str::<Box<RawValue>>(json).unwrap()).unwrap()
    }

    #[test]
    fn values_that_mean_the_same_are_written_the_same() {
        for (one, other) in [
            (r#" { "b" : [ 1 , true ] , "a" : null } "#, r#"{"a":null,"b":[1,true]}"#),
            (r#""\u0061\/""#, r#""a/""#),
            (r#"{"\u0061":{"y":1,"x":2}}"#, r#"{"a":{"x":2,"y":1}}"#),
            ("-0", "0"),
            ("-0.0", "0e7"),
            ("1.50", "15e-1"),
            ("100.0", "1E+2"),
            ("1234567890123456789.50", "12345678901234567895e-1"),
            ("0.00000000000000000001e400", "1e380"),
        ] {
            assert_eq!(canonical(one), canonical(other), "{one} {other}");
        }
    }

    #[test]
    fn values_that_differ_are_written_otherwise() {
        for (one, other) in [
            ("18446744073709551616", "18446744073709551617"),
            ("-18446744073709551616", "-18446744073709551617"),
            ("123456789012345678901234567890", "123456789012345678901234567891"),
            ("9007199254740992", "9007199254740993"),
            ("0.12345678901234567890", "0.12345678901234567891"),
            ("9007199254740992.0", "9007199254740993.0"),
            ("1e-400", "2e-400"),
            ("1", "1.0"),
            ("1", "\"1\""),
            ("[1,2]", "[12]"),
            ("[[1],2]", "[1,[2]]"),
            ("null", "\"null\""),
            ("1.5", "-1.5"),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one} {other}");
        }
    }

    /// Versions that run beside each other agree on what nearly all arguments are.
    #[test]
    fn what_is_usual_is_written_as_serde_json_does() {
        for json in
            [r#"{"z":1,"a":[-1,0.1,1e3,2.5e-7,"\n\u00e9",{"k":false}]}"#, "18446744073709551615", "1e21", "123456.789"]
        {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(canonical(json), value.to_string());
        }
    }
}
