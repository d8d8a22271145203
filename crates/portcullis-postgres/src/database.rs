//! Runs statements on a pool of connections, each within a time, and whatever happened to the
//! connection before.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Connection, Execute, PgConnection, PgPool, Postgres, SqlStr};
use tokio::time::{Instant, timeout_at};

use crate::error::is_disconnected;

pub(crate) type Query = sqlx::query::Query<'static, Postgres, PgArguments>;

/// A statement, whose values are bound to it. Of names it may hold what an `Identifier` displays.
pub(crate) fn query(sql: String) -> Query {
    sqlx::query(AssertSqlSafe(sql))
}

/// The database that a store is in.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    /// For all of it: a connection, the statement and its answer.
    pub(crate) timeout: Duration,
}

impl Database {
    /// Runs a query that changes nothing, in one round trip.
    pub(crate) async fn read(&self, query: Query) -> Result<Vec<PgRow>, sqlx::Error> {
        Ok(self.run(query, Effect::Reads).await?.rows)
    }

    /// Runs a statement that changes something, once at most, and tells how many rows it changed.
    pub(crate) async fn write(&self, query: Query) -> Result<u64, sqlx::Error> {
        Ok(self.run(query, Effect::Writes).await?.changed)
    }

    async fn run(&self, mut query: Query, effect: Effect) -> Result<Answer, sqlx::Error> {
        let deadline = Instant::now() + self.timeout;
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let statement = Arc::new(Statement {
            arguments: arguments.unwrap_or_default(),
            sql: query.sql(),
            effect,
        });
        // After a restart of the server every connection in the pool may be a broken one.
        for _ in 0..=self.pool.options().get_max_connections() {
            let Ok(connection) = timeout_at(deadline, self.pool.acquire()).await else {
                break;
            };
            // In a task of its own: if the caller goes away, somebody still waits for the answer,
            // and takes the connection out of the pool if none comes.
            let attempt = Arc::clone(&statement).attempt(connection?, deadline);
            match tokio::spawn(attempt).await {
                Ok(Attempt::Ended(answer)) => return answer,
                Ok(Attempt::NotBegun) => {}
                Err(_) => return Err(sqlx::Error::WorkerCrashed),
            }
        }
        Err(sqlx::Error::PoolTimedOut)
    }
}

struct Statement {
    sql: SqlStr,
    arguments: PgArguments,
    effect: Effect,
}

enum Effect {
    Reads,
    Writes,
}

/// What came of a statement on a connection that may have been broken before.
enum Attempt {
    Ended(Result<Answer, sqlx::Error>),
    /// As good as not begun: it may be attempted on another connection.
    NotBegun,
}

struct Answer {
    rows: Vec<PgRow>,
    changed: u64,
}

impl Statement {
    async fn attempt(
        self: Arc<Self>,
        mut connection: PoolConnection<Postgres>,
        deadline: Instant,
    ) -> Attempt {
        let attempt = match self.effect {
            Effect::Reads => timeout_at(deadline, self.read(&mut connection)).await,
            Effect::Writes => timeout_at(deadline, self.write(&mut connection)).await,
        };
        attempt.unwrap_or_else(|_| {
            // In the pool it would be waited for, perhaps for ever.
            drop(connection.detach());
            Attempt::Ended(Err(sqlx::Error::PoolTimedOut))
        })
    }

    async fn read(&self, connection: &mut PgConnection) -> Attempt {
        match self.query().fetch_all(connection).await {
            Err(error) if is_disconnected(&error) => Attempt::NotBegun,
            rows => Attempt::Ended(rows.map(|rows| Answer { rows, changed: 0 })),
        }
    }

    async fn write(&self, connection: &mut PgConnection) -> Attempt {
        // If the answer to a change is lost, nobody knows whether it was made. A connection that
        // was broken before must not be such a case, so it is tried first, at a round trip.
        if connection.ping().await.is_err() {
            return Attempt::NotBegun;
        }
        let done = self.query().execute(connection).await;
        Attempt::Ended(done.map(|done| Answer {
            rows: Vec::new(),
            changed: done.rows_affected(),
        }))
    }

    fn query(&self) -> Query {
        sqlx::query_with(self.sql.clone(), self.arguments.clone())
    }
}
