//! From the configuration to stores, cache and hints.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use data::{Hints, LocalHints, Sealer, Store, StoreConfig, StoreOptions};
use host::{
    Config,
    config::{Flags, Loader, StoreKind},
};
use profile::{Marks, RedisHints, RedisOptions};
use rand::TryRngCore as _;
use terms::{Clock, Service};
use tokio_util::sync::CancellationToken;

/// Reads the configuration; `None` when it was asked to be printed, and is.
///
/// # Errors
/// Every mistake in it, at once.
pub fn read(loader: Loader, flags: &Flags) -> Result<Option<Config>> {
    let loader = Service::ALL.into_iter().fold(loader, |loader, service| loader.allow(service.name()));
    let config = loader.environment(std::env::vars()).flags(flags).load()?;
    if flags.dump_config {
        print!("{}", config.dump(&[]));
        return Ok(None);
    }
    Ok(Some(config))
}

/// Wakes the followers of feeds: across processes with Redis, within this one without.
///
/// # Errors
/// When the URL is none of Redis.
pub fn hints(config: &Config, shutdown: &CancellationToken) -> Result<Arc<dyn Hints>> {
    if config.cache.url.is_empty() {
        return Ok(Arc::new(LocalHints::default()));
    }
    Ok(RedisHints::open(&redis(config), shutdown)?)
}

/// The hot profile's marks: to Redis as well, if there is one.
///
/// # Errors
/// When the URL is none of Redis.
pub fn marks(config: &Config) -> Result<Marks> {
    if config.cache.url.is_empty() { Ok(Marks::in_process()) } else { Ok(Marks::with_redis(&redis(config))?) }
}

fn redis(config: &Config) -> RedisOptions {
    let mut options = RedisOptions::new(config.cache.url.expose());
    options.connections = config.cache.connections;
    options.timeout = config.cache.timeout.get();
    options.ttl = config.cache.ttl.get();
    options
}

/// One service's store, as configured; its schema is as it was left.
///
/// # Errors
/// When the database does not answer, or the lookup key cannot be read.
pub async fn store(config: &Config, service: Service, clock: Arc<dyn Clock>, hints: Arc<dyn Hints>) -> Result<Store> {
    let kind = match config.store.kind {
        StoreKind::Memory => StoreConfig::SqliteMemory,
        StoreKind::Sqlite => StoreConfig::Sqlite { dir: config.store.dir.clone() },
        StoreKind::Postgres => StoreConfig::Postgres {
            url: config.store.url.expose().to_owned(),
            max_connections: config.store.max_connections,
        },
    };
    let mut options = StoreOptions::new(clock);
    options.poll = Some(if hints.reach_all() || config.store.kind != StoreKind::Postgres {
        config.feed.poll_with_hints.get()
    } else {
        config.feed.poll.get()
    });
    options.hints = hints;
    options.sealer = sealer(config)?;
    options.feed_retention = config.feed.retention.get();
    options.feed_lease = config.feed.lease.get();
    options.feed_batch = config.feed.batch;
    let migrations = match service {
        Service::Identity => identity::migrations(),
        Service::Interaction => interaction::migrations(),
        Service::Segmentation => segmentation::migrations(),
        Service::Customization => customization::migrations(),
    };
    let opened = Store::open(&kind, service, migrations, options).await;
    opened.with_context(|| format!("the store of {service} cannot be opened"))
}

/// Seals personal data, with the configured secret; in the embedded store one is made at the first start.
fn sealer(config: &Config) -> Result<Sealer> {
    let file = match (&config.store.lookup_key_file, config.store.kind) {
        (Some(file), _) => file.clone(),
        (None, StoreKind::Sqlite) => {
            fs::create_dir_all(&config.store.dir)?;
            let file = config.store.dir.join("lookup.key");
            make_key(&file)?;
            file
        }
        (None, StoreKind::Memory) => return Ok(Sealer::development()),
        (None, StoreKind::Postgres) => bail!(
            "`store.lookup_key_file` is missing: it names a file with a secret of 32 bytes or more, the same for every \
             process; `head -c 32 /dev/urandom > lookup.key` makes one"
        ),
    };
    let key = fs::read(&file).with_context(|| format!("the lookup key {} cannot be read", file.display()))?;
    ensure!(key.len() >= 32, "the lookup key {} is shorter than 32 bytes", file.display());
    Ok(Sealer::new(&key)?)
}

/// Makes the key if there is none; another process that does so at once wins or loses as a whole.
fn make_key(file: &Path) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    let mut key = [0u8; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut key)?;
    let fresh = file.with_extension(format!("key.{}", std::process::id()));
    fs::write(&fresh, key)?;
    #[cfg(unix)]
    fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    // A hard link fails where the name is taken: the first one stays.
    let _ = fs::hard_link(&fresh, file);
    fs::remove_file(&fresh)?;
    Ok(())
}
