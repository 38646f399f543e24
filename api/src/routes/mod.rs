//! Every address of this API, on one screen.

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod barriers;
pub(crate) mod conditions;
pub(crate) mod contract;
pub(crate) mod data;
mod elsewhere;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod items;
pub(crate) mod locks;
pub(crate) mod metrics;
pub(crate) mod problems;
pub(crate) mod process_image;
pub(crate) mod quarantine;
pub(crate) mod queues;
pub(crate) mod semaphores;
mod table;
pub(crate) mod task_types;
pub(crate) mod tasks;
pub(crate) mod users;
pub(crate) mod work_queues;
pub(crate) mod workers;
pub(crate) mod workflows;

use actix_web::{HttpResponse, http::header, web::ServiceConfig};
use serde::Serialize;
use utoipa::ToSchema;

use self::table::{Table, delete, get, patch, post, put, resource};
pub(crate) use self::{elsewhere::elsewhere, table::ListedRoute};
use crate::{
    extract::{LeaseWait, OrderQuery, QueryWait, Whose},
    middleware::Needs::{Admin, Cancel, Nothing, Operator, Read, Submit},
    objects::ObjectsQuery,
};

/// All routes, what each needs of who calls it, and what its query may ask for (`asks`, or nothing). Each stands in
/// `openapi.rs` too; a test there compares the two.
///
/// actix-web tries them in this order for every request, most of them by a regular expression: what is asked for most comes first.
pub(crate) fn all(api: &mut ServiceConfig) -> Vec<ListedRoute> {
    let table = Table::new(api)
        // tasks
        .service(
            resource("/v1/tasks")
                .route(post(Submit, tasks::submit::submit))
                .route(get(Read, tasks::list::list).asks::<tasks::list::ListQuery>()),
        )
        .service(resource("/v1/tasks/batch").route(post(Submit, tasks::batch::batch)))
        .service(resource("/v1/tasks/wait").route(post(Read, tasks::wait::wait).asks::<QueryWait>()))
        .service(resource("/v1/tasks/actions/retry").route(post(Submit, tasks::retry_many::retry_many)))
        .service(resource("/v1/tasks/actions/cancel").route(post(Cancel, tasks::cancel_many::cancel_many)))
        .service(
            resource("/v1/tasks/{id}")
                .route(get(Read, tasks::show::show).asks::<QueryWait>())
                .route(patch(Submit, tasks::reschedule::reschedule))
                .route(delete(Submit, tasks::delete::delete)),
        )
        .service(resource("/v1/tasks/{id}/result").route(get(Read, tasks::result::result)))
        .service(resource("/v1/tasks/{id}/attempts").route(get(Read, tasks::attempts::attempts)))
        .service(resource("/v1/tasks/{id}/cancel").route(post(Cancel, tasks::cancel::cancel)))
        .service(resource("/v1/tasks/{id}/retry").route(post(Submit, tasks::retry::retry)));
    coordination(table)
        // graphs of tasks
        .service(
            resource("/v1/workflows")
                .route(post(Submit, workflows::submit::submit))
                .route(get(Read, workflows::list::list).asks::<workflows::list::WorkflowsQuery>()),
        )
        .service(resource("/v1/groups").route(post(Submit, workflows::group::group)))
        .service(resource("/v1/chains").route(post(Submit, workflows::chain::chain)))
        .service(resource("/v1/chords").route(post(Submit, workflows::chord::chord)))
        .service(resource("/v1/map").route(post(Submit, workflows::map::map)))
        .service(
            resource("/v1/workflows/{id}")
                .route(get(Read, workflows::show::show).asks::<workflows::show::ShowQuery>())
                .route(delete(Admin, workflows::delete::delete).asks::<OrderQuery>()),
        )
        .service(resource("/v1/workflows/{id}/results").route(get(Read, workflows::results::results)))
        .service(resource("/v1/workflows/{id}/cancel").route(post(Cancel, workflows::cancel::cancel)))
        .service(resource("/v1/workflows/{id}/retry").route(post(Submit, workflows::retry::retry)))
        // stored items, and what can be done with them
        .service(
            resource(["/items", "/items/"])
                .route(post(Submit, items::upload::upload))
                .route(get(Read, items::list::list).asks::<items::list::ItemQuery>()),
        )
        .service(
            resource("/items/{id}").route(get(Read, items::show::show)).route(delete(Submit, items::delete::delete)),
        )
        .service(resource("/items/{id}/content").route(get(Read, items::content::content)))
        .service(resource("/process-image/{id}").route(post(Submit, process_image::process_image)))
        // values by key, read through the cache
        .service(resource("/cached-data/{key}").route(get(Read, data::cached::cached)))
        .service(
            resource("/update-data/{key}").route(post(Submit, data::update::update).asks::<data::update::NewValue>()),
        )
        .service(
            resource("/v1/data/{key}")
                .route(get(Read, data::show::show))
                .route(put(Submit, data::put::put))
                .route(delete(Submit, data::delete::delete)),
        )
        // accounts and their keys
        .service(
            resource("/v1/users")
                .route(post(Operator, users::create::create))
                .route(get(Operator, users::list::list).asks::<users::list::UsersQuery>()),
        )
        .service(resource(["/v1/users/{id}", "/users/{id}"]).route(get(Read, users::show::show)))
        .service(resource("/v1/users/{id}/quotas").route(put(Operator, users::quotas::set)))
        .service(
            resource("/v1/users/{id}/disable")
                .route(post(Operator, users::disable::disable).asks::<users::disable::DisableQuery>()),
        )
        .service(resource("/v1/users/{id}/enable").route(post(Operator, users::disable::enable)))
        .service(
            resource("/v1/api-keys")
                .route(post(Admin, api_keys::create::create))
                .route(get(Admin, api_keys::list::list).asks::<api_keys::list::KeysQuery>()),
        )
        .service(resource("/v1/api-keys/{id}").route(delete(Admin, api_keys::revoke::revoke)))
        .service(resource("/v1/audit").route(get(Admin, audit::audit).asks::<audit::AuditQuery>()))
        // what exists
        .service(resource("/v1/queues").route(get(Read, queues::queues)))
        .service(resource("/v1/workers").route(get(Read, workers::workers)))
        .service(resource("/v1/task-types").route(get(Read, task_types::task_types)))
        .service(
            resource("/v1/quarantine")
                .route(get(Operator, quarantine::quarantine).asks::<quarantine::QuarantineQuery>()),
        )
        // the contract, for programs and for people; the `type` of a problem document points here
        .service(resource("/").route(get(Nothing, contract::root)))
        .service(resource("/openapi.json").route(get(Nothing, contract::openapi)))
        .service(resource("/docs").route(get(Nothing, contract::docs)))
        .service(resource("/docs/style.css").route(get(Nothing, contract::style)))
        .service(resource("/problems").route(get(Nothing, problems::all)))
        .service(resource("/problems/{code}").route(get(Nothing, problems::one)))
        // for those who operate it
        .service(resource("/livez").route(get(Nothing, health::livez)))
        .service(resource("/readyz").route(get(Nothing, health::readyz).asks::<health::Verbose>()))
        .service(resource("/metrics").route(get(Nothing, metrics::metrics)))
        .listed()
}

/// Locks and their kin, across hosts.
fn coordination(table: Table<'_>) -> Table<'_> {
    let table = table
        .service(resource("/v1/locks").route(get(Read, locks::list::list).asks::<ObjectsQuery>()))
        .service(
            resource("/v1/locks/{name}")
                .route(get(Read, locks::show::show).asks::<Whose>())
                .route(delete(Admin, locks::delete::delete).asks::<OrderQuery>()),
        )
        .service(
            resource("/v1/locks/{name}/break").route(post(Admin, locks::break_open::break_open).asks::<OrderQuery>()),
        )
        .service(resource("/v1/locks/{name}/leases").route(post(Submit, locks::acquire::acquire).asks::<LeaseWait>()))
        .service(
            resource("/v1/locks/{name}/leases/{lease_id}")
                .route(put(Submit, locks::renew::renew))
                .route(delete(Submit, locks::release::release)),
        )
        .service(
            resource("/v1/semaphores/{name}")
                .route(put(Submit, semaphores::configure::configure))
                .route(get(Read, semaphores::show::show).asks::<Whose>())
                .route(delete(Admin, semaphores::delete::delete).asks::<OrderQuery>()),
        )
        .service(resource("/v1/semaphores").route(get(Read, semaphores::list::list).asks::<ObjectsQuery>()))
        .service(
            resource("/v1/semaphores/{name}/break")
                .route(post(Admin, semaphores::break_open::break_open).asks::<OrderQuery>()),
        )
        .service(
            resource("/v1/semaphores/{name}/leases")
                .route(post(Submit, semaphores::acquire::acquire).asks::<LeaseWait>()),
        )
        .service(
            resource("/v1/semaphores/{name}/leases/{lease_id}")
                .route(put(Submit, semaphores::renew::renew))
                .route(delete(Submit, semaphores::release::release)),
        )
        .service(
            resource("/v1/conditions/{name}/waits").route(post(Submit, conditions::wait::wait).asks::<LeaseWait>()),
        )
        .service(resource("/v1/conditions/{name}/notify").route(post(Submit, conditions::notify::notify)))
        .service(
            resource("/v1/events/{name}")
                .route(put(Submit, events::set::set))
                .route(delete(Submit, events::clear::clear))
                .route(get(Read, events::show::show).asks::<events::show::EventQuery>()),
        )
        .service(resource("/v1/events").route(get(Read, events::list::list).asks::<ObjectsQuery>()))
        .service(resource("/v1/events/{name}/delete").route(post(Admin, events::delete::delete).asks::<OrderQuery>()))
        .service(
            resource("/v1/barriers/{name}")
                .route(put(Submit, barriers::configure::configure))
                .route(get(Read, barriers::show::show).asks::<barriers::show::BarrierQuery>())
                .route(delete(Admin, barriers::delete::delete).asks::<OrderQuery>()),
        )
        .service(resource("/v1/barriers").route(get(Read, barriers::list::list).asks::<ObjectsQuery>()))
        .service(
            resource("/v1/barriers/{name}/arrivals").route(post(Submit, barriers::arrive::arrive).asks::<LeaseWait>()),
        )
        .service(resource("/v1/barriers/{name}/arrivals/{arrival_id}").route(delete(Submit, barriers::leave::leave)))
        .service(resource("/v1/barriers/{name}/abort").route(post(Submit, barriers::mend::abort)))
        .service(resource("/v1/barriers/{name}/reset").route(post(Submit, barriers::mend::reset)));
    work_queues(table)
}

/// Queues of items that no worker of ours runs.
fn work_queues(table: Table<'_>) -> Table<'_> {
    table
        .service(
            resource("/v1/work-queues/{name}")
                .route(put(Submit, work_queues::configure::configure))
                .route(get(Read, work_queues::show::show).asks::<Whose>())
                .route(delete(Admin, work_queues::delete::delete).asks::<OrderQuery>()),
        )
        .service(resource("/v1/work-queues").route(get(Read, work_queues::list::list).asks::<ObjectsQuery>()))
        .service(
            resource("/v1/work-queues/{name}/items").route(post(Submit, work_queues::put::put).asks::<LeaseWait>()),
        )
        .service(
            resource("/v1/work-queues/{name}/items/{item_id}").route(delete(Submit, work_queues::withdraw::withdraw)),
        )
        .service(
            resource("/v1/work-queues/{name}/leases").route(post(Submit, work_queues::get::get).asks::<LeaseWait>()),
        )
        .service(
            resource("/v1/work-queues/{name}/leases/{lease_id}")
                .route(put(Submit, work_queues::extend::extend))
                .route(delete(Submit, work_queues::done::done)),
        )
        .service(
            resource("/v1/work-queues/{name}/leases/{lease_id}/give-back")
                .route(post(Submit, work_queues::give_back::give_back)),
        )
        .service(resource("/v1/work-queues/{name}/join").route(get(Read, work_queues::join::join).asks::<LeaseWait>()))
        .service(
            resource("/v1/work-queues/{name}/shutdown")
                .route(post(Submit, work_queues::shutdown::shut_down))
                .route(delete(Submit, work_queues::shutdown::open)),
        )
        .service(resource("/v1/work-queues/{name}/purge").route(post(Submit, work_queues::purge::purge)))
        .service(
            resource("/v1/work-queues/{name}/dead-letters")
                .route(get(Read, work_queues::dead::dead).asks::<work_queues::dead::DeadQuery>()),
        )
        .service(
            resource("/v1/work-queues/{name}/dead-letters/put-back")
                .route(post(Submit, work_queues::put_back::put_back).asks::<OrderQuery>()),
        )
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

impl<T> Page<T> {
    /// A page of `limit` rows out of what was found, which is one row more where there is another page.
    fn of(mut found: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found.last().filter(|_| more).map(cursor);
        Self { data: found, next_cursor }
    }
}

/// A page as an answer.
fn paged<T: Serialize>(found: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Page::of(found, limit, cursor))
}

/// A page whose end somebody else has found.
pub(crate) fn page<T: Serialize>(data: Vec<T>, next_cursor: Option<String>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Page { data, next_cursor })
}

fn listed<T: Serialize>(data: &[T]) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(List { data })
}
