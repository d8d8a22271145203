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
        self.run(query, Effect::Reads).await
    }

    /// Runs a statement that changes something, once at most. Its `RETURNING` says what it did.
    pub(crate) async fn write(&self, query: Query) -> Result<Vec<PgRow>, sqlx::Error> {
        self.run(query, Effect::Writes).await
    }

    async fn run(&self, mut query: Query, effect: Effect) -> Result<Vec<PgRow>, sqlx::Error> {
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
    Ended(Result<Vec<PgRow>, sqlx::Error>),
    /// As good as not begun: it may be attempted on another connection.
    NotBegun,
}

impl Statement {
    async fn attempt(
        self: Arc<Self>,
        mut connection: PoolConnection<Postgres>,
        deadline: Instant,
    ) -> Attempt {
        match timeout_at(deadline, self.execute(&mut connection)).await {
            Ok(attempt) => attempt,
            Err(_) => {
                // In the pool it would be waited for, perhaps for ever.
                drop(connection.detach());
                Attempt::Ended(Err(sqlx::Error::PoolTimedOut))
            }
        }
    }

    async fn execute(&self, connection: &mut PgConnection) -> Attempt {
        // Nobody knows whether a change was made if its answer is lost: so that a connection which
        // was broken before is not one of these cases, it is found out first, at a round trip.
        if matches!(self.effect, Effect::Writes) && connection.ping().await.is_err() {
            return Attempt::NotBegun;
        }
        let answer = sqlx::query_with(self.sql.clone(), self.arguments.clone())
            .fetch_all(connection)
            .await;
        match (&self.effect, answer) {
            (Effect::Reads, Err(error)) if is_disconnected(&error) => Attempt::NotBegun,
            (_, answer) => Attempt::Ended(answer),
        }
    }
}
