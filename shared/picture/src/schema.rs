//! Schemas of the options that have two spellings: what is derived would know only one of them.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::{Format, Gravity};

const GRAVITIES: [&str; 11] =
    ["center", "centre", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest", "smart"];
const FORMATS: [&str; 5] = ["jpeg", "jpg", "png", "webp", "avif"];

impl PartialSchema for Gravity {
    fn schema() -> RefOr<Schema> {
        words("Which part stays where `cover` cuts; `smart` finds it.", GRAVITIES)
    }
}

impl ToSchema for Gravity {
    fn name() -> Cow<'static, str> {
        "Gravity".into()
    }
}

impl PartialSchema for Format {
    fn schema() -> RefOr<Schema> {
        words("A picture's format; `jpg` is `jpeg`.", FORMATS)
    }
}

impl ToSchema for Format {
    fn name() -> Cow<'static, str> {
        "Format".into()
    }
}

fn words<const N: usize>(told: &str, words: [&str; N]) -> RefOr<Schema> {
    let schema = ObjectBuilder::new().schema_type(Type::String).description(Some(told)).enum_values(Some(words));
    RefOr::T(Schema::Object(schema.build()))
}

#[cfg(test)]
mod tests {
    use serde::{
        Deserialize,
        de::{IntoDeserializer, value::Error},
    };

    use super::*;

    /// Serde names everything that it takes when it meets a word that it does not take.
    fn taken<T: for<'a> Deserialize<'a> + std::fmt::Debug>() -> Vec<String> {
        let unknown: Result<T, Error> = T::deserialize("?".into_deserializer());
        let told = unknown.unwrap_err().to_string();
        told.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_words_are_those_that_are_taken() {
        assert_eq!(taken::<Gravity>(), GRAVITIES);
        assert_eq!(taken::<Format>(), FORMATS);
    }
}
