//! `PATCH /v1/tasks/{id}`: a scheduled task starts at another time, or now.

use actix_web::{HttpResponse, http::header::ContentType, web::Data};
use caraway_shared::{
    store::tasks::{Rescheduled, TaskView},
    task::Start,
};
use jiff::Timestamp;
use utoipa::ToSchema;

use super::submission::start;
use crate::{
    callers::Caller,
    document,
    extract::{Fields, JsonBody, TaskPath, task_not_found},
    openapi::examples,
    problem::{Code, Fault, Problem},
    state::ApiState,
};

/// When a scheduled task starts: one of the two.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskChange)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct ChangeSchema {
    /// Seconds from now; 0 is now.
    #[schema(minimum = 0, maximum = 249_305_040_000.0)]
    delay: Option<f64>,
    /// Then; a time that has passed is now.
    run_at: Option<Timestamp>,
}

/// Move a scheduled task
///
/// It starts at another time, or now (`{"delay": 0}`), also where it waits for its next attempt. Before it expires: a later start
/// is refused.
#[utoipa::path(
    patch,
    path = "/v1/tasks/{id}",
    operation_id = "reschedule_task",
    tag = "tasks",
    params(TaskPath),
    request_body(content = ChangeSchema, example = json!({"delay": 0})),
    responses((status = 200, description = "The task, as it stands now.", body = TaskView, example = json!(examples::queued()))),
    extensions(("x-problems" = json!([
        Code::QueueForbidden,
        [TaskPath::PROBLEMS, JsonBody::PROBLEMS, [Code::EmptyBody, Code::TaskNotScheduled, Code::Contended, Code::Overloaded]]
    ]))),
)]
pub(crate) async fn reschedule(
    state: Data<ApiState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    caller.covers(&document::view(&state, caller.owner, id).await?.queue)?; // 404 before a word on the body
    let (start, told) = read(body.required()?)?;
    match state.store.reschedule_task(caller.owner, id, start).await? {
        Rescheduled::Done => {
            let document = document::load(&state, caller.owner, id).await?;
            Ok(HttpResponse::Ok().content_type(ContentType::json()).body(document))
        }
        Rescheduled::Expires(expires_at) => {
            let detail = format!("must be earlier than the task's expiry at {expires_at}");
            let fault = Fault { pointer: format!("/{told}"), code: Code::InvalidRequest, detail };
            Err(Problem::faults(vec![fault]))
        }
        Rescheduled::Not(stands) => {
            let detail = format!("the task is {stands}; only one that is scheduled can be moved");
            Err(Problem::new(Code::TaskNotScheduled, detail).with("state", stands.as_str()))
        }
        Rescheduled::Missing => Err(task_not_found()),
    }
}

/// The start, and the field that tells it.
fn read(body: &[u8]) -> Result<(Start, &'static str), Problem> {
    let mut fields = Fields::of(body)?;
    let told = ["run_at", "delay"].into_iter().find(|name| fields.has(name));
    let start = start(&mut fields);
    if told.is_none() {
        fields.refuse("run_at", "is needed, or delay");
    }
    fields.finish(told.map(|told| (start, told)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_of_the_two_is_needed() {
        let read = |body: &str| read(body.as_bytes()).ok();
        assert_eq!(read(r#"{"delay": 0}"#), Some((Start::Now, "delay")));
        assert_eq!(read(r#"{"delay": 1.5}"#), Some((Start::After(Duration::from_millis(1500)), "delay")));
        let time = "2030-01-31T12:00:00Z";
        assert_eq!(read(&format!(r#"{{"run_at": "{time}"}}"#)), Some((Start::At(time.parse().unwrap()), "run_at")));
        for bad in ["{}", r#"{"delay": null}"#, r#"{"delay": -1}"#, r#"{"priority": 1}"#] {
            assert!(read(bad).is_none(), "{bad}");
        }
        assert!(read(&format!(r#"{{"run_at": "{time}", "delay": 1}}"#)).is_none());
    }
}
