//! Names and priorities, parsed once at the door: inside, an invalid one cannot exist.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// A name that breaks the rule, or a priority outside 0–9.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// Not `[A-Za-z][A-Za-z0-9_.-]{0,127}`.
    #[error("must start with a letter and hold up to 128 letters, digits, '_', '.' or '-'")]
    Shape,
    /// Not 0–9.
    #[error("must be a whole number from 0 to 9")]
    Priority,
}

fn check_name(name: &str) -> Result<(), NameError> {
    let mut bytes = name.bytes();
    let starts_well = bytes.next().is_some_and(|first| first.is_ascii_alphabetic());
    let goes_on_well = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if starts_well && goes_on_well && name.len() <= 128 { Ok(()) } else { Err(NameError::Shape) }
}

fn name_schema(description: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    text.pattern(Some("^[A-Za-z][A-Za-z0-9_.-]{0,127}$")).into()
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident $description:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                check_name(name).map(|()| Self(name.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().into()
            }
        }

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                name_schema($description)
            }
        }

        impl ToSchema for $type {}

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a task type: `[A-Za-z][A-Za-z0-9_.-]{0,127}`. Cheap to clone.
    TaskName "The name of a task type."
}
name! {
    /// The name of a queue, by the same rule. Cheap to clone.
    QueueName "The name of a queue."
}

/// 0–9, higher is more urgent; 4 where nothing is said (what RabbitMQ 4.3 gives to messages without one).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(minimum = 0, maximum = 9)]
pub struct Priority(u8);

impl Priority {
    /// Reads 0–9.
    pub fn new(number: i64) -> Result<Self, NameError> {
        u8::try_from(number).ok().filter(|number| *number <= 9).map(Self).ok_or(NameError::Priority)
    }

    /// The number, 0–9.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The broker queue it goes to.
    pub const fn class(self) -> Class {
        match self.0 {
            0..=2 => Class::Low,
            3..=6 => Class::Normal,
            _ => Class::High,
        }
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(4)
    }
}

/// Priorities are strict between these three: each is a broker queue of its own, because RabbitMQ before 4.3 has no
/// strict priorities on quorum queues.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// 7–9.
    High,
    /// 3–6.
    Normal,
    /// 0–2.
    Low,
}

impl Class {
    /// Every class, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// As the `task` table's column says it.
    pub const fn number(self) -> i16 {
        match self {
            Self::High => 2,
            Self::Normal => 1,
            Self::Low => 0,
        }
    }

    /// The last part of the broker queue's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_rule() {
        for good in ["a", "process_image", "Mail.send-v2", &"a".repeat(128)] {
            assert!(good.parse::<TaskName>().is_ok(), "{good}");
        }
        for bad in ["", "1a", "a b", "a\0", "ä", "a*", "a/b", &"a".repeat(129)] {
            assert!(bad.parse::<QueueName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn priorities_fall_into_their_class() {
        let class = |number| Priority::new(number).map(Priority::class).ok();
        assert_eq!([class(0), class(2)], [Some(Class::Low); 2]);
        assert_eq!([class(3), class(6)], [Some(Class::Normal); 2]);
        assert_eq!([class(7), class(9)], [Some(Class::High); 2]);
        assert_eq!([class(-1), class(10)], [None; 2]);
        assert_eq!(Priority::default().class(), Class::Normal);
    }
}
