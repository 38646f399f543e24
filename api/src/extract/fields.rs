//! Reading a JSON object field by field, so that an answer can point at everything that is wrong with it at once, and
//! so that values nobody needs to understand keep their original bytes.

use std::collections::BTreeMap;

use caraway_shared::task::{InstantFault, instant, limits, nests_too_deep};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::problem::{Code, FAULTS_MAX, Fault, Problem};

/// An object's fields, taken one by one; what is left at the end is unknown.
pub(crate) struct Fields<'a> {
    pointer: String,
    left: BTreeMap<String, &'a RawValue>,
    faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// Of a whole body, which must be an object.
    pub(crate) fn of(body: &'a [u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(body) {
            Ok(left) => Ok(Self { pointer: String::new(), left, faults: Vec::new() }),
            Err(_) => Err(Problem::new(Code::InvalidRequest, "the body must be a JSON object")),
        }
    }

    /// Of a part of a body, which stands at this JSON pointer.
    pub(crate) fn at_pointer(pointer: String, part: &'a RawValue) -> Result<Self, Problem> {
        let left = serde_json::from_str(part.get()).map_err(|_| {
            let (pointer, detail) = (pointer.clone(), "must be an object".into());
            Problem::faults(vec![Fault { pointer, code: Code::InvalidRequest, detail }])
        })?;
        Ok(Self { pointer, left, faults: Vec::new() })
    }

    /// Whether a field is there, and says something.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| value.get() != "null")
    }

    /// Where the object stands in the body: a JSON pointer.
    pub(crate) fn pointer(&self) -> &str {
        &self.pointer
    }

    /// A field that is good by itself, and wrong beside another.
    pub(crate) fn refuse(&mut self, name: &str, detail: &str) {
        self.fault(name, Code::InvalidRequest, detail);
    }

    /// A field that may be left out, or be null, which means the same. `must` completes "this field …".
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        must: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<T> {
        self.checked(name, |value| read(value).ok_or(must))
    }

    /// A field that may be left out, or be null, whose reader tells what is wrong with it.
    pub(crate) fn checked<T, E: ToString>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.left.remove(name).filter(|value| value.get() != "null")?;
        read(value).map_err(|fault| self.fault(name, Code::InvalidRequest, &fault.to_string())).ok()
    }

    /// A time that may be left out.
    pub(crate) fn instant(&mut self, name: &str) -> Option<Timestamp> {
        self.checked(name, |value| typed::<String>(value).ok_or(InstantFault::Form).and_then(|text| instant(&text)))
    }

    /// Whether a field is null, where that means something else than leaving it out. Asked before it is read.
    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| value.get() == "null")
    }

    /// A field that may be left out, and where null means something else than that.
    #[expect(clippy::option_option, reason = "a field is left out, null or a value")]
    pub(crate) fn nullable<T>(
        &mut self,
        name: &str,
        must: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<Option<T>> {
        let is_null = self.left.get(name)?.get() == "null";
        let value = self.optional(name, must, read);
        if is_null { Some(None) } else { value.map(Some) }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        must: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<T> {
        if self.left.get(name).is_none_or(|value| value.get() == "null") {
            self.fault(name, Code::InvalidRequest, "is missing");
        }
        self.optional(name, must, read)
    }

    /// A field that must be there and may be any JSON, null included.
    pub(crate) fn any(&mut self, name: &str) -> Option<&'a RawValue> {
        let value = self.left.remove(name);
        if value.is_none() {
            self.fault(name, Code::InvalidRequest, "is missing");
        }
        self.bounded(name, value)
    }

    /// A value of the user's own, which may nest only so deep.
    pub(crate) fn bounded(&mut self, name: &str, value: Option<&'a RawValue>) -> Option<&'a RawValue> {
        if value.is_some_and(|value| nests_too_deep(value.get())) {
            let detail = format!("must not nest deeper than {} levels, its own brackets included", limits::NESTING_MAX);
            self.fault(name, Code::NestedTooDeep, &detail);
        }
        value
    }

    /// A field that is an object of its own; its faults become ours.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let left = self.optional(name, "must be an object", |value| serde_json::from_str(value.get()).ok())?;
        let mut inner = Self { pointer: self.at(name), left, faults: Vec::new() };
        let read = read(&mut inner);
        inner.refuse_the_rest();
        self.faults.append(&mut inner.faults);
        Some(read)
    }

    /// Ends the reading: `value` where nothing was wrong, else everything that was.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Problem> {
        self.refuse_the_rest();
        value.filter(|_| self.faults.is_empty()).ok_or_else(|| Problem::faults(self.faults))
    }

    fn refuse_the_rest(&mut self) {
        for name in std::mem::take(&mut self.left).into_keys() {
            self.fault(&name, Code::UnknownField, "does not exist");
        }
    }

    /// More than are told of are not even written down.
    fn fault(&mut self, name: &str, code: Code, detail: &str) {
        if self.faults.len() > FAULTS_MAX {
            return;
        }
        self.faults.push(Fault { pointer: self.at(name), code, detail: detail.into() });
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }
}

/// A value of this type, or nothing.
pub(crate) fn typed<T: DeserializeOwned>(value: &RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &[u8]) -> serde_json::Value {
        let mut fields = Fields::of(body).unwrap();
        let name: Option<String> = fields.required("name", "must be a string", typed);
        let _: Option<u8> = fields.optional("size", "must be small", typed);
        fields.object("inner", |inner| inner.optional::<bool>("flag", "must be true or false", typed));
        let document = fields.finish(name).unwrap_err().document(None);
        serde_json::from_slice::<serde_json::Value>(&document).unwrap()["errors"].clone()
    }

    #[test]
    fn everything_wrong_is_pointed_at() {
        let errors = problem(br#"{"size": 1e9, "a/b": 1, "inner": {"flag": 1, "x": null}}"#);
        let pointers: Vec<_> =
            errors.as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, ["/name", "/size", "/inner/flag", "/inner/x", "/a~1b"]);
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let mut fields = Fields::of(br#"{"size": null}"#).unwrap();
        assert_eq!(fields.optional::<u8>("size", "", typed), None);
        assert!(fields.finish(Some(())).is_ok());
        assert_eq!(problem(br#"{"name": null}"#)[0]["detail"], "is missing");
    }
}
