//! The worker's own small HTTP server: `/livez`, `/readyz`, `/metrics`.

use std::{
    net::TcpListener,
    sync::{Arc, OnceLock},
};

use actix_web::{App, HttpResponse, dev::Server, web};
use caraway_serving::{HttpServerConfig, http_server};
use caraway_shared::{
    store::DatabaseState,
    telemetry::{Metrics, names},
};
use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

/// The engine, once it is in service.
pub(crate) type InService = Arc<OnceLock<Arc<Engine>>>;

struct Ops {
    engine: InService,
    metrics: Metrics,
    consuming: CancellationToken,
}

/// The server, to be spawned; it serves until the process ends.
pub(crate) fn server(
    listener: TcpListener,
    engine: InService,
    metrics: Metrics,
    consuming: CancellationToken,
) -> std::io::Result<Server> {
    let ops = web::Data::new(Ops { engine, metrics, consuming });
    let application = move || {
        App::new()
            .app_data(ops.clone())
            .route("/livez", web::get().to(async || HttpResponse::Ok().body("ok\n")))
            .route("/readyz", web::get().to(ready))
            .route("/metrics", web::get().to(render))
    };
    let never = CancellationToken::new();
    http_server(listener, HttpServerConfig { threads: 1, shutdown_seconds: 0, closing: never }, application)
}

/// Ready when it can claim: the database takes writes, the broker is connected, a slot can come free, and it was not told to
/// stop.
async fn ready(ops: web::Data<Ops>) -> HttpResponse {
    let not = |why: &'static str| HttpResponse::ServiceUnavailable().body(why);
    if ops.consuming.is_cancelled() {
        return not("draining\n");
    }
    let Some(engine) = ops.engine.get() else {
        return not("waiting for postgresql, or for an api that brings its schema up to date\n");
    };
    if engine.overdue.exhausted() {
        not("every slot is held by a handler that goes on past its limit\n")
    } else if !engine.consuming.is_up() {
        not("no connection to rabbitmq\n")
    } else {
        match engine.store.database_state().await {
            DatabaseState::Writable => HttpResponse::Ok().body("ready\n"),
            DatabaseState::ReadOnly => not("postgresql takes no writes: it is a standby, or set to be read-only\n"),
            DatabaseState::Away => not("no connection to postgresql\n"),
        }
    }
}

async fn render(ops: web::Data<Ops>) -> HttpResponse {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    if let Some(engine) = ops.engine.get() {
        let overdue = engine.overdue.all();
        metrics::gauge!(names::RUNNING).set(number(engine.running.count()));
        metrics::gauge!(names::OVERDUE_HANDLERS).set(number(overdue.handlers));
        metrics::gauge!(names::WITHHELD_SLOTS).set(number(overdue.withheld));
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(ops.metrics.render())
}
