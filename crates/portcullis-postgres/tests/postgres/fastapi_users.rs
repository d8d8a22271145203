//! A database that fastapi-users has written, and goes on using.

use std::env;
use std::process::Command;
use std::sync::Arc;

use portcullis_core::authenticator::Authentication;
use portcullis_core::password::{
    Argon2Params, BcryptScheme, HashPoolConfig, MigratingHasher, PasswordHash,
};
use portcullis_core::{Argon2idHasher, Authenticator, CredentialStore, HashPool, Secret, Username};
use portcullis_postgres::{PostgresStore, TableMapping};

use crate::schema::{Schema, run};

#[tokio::test]
async fn its_users_log_in_unchanged_and_weaker_hashes_are_upgraded() {
    let schema = Schema::new();
    let store = PostgresStore::connect(&schema.url()).await.unwrap();
    run(store.pool(), format!("CREATE SCHEMA \"{}\"", schema.name)).await;
    application("create", &schema);

    let mut mapping = TableMapping::fastapi_users();
    mapping.schema = Some(schema.name.clone());
    let users: Arc<dyn CredentialStore> = Arc::new(store.table(&mapping).await.unwrap());
    let authenticator = |params: Argon2Params| {
        let hasher = MigratingHasher::new(Arc::new(Argon2idHasher::new(params)))
            .and_scheme(Arc::new(BcryptScheme::new()));
        let pool = HashPool::new(Arc::new(hasher), HashPoolConfig::default()).unwrap();
        Authenticator::new(Arc::clone(&users), pool).unwrap()
    };
    // Weaker than both, and stronger than both.
    let weaker = authenticator(Argon2Params::default());
    let stronger = authenticator(Argon2Params::new(65_536, 5, 4).unwrap());
    let log_in = async |at: &Authenticator, name: &str, password: &str| {
        let username = Username::new(format!("{name}@example.com"));
        let outcome = at
            .authenticate(&username, Secret::from(password.to_owned()))
            .await;
        matches!(outcome.unwrap(), Authentication::Accepted(_))
    };
    let hash = async |name: &str| {
        let username = Username::new(format!("{name}@example.com"));
        let user = users.find(&username).await.unwrap().unwrap();
        user.password_hash
            .as_ref()
            .map(PasswordHash::expose)
            .unwrap()
            .to_owned()
    };

    for (name, theirs) in [
        ("alice", "$argon2id$v=19$m=65536,t=3,p=4$"),
        ("bob", "$2b$12$"),
    ] {
        let before = hash(name).await;
        assert!(before.starts_with(theirs), "{name}");
        let password = format!("correct horse {name}");
        assert!(log_in(&weaker, name, &password).await, "{name}");
        assert!(!log_in(&stronger, name, "wrong horse").await, "{name}");
        assert_eq!(hash(name).await, before);

        assert!(log_in(&stronger, name, &password).await, "{name}");
        let after = hash(name).await;
        assert!(
            after.starts_with("$argon2id$v=19$m=65536,t=5,p=4$"),
            "{name}"
        );
        assert!(log_in(&weaker, name, &password).await, "{name}");
        assert_eq!(hash(name).await, after);
    }
    assert!(!log_in(&weaker, "carol", "correct horse carol").await);

    // Users and their hashes are still good there.
    application("log-in", &schema);
}

fn application(command: &str, schema: &Schema) {
    let python = env::var_os("PORTCULLIS_TEST_PYTHON").expect(
        "there is no Python with fastapi-users: run scripts/test, or set PORTCULLIS_TEST_PYTHON",
    );
    let status = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fastapi_users/application.py"
        ))
        .args([command, &schema.name])
        .status()
        .unwrap();
    assert!(status.success(), "{command}");
}
