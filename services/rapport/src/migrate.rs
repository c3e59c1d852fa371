//! `rapport migrate`: brings the stores' schemas up to date. Any number may run at once; one does the work.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use data::LocalHints;
use host::config::{Flags, Loader};
use terms::{Service, SystemClock};

use crate::settings;

/// What `rapport migrate` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Whose schemas; all four if none is named.
    #[arg(value_name = "SERVICE")]
    services: Vec<Service>,
    #[command(flatten)]
    flags: Flags,
}

/// Migrates, and says what it did.
///
/// # Errors
/// When a database does not answer, or a migration fails: what was migrated stays.
pub fn run(args: Args) -> Result<()> {
    let Some(config) = settings::read(Loader::new(), &args.flags)? else { return Ok(()) };
    let services = if args.services.is_empty() { Service::ALL.to_vec() } else { args.services };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        for service in services {
            let hints = Arc::new(LocalHints::default());
            let store = settings::store(&config, service, Arc::new(SystemClock), hints).await?;
            store.migrate().await.with_context(|| format!("the schema of {service}"))?;
            println!("{service}: up to date");
        }
        Ok(())
    })
}

/// What a store lacks, and what to run; `None` if its schema is up to date.
pub fn lacking(service: Service, pending: &[String]) -> Option<String> {
    let what = match pending.len() {
        0 => return None,
        1 => "one migration".to_owned(),
        n => format!("{n} migrations"),
    };
    Some(format!("lacks {what}: run `rapport migrate {service}`"))
}
