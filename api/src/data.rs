//! Cached data: read through the cache, changed in the row.
//!
//! Invariant: a change is answered only after [`Cache::after_commit`](caraway_shared::cache::Cache::after_commit), so that
//! nobody who asks after the answer is shown what was before.

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use caraway_shared::{
    cache::{Found, How},
    store::{Changed, DATA, Expected, NewValue, Storable},
    task::OwnerId,
};

use crate::{
    callers::Caller,
    extract::data_not_found,
    problem::{Code, Problem},
    state::ApiState,
};

/// Says where an answer comes from (RFC 9211).
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A value: its version, its JSON as the client wrote it, and where it comes from.
pub(crate) struct Value {
    pub(crate) version: i64,
    pub(crate) json: Bytes,
    pub(crate) cache_status: HeaderValue,
}

/// An owner's value.
pub(crate) async fn read(state: &ApiState, owner: OwnerId, key: String) -> Result<Value, Problem> {
    let store = state.store.clone();
    let row = key.clone();
    let load = move || {
        let (store, row) = (store.clone(), row.clone());
        async move { store.data(owner, &row).await }
    };
    let found = state.cache.get_or_load(&DATA, owner, &key, load).await?;
    let cache_status = cache_status(&found);
    let json = found.body.ok_or_else(data_not_found)?;
    Ok(Value { version: found.version, json, cache_status })
}

/// Stores a value; its version since. One that the user's quota does not suffice for is refused.
pub(crate) async fn put(
    state: &ApiState,
    caller: &Caller,
    key: &str,
    value: NewValue<'_>,
    expected: Expected,
) -> Result<i64, Problem> {
    let _storing = state.quotas.store(caller, value.json.len(), Storable::Value(key)).await?;
    change(state, caller.owner, key, Some(value), expected).await
}

/// Stores a value, or deletes it (`None`); its version since. Of what was to be deleted and is not there, 404.
async fn change(
    state: &ApiState,
    owner: OwnerId,
    key: &str,
    value: Option<NewValue<'_>>,
    expected: Expected,
) -> Result<i64, Problem> {
    let unconditional = expected == Expected::Any;
    match state.store.change_data(owner, key, value, expected).await? {
        Changed::Done(owed) => {
            fail::fail_point!("data.committed", |_| std::process::abort());
            state.cache.after_commit(&owed).await;
            Ok(owed.version)
        }
        Changed::Unexpected if unconditional => Err(data_not_found()),
        Changed::Unexpected => {
            Err(Problem::new(Code::PreconditionFailed, "what is stored is not what your condition names"))
        }
    }
}

/// Deletes a value. Of what is not there, 404.
pub(crate) async fn delete(state: &ApiState, owner: OwnerId, key: &str, expected: Expected) -> Result<(), Problem> {
    change(state, owner, key, None, expected).await.map(drop)
}

fn cache_status(found: &Found) -> HeaderValue {
    let negative = if found.body.is_none() { "; detail=negative" } else { "" };
    let told = match found.how {
        How::Hit(left) => format!("hit; ttl={}{negative}", seconds(left)),
        How::Stale => "hit; detail=stale".to_owned(),
        How::Miss { stored: true } => "fwd=miss; stored".to_owned(),
        How::Miss { stored: false } => "fwd=miss".to_owned(),
        How::Away => "fwd=bypass; detail=away".to_owned(),
        How::Outstanding => "fwd=bypass; detail=outstanding".to_owned(),
        How::Waited => "fwd=miss; detail=waited".to_owned(),
        How::Off => "fwd=bypass; detail=off".to_owned(),
    };
    HeaderValue::try_from(format!("caraway; {told}")).unwrap_or_else(|_| HeaderValue::from_static("caraway"))
}

fn seconds(left: Duration) -> u64 {
    left.as_secs()
}
