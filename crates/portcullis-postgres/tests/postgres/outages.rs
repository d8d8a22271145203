//! What happens when the server does not do as it should: each test has one to itself.
//!
//! During an outage nobody is told that a password is right or wrong, nothing secret is shown, and
//! the first call after it succeeds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::ErrorKind::{InvalidConfig, Unavailable};
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::password::{Arena, HashPoolConfig, PasswordHasher};
use portcullis_core::responder::Reply;
use portcullis_core::store::{TokenHash, TokenStore, UserStatus};
use portcullis_core::{
    Authenticator, Claims, Credential, CredentialStore, Error, HashPool, TokenEndpoint, UserId,
    Username,
};
use portcullis_postgres::{PgPool, PostgresStore};
use portcullis_testkit::{FakeHasher, FakeTokens};
use portcullis_testservers::log;
use portcullis_testservers::postgres::Server;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;

use crate::schema::run;

#[tokio::test]
async fn a_server_that_is_down_at_start_is_unavailable() {
    let mut site = Site::new().await;
    site.server.stop().unwrap();
    let refused = PostgresStore::open(&site.url).await.unwrap_err();
    assert_eq!(refused.kind(), Unavailable);
    site.shows_nothing(&refused);

    site.server.restart().unwrap();
    PostgresStore::open(&site.url).await.unwrap();
}

#[tokio::test]
async fn a_server_that_goes_down_later_is_unavailable_until_it_is_back() {
    let mut site = Site::new().await;
    site.is_up().await;
    site.server.stop().unwrap();
    site.is_out().await;
    site.server.restart().unwrap();
    site.is_up().await;
}

#[tokio::test]
async fn a_server_that_crashes_is_unavailable_until_it_is_back() {
    let mut site = Site::new().await;
    site.is_up().await;
    site.server.crash().unwrap();
    site.is_out().await;
    site.server.restart().unwrap();
    site.is_up().await;
}

#[tokio::test]
async fn a_restart_between_two_calls_is_noticed_by_neither() {
    let mut site = Site::new().await;
    // Reads and writes each find all connections broken.
    site.is_up().await;
    site.server.restart().unwrap();
    assert_eq!(site.log_in(RIGHT).await.status(), 200);
    site.is_up().await;
    site.server.restart().unwrap();
    assert!(site.enable().await.unwrap());
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_unavailable_until_it_does() {
    let site = Site::new().await;
    site.is_up().await;
    site.server.pause().unwrap();
    site.is_out_within(2 * TIMEOUT).await;
    site.server.resume().unwrap();
    site.is_up().await;
}

#[tokio::test]
async fn a_locked_table_is_unavailable_until_it_is_free() {
    let site = Site::new().await;
    let mut other = site.admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE portcullis.users, portcullis.tokens")
        .execute(&mut *other)
        .await
        .unwrap();
    site.is_out().await;
    other.rollback().await.unwrap();
    site.is_up().await;
}

#[tokio::test]
async fn an_exhausted_pool_is_unavailable_until_a_connection_is_free() {
    let site = Site::new().await;
    let mut taken = Vec::new();
    for _ in 0..POOL_SIZE {
        taken.push(site.store.pool().acquire().await.unwrap());
    }
    site.is_out_within(TIMEOUT).await;
    drop(taken);
    site.is_up().await;
}

#[tokio::test]
async fn a_server_with_too_many_connections_is_unavailable_until_there_are_fewer() {
    let site = Site::new().await;
    run(&site.admin, "ALTER ROLE app CONNECTION LIMIT 0".to_owned()).await;
    site.cut_connections().await;
    site.is_out().await;
    run(&site.admin, "ALTER ROLE app CONNECTION LIMIT -1".to_owned()).await;
    site.is_up().await;
}

#[tokio::test]
async fn a_database_that_takes_no_connections_is_unavailable_until_it_does() {
    let site = Site::new().await;
    // One cannot be shut from within.
    let elsewhere: PgConnectOptions = site.server.url().parse().unwrap();
    let elsewhere = PgPool::connect_lazy_with(elsewhere.database("template1"));
    let allow = |allowed: &str| format!("ALTER DATABASE postgres ALLOW_CONNECTIONS {allowed}");
    run(&elsewhere, allow("false")).await;
    site.cut_connections().await;
    site.is_out().await;
    run(&elsewhere, allow("true")).await;
    site.is_up().await;
}

#[tokio::test]
async fn connections_that_are_cut_between_two_calls_are_noticed_by_neither() {
    let site = Site::new().await;
    site.is_up().await;
    site.cut_connections().await;
    assert_eq!(site.log_in(RIGHT).await.status(), 200);
    site.is_up().await;
    site.cut_connections().await;
    assert!(site.enable().await.unwrap());
}

#[tokio::test]
async fn a_look_up_whose_connection_is_cut_is_made_again() {
    let site = Site::with_timeout(Duration::from_secs(20)).await;
    let mut other = site.admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE portcullis.users")
        .execute(&mut *other)
        .await
        .unwrap();
    let (reply, ()) = tokio::join!(site.log_in(RIGHT), async {
        site.cut_waiting_connection().await;
        other.rollback().await.unwrap();
    });
    assert_eq!(reply.status(), 200);
}

#[tokio::test]
async fn a_change_whose_connection_is_cut_is_unavailable_and_made_once_at_most() {
    let site = Site::with_timeout(Duration::from_secs(20)).await;
    let mut other = site.admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE portcullis.users")
        .execute(&mut *other)
        .await
        .unwrap();
    let (answer, ()) = tokio::join!(site.enable(), async {
        site.cut_waiting_connection().await;
        other.rollback().await.unwrap();
    });
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    site.shows_nothing(&error);
    site.is_up().await;
}

#[tokio::test]
async fn a_read_only_server_logs_in_and_changes_nothing() {
    let mut site = Site::new().await;
    site.set_read_only("on").await;
    // A hash that is obsolete now, and cannot be replaced.
    site.hasher.set_cost(2);
    assert_eq!(site.log_in(RIGHT).await.status(), 200);
    assert_eq!(site.log_in(WRONG).await.status(), 401);
    for error in [
        site.enable().await.unwrap_err(),
        site.issue().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Unavailable);
        site.shows_nothing(&error);
    }
    site.set_read_only("off").await;
    site.is_up().await;
}

#[tokio::test]
async fn connections_to_a_standby_are_left_once_new_ones_lead_to_the_primary() {
    let site = Site::new().await;
    site.connect_to_a_standby().await;
    let change = "ALTER ROLE app RESET default_transaction_read_only";
    run(&site.admin, change.to_owned()).await;
    for _ in 0..POOL_SIZE {
        assert!(site.enable().await.unwrap());
    }
    site.is_up().await;
}

#[tokio::test]
async fn a_standby_keeps_its_connections() {
    let site = Site::new().await;
    site.connect_to_a_standby().await;
    assert_eq!(site.enable().await.unwrap_err().kind(), Unavailable);
    assert_eq!(site.log_in(RIGHT).await.status(), 200);
    assert_eq!(site.store.pool().size() as usize, POOL_SIZE);
}

#[tokio::test]
async fn a_wrong_password_is_a_wrong_configuration_at_start_and_unavailable_later() {
    let site = Site::new().await;
    let change = "ALTER ROLE app PASSWORD 'something else'";
    run(&site.admin, change.to_owned()).await;
    let refused = PostgresStore::open(&site.url).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "invalid configuration: the Postgres server refuses this user or password: check both, \
         and its pg_hba.conf"
    );
    site.shows_nothing(&refused);

    site.cut_connections().await;
    site.is_out().await;
    let change = format!("ALTER ROLE app PASSWORD '{SECRET}'");
    run(&site.admin, change).await;
    site.is_up().await;
}

#[tokio::test]
async fn what_the_server_does_not_have_is_said_in_a_sentence() {
    let site = Site::new().await;
    for (url, sentence) in [
        (
            site.url.replace("/postgres?", "/absent?"),
            "the Postgres server has no such database: create it",
        ),
        (
            site.url.replace('?', "?sslmode=require&"),
            "the connection cannot be encrypted as `sslmode` says: check that, the certificates, \
             and that a TLS feature is enabled",
        ),
    ] {
        let error = PostgresStore::open(&url).await.unwrap_err();
        assert_eq!(error.kind(), InvalidConfig);
        assert_eq!(error.message(), sentence);
        site.shows_nothing(&error);
    }
}

#[tokio::test]
async fn missing_tables_are_unavailable_until_they_are_migrated() {
    let site = Site::new().await;
    let sql = "ALTER SCHEMA portcullis RENAME TO elsewhere";
    run(&site.admin, sql.to_owned()).await;
    site.is_out().await;
    let error = PostgresStore::open(&site.url).await.unwrap_err();
    assert_eq!(error.kind(), InvalidConfig);

    site.store.migrate().await.unwrap();
    site.store.create(&alice(&site.hasher)).await.unwrap();
    site.is_up().await;
}

/// A server, a store in it with Alice, an endpoint over that, and everything that was logged.
struct Site {
    server: Server,
    url: String,
    admin: PgPool,
    store: PostgresStore,
    hasher: Arc<FakeHasher>,
    endpoint: TokenEndpoint,
}

impl Site {
    async fn new() -> Self {
        Self::with_timeout(TIMEOUT).await
    }

    async fn with_timeout(timeout: Duration) -> Self {
        log::keep();
        let server = Server::start().unwrap();
        let admin: PgConnectOptions = server.url().parse().unwrap();
        // Its statements hold the password.
        let admin = PgPool::connect_lazy_with(admin.disable_statement_logging());
        run(
            &admin,
            format!(
                "CREATE ROLE app LOGIN PASSWORD '{SECRET}'; \
                 GRANT CREATE ON DATABASE postgres TO app"
            ),
        )
        .await;
        let milliseconds = timeout.as_millis();
        let url = format!(
            "{}?pool_size={POOL_SIZE}&acquire_timeout_ms={milliseconds}\
             &statement_timeout_ms={milliseconds}",
            server.url().replace("postgres@", &format!("app:{SECRET}@")),
        );

        let hasher = Arc::new(FakeHasher::new(1));
        let store = PostgresStore::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        store.create(&alice(&hasher)).await.unwrap();
        let pool = HashPool::new(hasher.clone(), HashPoolConfig::default()).unwrap();
        let authenticator = Authenticator::new(Arc::new(store.clone()), pool).unwrap();
        Self {
            server,
            url,
            admin,
            store,
            hasher,
            endpoint: TokenEndpoint::new(authenticator, Arc::new(FakeTokens::new())),
        }
    }

    async fn log_in(&self, password: &str) -> Reply {
        let body = format!("username=alice&password={password}");
        let content_type = b"application/x-www-form-urlencoded";
        let request = LoginRequest::new(Some(content_type), body.as_bytes());
        self.endpoint.handle(request).await
    }

    async fn enable(&self) -> Result<bool, Error> {
        let alice = UserId::new("1");
        self.store.set_status(&alice, UserStatus::Enabled).await
    }

    async fn issue(&self) -> Result<(), Error> {
        let claims = Claims::new(
            "https://login.example".to_owned(),
            UserId::new("1"),
            vec!["https://api.example".to_owned()],
            SystemTime::UNIX_EPOCH,
            SystemTime::UNIX_EPOCH,
            "1".to_owned(),
        );
        let hash = TokenHash::of("token");
        self.store.insert(&hash, &claims).await?;
        assert!(TokenStore::find(&self.store, &hash).await?.is_some());
        assert!(self.store.revoke(&hash).await?);
        Ok(())
    }

    /// Everything works at the first attempt.
    async fn is_up(&self) {
        let (right, wrong, enabled, issued) = tokio::join!(
            self.log_in(RIGHT),
            self.log_in(WRONG),
            self.enable(),
            self.issue(),
        );
        assert_eq!(right.status(), 200);
        assert_eq!(wrong.status(), 401);
        assert!(enabled.unwrap());
        issued.unwrap();
    }

    /// Nothing is known, and nothing is given away.
    async fn is_out(&self) {
        let (right, wrong, enabled, issued) = tokio::join!(
            self.log_in(RIGHT),
            self.log_in(WRONG),
            self.enable(),
            self.issue(),
        );
        for reply in [right, wrong] {
            assert_eq!(reply.status(), 503);
            assert!(reply.headers().any(|header| header == ("retry-after", "1")));
            assert_eq!(reply.body(), br#"{"detail":"Service Unavailable"}"#);
        }
        for error in [enabled.unwrap_err(), issued.unwrap_err()] {
            assert_eq!(error.kind(), Unavailable, "{error:?}");
            self.shows_nothing(&error);
        }
    }

    /// As `is_out`, and this is known within a time. Nothing but time passes meanwhile, so that a
    /// clock which leaps to whatever is due next tells exactly how long is waited.
    async fn is_out_within(&self, time: Duration) {
        tokio::time::pause();
        let started = Instant::now();
        self.is_out().await;
        let waited = started.elapsed();
        tokio::time::resume();
        // The timers of tokio count whole milliseconds.
        assert!(waited <= time + Duration::from_millis(2), "{waited:?}");
    }

    /// Has the pool make all connections it may, all of them read-only, as a standby's are.
    async fn connect_to_a_standby(&self) {
        let change = "ALTER ROLE app SET default_transaction_read_only = on";
        run(&self.admin, change.to_owned()).await;
        self.cut_connections().await;
        // This leaves no broken one in the pool.
        assert_eq!(self.enable().await.unwrap_err().kind(), Unavailable);
        let pool = self.store.pool();
        let mut taken = Vec::new();
        for _ in 0..POOL_SIZE {
            taken.push(pool.acquire().await.unwrap());
        }
        drop(taken);
        while pool.num_idle() < POOL_SIZE {
            tokio::task::yield_now().await;
        }
    }

    /// Neither an error nor the log tells a password, a hash or the URL.
    #[track_caller]
    fn shows_nothing(&self, error: &Error) {
        let log = log::text();
        assert!(!log.is_empty());
        let shown = format!("{error} {error:?} {log}");
        for secret in [SECRET, RIGHT, WRONG, "$fake$"] {
            assert!(!shown.contains(secret), "{secret} is in {shown}");
        }
    }

    async fn cut_connections(&self) {
        // Waits until they are gone.
        let sql = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                   WHERE usename = 'app'";
        run(&self.admin, sql.to_owned()).await;
    }

    async fn cut_waiting_connection(&self) {
        let sql = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                   WHERE usename = 'app' AND wait_event_type = 'Lock'";
        loop {
            let cut: Vec<bool> = sqlx::query_scalar(sql)
                .fetch_all(&self.admin)
                .await
                .unwrap();
            if !cut.is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    /// As when a standby takes over the address.
    async fn set_read_only(&mut self, on_or_off: &str) {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {on_or_off}");
        run(&self.admin, sql).await;
        self.server.restart().unwrap();
    }
}

fn alice(hasher: &FakeHasher) -> Credential {
    let hash = hasher.hash(RIGHT.as_bytes(), &mut Arena::new()).unwrap();
    Credential::new(UserId::new("1"), Username::new("alice")).with_password_hash(hash)
}

/// For a connection, and for a statement.
const TIMEOUT: Duration = Duration::from_millis(500);

const POOL_SIZE: usize = 4;
const RIGHT: &str = "right-horse";
const WRONG: &str = "wrong-horse";
const SECRET: &str = "secret-of-the-role";
