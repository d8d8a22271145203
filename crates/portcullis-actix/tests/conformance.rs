//! The adapter carries what the core decides.

use std::io;
use std::net::TcpListener;

use actix_web::dev::Service;
use actix_web::{App, HttpServer, web};
use portcullis_actix::{Bearer, BearerRejection, LoginRoutes, OptionalBearer};
use portcullis_testkit::AdapterApp;

portcullis_testkit::adapter_suite!(serve);

async fn serve(app: AdapterApp, listener: TcpListener) -> io::Result<()> {
    let login = LoginRoutes::new(app.mount);
    let (guard, in_flight) = (app.guard, app.in_flight);
    let server = HttpServer::new(move || {
        let in_flight = in_flight.clone();
        App::new()
            .wrap_fn(move |request, service| {
                let counted = in_flight.enter();
                let answer = service.call(request);
                async move {
                    let answer = answer.await;
                    drop(counted);
                    answer
                }
            })
            .app_data(guard.clone())
            .configure(|app| login.configure(app))
            .configure(|app| login.configure_fallback(app, AdapterApp::PATHS))
            .route("/v1/me", web::get().to(me))
            .route("/v1/maybe", web::get().to(maybe))
            .route("/v1/read", web::get().to(read))
    })
    .workers(1)
    .disable_signals()
    .h1_allow_half_closed(false)
    .listen(listener)?
    .run();
    server.await
}

async fn me(bearer: Bearer) -> String {
    bearer.claims.sub.to_string()
}

async fn maybe(bearer: OptionalBearer) -> String {
    let name = |bearer: &Bearer| bearer.claims.sub.to_string();
    bearer.as_ref().map_or_else(|| "nobody".to_owned(), name)
}

async fn read(bearer: Bearer) -> Result<String, BearerRejection> {
    bearer.require("read")?;
    Ok(bearer.claims.sub.to_string())
}
