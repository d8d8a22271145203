//! The table of an application keeps the promises of a store, as far as it is mapped.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::ErrorKind::{AlreadyExists, Corrupt, Internal, InvalidConfig, Unsupported};
use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{Credential, CredentialStore, Error, UserId, Username, async_trait};
use portcullis_postgres::{MappedTable, PgPool, PostgresStore, TableAccess, TableMapping};
use portcullis_testkit::Subject;
use portcullis_testservers::postgres;
use sqlx::AssertSqlSafe;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::schema::{Schema, run};

mod of_one_process {
    portcullis_testkit::credential_store_suite!(super::applications(1));
}

mod of_two_processes {
    portcullis_testkit::credential_store_suite!(super::applications(2));
}

#[tokio::test]
async fn ids_are_read_as_postgres_writes_them() {
    for (id_type, id, others) in [
        ("bigint", "-7", ["7", "-07", "-7 "]),
        ("integer", "7", ["07", "+7", "9999999999"]),
        ("smallint", "7", ["7.0", "0x7", "99999"]),
        ("text", "Seven", ["seven", "Seven ", "Sev\0en"]),
        ("varchar(20)", "", [" ", "\0", "NULL"]),
        (
            "uuid",
            "0a6c7b8e-1234-4abc-8def-0123456789ab",
            [
                "0A6C7B8E-1234-4ABC-8DEF-0123456789AB",
                "0a6c7b8e12344abc8def0123456789ab",
                "{0a6c7b8e-1234-4abc-8def-0123456789ab}",
            ],
        ),
    ] {
        let schema = Schema::new();
        let users = mapped(
            &schema,
            &format!(
                "CREATE TABLE users (id {id_type} PRIMARY KEY, username text UNIQUE, \
                 password_hash text); \
                 INSERT INTO users VALUES ('{id}', 'alice', '$old$')"
            ),
            |mapping| mapping.access = TableAccess::Rehash,
        )
        .await
        .unwrap();
        let mut alice = Credential::new(UserId::new(id), Username::new("alice"))
            .with_password_hash(hash("$old$"));
        let found = users.find(&alice.username).await.unwrap();
        assert_eq!(found.as_ref(), Some(&alice));
        for other in others {
            let other = UserId::new(other);
            assert_eq!(users.find_by_id(&other).await.unwrap(), None, "{other:?}");
            assert!(!rehash(&users, &other).await.unwrap(), "{other:?}");
        }
        assert!(rehash(&users, &alice.user_id).await.unwrap());
        alice.password_hash = Some(hash("$new$"));
        let found = users.find_by_id(&alice.user_id).await.unwrap();
        assert_eq!(found, Some(alice));
    }
}

#[tokio::test]
async fn optional_columns_may_be_absent_or_null() {
    let schema = Schema::new();
    let users = mapped(
        &schema,
        "CREATE TABLE users (id bigint PRIMARY KEY, username text UNIQUE, password_hash text, \
         active boolean, scopes text, valid_from timestamptz); \
         INSERT INTO users VALUES \
         (1, 'alice', '$old$', true, ' read  write ', '1970-01-01 00:00:01.000002Z'), \
         (2, 'bob', NULL, NULL, NULL, NULL), \
         (3, NULL, '$old$', true, 'read', NULL)",
        |mapping| {
            mapping.active = Some("active".to_owned());
            mapping.scopes = Some("scopes".to_owned());
            mapping.tokens_valid_from = Some("valid_from".to_owned());
        },
    )
    .await
    .unwrap();

    let mut alice = user("1", "alice").with_password_hash(hash("$old$"));
    alice.scopes = vec!["read".to_owned(), "write".to_owned()];
    alice.tokens_valid_from = SystemTime::UNIX_EPOCH + Duration::from_micros(1_000_002);
    let mut bob = user("2", "bob");
    bob.status = UserStatus::Disabled;
    assert_eq!(users.list(None, 10).await.unwrap(), [alice, bob]);
    let unnamed = users.find_by_id(&UserId::new("3")).await;
    assert_eq!(unnamed.unwrap(), None);

    let bare = mapped(&schema, "", |_| {}).await.unwrap();
    let found = bare.find(&Username::new("bob")).await.unwrap();
    assert_eq!(found, Some(user("2", "bob")));
}

#[tokio::test]
async fn what_the_mapping_does_not_allow_is_unsupported() {
    let schema = Schema::new();
    let sql = "CREATE TABLE users (id text PRIMARY KEY, username text UNIQUE, password_hash text); \
               INSERT INTO users VALUES ('1', 'alice', '$old$')";
    let read = mapped(&schema, sql, |_| {}).await.unwrap();
    let upgrade = mapped(&schema, "", |mapping| mapping.access = TableAccess::Rehash);
    let full = mapped(&schema, "", |mapping| mapping.access = TableAccess::Full);
    let (upgrade, full) = (upgrade.await.unwrap(), full.await.unwrap());

    let alice = user("1", "alice").with_password_hash(hash("$old$"));
    let id = &alice.user_id;
    for users in [&read, &upgrade, &full] {
        let refused = users.create(&user("2", "bob")).await.unwrap_err();
        assert_eq!(refused.kind(), Unsupported);
        let refused = users.set_status(id, UserStatus::Disabled).await;
        assert_eq!(refused.unwrap_err().kind(), Unsupported);
        let (old, new, now) = (hash("$old$"), hash("$new$"), SystemTime::UNIX_EPOCH);
        for refused in [
            users.change_password(id, &old, &new, now).await,
            users.set_password(id, &new, now).await,
            users.end_sessions(id, now).await,
        ] {
            assert_eq!(refused.unwrap_err().kind(), Unsupported);
        }
        let found = users.find(&alice.username).await.unwrap();
        assert_eq!(found.as_ref(), Some(&alice));
    }
    for users in [&read, &upgrade] {
        assert_eq!(users.delete(id).await.unwrap_err().kind(), Unsupported);
    }
    let refused = rehash(&read, id).await.unwrap_err();
    assert_eq!(refused.kind(), Unsupported);

    assert!(rehash(&upgrade, id).await.unwrap());
    assert!(full.delete(id).await.unwrap());
}

#[tokio::test]
async fn a_view_can_be_mapped_that_has_each_user_once() {
    let schema = Schema::new();
    let sql = "CREATE TABLE members (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text, \
               hash text, gone boolean); \
               INSERT INTO members (email, hash, gone) VALUES \
               ('alice', '$old$', false), ('alice', '$gone$', true), (NULL, '$1$', false), \
               (NULL, '$2$', false); \
               CREATE VIEW users AS SELECT id, email AS username, hash AS password_hash \
               FROM members WHERE NOT gone";
    let rehashing = |mapping: &mut TableMapping| mapping.access = TableAccess::Rehash;
    let users = mapped(&schema, sql, rehashing).await.unwrap();

    let alice = users.find(&Username::new("alice")).await.unwrap().unwrap();
    assert_eq!(alice.password_hash, Some(hash("$old$")));
    assert!(rehash(&users, &alice.user_id).await.unwrap());

    let insert = "INSERT INTO members (email, hash, gone) VALUES ('bob', '$1$', false), \
                  ('bob', '$2$', false)";
    run(&in_schema(&schema).await, insert.to_owned()).await;
    let twice = users.find(&Username::new("bob")).await.unwrap_err();
    assert_eq!(twice.kind(), Corrupt);
    let refused = mapped(&schema, "", rehashing).await.unwrap_err();
    assert_eq!(refused.kind(), InvalidConfig);
    let sentence = format!(
        "the view \"{}\".\"users\" has several rows with the same \"username\", and which of them logs \
         in would be left to chance: have it leave out all but one",
        schema.name
    );
    assert_eq!(refused.message(), sentence);
}

#[tokio::test]
async fn a_name_that_only_the_collation_takes_for_another_is_nobody() {
    let schema = Schema::new();
    let users = mapped(
        &schema,
        "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', \
         deterministic = false); \
         CREATE TABLE users (id text PRIMARY KEY, username text COLLATE any_case UNIQUE, \
         password_hash text); \
         INSERT INTO users VALUES ('1', 'Alice', NULL)",
        |_| {},
    )
    .await
    .unwrap();
    assert_eq!(users.find(&Username::new("alice")).await.unwrap(), None);
    let found = users.find(&Username::new("Alice")).await.unwrap();
    assert_eq!(found, Some(user("1", "Alice")));
}

#[tokio::test]
async fn a_mapping_that_does_not_fit_is_said_in_a_sentence() {
    let schema = Schema::new();
    let sql = "CREATE TABLE users (id text PRIMARY KEY, username text UNIQUE, \
               password_hash varchar(60), number bigint, \"Name\" text, address inet, \
               twice text); \
               CREATE UNIQUE INDEX ON users (twice) WHERE number > 0";
    mapped(&schema, sql, |_| {}).await.unwrap();

    let name = &schema.name;
    let users = format!("\"{name}\".\"users\"");
    let not_unique = "has no unique index of its own: two users could have the same, and finding \
                      one would read the whole table";
    type Change = fn(&mut TableMapping);
    let cases: [(Change, String); 8] = [
        (
            |mapping| mapping.table = "user".to_owned(),
            format!("there is no table or view \"{name}\".\"user\""),
        ),
        (
            |mapping| mapping.username = "name".to_owned(),
            format!("the table {users} has no column \"name\""),
        ),
        (
            |mapping| mapping.user_id = "address".to_owned(),
            format!(
                "the column \"address\" of {users} is of the type inet: it must be one of uuid, \
                 bigint, integer, smallint, text, character varying"
            ),
        ),
        (
            |mapping| mapping.username = "number".to_owned(),
            format!(
                "the column \"number\" of {users} is of the type bigint: it must be one of text, \
                 character varying"
            ),
        ),
        (
            |mapping| mapping.username = "Name".to_owned(),
            format!("the column \"Name\" {not_unique}"),
        ),
        (
            |mapping| mapping.username = "twice".to_owned(),
            format!("the column \"twice\" {not_unique}"),
        ),
        (
            |mapping| mapping.access = TableAccess::Rehash,
            "the column \"password_hash\" is too short for a new hash: widen it to 128 \
             characters, or map the table to be read only"
                .to_owned(),
        ),
        (
            |mapping| mapping.schema = Some("a\0b".to_owned()),
            "the name of a schema, table or column has 1 to 63 bytes".to_owned(),
        ),
    ];
    let store = PostgresStore::connect(&postgres::url()).await.unwrap();
    for (change, sentence) in cases {
        let error = store.table(&mapping(&schema, change)).await.unwrap_err();
        assert_eq!(error.kind(), InvalidConfig);
        assert_eq!(error.message(), sentence);
    }
}

#[tokio::test]
async fn rights_that_are_missing_are_said_in_a_sentence() {
    let schema = Schema::new();
    let name = &schema.name;
    let sql = format!(
        "CREATE TABLE users (id text PRIMARY KEY, username text UNIQUE, password_hash text); \
         CREATE ROLE \"{name}\"; GRANT USAGE ON SCHEMA \"{name}\" TO \"{name}\"; \
         GRANT SELECT (id, username) ON users TO \"{name}\""
    );
    mapped(&schema, &sql, |_| {}).await.unwrap();
    let role = postgres::url()
        .parse::<PgConnectOptions>()
        .unwrap()
        .options([("role", &**name), ("statement_timeout", "1000")]);
    let limited = PostgresStore::new(PgPool::connect_with(role).await.unwrap());
    let owner = PgPool::connect(&postgres::url()).await.unwrap();

    let read = limited.table(&mapping(&schema, |_| {})).await.unwrap_err();
    assert_eq!(
        read.message(),
        format!(
            "this user of Postgres may not read the column \"password_hash\" of \
             \"{name}\".\"users\": grant it SELECT"
        )
    );
    let grant = format!("GRANT SELECT ON \"{name}\".users TO \"{name}\"");
    run(&owner, grant).await;
    limited.table(&mapping(&schema, |_| {})).await.unwrap();
    let rehash = mapping(&schema, |mapping| mapping.access = TableAccess::Rehash);
    assert_eq!(
        limited.table(&rehash).await.unwrap_err().message(),
        "this user of Postgres may not write the column \"password_hash\": grant it UPDATE, or \
         map the table to be read only"
    );

    limited.pool().close().await;
    let sql = format!("DROP OWNED BY \"{name}\"; DROP ROLE \"{name}\"");
    run(&owner, sql).await;
}

/// An application that creates its users itself, and has portcullis do everything else.
#[derive(Debug)]
struct Application {
    users: MappedTable,
    pool: PgPool,
}

/// Names as nobody should choose them.
const TABLE: &str = "CREATE TABLE \"The \"\"Users\"\"\" (\
    \"select\" text PRIMARY KEY, \"E-Mail\" varchar(2000) UNIQUE, hash text, \"is on?\" boolean, \
    \"Scopes\" text[], since timestamptz, created_at timestamptz DEFAULT now() NOT NULL)";

async fn applications(processes: usize) -> Subject<dyn CredentialStore> {
    let schema = Schema::new();
    let mut sql = TABLE;
    let mut handles = Vec::new();
    for _ in 0..processes {
        let users = mapped(&schema, sql, |mapping| {
            mapping.table = "The \"Users\"".to_owned();
            mapping.user_id = "select".to_owned();
            mapping.username = "E-Mail".to_owned();
            mapping.password_hash = "hash".to_owned();
            mapping.active = Some("is on?".to_owned());
            mapping.scopes = Some("Scopes".to_owned());
            mapping.tokens_valid_from = Some("since".to_owned());
            mapping.access = TableAccess::Full;
        });
        sql = "";
        handles.push(Application {
            users: users.await.unwrap(),
            pool: in_schema(&schema).await,
        });
    }
    let mut subject: Subject<dyn CredentialStore> = handles.remove(0).into();
    for handle in handles {
        subject = subject.also(Arc::new(handle));
    }
    subject
        .holding(|text| !text.contains('\0') && text.len() < 2000)
        .keeping(schema)
}

#[async_trait]
impl CredentialStore for Application {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        self.users.find(username).await
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        self.users.find_by_id(user_id).await
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        self.users.list(after, limit).await
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        let since = credential
            .tokens_valid_from
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let insert = sqlx::query(
            "INSERT INTO \"The \"\"Users\"\"\" VALUES \
             ($1, $2, $3, $4, $5, 'epoch'::timestamptz + $6 * interval '1 s' + $7 * interval '1 us')",
        )
        .bind(credential.user_id.as_str())
        .bind(credential.username.as_str())
        .bind(credential.password_hash.as_ref().map(PasswordHash::expose))
        .bind(credential.status == UserStatus::Enabled)
        .bind(&credential.scopes)
        .bind(i64::try_from(since.as_secs()).unwrap())
        .bind(i64::from(since.subsec_micros()))
        .execute(&self.pool);
        match insert.await {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => Err(Error::new(AlreadyExists, "taken")),
            Err(error) => Err(Error::new(Internal, "the application fails").with_source(error)),
        }
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        self.users.replace_hash(user_id, old, new).await
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.users.change_password(user_id, old, new, now).await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.users.set_password(user_id, new, now).await
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.users.end_sessions(user_id, now).await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        self.users.set_status(user_id, status).await
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        self.users.delete(user_id).await
    }
}

fn is_taken(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(DatabaseError::is_unique_violation)
}

/// Runs `sql` in the schema, and maps the table `users` there as `change` says.
async fn mapped(
    schema: &Schema,
    sql: &str,
    change: impl FnOnce(&mut TableMapping),
) -> Result<MappedTable, Error> {
    let mapping = mapping(schema, change);
    let pool = in_schema(schema).await;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&pool)
        .await
        .unwrap();
    PostgresStore::new(pool).table(&mapping).await
}

fn mapping(schema: &Schema, change: impl FnOnce(&mut TableMapping)) -> TableMapping {
    let mut mapping = TableMapping::new("users");
    mapping.schema = Some(schema.name.clone());
    change(&mut mapping);
    mapping
}

/// Connections that find tables in the schema.
async fn in_schema(schema: &Schema) -> PgPool {
    let options = postgres::url()
        .parse::<PgConnectOptions>()
        .unwrap()
        .options([("search_path", format!("\"{}\"", schema.name))])
        .options([("statement_timeout", "1000")]);
    let pool = PgPoolOptions::new().connect_with(options).await.unwrap();
    run(
        &pool,
        format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", schema.name),
    )
    .await;
    pool
}

async fn rehash(users: &MappedTable, user_id: &UserId) -> Result<bool, Error> {
    users
        .replace_hash(user_id, &hash("$old$"), &hash("$new$"))
        .await
}

fn user(id: &str, name: &str) -> Credential {
    Credential::new(UserId::new(id), Username::new(name))
}

fn hash(hash: &str) -> PasswordHash {
    PasswordHash::new(hash)
}
