//! What bounds a search: names that could be names, and times, as bounds of ids. An id begins with the millisecond in
//! which its task was accepted (RFC 9562, version 7), so a list that walks along ids needs no other index to begin and end
//! at a time.

use caraway_shared::{
    store::tasks::Search,
    task::{State, TaskError, TaskName, limits},
};
use jiff::Timestamp;
use uuid::{Builder, Uuid};

use crate::{
    callers::Caller,
    problem::{Code, Problem},
};

pub(super) const NAME: &str = "must be a name: a letter, then up to 127 letters, digits, '_', '.' or '-'";
/// What a search by state must say, of these.
pub(super) fn states_must(states: &[State]) -> String {
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    format!("must be one or several of {}, with commas between", words.join(", "))
}

pub(super) const ERROR_CODE: &str = "must be an error's code: 1 to 64 bytes";

/// Tasks and queues are named alike.
pub(super) fn name(text: &str) -> Option<String> {
    text.parse::<TaskName>().ok().map(|name| name.to_string())
}

pub(super) fn error_code(text: &str) -> Option<String> {
    (1..=TaskError::CODE_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
}

pub(super) fn tag(text: &str) -> Option<String> {
    (1..=limits::TAG_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
}

/// A search over all queues would show a key for some queues the others: it has to name one that it is for.
pub(super) fn check_queues(caller: &Caller, search: &Search) -> Result<(), Problem> {
    if caller.covers_all() {
        return Ok(());
    }
    match search {
        Search::Parts { queue: Some(queue), .. } => caller.covers(queue),
        Search::Parts { queue: None, .. } | Search::Tag(_) | Search::Batch(_) => {
            Err(Problem::new(Code::QueueForbidden, "this key is for some queues only: search by one of them"))
        }
    }
}

/// From `after` up to, and without, `before`.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Times {
    pub(super) after: Option<Timestamp>,
    pub(super) before: Option<Timestamp>,
}

impl Times {
    /// The first id that belongs to it, and the first that does not any more.
    pub(super) fn ids(self) -> (Uuid, Uuid) {
        (self.after.map_or(Uuid::nil(), first_id), self.before.map_or(Uuid::max(), first_id))
    }
}

fn first_id(time: Timestamp) -> Uuid {
    // before 1970 there was none
    let millis = u64::try_from(time.as_millisecond()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_lies_in_its_millisecond() {
        let now = Timestamp::from_millisecond(1_800_000_000_123).unwrap();
        let id = Builder::from_unix_timestamp_millis(1_800_000_000_123, &[7; 10]).into_uuid();
        let next = Timestamp::from_millisecond(1_800_000_000_124).unwrap();
        let (from, before) = Times { after: Some(now), before: Some(next) }.ids();
        assert!(from <= id && id < before);
        let (from, before) = Times { after: Some(next), before: Some(now) }.ids();
        assert!(id < from && before <= id);
        assert_eq!(Times::default().ids(), (Uuid::nil(), Uuid::max()));
    }
}
