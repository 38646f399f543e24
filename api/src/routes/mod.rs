//! Every address of this API, on one screen.

pub(crate) mod contract;
pub(crate) mod data;
pub(crate) mod health;
pub(crate) mod items;
pub(crate) mod metrics;
pub(crate) mod problems;
pub(crate) mod process_image;
pub(crate) mod quarantine;
pub(crate) mod queues;
mod table;
pub(crate) mod task_types;
pub(crate) mod tasks;
pub(crate) mod workers;

use actix_web::{HttpResponse, http::header, web::ServiceConfig};
use serde::Serialize;
use utoipa::{ToSchema, openapi::HttpMethod};

use self::table::{Table, delete, get, post, put, resource};

/// All routes, and what they are. Each stands in `openapi.rs` too; a test there compares the two.
pub(crate) fn all(api: &mut ServiceConfig) -> Vec<(HttpMethod, &'static str)> {
    Table::new(api)
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
        .service(resource(["/items", "/items/"]).route(post(items::upload::upload)).route(get(items::list::list)))
        .service(resource("/items/{id}").route(get(items::show::show)).route(delete(items::delete::delete)))
        .service(resource("/items/{id}/content").route(get(items::content::content)))
        .service(resource("/process-image/{id}").route(post(process_image::process_image)))
        // values by key, read through the cache
        .service(resource("/cached-data/{key}").route(get(data::cached::cached)))
        .service(resource("/update-data/{key}").route(post(data::update::update)))
        .service(
            resource("/v1/data/{key}")
                .route(get(data::show::show))
                .route(put(data::put::put))
                .route(delete(data::delete::delete)),
        )
        // what exists
        .service(resource("/v1/queues").route(get(queues::queues)))
        .service(resource("/v1/workers").route(get(workers::workers)))
        .service(resource("/v1/task-types").route(get(task_types::task_types)))
        .service(resource("/v1/quarantine").route(get(quarantine::quarantine)))
        // the contract, for programs and for people; the `type` of a problem document points here
        .service(resource("/openapi.json").route(get(contract::openapi)))
        .service(resource("/docs").route(get(contract::docs)))
        .service(resource("/docs/style.css").route(get(contract::style)))
        .service(resource("/problems").route(get(problems::all)))
        .service(resource("/problems/{code}").route(get(problems::one)))
        // for those who operate it
        .service(resource("/livez").route(get(health::livez)))
        .service(resource("/readyz").route(get(health::readyz)))
        .service(resource("/metrics").route(get(metrics::metrics)))
        .listed()
}

/// What every list looks like.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<'a, T> {
    /// All of them, at once.
    data: &'a [T],
}

/// One page of a list that may be long.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    data: Vec<T>,
    /// Where the next page begins; null at the end.
    #[schema(required)]
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
