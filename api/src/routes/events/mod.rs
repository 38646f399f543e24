//! `/v1/events/{name}`: one file per endpoint.

pub(crate) mod clear;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod set;
pub(crate) mod show;

use actix_web::{HttpResponse, http::header};
use caraway_shared::{
    coordination::{Address, Kind, Name, Op, Reply, Settings},
    task::OwnerId,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{leases::refused, problem::Problem, state::ApiState};

/// An event.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct EventView {
    name: String,
    set: bool,
    /// How often it was set: rises each time that it changes from clear to set.
    generation: i64,
}

impl EventView {
    fn of(name: &Name, settings: &Settings) -> Self {
        Self { name: name.to_string(), set: settings.flag, generation: settings.generation }
    }
}

fn event(owner: OwnerId, name: Name) -> Address {
    Address::new(owner, Kind::Event, name)
}

fn answer(name: &Name, settings: &Settings) -> HttpResponse {
    let view = EventView::of(name, settings);
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view)
}

async fn flag(state: &ApiState, owner: OwnerId, name: Name, flag: bool) -> Result<HttpResponse, Problem> {
    match state.coordination.change(&event(owner, name.clone()), Op::Flag(flag)).await? {
        Reply::Done(settings) => Ok(answer(&name, &settings)),
        other => Err(refused(&other)),
    }
}
