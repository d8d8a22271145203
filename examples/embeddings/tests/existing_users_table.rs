//! The example over a users table that an application has, as a program, on a real Postgres.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

use portcullis::password::Argon2Params;
use portcullis::postgres::PgPool;
use portcullis::{Argon2idHasher, HashPool, OsRandom, Secret, UserId};
use portcullis_testservers::postgres;
use sqlx::{AssertSqlSafe, Executor};

#[tokio::test]
async fn users_of_another_application_log_in() {
    let server = PgPool::connect(&postgres::url()).await.unwrap();
    let database = format!("test_{}", UserId::random(&OsRandom).unwrap()).replace('-', "_");
    run(&server, format!("CREATE DATABASE {database}")).await;
    let base = postgres::url();
    let url = format!("{}/{database}", base.rsplit_once('/').unwrap().0);

    let pool = PgPool::connect(&url).await.unwrap();
    let hasher = Argon2idHasher::new(Argon2Params::default());
    let password = Secret::from("correct horse battery staple".to_owned());
    let hash = HashPool::inline(Arc::new(hasher))
        .hash(password)
        .await
        .unwrap();
    run(&pool, TABLE.to_owned()).await;
    run(
        &pool,
        format!(
            "INSERT INTO \"user\" (email, hashed_password) VALUES ('ada@example.com', '{}')",
            hash.expose()
        ),
    )
    .await;
    pool.close().await;

    let mut program = Command::new(env!("CARGO_BIN_EXE_existing_users_table"))
        .env("DATABASE_URL", url)
        .env("LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap();
    let right = log_in(address, "correct+horse+battery+staple");
    let wrong = log_in(address, "wrong");
    program.kill().unwrap();
    program.wait().unwrap();
    run(&server, format!("DROP DATABASE {database} WITH (FORCE)")).await;

    assert!(right.starts_with("HTTP/1.1 200"), "{right}");
    assert!(right.contains("access_token"), "{right}");
    assert!(wrong.starts_with("HTTP/1.1 401"), "{wrong}");
}

async fn run(pool: &PgPool, sql: String) {
    pool.execute(AssertSqlSafe(sql)).await.unwrap();
}

fn log_in(address: &str, password: &str) -> String {
    let form = format!("username=ada%40example.com&password={password}");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /v1/login HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: \
         application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// As fastapi-users has SQLAlchemy make it.
const TABLE: &str = "CREATE TABLE \"user\" (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email varchar(320) NOT NULL UNIQUE,
    hashed_password varchar(1024) NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    is_superuser boolean NOT NULL DEFAULT false,
    is_verified boolean NOT NULL DEFAULT false
)";
