//! `GET /v1/tasks`: the newest first, page by page, by whatever an index serves. Everything else is refused, because it
//! could read every task there is.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    store::tasks::{Search, Sought},
    task::{OwnerId, State, limits},
};
use uuid::Uuid;

use super::bounds::{self, Times};
use crate::{
    extract::{Owner, Query},
    problem::{Code, Problem},
    routes::paged,
    state::ApiState,
};

/// `{"data": […], "next_cursor": …}`.
pub(crate) async fn list(state: Data<ApiState>, Owner(owner): Owner, query: Query) -> Result<HttpResponse, Problem> {
    let mut sought = read(owner, query)?;
    let limit = sought.limit;
    sought.limit += 1; // one more tells whether there is another page
    let found = state.store.list_tasks(&sought).await?;
    Ok(paged(found, limit, |last| last.id.to_string()))
}

fn read(owner: OwnerId, mut query: Query) -> Result<Sought, Problem> {
    let states = query.optional("state", "must be one or several states, with commas between", states);
    let queue = query.optional("queue", "must be a queue's name", name);
    let task = query.optional("name", "must be a task's name", name);
    let error_code = query.optional("error_code", "must be an error's code", name);
    let tag = query.optional("tag", "must be 1 to 64 bytes", tag);
    let batch = query.optional("batch_id", "must be a batch's id", |id| Uuid::try_parse(id).ok());
    let times = Times {
        after: query.optional("created_after", bounds::TIME, bounds::time),
        before: query.optional("created_before", bounds::TIME, bounds::time),
    };
    let cursor =
        query.optional("cursor", "must be the next_cursor of an earlier answer", |id| Uuid::try_parse(id).ok());
    let limit = query.limit();
    query.finish(())?;
    let parts = states.is_some() || queue.is_some() || task.is_some() || error_code.is_some();
    let search = match (tag, batch) {
        (Some(tag), None) if !parts => Search::Tag(tag),
        (None, Some(batch)) if !parts => Search::Batch(batch),
        (None, None) => Search::Parts { states: states.unwrap_or_default(), queue, name: task, error_code },
        _ => return Err(unsupported()),
    };
    let (from, before) = times.ids();
    let before = cursor.map_or(before, |cursor| cursor.min(before));
    Ok(Sought { owner, search, from, before, unretried: false, limit })
}

fn states(list: &str) -> Option<Vec<State>> {
    list.split(',').map(|word| word.parse().ok()).collect()
}

fn name(text: &str) -> Option<String> {
    (1..=128).contains(&text.len()).then(|| text.to_owned())
}

fn tag(text: &str) -> Option<String> {
    (1..=limits::TAG_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
}

fn unsupported() -> Problem {
    Problem::new(
        Code::UnsupportedSearch,
        "state, queue, name and error_code go together in any combination; tag and batch_id each go alone; \
         created_after and created_before go with all of them",
    )
}
