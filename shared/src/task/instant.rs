//! Instants in bodies and queries: RFC 3339 with an offset, and nothing else that a library for times may read beside it.

use jiff::{Timestamp, civil::DateTime};

/// Why a text is no instant. Each completes "this field …".
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InstantFault {
    /// Not of the form.
    #[error("must be a time such as 2026-11-22T20:00:00Z or 2026-11-22T20:00:00.5+01:00 (RFC 3339, with an offset)")]
    Form,
    /// Finer than any clock here.
    #[error("must have at most 9 digits after the point of its seconds")]
    TooFine,
    /// The 30th of February.
    #[error("must be a day and a time that exist, with an offset of less than a day")]
    NoSuchTime,
    /// Out of the calendar.
    #[error("must be a time from 1970 to 9999")]
    OutOfRange,
    /// A query's `+` is a space.
    #[error("has a space where its offset begins: in an address '+' stands for a space, so write it as %2B")]
    Plus,
}

/// 9999-12-30T22:00:00Z, the last instant that is told apart from later ones. Those that remain of the year 9999, less than 26 hours,
/// count as this one: a library that reads times must be able to tell them in every offset.
const LAST_SECOND: i64 = 253_402_207_200;

const DIGITS_MAX: usize = 9;

/// Reads a time of the years 1970 to 9999.
pub fn instant(text: &str) -> Result<Timestamp, InstantFault> {
    check_form(text.as_bytes())?;
    if !exists(text) {
        return Err(InstantFault::NoSuchTime);
    }
    let last = Timestamp::from_second(LAST_SECOND).unwrap_or(Timestamp::MAX);
    match text.parse::<Timestamp>() {
        Ok(time) if time < Timestamp::UNIX_EPOCH => Err(InstantFault::OutOfRange),
        Ok(time) => Ok(time.min(last)),
        // it exists, so it lies beyond one end of what can be told
        Err(_) if text.starts_with("9999") => Ok(last),
        Err(_) => Err(InstantFault::OutOfRange),
    }
}

/// `YYYY-MM-DDTHH:MM:SS`, then perhaps `.` and digits, then `Z` or `+HH:MM` or `-HH:MM`.
fn check_form(text: &[u8]) -> Result<(), InstantFault> {
    let Some((start, rest)) = text.split_at_checked(19) else { return Err(InstantFault::Form) };
    if !fits(start, b"dddd-dd-ddTdd:dd:dd") {
        return Err(InstantFault::Form);
    }
    let (digits, offset) = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (Some(digits), fraction.split_at_checked(digits).unwrap_or_default().1)
        }
        None => (None, rest),
    };
    if digits == Some(0) {
        return Err(InstantFault::Form);
    }
    if fits(offset, b" dd:dd") {
        return Err(InstantFault::Plus);
    }
    if ![&b"Z"[..], b"+dd:dd", b"-dd:dd"].iter().any(|form| fits(offset, form)) {
        return Err(InstantFault::Form);
    }
    if digits.is_some_and(|digits| digits > DIGITS_MAX) { Err(InstantFault::TooFine) } else { Ok(()) }
}

/// `d` stands for a digit; letters may be small.
fn fits(text: &[u8], form: &[u8]) -> bool {
    let fits =
        |(byte, form): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte.eq_ignore_ascii_case(form) };
    text.len() == form.len() && text.iter().zip(form).all(fits)
}

/// Of a text of the right form: whether there is such a day, such a time, and such an offset.
fn exists(text: &str) -> bool {
    let local = text.get(..19).unwrap_or_default().to_ascii_uppercase();
    let offset = text.len().checked_sub(5).and_then(|at| text.get(at..)).and_then(|offset| offset.split_once(':'));
    let offset_exists = offset.is_some_and(|(hours, minutes)| hours < "24" && minutes < "60");
    (text.ends_with(['Z', 'z']) || offset_exists) && local.parse::<DateTime>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_taken() {
        for (text, is) in [
            ("2026-11-22T20:00:00Z", "2026-11-22T20:00:00Z"),
            ("2026-11-22t20:00:00.5z", "2026-11-22T20:00:00.5Z"),
            ("2026-11-22T20:00:00.123456789+01:30", "2026-11-22T18:30:00.123456789Z"),
            ("2026-11-22T20:00:00-23:59", "2026-11-23T19:59:00Z"),
            ("2026-11-22T20:00:00-00:00", "2026-11-22T20:00:00Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z"),
            ("9999-12-30T22:00:01Z", "9999-12-30T22:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00Z"),
            ("9999-12-31T23:59:59.999999999-12:00", "9999-12-30T22:00:00Z"),
        ] {
            assert_eq!(instant(text).map(|time| time.to_string()), Ok(is.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        use InstantFault::{Form, NoSuchTime, OutOfRange, Plus, TooFine};
        for (text, why) in [
            ("", Form),
            ("soon", Form),
            ("2026-11-22", Form),
            ("2026-11-22T20:00:00", Form),
            ("2026-11-22T20:00Z", Form),
            ("2026-11-22T20Z", Form),
            ("20261122T200000Z", Form),
            ("2026-11-22 20:00:00Z", Form),
            ("2026-11-22T20:00:00.Z", Form),
            ("2026-11-22T20:00:00,5Z", Form),
            ("2026-11-22T20:00:00+01", Form),
            ("2026-11-22T20:00:00+0100", Form),
            ("2026-11-22T20:00:00+01:00:30", Form),
            ("2026-11-22T20:00:00Z[Europe/Berlin]", Form),
            ("+002026-11-22T20:00:00Z", Form),
            ("294247-01-01T00:00:00Z", Form),
            ("２026-11-22T20:00:00Z", Form),
            ("2026-11-22T20:00:00.123456789012Z", TooFine),
            ("2027-02-29T00:00:00Z", NoSuchTime),
            ("2026-11-22T24:00:00Z", NoSuchTime),
            ("2026-11-22T20:00:00+24:00", NoSuchTime),
            ("2026-11-22T20:00:00+01:60", NoSuchTime),
            ("9999-02-29T20:00:00Z", NoSuchTime),
            ("1969-12-31T23:59:59Z", OutOfRange),
            ("0000-01-01T00:00:00Z", OutOfRange),
            ("2026-11-22T20:00:00 01:00", Plus),
        ] {
            assert_eq!(instant(text), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(microsecond in 0..=LAST_SECOND * 1_000_000) {
            let time = Timestamp::from_microsecond(microsecond).unwrap();
            prop_assert_eq!(instant(&time.to_string()), Ok(time));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", like in "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{6,14}[Zz+ -][0-9:]{0,8}") {
            let _ = (instant(&text), instant(&like));
        }
    }
}
