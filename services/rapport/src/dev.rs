//! `rapport dev`: the four services in one process, on an embedded store.

use std::path::PathBuf;

use anyhow::Result;
use host::config::{Flags, Loader};
use terms::{Service, SystemClock};

use crate::{connect::Target, demo, serve, settings};

/// What `rapport dev` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Where the databases are kept.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Where metrics and readiness are served.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7401")]
    metrics: String,
    /// Load a year of 2,469 real households first.
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    supervision: serve::Supervision,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When something cannot be started; the message says what to do.
pub fn run(args: Args) -> Result<()> {
    let loader = Loader::new()
        .preset("dev", "telemetry.log_filter", "warn")
        .preset("dev", "server.linger", "0")
        .preset("dev", "server.drain", "2s")
        .flag("--data", "store.dir", &args.data.display().to_string())
        .flag("--metrics", "telemetry.address", &args.metrics);
    let Some(config) = settings::read(loader, &args.flags)? else { return Ok(()) };
    let demo = args.demo;
    serve::start(config, &Service::ALL, args.supervision, true, move |address| async move {
        let server = Target::open(format!("http://{address}"));
        if demo {
            println!("\nLoading the demo: a year of 2,469 households (dunnhumby, The Complete Journey, CC0)\n");
            demo::load(server.connect().await?, &SystemClock).await?;
        }
        println!("{}", if demo { demo::banner(&server.connect().await?, address).await? } else { banner(address) });
        Ok(())
    })
}

fn banner(address: std::net::SocketAddr) -> String {
    let port = address.port();
    format!(
        r#"
Rapport serves identity, interaction, segmentation and customization at {address}, for the tenant `default`.
Anybody on this machine may do everything: this is for development.

  grpcurl -plaintext localhost:{port} list
  grpcurl -plaintext -d '{{"source": "shop", "identifiers": [{{"identifier": {{"namespace": "email", "value": "jane@example.org"}}}}]}}' \
      localhost:{port} rapport.identity.v1.IdentityService/Identify

Start it with --demo to look at a year of 2,469 real households.
"#
    )
}
