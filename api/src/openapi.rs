//! The OpenAPI document: every address of `routes/mod.rs`, listed by hand.
//!
//! An operation is described where it is handled (`#[utoipa::path]`), a schema where its type is, a parameter where it is
//! extracted. An operation names the problems it may answer by their codes (`x-problems`); `complete.rs` makes responses
//! of them. `api/openapi.json` is the document as it was last agreed upon: `api/tests/api/openapi.rs` compares.

mod complete;
pub(crate) mod examples;
pub(crate) mod parameter;

use utoipa::OpenApi;

use self::complete::Complete;
use crate::{problem::Problem, routes};

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(title = "Caraway", description = include_str!("openapi/introduction.md")),
    servers((url = "/", description = "This server")),
    tags(
        (name = "tasks", description = "Submit work, follow it, fetch its result, stop it."),
        (name = "workflows", description = "Graphs of tasks: groups, chains, chords, maps."),
        (name = "items", description = "Bytes that tasks read and make: pictures above all."),
        (name = "data", description = "Values by key, read through a cache that is never behind."),
        (name = "coordination", description = "Locks, semaphores, events, conditions, barriers and work queues across hosts. A lease is no guarantee about what its client believes: pass the fence to what you act on."),
        (name = "users", description = "Accounts and their API keys."),
        (name = "catalogue", description = "What exists: queues, workers, task types."),
        (name = "contract", description = "This document, and what problems mean."),
        (name = "operations", description = "For those who run it: health and metrics."),
    ),
    paths(
        routes::tasks::submit::submit,
        routes::tasks::list::list,
        routes::tasks::batch::batch,
        routes::tasks::wait::wait,
        routes::tasks::show::show,
        routes::tasks::result::result,
        routes::tasks::reschedule::reschedule,
        routes::tasks::delete::delete,
        routes::tasks::attempts::attempts,
        routes::tasks::cancel::cancel,
        routes::tasks::retry::retry,
        routes::tasks::retry_many::retry_many,
        routes::tasks::cancel_many::cancel_many,
        routes::workflows::submit::submit,
        routes::workflows::group::group,
        routes::workflows::chain::chain,
        routes::workflows::chord::chord,
        routes::workflows::map::map,
        routes::workflows::list::list,
        routes::workflows::show::show,
        routes::workflows::delete::delete,
        routes::workflows::results::results,
        routes::workflows::cancel::cancel,
        routes::workflows::retry::retry,
        routes::items::upload::upload,
        routes::items::list::list,
        routes::items::show::show,
        routes::items::delete::delete,
        routes::items::content::content,
        routes::process_image::process_image,
        routes::data::cached::cached,
        routes::data::update::update,
        routes::data::show::show,
        routes::data::put::put,
        routes::data::delete::delete,
        routes::locks::acquire::acquire,
        routes::locks::renew::renew,
        routes::locks::release::release,
        routes::locks::show::show,
        routes::locks::list::list,
        routes::locks::break_open::break_open,
        routes::locks::delete::delete,
        routes::semaphores::configure::configure,
        routes::semaphores::show::show,
        routes::semaphores::list::list,
        routes::semaphores::break_open::break_open,
        routes::semaphores::delete::delete,
        routes::semaphores::acquire::acquire,
        routes::semaphores::renew::renew,
        routes::semaphores::release::release,
        routes::conditions::wait::wait,
        routes::conditions::notify::notify,
        routes::events::set::set,
        routes::events::clear::clear,
        routes::events::show::show,
        routes::events::list::list,
        routes::events::delete::delete,
        routes::barriers::configure::configure,
        routes::barriers::arrive::arrive,
        routes::barriers::leave::leave,
        routes::barriers::mend::abort,
        routes::barriers::mend::reset,
        routes::barriers::show::show,
        routes::barriers::list::list,
        routes::barriers::delete::delete,
        routes::work_queues::configure::configure,
        routes::work_queues::show::show,
        routes::work_queues::list::list,
        routes::work_queues::delete::delete,
        routes::work_queues::put::put,
        routes::work_queues::withdraw::withdraw,
        routes::work_queues::get::get,
        routes::work_queues::extend::extend,
        routes::work_queues::done::done,
        routes::work_queues::give_back::give_back,
        routes::work_queues::join::join,
        routes::work_queues::shutdown::shut_down,
        routes::work_queues::shutdown::open,
        routes::work_queues::purge::purge,
        routes::work_queues::dead::dead,
        routes::work_queues::put_back::put_back,
        routes::users::create::create,
        routes::users::list::list,
        routes::users::show::show,
        routes::users::quotas::set,
        routes::users::disable::disable,
        routes::users::disable::enable,
        routes::api_keys::create::create,
        routes::api_keys::list::list,
        routes::api_keys::revoke::revoke,
        routes::audit::audit,
        routes::queues::queues,
        routes::workers::workers,
        routes::task_types::task_types,
        routes::quarantine::quarantine,
        routes::contract::root,
        routes::contract::openapi,
        routes::contract::docs,
        routes::contract::style,
        routes::problems::all,
        routes::problems::one,
        routes::health::livez,
        routes::health::readyz,
        routes::metrics::metrics,
    ),
    components(schemas(Problem)),
    modifiers(&Complete),
)]
pub(crate) struct Document;

impl Document {
    /// As it is served, and as it is kept in `api/openapi.json`.
    pub(crate) fn pretty() -> anyhow::Result<String> {
        Ok(Self::openapi().to_pretty_json()? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use actix_web::App;
    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(&Document::pretty().unwrap()).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().iter();
                methods.map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
            })
            .collect()
    }

    #[test]
    fn every_route_is_documented_and_nothing_else() {
        let mut listed = Vec::new();
        let _ = App::new().configure(|api| listed = routes::all(api));
        // with the parameters of the query that the route takes: what it does not name, it refuses
        let named = |route: &routes::ListedRoute| {
            let method = serde_json::to_value(&route.method).unwrap();
            let parameters: BTreeSet<String> = route.parameters.names().iter().cloned().collect();
            (format!("{} {}", method.as_str().unwrap(), route.address), parameters)
        };
        let routes: BTreeMap<String, BTreeSet<String>> = listed.iter().map(named).collect();
        let documented: BTreeMap<String, BTreeSet<String>> = operations(&document())
            .into_iter()
            .map(|(name, operation)| {
                let stated = operation["parameters"].as_array().unwrap().iter();
                let in_query = stated.filter(|parameter| parameter["in"] == "query");
                (name, in_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect())
            })
            .collect();
        assert_eq!(routes, documented, "routes/mod.rs on the left, openapi.rs on the right");
    }

    #[test]
    fn every_operation_is_complete() {
        let document = document();
        let mut ids = BTreeSet::new();
        for (name, operation) in operations(&document) {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}: its id is taken");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name}");
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{name}");
            assert_eq!(operation["x-problems"], Value::Null, "{name}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
                for (media_type, content) in response["content"].as_object().into_iter().flatten() {
                    let told = content.get("example").or(content.get("examples"));
                    assert!(told.is_some() || !media_type.ends_with("json"), "{name} {status}: no example");
                }
            }
        }
    }
}
