//! How long a client is willing to wait for a task to end: `Prefer: wait=N` (RFC 7240, section 4.3) and `?wait=N`.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Type,
        path::{Parameter, ParameterIn},
    },
};

use super::{parameters::pairs, query::Query};
use crate::{
    openapi::parameter,
    problem::{Code, Problem},
};

/// Nobody waits longer in one request; a client that wants to asks again.
const SECONDS_MAX: u64 = 60;

/// From the header; a preference that is not understood is ignored, as the RFC says.
#[derive(Clone, Copy)]
pub(crate) struct PreferWait(pub(crate) Option<Duration>);

impl IntoParams for PreferWait {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "`wait=N` (RFC 7240): answer when the task has ended, at the latest after N whole seconds, at \
                           most 60. Preferences that are not understood are ignored.";
        vec![parameter::header("Prefer", description, "wait=10", ObjectBuilder::new())]
    }
}

impl FromRequest for PreferWait {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(preferred(request))))
    }
}

/// From the query.
pub(crate) struct QueryWait(pub(crate) Duration);

impl QueryWait {
    /// What it refuses.
    pub(crate) const PROBLEMS: &[Code] = &[Code::InvalidRequest];
}

impl IntoParams for QueryWait {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let seconds = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).default(Some(0.into()));
        let description =
            "Answer when the task has ended, at the latest after this many seconds. More than 60 count as 60.";
        vec![parameter::query("wait", description, seconds)]
    }
}

impl FromRequest for QueryWait {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(queried(request).map(Self))
    }
}

/// How long this request may take longer than others, whatever else it asks.
pub(crate) fn wait_asked(request: &HttpRequest) -> Duration {
    let among_others = || {
        let asked = pairs(request.query_string()).ok()?;
        asked.iter().find(|(name, _)| name == "wait").and_then(|(_, value)| patience(value))
    };
    preferred(request).or_else(among_others).unwrap_or_default()
}

/// The value of a parameter `wait`.
pub(crate) fn patience(value: &str) -> Option<Duration> {
    seconds(value.parse().ok()?)
}

fn preferred(request: &HttpRequest) -> Option<Duration> {
    let preferences = request.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
    preferences.flat_map(|value| value.split(',')).find_map(preference)
}

fn preference(text: &str) -> Option<Duration> {
    let (name, value) = text.split(';').next()?.split_once('=')?;
    let seconds: u64 = value.trim().trim_matches('"').parse().ok()?;
    name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds.min(SECONDS_MAX)))
}

fn queried(request: &HttpRequest) -> Result<Duration, Problem> {
    let mut query = Query::read(request.query_string())?;
    let asked = query.optional("wait", "must be a number of seconds, 0 or more", patience);
    query.finish(asked.unwrap_or_default())
}

/// What is no number is refused; for `min` it would be as good as any.
fn seconds(asked: f64) -> Option<Duration> {
    let longest = Duration::from_secs(SECONDS_MAX);
    if asked > longest.as_secs_f64() { Some(longest) } else { Duration::try_from_secs_f64(asked).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        assert_eq!([0.0, 0.25].map(seconds), [Some(Duration::ZERO), Some(Duration::from_millis(250))]);
        assert_eq!([61.0, 1e300].map(seconds), [Some(Duration::from_mins(1)); 2]);
        assert_eq!([-1.0, f64::NAN].map(seconds), [None; 2]);
    }

    #[test]
    fn preferences() {
        assert_eq!(preference(" wait=5 "), Some(Duration::from_secs(5)));
        assert_eq!(preference("Wait=\"7\"; x=1"), Some(Duration::from_secs(7)));
        assert_eq!(preference("wait=999999"), Some(Duration::from_mins(1)));
        for other in ["respond-async", "wait", "wait=-1", "wait=x", "waits=3"] {
            assert_eq!(preference(other), None, "{other}");
        }
    }
}
