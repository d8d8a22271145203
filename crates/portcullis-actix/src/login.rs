//! The routes of a token endpoint, and FastAPI's answers for what no route takes.

use std::sync::Arc;

use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, guard};
use portcullis_core::adapter::{Found, Mount};

use crate::exchange::{head, head_of, respond};
use crate::runtime::ActixRuntime;

/// Adds the login of a [`Mount`] to an app: by default `POST /v1/login`, and what else its endpoint
/// offers.
///
/// Build it once, outside the closure given to `HttpServer::new`: that runs once per worker, and
/// each would get a hash pool of its own.
///
/// The throttle uses the address that a [`TrustedProxies`](crate::TrustedProxies) or another
/// middleware has put into the request's extensions as a
/// [`RemoteAddress`](portcullis_core::adapter::RemoteAddress), or else the peer address of the connection.
///
/// # Scopes
/// Register the login before any `web::scope` or service that could take its paths: actix-web asks
/// them in the order in which they were registered, and a scope `/v1` that comes first answers
/// `/v1/login` with its own 404. Nothing can see that at start; a test can, with
/// [`Mount::check_answer`]:
///
/// ```
/// # #[actix_web::main]
/// # async fn main() {
/// use actix_web::{App, test, web};
/// use portcullis_actix::LoginRoutes;
/// use portcullis_core::adapter::Mount;
///
/// # let endpoint = portcullis_testkit::fastapi::endpoint().await.unwrap();
/// let login = LoginRoutes::new(endpoint);
/// let app = App::new()
///     .configure(|app| login.configure(app))
///     .service(web::scope("/v1"));
///
/// let app = test::init_service(app).await;
/// for (_, path) in login.mount().paths() {
///     let request = test::TestRequest::post().uri(&path).to_request();
///     let answer = test::call_service(&app, request).await;
///     let cache_control = answer.headers().get("cache-control").map(|value| value.as_bytes());
///     Mount::check_answer(&path, answer.status().as_u16(), cache_control).unwrap();
/// }
/// # }
/// ```
///
/// Inside a scope the paths are below that already, so the prefix is what comes after it:
///
/// ```
/// use actix_web::web::{self, ServiceConfig};
/// use portcullis_actix::LoginRoutes;
/// use portcullis_core::adapter::Mount;
/// use portcullis_core::TokenEndpoint;
///
/// /// Adds `POST /auth/login`.
/// fn configure(app: &mut ServiceConfig, endpoint: TokenEndpoint) {
///     let login = LoginRoutes::new(Mount::new(endpoint).with_prefix(""));
///     app.service(web::scope("/auth").configure(|scope| login.configure(scope)));
/// }
/// ```
#[derive(Clone, Debug)]
pub struct LoginRoutes {
    mount: Arc<Mount>,
}

impl LoginRoutes {
    /// Serves a [`Mount`], or a [`TokenEndpoint`](portcullis_core::TokenEndpoint) below `/v1`.
    #[must_use]
    pub fn new(mount: impl Into<Mount>) -> Self {
        Self {
            mount: Arc::new(mount.into()),
        }
    }

    /// Where everything is.
    #[must_use]
    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    /// Adds the routes to an app or scope: `App::new().configure(|app| login.configure(app))`.
    ///
    /// Other methods than POST on its paths answer 405. As in FastAPI, a path is known by every
    /// spelling that is this once it is decoded, as `/v1%2Flogin` is, if it is the whole path.
    pub fn configure(&self, app: &mut ServiceConfig) {
        for (operation, path) in self.mount.paths() {
            let handler = || {
                let mount = Arc::clone(&self.mount);
                web::to(move |request: HttpRequest, body: Payload| {
                    let mount = Arc::clone(&mount);
                    async move {
                        let head = head(&request);
                        respond(mount.serve(operation, head, body, &ActixRuntime).await)
                    }
                })
            };
            app.service(web::resource(path).route(handler()));
            // actix-web tells these apart. Here and not in the fallback, so that what is wrapped around
            // the login is wrapped around all of it.
            let mount = Arc::clone(&self.mount);
            let spelt_otherwise =
                guard::fn_guard(move |context| mount.is_for(operation, &head_of(context.head())));
            let other = web::resource("/{path}*").guard(spelt_otherwise);
            app.service(other.route(handler()));
        }
    }

    /// Answers as FastAPI does whatever no route of the app took: 307 for a trailing slash, 405
    /// for a wrong method on a known path, else 404. `others` are the app's own methods and paths;
    /// the login is known.
    ///
    /// It becomes the default service of `app`, so call it on the app itself and not on a scope.
    /// Register `others` with a guard for the method (as `#[get]` and `App::route` do), or
    /// actix-web answers their wrong methods with an empty 405 of its own.
    pub fn configure_fallback<'a>(
        &self,
        app: &mut ServiceConfig,
        others: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let fallback = Arc::new(self.mount.fallback(others));
        app.default_service(web::to(move |request: HttpRequest| {
            let fallback = Arc::clone(&fallback);
            async move {
                respond(match fallback.find(&head(&request)) {
                    Found::Path(_) => fallback.not_found(),
                    Found::Reply(reply) => reply,
                })
            }
        }));
    }
}
