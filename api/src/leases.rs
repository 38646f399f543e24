//! Leases over HTTP: what the addresses of locks, semaphores and conditions do alike.
//!
//! Invariants: an id that a client leaves out is made here and told in the answer; whatever the specification answers becomes
//! one document or one problem, always the same.

use std::time::Duration;

use actix_web::{HttpResponse, http::header};
use caraway_shared::coordination::{
    Address, Asker, Grant, LeaseAnswer, Millis, Op, Reply, Share, Terms, limits, seconds,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    extract::{Fields, parse_id, typed},
    problem::{Code, Problem},
    state::ApiState,
    telling::telling,
};

/// Names the fence in an answer.
const FENCING_TOKEN: &str = "Fencing-Token";

/// Where a lease stands.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LeaseState {
    /// It is yours.
    Held,
    /// It stands in the line.
    Waiting,
    /// It waits for a notify.
    Parked,
}

/// A lease as its client sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Lease)]
pub(crate) struct LeaseView {
    /// By this id it is renewed, given back, and asked for again.
    lease_id: Uuid,
    state: LeaseState,
    /// Greater than all that were given before for this object: a decimal number. Pass it to whatever you act on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    fence: Option<String>,
    /// Seconds from the moment at which this was answered. Count from when you sent the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    expires_in: Option<f64>,
    /// How many stand in the line, this one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    waiting: Option<i64>,
    /// Of a wait on a condition that has the lock again: whether it was notified, or its `timeout` was over before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    notified: Option<bool>,
}

/// What asking for a lease may be refused for.
pub(crate) const ACQUIRE_PROBLEMS: &[Code] =
    &[Code::WouldBlock, Code::LeaseLost, Code::LeaseIdReused, Code::TooManyWaiters];

/// Asks for a lease and waits for it.
pub(crate) async fn acquire(
    state: &ApiState,
    address: &Address,
    patience: Duration,
    wanted: Wanted,
) -> Result<HttpResponse, Problem> {
    let Wanted { id, terms, expect } = wanted;
    let op = |asker: Asker| Op::Acquire { id, terms: terms.clone(), expect, asker };
    let LeaseAnswer { reply, untold } = state.coordination.obtain(address, id, patience, op).await?;
    Ok(telling(answer(id, reply)?, untold))
}

/// More time.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
pub(crate) struct Renewal {
    /// Seconds from now; left out, as before.
    #[schema(minimum = 1, maximum = 600)]
    ttl: Option<f64>,
}

/// Gives a lease more time.
pub(crate) async fn renew(
    state: &ApiState,
    address: &Address,
    share: Share,
    body: Option<&[u8]>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.unwrap_or(b"{}"))?;
    let ttl_ms = fields.optional("ttl", TTL_MUST, ttl);
    let ttl_ms = fields.finish(Some(ttl_ms))?;
    let id = share.id;
    let reply = state.coordination.change(address, Op::Renew { share, ttl_ms }).await?;
    answer(id, reply)
}

/// What a renewal may be refused for.
pub(crate) const RENEW_PROBLEMS: &[Code] = &[Code::LeaseLost, Code::LeaseNotFound, Code::NotOwner];

/// Gives a lease back, or the place in the line up.
pub(crate) async fn release(state: &ApiState, address: &Address, share: Share) -> Result<HttpResponse, Problem> {
    match state.coordination.change(address, Op::Release(share)).await? {
        Reply::Released => Ok(HttpResponse::NoContent().finish()),
        Reply::ReleasedNotified => Ok(HttpResponse::Ok().json(GivenUp { notified: true })),
        other => Err(refused(&other)),
    }
}

/// A wait on a condition that was given up after a notify had come for it.
#[derive(Serialize, ToSchema)]
pub(crate) struct GivenUp {
    /// It was notified: act on it, or notify another one. You do not hold the lock.
    notified: bool,
}

/// What giving back may be refused for.
pub(crate) const RELEASE_PROBLEMS: &[Code] = &[Code::LeaseLost, Code::LeaseInUse];

/// The answer about one lease.
pub(crate) fn answer(lease_id: Uuid, reply: Reply) -> Result<HttpResponse, Problem> {
    let view = |state| LeaseView { lease_id, state, fence: None, expires_in: None, waiting: None, notified: None };
    let (reply, notified) = match reply {
        Reply::Woken { grant, notified } => (Reply::Held(grant), Some(notified)),
        other => (other, None),
    };
    let (mut response, view) = match reply {
        Reply::Held(Grant { fence, left }) => {
            let left = seconds(left);
            let mut response = HttpResponse::Ok();
            response.insert_header((FENCING_TOKEN, fence.to_string()));
            let (fence, expires_in) = (Some(fence.to_string()), Some(left));
            (response, LeaseView { fence, expires_in, notified, ..view(LeaseState::Held) })
        }
        Reply::Waiting(waiting) => {
            (HttpResponse::Accepted(), LeaseView { waiting: Some(waiting), ..view(LeaseState::Waiting) })
        }
        Reply::Parked(_) => (HttpResponse::Accepted(), view(LeaseState::Parked)),
        other => return Err(refused(&other)),
    };
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// What an answer that is a refusal becomes.
pub(crate) fn refused(reply: &Reply) -> Problem {
    let (code, detail) = match reply {
        Reply::WouldBlock(Some(left)) => {
            let left = seconds(*left);
            let detail = format!("it is taken, for {left} s unless it is renewed or given back");
            return Problem::new(Code::WouldBlock, detail).with("expires_in", left);
        }
        Reply::WouldBlock(None) => (Code::WouldBlock, "it is taken; ask with ?wait=N to stand in the line".to_owned()),
        Reply::Lost => {
            (Code::LeaseLost, "this lease has ended; whatever it protected may be somebody else's by now".to_owned())
        }
        Reply::Missing => (Code::LeaseNotFound, "there is no lease of this id, or it is forgotten".to_owned()),
        Reply::NotHeld => (Code::NotOwner, "you do not hold this lease now".to_owned()),
        Reply::WrongSecret => (Code::WrongSecret, "this lease was asked for with another Lease-Secret".to_owned()),
        Reply::Reused => (Code::LeaseIdReused, "another request was made with this id; choose a new one".to_owned()),
        Reply::NotConfigured => (Code::NotConfigured, "PUT its settings first".to_owned()),
        Reply::NeverFits(all) => (Code::NeverFits, format!("there are {all} permits in all")),
        Reply::TooManyWaiters => (Code::TooManyWaiters, format!("{} wait already", limits::WAITERS_MAX)),
        Reply::TooManyHolds => (Code::TooManyHolds, format!("this owner holds it {} times", limits::HOLDS_MAX)),
        Reply::HeldTwice => (Code::HeldTwice, "give back the inner holds first: a wait can give back one".to_owned()),
        Reply::Pinned => {
            (Code::LeaseInUse, "a transaction of its holder stands on it; try again when it has ended".to_owned())
        }
        Reply::NotEmpty => {
            let detail = "items are in the queue, and would leave in another order than they were put in for";
            (Code::QueueNotEmpty, detail.to_owned())
        }
        Reply::AlreadyIn => (Code::ItemAlreadyIn, "the item is in the queue, or was".to_owned()),
        Reply::Full => (Code::QueueFull, "as many items are ready as may be; put it in with ?wait=N".to_owned()),
        Reply::Broken => {
            (Code::BrokenBarrier, "the barrier is broken, or was while this arrival stood at it".to_owned())
        }
        Reply::ShutDown => (Code::QueueShutDown, "this queue takes no more".to_owned()),
        Reply::Held(_)
        | Reply::Waiting(_)
        | Reply::Parked(_)
        | Reply::Woken { .. }
        | Reply::Arrived { .. }
        | Reply::Purged(_)
        | Reply::Released
        | Reply::ReleasedNotified
        | Reply::PutBack(_)
        | Reply::Accepted { .. }
        | Reply::Fetched(_)
        | Reply::Empty
        | Reply::Notified(_)
        | Reply::Passed(..)
        | Reply::Done(_) => return Problem::internal(format!("an answer that fits no question: {reply:?}")),
    };
    Problem::new(code, detail)
}

/// What a request for a lease says.
pub(crate) struct Wanted {
    id: Uuid,
    terms: Terms,
    expect: Option<i64>,
}

/// Whether permits are asked for, or re-entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Of a lock.
    Lock,
    /// Of a semaphore.
    Permits,
}

/// Reads the body of a request for a lease.
pub(crate) fn read(body: Option<&[u8]>, secret: Option<Vec<u8>>, of: Of) -> Result<Wanted, Problem> {
    let mut fields = Fields::of(body.unwrap_or(b"{}"))?;
    let id = fields.optional("lease_id", ID_MUST, id).unwrap_or_else(Uuid::new_v4);
    let owner = fields.optional("owner", "must be a string of 1 to 128 bytes", label);
    let ttl_ms = fields.optional("ttl", TTL_MUST, ttl).unwrap_or(limits::TTL_DEFAULT);
    let mut terms = Terms { owner: String::new(), permits: 1, ttl_ms, reentrant: false, secret, leaves_empty: false };
    let mut expect = None;
    match of {
        Of::Permits => {
            let permits = |value: &RawValue| typed(value).filter(|permits| (1..=limits::PERMITS_MAX).contains(permits));
            terms.permits = fields.optional("permits", "must be a whole number from 1 to 10000", permits).unwrap_or(1);
        }
        Of::Lock => {
            terms.reentrant = fields.optional("reentrant", "must be true or false", typed).unwrap_or(false);
            expect = fields.optional("expect_fence", "must be a fence, a string of digits", fence);
            if (terms.reentrant || expect.is_some()) && owner.is_none() {
                fields.refuse("owner", "is needed to tell who may hold it again");
            }
        }
    }
    terms.owner = owner.unwrap_or_default();
    fields.finish(Some(Wanted { id, terms, expect }))
}

/// What an id must be.
pub(crate) const ID_MUST: &str = "must be a UUID in lower case with hyphens";
/// What a time to live must be.
pub(crate) const TTL_MUST: &str = "must be a number of seconds from 1 to 600";

/// An id that a client chose.
pub(crate) fn id(value: &RawValue) -> Option<Uuid> {
    parse_id(&typed::<String>(value)?)
}

/// A time to live, in milliseconds.
pub(crate) fn ttl(value: &RawValue) -> Option<i32> {
    let ttl = Duration::try_from_secs_f64(typed(value)?).ok()?;
    i32::try_from(ttl.as_millis()).ok().filter(|ttl| (limits::TTL_MIN..=limits::TTL_MAX).contains(ttl))
}

/// What a time limit must be.
pub(crate) const TIME_LIMIT_MUST: &str = "must be a number of seconds from 0 to 86400";

/// A time limit, in milliseconds.
pub(crate) fn time_limit(value: &RawValue) -> Option<Millis> {
    let limit = Duration::try_from_secs_f64(typed(value)?).ok()?;
    Millis::try_from(limit.as_millis()).ok().filter(|limit| *limit <= limits::TIME_LIMIT_MAX)
}

/// A label.
pub(crate) fn label(value: &RawValue) -> Option<String> {
    typed::<String>(value).filter(|label| (1..=limits::NAME_BYTES_MAX).contains(&label.len()))
}

/// A fence.
pub(crate) fn fence(value: &RawValue) -> Option<i64> {
    let text: String = typed(value)?;
    text.parse().ok().filter(|fence| *fence > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
}
