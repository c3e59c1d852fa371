//! The four services, in one of the shapes in which they run.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, Result};
use sea_orm::{ConnectionTrait, Database};
use terms::Service;

use crate::{
    credentials::{AUDIENCE, ISSUER, Issuer},
    process::{self, Process},
};

/// How the services are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `rapport dev`: one process, SQLite, a cache in process, open to everybody.
    One,
    /// A process each: PostgreSQL, Redis, bearer tokens.
    Four,
}

/// The running services.
#[derive(Debug)]
pub struct Suite {
    /// How they are spread.
    pub shape: Shape,
    /// Signs tokens; none where everybody may call.
    pub issuer: Option<Issuer>,
    /// Where each service is, in the order of [`Service::ALL`].
    pub addresses: [SocketAddr; 4],
    /// What the processes keep on disk.
    pub dir: PathBuf,
    /// The database; none for files.
    pub postgres: Option<String>,
    /// The processes. With one, it is all four services.
    pub processes: Vec<Process>,
}

impl Suite {
    /// The one suite of `shape` that the tests of this process share; each test is a tenant of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared(shape: Shape) -> &'static Self {
        static ONE: OnceLock<Suite> = OnceLock::new();
        static FOUR: OnceLock<Suite> = OnceLock::new();
        let (cell, start): (_, fn() -> Result<Self>) = match shape {
            Shape::One => (&ONE, Self::one),
            Shape::Four => (&FOUR, Self::four),
        };
        cell.get_or_init(|| start().unwrap_or_else(|error| panic!("{shape:?} does not start: {error:?}")))
    }

    /// A new suite in one process.
    ///
    /// # Errors
    /// When it does not start.
    pub fn one() -> Result<Self> {
        let dir = process::directory("one");
        let process = dev(&dir)?;
        let address = process.grpc;
        Ok(Self { processes: vec![process], ..Self::one_at(&dir, address) })
    }

    /// What a process of [`dev`] on `dir` serves at `address`; the process is the caller's.
    pub fn one_at(dir: &Path, address: SocketAddr) -> Self {
        let dir = dir.to_owned();
        Self { shape: Shape::One, issuer: None, addresses: [address; 4], dir, postgres: None, processes: Vec::new() }
    }

    /// A new suite in four processes.
    ///
    /// # Errors
    /// When it does not start.
    pub fn four() -> Result<Self> {
        let each: Vec<[Service; 1]> = Service::ALL.map(|service| [service]).to_vec();
        let places: Vec<&[Service]> = each.iter().map(|service| &service[..]).collect();
        Self::planned(Plan::new("four", &redis_url()?, &places)?, &[0, 1, 2, 3])
    }

    /// A suite by plan: brings its database up to date and starts the processes at these places.
    ///
    /// # Errors
    /// When one does not start.
    pub fn planned(plan: Plan, places: &[usize]) -> Result<Self> {
        plan.migrate()?;
        let starting: Vec<_> = places.iter().map(|place| plan.begin(*place)).collect::<Result<_>>()?;
        let processes = starting.into_iter().map(process::Starting::serving).collect::<Result<_>>()?;
        let addresses = Service::ALL.map(|service| plan.address(service));
        let postgres = Some(plan.postgres);
        Ok(Self { shape: Shape::Four, issuer: Some(plan.issuer), addresses, dir: plan.dir, postgres, processes })
    }

    /// Where a service is served.
    pub fn address(&self, service: Service) -> SocketAddr {
        let place = Service::ALL.iter().position(|s| *s == service).unwrap_or_default();
        self.addresses[place]
    }

    /// Everything that the processes have logged.
    pub fn logged(&self) -> String {
        self.processes.iter().map(Process::logged).collect()
    }
}

/// Starts `rapport dev` on a data directory.
///
/// # Errors
/// When it does not start.
pub fn dev(dir: &Path) -> Result<Process> {
    let data = dir.join("data");
    let data = data.to_str().context("a readable path")?;
    Process::begin(dir, "dev", &["dev", "--data", data, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])?
        .serving()
}

/// `rapport serve`, several times over one database: which services together, and where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Signs tokens.
    pub issuer: Issuer,
    /// Configuration files and logs.
    pub dir: PathBuf,
    /// A database of its own.
    pub postgres: String,
    places: Vec<Place>,
}

#[derive(Debug, Clone)]
struct Place {
    services: Vec<Service>,
    port: u16,
    config: PathBuf,
}

impl Plan {
    /// A plan with a new database: for each process, its services. A service that several processes serve is called
    /// at the first.
    ///
    /// # Errors
    /// When there is no PostgreSQL.
    pub fn new(name: &str, redis: &str, places: &[&[Service]]) -> Result<Self> {
        Self::with_settings(name, redis, places, "")
    }

    /// The same with further lines of configuration.
    ///
    /// # Errors
    /// When there is no PostgreSQL.
    pub fn with_settings(name: &str, redis: &str, places: &[&[Service]], settings: &str) -> Result<Self> {
        let dir = process::directory(name);
        let issuer = Issuer::new()?;
        issuer.publish(&dir.join("jwks.json"))?;
        fs::write(dir.join("lookup.key"), [7; 32])?;
        fs::write(dir.join("peer.token"), issuer.token("*", &["*.admin"]))?;
        let postgres = new_database(name)?;
        let ports = process::free_ports::<8>()?;
        let mut peers = String::new();
        for service in Service::ALL {
            if let Some(place) = places.iter().position(|services| services.contains(&service)) {
                peers.push_str(&format!("{service} = \"http://127.0.0.1:{}\"\n", ports[place]));
            }
        }
        let mut planned = Vec::new();
        for (place, services) in places.iter().enumerate() {
            let config = dir.join(format!("{place}.toml"));
            fs::write(&config, configuration(&dir, ports[place], &postgres, redis, &peers, settings))?;
            planned.push(Place { services: services.to_vec(), port: ports[place], config });
        }
        Ok(Self { issuer, dir, postgres, places: planned })
    }

    /// Brings the database up to date.
    ///
    /// # Errors
    /// When `rapport migrate` fails.
    pub fn migrate(&self) -> Result<()> {
        let config = self.places.first().context("at least one process")?.config.to_str().context("a path")?;
        process::run(&["migrate", "--config", config]).map(drop)
    }

    /// Where a service is called: at the first place that serves it.
    pub fn address(&self, service: Service) -> SocketAddr {
        let place = self.places.iter().find(|place| place.services.contains(&service));
        SocketAddr::from(([127, 0, 0, 1], place.map_or(0, |place| place.port)))
    }

    /// Begins the process at `place`.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub fn begin(&self, place: usize) -> Result<process::Starting> {
        let planned = self.places.get(place).context("a place of the plan")?;
        let config = planned.config.to_str().context("a readable path")?;
        let mut arguments = vec!["serve"];
        arguments.extend(planned.services.iter().map(|service| service.name()));
        arguments.extend(["--config", config]);
        Process::begin(&self.dir, &format!("process-{place}"), &arguments)
    }
}

fn configuration(dir: &Path, port: u16, postgres: &str, redis: &str, peers: &str, settings: &str) -> String {
    let dir = dir.display();
    format!(
        r#"[server]
address = "127.0.0.1:{port}"
linger = "0s"
drain = "1s"

[auth]
mode = "jwt"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks_file = "{dir}/jwks.json"

[store]
kind = "postgres"
url = "{postgres}"
lookup_key_file = "{dir}/lookup.key"

[cache]
url = "{redis}"

[telemetry]
address = "127.0.0.1:0"

[peers]
token_file = "{dir}/peer.token"
{peers}
{settings}
"#
    )
}

fn server(variable: &str) -> Result<String> {
    std::env::var(variable).with_context(|| format!("{variable} names a server; `tests/run it` starts one and sets it"))
}

/// The Redis server of the run.
///
/// # Errors
/// When none is named.
pub fn redis_url() -> Result<String> {
    server("RAPPORT_TEST_REDIS")
}

/// A new, empty database on the PostgreSQL server of the run.
///
/// # Errors
/// When there is no server.
pub fn new_database(name: &str) -> Result<String> {
    let url = server("RAPPORT_TEST_POSTGRES")?;
    let name = format!("{name}_{}_{}", std::process::id(), terms::Clock::now(&terms::SystemClock).micros());
    // `postgres://user@host:port[/database][?options]`
    let (scheme, rest) = url.split_once("://").context("a URL")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let fresh = format!("{scheme}://{authority}/{name}");
    blocking(async move {
        let connection = Database::connect(format!("{scheme}://{authority}/postgres")).await?;
        connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
        connection.close().await.context("goodbye")
    })?;
    Ok(fresh)
}

/// Runs `work` on a runtime of its own: suites outlive the runtime of the test that starts them.
fn blocking<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work)
        });
        thread.join().map_err(|_| anyhow::anyhow!("the thread panicked"))?
    })
}
