//! Every address of this API, on one screen.

mod health;
mod items;
mod metrics;
mod problems;
mod process_image;
mod quarantine;
mod queues;
mod task_types;
mod tasks;
mod workers;

use actix_web::{
    FromRequest, Handler, HttpResponse, Responder, Route,
    http::header,
    middleware::from_fn,
    web::{self, ServiceConfig, resource},
};
use serde::Serialize;

use crate::middleware::deadline;

/// All routes.
pub(crate) fn all(api: &mut ServiceConfig) {
    api
        // tasks
        .service(resource("/v1/tasks").route(post(tasks::submit::submit)).route(get(tasks::list::list)))
        .service(resource("/v1/tasks/batch").route(post(tasks::batch::batch)))
        .service(resource("/v1/tasks/actions/retry").route(post(tasks::retry_many::retry_many)))
        .service(resource("/v1/tasks/{id}").route(get(tasks::show::show)))
        .service(resource("/v1/tasks/{id}/result").route(get(tasks::result::result)))
        .service(resource("/v1/tasks/{id}/attempts").route(get(tasks::attempts::attempts)))
        .service(resource("/v1/tasks/{id}/cancel").route(post(tasks::cancel::cancel)))
        .service(resource("/v1/tasks/{id}/retry").route(post(tasks::retry::retry)))
        // stored items, and what can be done with them
        .service(resource(["/items", "/items/"]).route(post(items::upload::upload)))
        .service(resource("/items/{id}").route(get(items::show::show)))
        .service(resource("/items/{id}/content").route(get(items::content::content)))
        .service(resource("/process-image/{id}").route(post(process_image::process_image)))
        // what exists
        .service(resource("/v1/queues").route(get(queues::queues)))
        .service(resource("/v1/workers").route(get(workers::workers)))
        .service(resource("/v1/task-types").route(get(task_types::task_types)))
        .service(resource("/v1/quarantine").route(get(quarantine::quarantine)))
        // what the `type` of a problem document points to
        .service(resource("/problems").route(get(problems::all)))
        .service(resource("/problems/{code}").route(get(problems::one)))
        // for those who operate it
        .service(resource("/livez").route(get(health::livez)))
        .service(resource("/readyz").route(get(health::readyz)))
        .service(resource("/metrics").route(get(metrics::metrics)));
}

fn get<F, Args>(handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::get().to(handler).wrap(from_fn(deadline))
}

fn post<F, Args>(handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::post().to(handler).wrap(from_fn(deadline))
}

/// What every list looks like.
#[derive(Serialize)]
struct List<'a, T> {
    data: &'a [T],
}

/// One page of a list that may be long.
#[derive(Serialize)]
struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

/// A page of `limit` rows out of what was found, which is one row more where there is another page.
fn paged<T: Serialize>(mut found: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> HttpResponse {
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(cursor);
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Page { data: found, next_cursor })
}

fn listed<T: Serialize>(data: &[T]) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(List { data })
}
