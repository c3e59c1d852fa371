//! `rapport serve`: one or several services, as configured.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use host::{
    Config, Server,
    config::{Flags, Loader},
    telemetry::Telemetry,
};
use terms::{Service, SystemClock};

use crate::{compose::compose, settings};

/// What `rapport serve` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which: identity, interaction, segmentation, customization.
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<Service>,
    #[command(flatten)]
    flags: Flags,
    /// Bring the stores' schemas up to date first; without, `rapport migrate` does.
    #[arg(long)]
    migrate: bool,
    #[command(flatten)]
    supervision: Supervision,
}

/// How whoever started the process follows it.
#[derive(Debug, Clone, clap::Args)]
pub struct Supervision {
    /// Write the addresses to this file, as JSON, once everything is served.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// End when standard input ends: with the process that started this one.
    #[arg(long)]
    exit_with_parent: bool,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When something cannot be started; the message says what to do.
pub fn run(args: Args) -> Result<()> {
    let Some(config) = settings::read(Loader::new(), &args.flags)? else { return Ok(()) };
    start(config, &args.services, args.supervision, args.migrate, |address| async move {
        tracing::info!(%address, "serving");
        Ok(())
    })
}

/// Binds, composes, serves; runs `then` once everything answers, and announces it when that is done.
///
/// # Errors
/// When something cannot be started, or `then` fails.
pub fn start<Then, Done>(
    config: Config,
    services: &[Service],
    supervision: Supervision,
    migrate: bool,
    then: Then,
) -> Result<()>
where
    Then: FnOnce(SocketAddr) -> Done + Send + 'static,
    Done: Future<Output = Result<()>> + Send + 'static,
{
    let runtime = host::server::runtime(&config.server)?;
    runtime.block_on(async move {
        let telemetry = Telemetry::install(&config.telemetry)?;
        // Ports first: a taken one is said at once, and early connections wait.
        let server = Server::bind(&config).await?;
        let address = server.address();
        let suite = compose(Arc::new(config), services, Arc::new(SystemClock), migrate).await?;
        let running = server.serve(&suite.context, suite.suite)?;
        let mut then = tokio::spawn(async move { then(address).await });
        let outcome = tokio::select! {
            () = ended(supervision.exit_with_parent) => Ok(()),
            outcome = async {
                if running.ready().await {
                    (&mut then).await??;
                    if let Some(file) = &supervision.ready_file {
                        announce(file, running.address(), running.http_address())?;
                    }
                }
                std::future::pending::<Result<()>>().await
            } => outcome,
        };
        then.abort();
        running.shut_down().await;
        telemetry.shut_down().await;
        outcome
    })
}

/// SIGTERM or SIGINT, or the end of standard input.
async fn ended(with_parent: bool) {
    let (gone, parent) = tokio::sync::oneshot::channel::<()>();
    let parent = async {
        if with_parent {
            // A thread of its own: reading standard input cannot be interrupted.
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
                drop(gone);
            });
            let _ = parent.await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = host::server::signal() => {}
        () = parent => {}
    }
}

/// Writes where the process serves; whoever sees the file can call.
fn announce(file: &std::path::Path, grpc: SocketAddr, metrics: Option<SocketAddr>) -> Result<()> {
    let addresses = serde_json::json!({
        "grpc": grpc.to_string(),
        "metrics": metrics.map(|address| address.to_string()),
        "pid": std::process::id(),
    });
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, addresses.to_string())
        .and_then(|()| std::fs::rename(&fresh, file))
        .with_context(|| format!("cannot write {}", file.display()))
}
