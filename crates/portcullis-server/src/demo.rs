//! A server to try out: nothing to set up, nothing left behind.

use std::sync::Arc;

use portcullis::adapter::Scheme;
use portcullis::jwt::{JwtIssuer, SigningKey};
use portcullis::{AccessTokenPolicy, Accounts, Authenticator, Secret, Throttle, Username};

use crate::args::{CookiePrefixArg, DemoArgs, LimitArgs, RedirectsArg};
use crate::failure::Failure;
use crate::keys;
use crate::serve::{self, Server};
use crate::tokens::Tokens;

const USERNAME: &str = "demo@example.com";

pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let directory = tempfile::tempdir().map_err(|error| {
        Failure::config(format!(
            "cannot make a temporary directory ({error}); set TMPDIR to one that is writable"
        ))
    })?;
    let database = directory.path().join("portcullis.db");
    let stores = portcullis::open(&format!("sqlite://{}", database.display())).await?;
    let password = keys::random_text::<15>()?;
    let pool = serve::pool(&args.hashing)?;
    let authenticator = Authenticator::new(Arc::clone(&stores.credentials), pool.clone())?;
    Accounts::new(authenticator)
        .sign_up(
            Username::new(USERNAME),
            Secret::from(password.to_string()),
            None::<String>,
        )
        .await
        .map_err(|refusal| Failure::refused(refusal.to_string()))?;
    let policy = AccessTokenPolicy::new("portcullis", "portcullis");
    let key = SigningKey::from_hs256_secret(keys::random_text::<32>()?.as_bytes())?;
    let server = Server {
        listen: args.listen,
        prefix: "/v1".to_owned(),
        scheme: Scheme::Http,
        trusted_proxies: None,
        users: stores.credentials,
        throttle: Some(Throttle::new(stores.throttle)),
        refresh_tokens: None,
        tokens: Tokens::jwt(JwtIssuer::new(policy, key), Vec::new()),
        pool,
        redirects: RedirectsArg::Absolute,
        cookie_prefix: CookiePrefixArg::None,
        limits: LimitArgs::default(),
    };
    server
        .run(|address| serve::say(&instructions(&address.to_string(), &password)))
        .await
}

fn instructions(address: &str, password: &str) -> String {
    format!(
        r#"listening on http://{address}

Log in:

  curl -i http://{address}/v1/login -d username={USERNAME} -d password={password}

Use the token:

  TOKEN=$(curl -s http://{address}/v1/login -d username={USERNAME} -d password={password} | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -i http://{address}/v1/me -H "Authorization: Bearer $TOKEN"

The user and the store are gone when this ends (Ctrl-C)."#
    )
}
