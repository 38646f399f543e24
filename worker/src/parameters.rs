//! The names of a handler's parameters are the names of its arguments struct's fields, asked of serde itself, so that
//! the two can never differ.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Visitor, value::Error},
    forward_to_deserialize_any,
};

/// The field names of a struct, in order. `None` for what is no struct with named fields.
pub(crate) fn parameters_of<'de, T: Deserialize<'de>>() -> Option<&'static [&'static str]> {
    let mut fields = None;
    let _ = T::deserialize(Ask { fields: &mut fields });
    fields
}

/// A deserializer that has nothing to give, but hears what is asked for.
struct Ask<'a> {
    fields: &'a mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        *self.fields = Some(fields);
        Err(Error::custom("only asking"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("only asking"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    struct Args {
        image_id: String,
        #[serde(rename = "w")]
        width: Option<u32>,
    }

    #[test]
    fn fields_come_in_order_under_their_json_names() {
        assert_eq!(parameters_of::<Args>(), Some(["image_id", "w"].as_slice()));
        assert_eq!(parameters_of::<Vec<u8>>(), None);
    }
}
