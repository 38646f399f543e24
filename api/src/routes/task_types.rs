//! `GET /v1/task-types`: what can be submitted, as workers announced it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    store::TaskType,
    task::{QueueName, TaskName},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    problem::Problem,
    routes::{List, listed},
    state::ApiState,
};

/// A task type as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = TaskType)]
struct TaskTypeView {
    name: TaskName,
    version: i32,
    /// In their order.
    parameters: Vec<String>,
    /// Where its tasks queue unless they say otherwise.
    queue: QueueName,
    /// The hard time limit of its attempts unless they say otherwise, seconds.
    timeout: Option<f64>,
    /// Whether it burns CPU.
    cpu: bool,
}

/// List the task types
///
/// What can be submitted, as workers have announced it, with the names of the parameters in their order.
#[utoipa::path(
    get,
    path = "/v1/task-types",
    operation_id = "list_task_types",
    tag = "catalogue",
    responses((
        status = 200, description = "All of them.", body = List<TaskTypeView>,
        example = json!({"data": [
            {"name": "add", "version": 1, "parameters": ["x", "y"], "queue": "default", "timeout": null, "cpu": false}
        ]}),
    )),
)]
pub(crate) async fn task_types(state: Data<ApiState>) -> Result<HttpResponse, Problem> {
    let types = state.store.task_types().await?;
    Ok(listed(&types.into_iter().map(TaskTypeView::from).collect::<Vec<_>>()))
}

impl From<TaskType> for TaskTypeView {
    fn from(known: TaskType) -> Self {
        Self {
            name: known.name,
            version: known.version,
            parameters: known.parameters,
            queue: known.queue,
            timeout: known.timeout.map(|timeout| timeout.as_secs_f64()),
            cpu: known.cpu,
        }
    }
}
