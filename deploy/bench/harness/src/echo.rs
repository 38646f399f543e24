//! A bare actix server with one fixed body: what HTTP alone costs, in the same run.

use actix_web::{App, HttpResponse, HttpServer, rt::System, web};

use crate::settings::Echo;

/// As many threads as the API has.
const THREADS: usize = 2;

pub(crate) fn serve(echo: &Echo) -> anyhow::Result<()> {
    let body = web::Bytes::from("x".repeat(echo.bytes));
    let server = HttpServer::new(move || {
        let body = body.clone();
        let answer = move || {
            let body = body.clone();
            async move { HttpResponse::Ok().content_type("application/json").body(body) }
        };
        App::new().default_service(web::to(answer))
    });
    Ok(System::new().block_on(server.workers(THREADS).bind(echo.bind)?.run())?)
}
