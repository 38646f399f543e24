//! Which tasks an action on many is about: those of these ids, or what a search finds, up to 1,000 at a time.

use std::collections::BTreeSet;

use caraway_shared::{
    store::tasks::Sought,
    task::{TaskId, limits},
};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::bounds::{self, Times};
use crate::{
    callers::Caller,
    extract::{Fields, parse_id, typed},
    problem::Problem,
    state::ApiState,
};

/// What a client has chosen.
pub(super) enum Selection {
    /// These, whatever becomes of each.
    Ids(Vec<TaskId>),
    /// What is found; of what cannot be done to one of these, nothing is told.
    Matching(Sought),
}

/// These tasks.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskIds)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
pub(super) struct IdsSchema {
    #[schema(min_items = 1, max_items = 1000)]
    ids: BTreeSet<TaskId>,
    /// Tell what would be done, and do nothing.
    dry_run: Option<bool>,
}

impl Selection {
    /// Reads `ids`, or `filter` with `limit` and `cursor`.
    pub(super) fn read(
        fields: &mut Fields<'_>,
        filter: impl FnOnce(&mut Fields<'_>) -> Option<Sought>,
    ) -> Option<Self> {
        let ids = fields.optional("ids", "must be a list of 1 to 1000 different tasks' ids", ids);
        let sought = fields.object("filter", filter);
        let limit = fields.optional("limit", "must be a whole number from 1 to 1000", |value| {
            typed::<usize>(value).filter(|limit| (1..=limits::BATCH_MAX).contains(limit))
        });
        let cursor = fields.optional("cursor", "must be the next_cursor of an earlier answer", |value| {
            typed::<String>(value).and_then(|id| parse_id(&id))
        });
        match (ids, sought) {
            (Some(_), None) if limit.is_some() || cursor.is_some() => {
                fields.refuse("ids", "go without limit and cursor");
                None
            }
            (Some(ids), None) => Some(Self::Ids(ids)),
            (None, Some(sought)) => {
                let mut sought = sought?;
                sought.limit = i64::try_from(limit.unwrap_or(limits::BATCH_MAX)).unwrap_or(1);
                sought.before = cursor.map_or(sought.before, |cursor| cursor.min(sought.before));
                Some(Self::Matching(sought))
            }
            _ => {
                fields.refuse("filter", "is needed, or ids, and only one of them");
                None
            }
        }
    }

    /// Refuses a search by a key for some queues that names none of them. Ids are looked at one by one.
    pub(super) fn check_queues(&self, caller: &Caller) -> Result<(), Problem> {
        match self {
            Self::Matching(sought) => bounds::check_queues(caller, &sought.search),
            Self::Ids(_) => Ok(()),
        }
    }

    /// The ids, in the order given or the newest first.
    pub(super) async fn find(&self, state: &ApiState) -> Result<Vec<TaskId>, Problem> {
        match self {
            Self::Ids(ids) => Ok(ids.clone()),
            Self::Matching(sought) => Ok(state.store.find_tasks(sought).await?),
        }
    }

    /// Whether it is a search.
    pub(super) const fn is_search(&self) -> bool {
        matches!(self, Self::Matching(_))
    }

    /// Where a search goes on after `last`, if so many were a full page.
    pub(super) fn next(&self, found: usize, last: Option<TaskId>) -> Option<TaskId> {
        let Self::Matching(sought) = self else { return None };
        let full = i64::try_from(found).is_ok_and(|found| found >= sought.limit);
        last.filter(|_| full)
    }
}

/// A part of a filter that is a text.
pub(super) fn text<T>(value: &RawValue, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    typed::<String>(value).and_then(|text| read(&text))
}

/// `created_after` and `created_before` of a filter.
pub(super) fn times(filter: &mut Fields<'_>) -> Times {
    Times { after: filter.instant("created_after"), before: filter.instant("created_before") }
}

/// A list of 1 to 1000 different tasks' ids.
pub(super) fn ids(value: &RawValue) -> Option<Vec<TaskId>> {
    let ids = typed::<Vec<String>>(value).filter(|ids| (1..=limits::BATCH_MAX).contains(&ids.len()))?;
    let ids: Vec<TaskId> = ids.iter().map(|id| parse_id(id).map(TaskId)).collect::<Option<_>>()?;
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == ids.len()).then_some(ids)
}
