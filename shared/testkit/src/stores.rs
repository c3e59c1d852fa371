//! Databases for tests: private, migrated, and gone afterwards.
//!
//! SQLite always; PostgreSQL when `RAPPORT_TEST_POSTGRES` names a server, as `tests/run` sees to. A test loops over
//! [`stores`] and so sits the same exam on both.

use std::{
    env,
    io::Write,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use data::{Dialect, Sql, Store, StoreConfig, StoreOptions};
use sea_orm::{Database as Connect, sea_query::Alias};
use sea_orm_migration::MigrationTrait;
use terms::{Service, SystemClock};

/// The environment variable that names a PostgreSQL server: a URL whose user may create databases.
pub const POSTGRES: &str = "RAPPORT_TEST_POSTGRES";
/// The environment variable that names a Redis server.
pub const REDIS: &str = "RAPPORT_TEST_REDIS";

/// How many connections a test's store has: many tests share one server.
const CONNECTIONS: u32 = 12;

/// A database of one test's own; dropped with this. Several services can share it, each with its schema.
#[derive(Debug)]
pub struct Database {
    /// Where it is, for [`Store::open`].
    pub config: StoreConfig,
    /// Which it is, for messages: `sqlite` or `postgres`.
    pub name: &'static str,
    _directory: Option<tempfile::TempDir>,
    created: Option<Created>,
}

#[derive(Debug)]
struct Created {
    server: String,
    database: String,
}

impl Database {
    /// SQLite files in a temporary directory.
    pub fn sqlite() -> Self {
        let directory = tempfile::Builder::new().prefix("rapport-test-").tempdir().expect("a temporary directory");
        let config = StoreConfig::Sqlite { dir: directory.path().to_owned() };
        Self { config, name: "sqlite", _directory: Some(directory), created: None }
    }

    /// A new database on the server that [`POSTGRES`] names; `None`, and a line that says so, if it names none.
    pub async fn postgres() -> Option<Self> {
        let Ok(server) = env::var(POSTGRES) else {
            skipped("PostgreSQL", POSTGRES);
            return None;
        };
        let database = unique("rapport_test");
        run(&server, &format!("CREATE DATABASE {database} TEMPLATE template0")).await;
        let url = with_database(&server, &database);
        let config = StoreConfig::Postgres { url, max_connections: CONNECTIONS };
        Some(Self { config, name: "postgres", _directory: None, created: Some(Created { server, database }) })
    }

    /// Every kind of database that there is here.
    pub async fn each() -> Vec<Self> {
        let mut all = vec![Self::sqlite()];
        all.extend(Self::postgres().await);
        all
    }

    /// Opens and migrates a service's store on it.
    pub async fn open(
        &self,
        service: Service,
        migrations: Vec<Box<dyn MigrationTrait>>,
        options: StoreOptions,
    ) -> Store {
        let store = Store::open(&self.config, service, migrations, options).await.expect("the store opens");
        store.migrate().await.expect("the store migrates");
        store
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(Created { server, database }) = self.created.take() else { return };
        // A test's runtime may be going down: this one lives for the purpose.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(run(&server, &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")));
        });
        if dropped.join().is_err() {
            let _ = writeln!(std::io::stderr(), "a test's database was not dropped");
        }
    }
}

/// A service's store on a database of its own. Derefs to the [`Store`].
#[derive(Debug)]
pub struct TestStore {
    store: Store,
    migrations: fn() -> Vec<Box<dyn MigrationTrait>>,
    options: StoreOptions,
    database: Arc<Database>,
}

impl TestStore {
    /// Which database it is on, for messages.
    pub fn name(&self) -> &'static str {
        self.database.name
    }

    /// The store.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// The database beneath.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// The same database opened once more: another replica, or the next start.
    pub async fn another(&self) -> Store {
        let opened =
            Store::open(&self.database.config, self.store.service(), (self.migrations)(), self.options.clone());
        opened.await.expect("the store opens again")
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> u64 {
        let mut query = sea_orm::sea_query::Query::select();
        query.expr(sea_orm::sea_query::Func::count(sea_orm::sea_query::Expr::val(1))).from(Alias::new(table));
        let row = sea_orm::ConnectionTrait::query_one(self.reader(), &query).await.expect("a count").expect("a row");
        row.try_get_by_index::<i64>(0).expect("a number").unsigned_abs()
    }

    /// How many of this database's sessions stand idle in a transaction. Always 0 on SQLite.
    pub async fn idle_in_transaction(&self) -> u64 {
        if self.dialect() == Dialect::Sqlite {
            return 0;
        }
        let sql = "SELECT COUNT(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        let row = self.reader().row(sql, vec![]).await.expect("a count").expect("a row");
        row.try_get_by_index::<i64>(0).expect("a number").unsigned_abs()
    }
}

impl Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

/// The service's store on every kind of database that there is here, migrated and empty.
pub async fn stores(service: Service, migrations: fn() -> Vec<Box<dyn MigrationTrait>>) -> Vec<TestStore> {
    stores_with(service, migrations, || StoreOptions::new(Arc::new(SystemClock))).await
}

/// The same with options of the test's own.
pub async fn stores_with(
    service: Service,
    migrations: fn() -> Vec<Box<dyn MigrationTrait>>,
    options: impl Fn() -> StoreOptions,
) -> Vec<TestStore> {
    let mut stores = Vec::new();
    for database in Database::each().await {
        let options = options();
        let store = database.open(service, migrations(), options.clone()).await;
        stores.push(TestStore { store, migrations, options, database: Arc::new(database) });
    }
    stores
}

/// A place in Redis of one test's own.
#[derive(Debug, Clone)]
pub struct RedisSpace {
    /// The server.
    pub url: String,
    /// What the test's keys and channels begin with.
    pub prefix: String,
}

/// A place on the server that [`REDIS`] names; `None`, and a line that says so, if it names none.
pub fn redis() -> Option<RedisSpace> {
    match env::var(REDIS) {
        Ok(url) => Some(RedisSpace { url, prefix: unique("rp-test") }),
        Err(_) => {
            skipped("Redis", REDIS);
            None
        }
    }
}

/// Past the test harness, which would swallow it.
fn skipped(what: &str, variable: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "skipped on {what}: {test} ({variable} is not set)");
}

fn unique(prefix: &str) -> String {
    use std::hash::BuildHasher;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let random = std::hash::RandomState::new().hash_one(0);
    format!("{prefix}_{}_{}_{:08x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed), random as u32)
}

/// `server` with another database.
fn with_database(server: &str, database: &str) -> String {
    let (address, query) = server.split_once('?').map_or((server, None), |(a, q)| (a, Some(q)));
    let authority = address.find("://").map_or(0, |at| at + 3);
    let end = address[authority..].find('/').map_or(address.len(), |at| authority + at);
    let query = query.map(|q| format!("?{q}")).unwrap_or_default();
    format!("{}/{database}{query}", &address[..end])
}

async fn run(server: &str, sql: &str) {
    let conn = Connect::connect(server).await.expect("the PostgreSQL server answers");
    sea_orm::ConnectionTrait::execute_unprepared(&conn, sql).await.expect("the PostgreSQL server obeys");
    conn.close().await.expect("the connection closes");
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn urls() {
        assert_eq!(with_database("postgres://u@h:1/postgres", "x"), "postgres://u@h:1/x");
        assert_eq!(with_database("postgres://u:p@h?sslmode=disable", "x"), "postgres://u:p@h/x?sslmode=disable");
    }
}
