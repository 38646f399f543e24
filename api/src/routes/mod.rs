//! Every address of this API, on one screen.

mod health;
mod items;
mod metrics;
mod process_image;
mod queues;
mod task_types;
mod tasks;
mod workers;

use actix_web::{
    HttpResponse,
    http::header,
    web::{ServiceConfig, get, post, resource},
};
use serde::Serialize;

/// All routes.
pub(crate) fn all(api: &mut ServiceConfig) {
    api
        // tasks
        .service(resource("/v1/tasks").route(post().to(tasks::submit::submit)))
        .service(resource("/v1/tasks/{id}").route(get().to(tasks::show::show)))
        .service(resource("/v1/tasks/{id}/result").route(get().to(tasks::result::result)))
        .service(resource("/v1/tasks/{id}/attempts").route(get().to(tasks::attempts::attempts)))
        .service(resource("/v1/tasks/{id}/cancel").route(post().to(tasks::cancel::cancel)))
        // stored items, and what can be done with them
        .service(resource(["/items", "/items/"]).route(post().to(items::upload::upload)))
        .service(resource("/items/{id}").route(get().to(items::show::show)))
        .service(resource("/items/{id}/content").route(get().to(items::content::content)))
        .service(resource("/process-image/{id}").route(post().to(process_image::process_image)))
        // what exists
        .service(resource("/v1/queues").route(get().to(queues::queues)))
        .service(resource("/v1/workers").route(get().to(workers::workers)))
        .service(resource("/v1/task-types").route(get().to(task_types::task_types)))
        // for those who operate it
        .service(resource("/livez").route(get().to(health::livez)))
        .service(resource("/readyz").route(get().to(health::readyz)))
        .service(resource("/metrics").route(get().to(metrics::metrics)));
}

/// What every list looks like.
#[derive(Serialize)]
struct List<'a, T> {
    data: &'a [T],
}

fn listed<T: Serialize>(data: &[T]) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(List { data })
}
