//! `GET /v1/tasks`: the newest first, page by page, by whatever an index serves. Everything else is refused, because it
//! could read every task there is.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    store::tasks::{Search, Sought, TaskLine},
    task::{OwnerId, State, TaskId},
};
use jiff::Timestamp;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    TASKS,
    bounds::{self, Times},
};
use crate::{
    callers::Caller,
    extract::{Query, parse_id},
    openapi::examples,
    problem::{Code, Problem},
    routes::{Page, page},
    state::ApiState,
};

/// What a list can be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct ListQuery {
    /// In one of these states, with commas between: `scheduled`, `waiting`, `queued`, `running`, `succeeded`, `failed`,
    /// `cancelled`, `expired`.
    #[param(
        pattern = "^(scheduled|waiting|queued|running|succeeded|failed|cancelled|expired)(,(scheduled|waiting|queued|running|succeeded|failed|cancelled|expired))*$",
        example = "failed,expired"
    )]
    state: Option<String>,
    /// In this queue.
    #[param(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
    queue: Option<String>,
    /// Of this task type.
    #[param(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
    name: Option<String>,
    /// Failed for good, with this code, of at most 64 bytes.
    #[param(min_length = 1, max_length = 64, example = "timed_out")]
    error_code: Option<String>,
    /// With this tag, of at most 64 bytes; alone.
    #[param(min_length = 1, max_length = 64)]
    tag: Option<String>,
    /// Of this batch; alone.
    batch_id: Option<Uuid>,
    /// Accepted then or later, by the millisecond in the id.
    created_after: Option<Timestamp>,
    /// Accepted earlier.
    created_before: Option<Timestamp>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Tasks of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// List tasks
///
/// The newest first, page by page. `state`, `queue`, `name` and `error_code` go together in any combination; `tag` and
/// `batch_id` each go alone; the two times go with all of them. Every search reads an index, so it is fast however many
/// tasks there are; any other is refused. A search of which little matches may answer with less than a page, and even with
/// nothing: as long as there is a `next_cursor` it goes on. A list tells tasks apart: the whole of one is at its own address.
///
/// The dead letters are `?state=failed`, by reason with `&error_code=…`.
#[utoipa::path(
    get,
    path = "/v1/tasks",
    operation_id = "list_tasks",
    tag = "tasks",
    params(ListQuery),
    responses((
        status = 200, description = "A page.", body = Page<TaskLine>,
        example = json!({"data": [examples::line()], "next_cursor": examples::CURSOR}),
    )),
    extensions(("x-problems" = json!([Code::QueueForbidden, [Query::PROBLEMS, [Code::UnsupportedSearch]]]))),
)]
pub(crate) async fn list(state: Data<ApiState>, caller: Caller, query: Query) -> Result<HttpResponse, Problem> {
    let sought = read(caller.owner, query)?;
    bounds::check_queues(&caller, &sought.search)?;
    let found = state.store.list_tasks(&sought).await?;
    Ok(page(found.tasks, found.next.map(|next| TASKS.cursor(&TaskId(next)))))
}

fn read(owner: OwnerId, mut query: Query) -> Result<Sought, Problem> {
    let states = query.optional("state", &bounds::states_must(&State::ALL), states);
    let queue = query.optional("queue", bounds::NAME, bounds::name);
    let task = query.optional("name", bounds::NAME, bounds::name);
    let error_code = query.optional("error_code", bounds::ERROR_CODE, bounds::error_code);
    let tag = query.optional("tag", "must be 1 to 64 bytes", bounds::tag);
    let batch = query.optional("batch_id", "must be a batch's id", parse_id);
    let times = Times { after: query.instant("created_after"), before: query.instant("created_before") };
    let cursor = query.cursor(&TASKS);
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
    let before = cursor.map_or(before, |cursor| cursor.0.min(before));
    Ok(Sought { owner, search, from, before, unretried: false, limit })
}

fn states(list: &str) -> Option<Vec<State>> {
    list.split(',').map(|word| word.parse().ok()).collect()
}

fn unsupported() -> Problem {
    Problem::new(
        Code::UnsupportedSearch,
        "state, queue, name and error_code go together in any combination; tag and batch_id each go alone; \
         created_after and created_before go with all of them",
    )
}
