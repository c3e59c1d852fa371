//! Pools, and what every connection is told.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use opentelemetry::{KeyValue, global};
use sea_orm::{
    DatabaseConnection, SqlxPostgresConnector,
    sqlx::{
        ConnectOptions as _, Connection as _,
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};
use sea_orm_migration::MigrationTrait;
use terms::{Fault, Reason, Service};

use super::{Progress, Shared, Store, Writer, postgres, postgres::Suspicion, sqlite};
use crate::{
    config::{StoreConfig, StoreOptions},
    error::OrFault,
    feed::pulse::Pulse,
};

/// SQLite keeps a thread for each.
const SQLITE_READERS: u32 = 4;
/// A connection that was idle for so long is tried before it is used.
const IDLE: Duration = Duration::from_secs(30);

pub(super) async fn open(
    config: &StoreConfig,
    service: Service,
    migrations: Vec<Box<dyn MigrationTrait>>,
    options: StoreOptions,
) -> Result<Store, Fault> {
    let mut directory = None;
    let mut sqlite_file = None;
    let suspicion = Suspicion::default();
    let (readers, postgres_writers) = match config {
        StoreConfig::Postgres { url, max_connections } => {
            let connect = postgres_options(url, service, &options)?;
            let readers = (max_connections / 2).max(1);
            let writers = max_connections.saturating_sub(readers).max(1);
            let open = |max, role| {
                let pool = postgres_pool(connect.clone(), max, &options, suspicion.clone());
                measure(&pool, service, role);
                pool
            };
            (open(readers, "read"), Some(postgres::Writers::new(open(writers, "write"), suspicion.clone())))
        }
        StoreConfig::Sqlite { dir } => {
            std::fs::create_dir_all(dir).map_err(|e| cannot_open(dir, e))?;
            let file = dir.join(format!("{service}.db"));
            let readers = sqlite_readers(&file, true, &options).await?;
            sqlite_file = Some((file, true));
            (readers, None)
        }
        StoreConfig::SqliteMemory => {
            let temporary = tempfile::Builder::new().prefix("rapport-").tempdir();
            let temporary = temporary.map_err(|e| cannot_open(&std::env::temp_dir(), e))?;
            let file = temporary.path().join(format!("{service}.db"));
            directory = Some(temporary);
            let readers = sqlite_readers(&file, false, &options).await?;
            sqlite_file = Some((file, false));
            (readers, None)
        }
    };
    let shared = Arc::new(Shared {
        service,
        pulse: Pulse::default(),
        progress: Progress::default(),
        operations: tokio::sync::Notify::new(),
        config: config.clone(),
        readers,
        suspicion,
        migrations: migrations.into(),
        _directory: directory,
        sqlite_file: sqlite_file.as_ref().map(|(file, _)| file.clone()),
        options,
    });
    let writer = match (postgres_writers, sqlite_file) {
        (Some(writers), _) => {
            shared.readers.ping().await.or_fault()?;
            Writer::Postgres(writers)
        }
        (None, Some((file, durable))) => Writer::Sqlite(sqlite::Queue::start(shared.clone(), file, durable).await?),
        (None, None) => return Err(Fault::internal("a store without a database")),
    };
    Ok(Store { shared, writer })
}

fn cannot_open(path: &Path, err: std::io::Error) -> Fault {
    let message = format!("the directory {} cannot be used for databases: {err}", path.display());
    Fault::new(Reason::StoreUnavailable, message)
}

// --- SQLite ---------------------------------------------------------------------------------------------------------

fn sqlite_options(file: &Path, durable: bool) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a commit waits until the log is on disk.
        .synchronous(if durable { SqliteSynchronous::Full } else { SqliteSynchronous::Off })
        .busy_timeout(Duration::from_secs(10))
        .foreign_keys(true)
        // What is deleted is overwritten: erasure means it.
        .pragma("secure_delete", "ON")
        .pragma("temp_store", "MEMORY")
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging()
}

async fn sqlite_readers(file: &Path, durable: bool, options: &StoreOptions) -> Result<DatabaseConnection, Fault> {
    // Makes the file, and turns it to WAL, before readers come.
    let first = SqlitePoolOptions::new().max_connections(1).connect_with(sqlite_options(file, durable)).await;
    first.map_err(|e| crate::fault(sea_orm::DbErr::Conn(sea_orm::RuntimeErr::SqlxError(e.into()))))?.close().await;
    let connect = sqlite_options(file, durable).pragma("query_only", "ON");
    let pool = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .max_lifetime(None)
        .connect_lazy_with(connect);
    Ok(sea_orm::SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// The one connection that writes.
pub(super) async fn sqlite_writer(file: &Path, durable: bool) -> Result<DatabaseConnection, Fault> {
    let connect = sqlite_options(file, durable)
        // See the module `checkpoint`.
        .pragma("wal_autocheckpoint", "0")
        // 16 MiB: the inner pages of the indexes stay in memory.
        .pragma("cache_size", "-16384")
        // Bulk inserts come in many sizes, and each is a statement of its own.
        .statement_cache_capacity(512);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(connect)
        .await;
    let pool = pool.map_err(|e| crate::fault(sea_orm::DbErr::Conn(sea_orm::RuntimeErr::SqlxError(e.into()))))?;
    Ok(sea_orm::SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

// --- PostgreSQL -----------------------------------------------------------------------------------------------------

fn postgres_options(url: &str, service: Service, options: &StoreOptions) -> Result<PgConnectOptions, Fault> {
    let wrong = |_| {
        let description = "is not a PostgreSQL URL; give postgres://user:password@host:port/database";
        Fault::invalid("url", Reason::InvalidFields, description)
    };
    let millis = |d: Duration| d.as_millis().to_string();
    let connect: PgConnectOptions = url.parse().map_err(wrong)?;
    Ok(connect
        .application_name(&format!("rapport-{service}"))
        .options([
            ("search_path", service.name().to_owned()),
            ("statement_timeout", millis(options.statement_timeout)),
            ("idle_in_transaction_session_timeout", millis(options.transaction_timeout)),
            ("lock_timeout", millis(options.statement_timeout / 2)),
            ("default_transaction_isolation", "read committed".to_owned()),
            // The server gives up on a client that is silently gone, and frees its locks.
            ("tcp_keepalives_idle", "30".to_owned()),
            ("tcp_keepalives_interval", "10".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
            ("client_min_messages", "warning".to_owned()),
        ])
        .disable_statement_logging())
}

fn postgres_pool(
    connect: PgConnectOptions,
    max: u32,
    options: &StoreOptions,
    suspicion: Suspicion,
) -> DatabaseConnection {
    // One dead connection must not use up the patience of whoever acquires.
    let (probe, release) = (options.acquire_timeout / 5, options.acquire_timeout);
    let pool = PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(move |conn, meta| {
            Box::pin(async move {
                if meta.idle_for >= IDLE {
                    return answers(probe, conn.ping()).await;
                }
                Ok(true)
            })
        })
        .after_release(move |conn, _| {
            let suspicious = suspicion.stands();
            Box::pin(async move {
                if suspicious {
                    return Ok(false);
                }
                // The driver sets no TCP keep-alive: a query that was given up on a dead socket would be awaited for
                // ever, and its place in the pool with it. Costs nothing when nothing is awaited.
                answers(release, conn.flush()).await
            })
        })
        .connect_lazy_with(connect);
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

/// Whether a connection answers in time; if not, the pool closes it.
async fn answers(
    limit: Duration,
    answer: impl Future<Output = Result<(), sea_orm::sqlx::Error>>,
) -> Result<bool, sea_orm::sqlx::Error> {
    match tokio::time::timeout(limit, answer).await {
        Ok(done) => done.map(|()| true),
        Err(_) => Err(sea_orm::sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Shows how far a pool is used.
fn measure(pool: &DatabaseConnection, service: Service, role: &'static str) {
    let pool = pool.get_postgres_connection_pool().clone();
    let attributes = [KeyValue::new("service", service.name()), KeyValue::new("pool", role)];
    let _ = global::meter("rapport.store")
        .u64_observable_gauge("rapport.store.connections")
        .with_description("Connections to PostgreSQL: in use, idle, and how many there may be")
        .with_callback(move |observer| {
            let idle = pool.num_idle() as u64;
            let open = u64::from(pool.size());
            let most = u64::from(pool.options().get_max_connections());
            for (state, number) in [("used", open.saturating_sub(idle)), ("idle", idle), ("most", most)] {
                let [service, role] = attributes.clone();
                observer.observe(number, &[service, role, KeyValue::new("state", state)]);
            }
        })
        .build();
}

/// A connection for migrations: without time limits.
pub(super) async fn for_migrations(
    config: &StoreConfig,
    file: Option<&PathBuf>,
    service: Service,
    options: &StoreOptions,
) -> Result<DatabaseConnection, Fault> {
    match (config, file) {
        (StoreConfig::Postgres { url, .. }, _) => {
            let unlimited = StoreOptions {
                statement_timeout: Duration::ZERO,
                transaction_timeout: Duration::ZERO,
                ..options.clone()
            };
            Ok(postgres_pool(postgres_options(url, service, &unlimited)?, 1, options, Suspicion::default()))
        }
        (config, Some(file)) => sqlite_writer(file, *config != StoreConfig::SqliteMemory).await,
        (_, None) => Err(Fault::internal("a store without a database")),
    }
}
