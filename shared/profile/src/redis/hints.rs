//! Wake-ups across processes, by publish and subscribe. A hint may be lost; polling is the truth.

use std::{fmt, sync::Arc, time::Duration};

use data::{Hints, Listener, LocalHints};
use futures::StreamExt;
use redis::{Client, aio::ConnectionManager};
use terms::{Fault, Service};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{RedisOptions, connect::Connections};

/// Tells every process that uses the same Redis of something new in a feed.
pub struct RedisHints {
    local: Arc<LocalHints>,
    publishers: Vec<(Service, Arc<Notify>)>,
}

impl RedisHints {
    /// Listens and publishes until `shutdown`. Connects lazily. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the URL is not one of Redis.
    pub fn open(options: &RedisOptions, shutdown: &CancellationToken) -> Result<Arc<Self>, Fault> {
        let local = Arc::new(LocalHints::default());
        let connection = Connections::open(&RedisOptions { connections: 1, ..options.clone() })?.next();
        let mut publishers = Vec::new();
        for service in Service::ALL {
            let due = Arc::new(Notify::new());
            publishers.push((service, due.clone()));
            let channel = channel(&options.prefix, service);
            tokio::spawn(publish(connection.clone(), channel, due, options.timeout, shutdown.clone()));
        }
        tokio::spawn(subscribe(options.client()?, options.prefix.clone(), local.clone(), shutdown.clone()));
        Ok(Arc::new(Self { local, publishers }))
    }
}

impl fmt::Debug for RedisHints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisHints")
    }
}

impl Hints for RedisHints {
    fn wake(&self, service: Service) {
        self.local.wake(service);
        if let Some((_, due)) = self.publishers.iter().find(|(s, _)| *s == service) {
            due.notify_one();
        }
    }

    fn listen(&self, service: Service) -> Listener {
        self.local.listen(service)
    }

    fn reach_all(&self) -> bool {
        true
    }
}

fn channel(prefix: &str, service: Service) -> String {
    format!("{prefix}:wake:{service}")
}

/// One publish at a time: wakes that come meanwhile become one.
async fn publish(
    mut connection: ConnectionManager,
    channel: String,
    due: Arc<Notify>,
    timeout: Duration,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = due.notified() => {}
        }
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(&channel).arg(1);
        let sent = tokio::time::timeout(timeout, cmd.query_async::<i64>(&mut connection)).await;
        if !matches!(sent, Ok(Ok(_))) {
            tracing::debug!(channel, "a hint was lost");
        }
    }
}

/// Hands on what is heard. After a lost connection everything may be new.
async fn subscribe(client: Client, prefix: String, local: Arc<LocalHints>, shutdown: CancellationToken) {
    const SHORTEST: Duration = Duration::from_millis(100);
    let mut pause = SHORTEST;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = listen(&client, &prefix, &local) => match outcome {
                Ok(()) => pause = SHORTEST,
                Err(error) => tracing::debug!(cause = %error, "hints cannot be heard"),
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
        }
    }
}

/// `Ok` after a subscription that worked for a while.
async fn listen(client: &Client, prefix: &str, local: &LocalHints) -> redis::RedisResult<()> {
    let mut subscription = client.get_async_pubsub().await?;
    for service in Service::ALL {
        subscription.subscribe(channel(prefix, service)).await?;
        local.wake(service);
    }
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        let name = message.get_channel_name().rsplit(':').next().unwrap_or_default();
        if let Ok(service) = name.parse() {
            local.wake(service);
        }
    }
    Ok(())
}
