//! `GET /v1/task-types`: what can be submitted, as workers announced it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    store::TaskType,
    task::{QueueName, TaskName},
};
use serde::Serialize;

use crate::{problem::Problem, routes::listed, state::ApiState};

/// A task type as the API shows it.
#[derive(Serialize)]
struct TaskTypeView {
    name: TaskName,
    version: i32,
    parameters: Vec<String>,
    queue: QueueName,
    /// Seconds, as everywhere.
    timeout: Option<f64>,
    cpu: bool,
}

/// `{"data": […]}`.
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
