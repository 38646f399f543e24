//! `/v1/tasks`: one file per endpoint.

mod arguments;
pub(crate) mod attempts;
pub(crate) mod batch;
pub(in crate::routes) mod bounds;
pub(crate) mod cancel;
pub(crate) mod cancel_many;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod reschedule;
pub(crate) mod result;
pub(crate) mod retry;
pub(crate) mod retry_many;
mod selection;
pub(crate) mod show;
pub(crate) mod submission;
pub(crate) mod submit;
pub(crate) mod wait;

use caraway_shared::task::TaskId;

use crate::cursor::PagedList;

/// Tasks, the newest first: a list of them, and what an action on many walks through.
const TASKS: PagedList<TaskId> = PagedList::new("tasks");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::examples;

    #[test]
    fn the_example_is_a_cursor() {
        assert_eq!(TASKS.position(examples::CURSOR).map(|id| id.to_string()).as_deref(), Ok(examples::TASK_ID));
    }
}
