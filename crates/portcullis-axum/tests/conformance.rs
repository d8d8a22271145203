//! The adapter carries what the core decides.

use std::io;
use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use portcullis_axum::{Bearer, BearerRejection, LoginRoutes};
use portcullis_testkit::AdapterApp;

portcullis_testkit::adapter_suite!(serve);

async fn serve(app: AdapterApp, listener: TcpListener) -> io::Result<()> {
    let login = LoginRoutes::new(app.mount);
    let in_flight = app.in_flight;
    let count = move |request, next: Next| {
        let counted = in_flight.enter();
        async move {
            let answer = next.run(request).await;
            drop(counted);
            answer
        }
    };
    let router = Router::new()
        .route("/v1/me", get(me))
        .route("/v1/maybe", get(maybe))
        .route("/v1/read", get(read))
        .with_state(app.guard)
        .merge(login.router());
    let router = login
        .with_fallback(router, AdapterApp::PATHS)
        .layer(from_fn(count));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(tokio::net::TcpListener::from_std(listener)?, service).await
}

async fn me(bearer: Bearer) -> String {
    bearer.claims.sub.to_string()
}

async fn maybe(bearer: Option<Bearer>) -> String {
    let name = |bearer: &Bearer| bearer.claims.sub.to_string();
    bearer.as_ref().map_or_else(|| "nobody".to_owned(), name)
}

async fn read(bearer: Bearer) -> Result<String, BearerRejection> {
    bearer.require("read")?;
    Ok(bearer.claims.sub.to_string())
}
