//! `rapport doctor`: looks at configuration, stores, cache, clocks and peers, and says what to mend.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use data::{Dialect, LocalHints, Store};
use host::{
    Config,
    config::{AuthMode, Flags, Loader, StoreKind},
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use terms::{Clock, Service, SystemClock};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{migrate, settings};

/// What `rapport doctor` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Clocks may be apart by as much as tokens allow.
const SKEW: Duration = Duration::from_secs(5);

/// Prints a line a finding.
///
/// # Errors
/// When something has to be mended.
pub fn run(args: Args) -> Result<()> {
    let Some(config) = settings::read(Loader::new(), &args.flags)? else { return Ok(()) };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut report = Report::default();
        report.fine("configuration", "is understood");
        if config.auth.mode == AuthMode::Open {
            report.advice("auth.mode", "is `open`: anybody on this machine may do everything; set `jwt` or `mtls`");
        }
        for service in Service::ALL {
            store(&config, service, &mut report).await;
        }
        cache(&config, &mut report).await;
        peers(&config, &mut report).await;
        report.end()
    })
}

#[derive(Default)]
struct Report {
    wrong: usize,
}

impl Report {
    fn fine(&mut self, what: &str, how: &str) {
        println!("  ok      {what} {how}");
    }

    fn advice(&mut self, what: &str, how: &str) {
        println!("  advice  {what} {how}");
    }

    fn wrong(&mut self, what: &str, how: &str) {
        println!("  WRONG   {what} {how}");
        self.wrong += 1;
    }

    fn end(self) -> Result<()> {
        match self.wrong {
            0 => Ok(()),
            1 => bail!("one thing has to be mended"),
            n => bail!("{n} things have to be mended"),
        }
    }
}

async fn store(config: &Config, service: Service, report: &mut Report) {
    let what = format!("{service}'s store");
    let clock = Arc::new(SystemClock);
    let store = match settings::store(config, service, clock, Arc::new(LocalHints::default())).await {
        Ok(store) => store,
        Err(fault) => {
            return report.wrong(&what, &format!("cannot be opened ({fault:#}): see `store` in the configuration"));
        }
    };
    match store.pending_migrations().await {
        Ok(pending) => match migrate::lacking(service, &pending) {
            None => report.fine(&what, "answers, and its schema is up to date"),
            Some(lacking) => report.wrong(&what, &lacking),
        },
        Err(fault) => report.wrong(&what, &format!("does not answer: {fault}")),
    }
    if config.store.kind == StoreKind::Postgres && store.dialect() == Dialect::Postgres {
        database_clock(&store, &what, report).await;
    }
}

async fn database_clock(store: &Store, what: &str, report: &mut Report) {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";
    let asked = store.reader().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    let Ok(Some(row)) = asked else { return };
    let Ok(theirs) = row.try_get::<i64>("", "now") else { return };
    let apart = Duration::from_micros(SystemClock.now().micros().abs_diff(theirs));
    if apart > SKEW {
        report.wrong(what, &format!("has a clock that is {} s away from this one: mend NTP", apart.as_secs()));
    }
}

async fn cache(config: &Config, report: &mut Report) {
    if config.cache.url.is_empty() {
        return report.advice("cache.url", "is empty: profiles are cached in process alone");
    }
    match settings::marks(config) {
        Err(fault) => report.wrong("cache.url", &format!("is none of Redis: {fault:#}")),
        Ok(marks) if marks.redis_answers().await => report.fine("redis", "answers"),
        Ok(_) => report.wrong("redis", "does not answer: requests go to the services that own what they need, slower"),
    }
}

async fn peers(config: &Config, report: &mut Report) {
    for service in Service::ALL {
        let Some(url) = config.peers.url(service) else { continue };
        let what = format!("{service} at {url}");
        match health(url).await {
            Ok(true) => report.fine(&what, "serves"),
            Ok(false) => report.wrong(&what, "says that it does not serve: look at its log"),
            Err(fault) => report.wrong(&what, &format!("does not answer: {fault}")),
        }
    }
}

async fn health(url: &str) -> Result<bool> {
    let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(Duration::from_secs(2));
    let request = HealthCheckRequest::default();
    let reply = HealthClient::new(endpoint.connect().await?).check(request).await?.into_inner();
    Ok(reply.status == tonic_health::pb::health_check_response::ServingStatus::Serving as i32)
}
