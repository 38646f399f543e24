//! Trace context (W3C), taken in and handed on with the task.

use actix_web::http::header::HeaderMap;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder,
        path::{Parameter, ParameterIn},
    },
};

use crate::openapi::parameter;

/// The header, for the OpenAPI document.
pub(crate) struct Traceparent;

impl IntoParams for Traceparent {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "Trace context (W3C), kept with the task and handed to its handler. One that is not well-formed is \
                           ignored.";
        let example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        vec![parameter::header("traceparent", description, example, ObjectBuilder::new())]
    }
}

/// The caller's trace context, where it is well-formed; one that is not is ignored, as the standard says.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let given = headers.get("traceparent")?.to_str().ok()?;
    is_traceparent(given).then(|| given.to_owned())
}

fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, chars: usize| {
        part.len() == chars && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let set = |part: &str| part.bytes().any(|byte| byte != b'0');
    match text.split('-').collect::<Vec<_>>()[..] {
        [version, trace, parent, flags] => {
            hex(version, 2)
                && version != "ff"
                && hex(trace, 32)
                && set(trace)
                && hex(parent, 16)
                && set(parent)
                && hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_context() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        let bad = [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ];
        assert!(bad.iter().all(|bad| !is_traceparent(bad)));
    }
}
