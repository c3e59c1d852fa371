//! Connections to Redis: a few, each multiplexed, used in turn.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::{
    Client, IntoConnectionInfo,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};
use terms::{Fault, Reason};

/// How Redis is used.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host:port[/db]`.
    pub url: String,
    /// What keys and channels begin with; installations that share a server differ in it.
    pub prefix: String,
    /// How many connections: more than one, since a large reply delays what comes behind it.
    pub connections: usize,
    /// How long one exchange may take before the request goes to the owners instead.
    pub timeout: Duration,
    /// After so many failures in a row Redis is left alone …
    pub failures: u32,
    /// … for this long; then one probe is sent.
    pub rest: Duration,
    /// How old what is cached may become.
    pub ttl: Duration,
    /// How long an erased customer is remembered.
    pub tombstone_ttl: Duration,
    /// How many marks to keep for later while Redis does not answer.
    pub lost_marks: usize,
}

impl RedisOptions {
    /// The defaults: keys below `rp`, 4 connections, 50 ms, open after 5 failures for 500 ms, sections for an hour at most.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "rp".to_owned(),
            connections: 4,
            timeout: Duration::from_millis(50),
            failures: 5,
            rest: Duration::from_millis(500),
            ttl: Duration::from_secs(3_600),
            tombstone_ttl: Duration::from_secs(30 * 86_400),
            lost_marks: 100_000,
        }
    }

    /// A client with the socket options that a cache wants.
    pub(crate) fn client(&self) -> Result<Client, Fault> {
        let wrong = |error: redis::RedisError| {
            Fault::new(Reason::Internal, "the Redis URL is not of the form redis://host:port").because(error)
        };
        let info = self.url.as_str().into_connection_info().map_err(wrong)?;
        Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true))).map_err(wrong)
    }
}

pub(super) struct Connections {
    all: Vec<ConnectionManager>,
    turn: AtomicUsize,
    first: ConnectionManager,
}

impl Connections {
    pub(super) fn open(options: &RedisOptions) -> Result<Self, Fault> {
        let client = options.client()?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(options.timeout))
            .set_pipeline_buffer_size(1_024)
            // The breaker spaces attempts out; one failure here is enough to know.
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(10))
            .set_max_delay(Duration::from_millis(200));
        let connect = || {
            ConnectionManager::new_lazy_with_config(client.clone(), config.clone())
                .map_err(|e| Fault::internal(e.to_string()))
        };
        let first = connect()?;
        let all = (1..options.connections).map(|_| connect()).collect::<Result<_, _>>()?;
        Ok(Self { all, turn: AtomicUsize::new(0), first })
    }

    /// The next in turn.
    pub(super) fn next(&self) -> ConnectionManager {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (self.all.len() + 1);
        self.all.get(turn).unwrap_or(&self.first).clone()
    }
}
