//! Runs statements on a pool of connections, each within a time, and whatever happened to the
//! connection before.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Error, ErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Connection, Execute, PgConnection, PgPool, Postgres, Row, SqlStr};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{at_start, is_disconnected, is_read_only};

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
    /// Refuses a pool of the application that does not behave as one of ours.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let settings = query(
            "SELECT current_setting('statement_timeout') <> '0' AS gives_up, \
             current_setting('transaction_isolation') = 'read committed' AS reads_committed"
                .to_owned(),
        );
        let rows = self.read(settings).await.map_err(at_start)?;
        let is = |name| match rows.first() {
            Some(row) => row.try_get(name).map_err(at_start),
            None => Err(at_start(sqlx::Error::RowNotFound)),
        };
        if !is("gives_up")? {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the connections have no `statement_timeout`, and statements that nobody waits \
                 for would pile up at the server: give them one, such as a second",
            ));
        }
        if !is("reads_committed")? {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the connections do not have the transaction isolation `read committed`, and \
                 changes at the same time would fail: set `default_transaction_isolation`",
            ));
        }
        Ok(())
    }

    /// Runs a query that changes nothing, in one round trip.
    pub(crate) async fn read(&self, query: Query) -> Result<Vec<PgRow>, sqlx::Error> {
        Ok(self.run(query, Effect::Reads).await?.rows)
    }

    /// Runs a statement that changes something, once at most, and tells how many rows it changed.
    pub(crate) async fn write(&self, query: Query) -> Result<u64, sqlx::Error> {
        Ok(self.run(query, Effect::Writes).await?.changed)
    }

    /// Runs a statement that changes something, once at most, and gives what it returns.
    pub(crate) async fn write_returning(&self, query: Query) -> Result<Vec<PgRow>, sqlx::Error> {
        Ok(self.run(query, Effect::WritesAndReturns).await?.rows)
    }

    async fn run(&self, mut query: Query, effect: Effect) -> Result<Answer, sqlx::Error> {
        let deadline = Instant::now() + self.timeout;
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let statement = Arc::new(Statement {
            arguments: arguments.unwrap_or_default(),
            sql: query.sql(),
            effect,
            pool: self.pool.clone(),
        });
        // After a restart of the server every connection in the pool may be a broken one.
        for _ in 0..=self.pool.options().get_max_connections() {
            // With none idle, the connection will be a new one, or one that was good just now.
            let last = self.pool.num_idle() == 0;
            let connection = timeout_at(deadline, self.pool.acquire())
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??;
            // In a task of its own: if the caller goes away, somebody still waits for the answer,
            // and takes the connection out of the pool if none comes.
            let attempt = Arc::clone(&statement).attempt(connection, deadline);
            match tokio::spawn(attempt).await {
                Ok(Attempt::Ended(answer)) => return answer,
                Ok(Attempt::EndedElsewhere(answer)) => return Ok(answer),
                Ok(Attempt::NotBegun(error)) if last => return Err(error),
                Ok(Attempt::NotBegun(_)) => {}
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
    pool: PgPool,
}

enum Effect {
    Reads,
    Writes,
    WritesAndReturns,
}

/// What came of a statement on a connection that may have been broken before.
enum Attempt {
    Ended(Result<Answer, sqlx::Error>),
    /// It ended on another connection, since this one leads to a server that takes no changes.
    EndedElsewhere(Answer),
    /// As good as not begun: it may be attempted on another connection, since this one is broken.
    NotBegun(sqlx::Error),
}

#[derive(Default)]
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
            Effect::Writes | Effect::WritesAndReturns => {
                timeout_at(deadline, self.write(&mut connection)).await
            }
        };
        match attempt {
            Ok(Attempt::Ended(answer)) => {
                // Dropped, it would be tested for as long as that takes: on a network that has
                // swallowed the question, a quarter of an hour, in which the pool lacks it.
                tokio::spawn(timeout(RELEASE_TIMEOUT, connection.return_to_pool()));
                Attempt::Ended(answer)
            }
            // Gone from the pool before another is asked for.
            Ok(attempt) => {
                drop(connection.detach());
                attempt
            }
            // In the pool it would be waited for, perhaps for ever.
            Err(_) => {
                drop(connection.detach());
                Attempt::Ended(Err(sqlx::Error::PoolTimedOut))
            }
        }
    }

    async fn read(&self, connection: &mut PgConnection) -> Attempt {
        match self.execute(connection).await {
            Err(error) if is_disconnected(&error) => Attempt::NotBegun(error),
            answer => Attempt::Ended(answer),
        }
    }

    async fn write(&self, connection: &mut PgConnection) -> Attempt {
        // If the answer to a change is lost, nobody knows whether it was made. A connection that
        // was broken before must not be such a case, so it is tried first, at a round trip.
        if let Err(error) = connection.ping().await {
            return Attempt::NotBegun(error);
        }
        match self.execute(connection).await {
            // Nothing was done. After a fail-over the address may lead to another server by now,
            // which the pool would learn when its last connection ends; on a standby that takes
            // part in logins it does not, and the connection is as good as any.
            Err(error) if is_read_only(&error) => match self.execute_anew().await {
                Ok(answer) => Attempt::EndedElsewhere(answer),
                Err(_) => Attempt::Ended(Err(error)),
            },
            answer => Attempt::Ended(answer),
        }
    }

    async fn execute(&self, connection: &mut PgConnection) -> Result<Answer, sqlx::Error> {
        let mut answer = Answer::default();
        match self.effect {
            Effect::Reads | Effect::WritesAndReturns => {
                answer.rows = self.query().fetch_all(connection).await?;
            }
            Effect::Writes => {
                answer.changed = self.query().execute(connection).await?.rows_affected();
            }
        }
        Ok(answer)
    }

    /// Executes it on a connection that is made for this.
    async fn execute_anew(&self) -> Result<Answer, sqlx::Error> {
        let options = self.pool.connect_options();
        self.execute(&mut PgConnection::connect_with(&options).await?)
            .await
    }

    fn query(&self) -> Query {
        sqlx::query_with(self.sql.clone(), self.arguments.clone())
    }
}

/// How long a connection may take to answer when it goes back to the pool.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
