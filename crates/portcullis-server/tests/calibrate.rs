//! The choice of Argon2 parameters, and its use.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::Output;

use portcullis::Username;
use portcullis::password::Argon2Params;

#[test]
fn calibrate_recommends_parameters_that_serve_takes() {
    let directory = tempfile::tempdir().unwrap();
    let output = common::run(directory.path(), ["calibrate", "--target-ms", "1"], "");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    for row in Argon2Params::OWASP {
        assert!(printed.contains(&format!("  {row} ")), "{printed}");
    }
    let (_, params) = printed.split_once("serve --argon2 ").unwrap();
    let params = params.lines().next().unwrap();
    // Reading them refuses what is weaker than OWASP's.
    assert!(params.parse::<Argon2Params>().is_ok(), "{printed}");
    let args = ["serve", "--store", "sqlite://users.db", "--argon2", params];
    let server = common::Server::start(directory.path(), args);
    assert_eq!(server.login("username=ada&password=x").status, 401);
}

#[test]
fn a_password_is_hashed_at_the_parameters_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let output = add_ada(directory.path(), "m=12288,t=3,p=1");
    assert!(output.status.success(), "{output:?}");
    check_hash(directory.path(), "$argon2id$v=19$m=12288,t=3,p=1$");

    // At the defaults it has fewer passes, and is kept; at what is stronger it is replaced.
    for (params, begins) in [
        ("m=19456,t=2,p=1", "$argon2id$v=19$m=12288,t=3,p=1$"),
        ("m=19456,t=3,p=1", "$argon2id$v=19$m=19456,t=3,p=1$"),
    ] {
        let args = ["serve", "--store", "sqlite://users.db", "--argon2", params];
        let server = common::Server::start(directory.path(), args);
        let form = "username=ada&password=correct+horse+battery+staple";
        assert_eq!(server.login(form).status, 200);
        check_hash(directory.path(), begins);
    }
}

#[test]
fn parameters_weaker_than_owasp_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = add_ada(directory.path(), "m=19456,t=1,p=1");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("weaker than OWASP's"), "{said}");
}

fn add_ada(directory: &Path, params: &str) -> Output {
    let args = ["user", "add", "--username", "ada", "--password-stdin"];
    let args = args.into_iter().chain(["--argon2", params]);
    let args = args.chain(["--store", "sqlite://users.db"]);
    common::run(directory, args, "correct horse battery staple")
}

#[track_caller]
fn check_hash(directory: &Path, begins: &str) {
    let url = format!("sqlite://{}", directory.join("users.db").display());
    let hash = actix_web::rt::System::new().block_on(async {
        let users = portcullis::open(&url).await.unwrap().credentials;
        let ada = users.find(&Username::new("ada")).await.unwrap();
        ada.unwrap().password_hash.unwrap()
    });
    assert!(hash.expose().starts_with(begins));
}
