//! Connections that die in silence: nothing is reset, nothing answers. The pool gets over them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use data::{Sql, Store, StoreConfig, StoreOptions};
use futures::future::join_all;
use terms::{FaultKind, Service, SystemClock};
use testkit::{Database, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{customer, migrations, number, record};

/// Carries bytes between the store and the server until it is told to swallow those of older connections.
struct Proxy {
    port: u16,
    /// Connections with a lower number are dead.
    dead: Arc<AtomicU64>,
    next: Arc<AtomicU64>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), dead: Arc::default(), next: Arc::default() };
        let (dead, next) = (proxy.dead.clone(), proxy.next.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = next.fetch_add(1, Ordering::SeqCst);
                let Ok(far) = TcpStream::connect(&server).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, number, dead.clone()));
                tokio::spawn(carry(far_in, near_out, number, dead.clone()));
            }
        });
        proxy
    }

    /// From now on every connection that there is swallows what it is given.
    fn kill_all(&self) {
        self.dead.store(self.next.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    number: u64,
    dead: Arc<AtomicU64>,
) {
    let mut buffer = [0; 16_384];
    loop {
        let n = from.read(&mut buffer).await.unwrap_or(0);
        if number < dead.load(Ordering::SeqCst) {
            // Keeps both ends open, and says nothing.
            std::future::pending::<()>().await;
        }
        if n == 0 || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_gets_over_connections_that_died_in_silence() {
    let Some(database) = Database::postgres().await else { return };
    let StoreConfig::Postgres { url, .. } = &database.config else { panic!("PostgreSQL") };
    let (head, rest) = url.split_once('@').map_or(("postgres://", url.as_str()), |(h, r)| (h, r));
    let (server, path) = rest.split_once('/').unwrap();
    let server = if server.contains(':') { server.to_owned() } else { format!("{server}:5432") };
    let proxy = Proxy::start(server).await;
    let through = format!("{head}@127.0.0.1:{}/{path}", proxy.port);
    let options = StoreOptions {
        acquire_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_millis(1_500),
        transaction_timeout: Duration::from_millis(1_500),
        ..StoreOptions::new(Arc::new(SystemClock))
    };
    let config = StoreConfig::Postgres { url: through, max_connections: 4 };
    let store = Store::open(&config, Service::Interaction, migrations(), options).await.unwrap();
    store.migrate().await.unwrap();

    for round in 0..2 {
        join_all((0..8).map(|i| record(&store, customer(i), "before")))
            .await
            .into_iter()
            .for_each(|w| drop(w.unwrap()));
        proxy.kill_all();
        // Every connection is dead; the writes and reads of the moment may fail, and say so in time.
        let writes = join_all((0..8).map(|i| record(&store, customer(i), "during")));
        let reads = join_all((0..8).map(|_| {
            tokio::time::timeout(Duration::from_secs(1), store.reader().row("SELECT COUNT(*) FROM tally", vec![]))
        }));
        let (writes, _) = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(writes, reads) })
            .await
            .expect("nothing waits for ever");
        for fault in writes.into_iter().filter_map(Result::err) {
            assert_eq!(fault.kind(), FaultKind::Unavailable, "{fault:?}");
        }
        // Then all places in the pools are there again.
        eventually("writes go on", || async {
            join_all((0..8).map(|i| record(&store, customer(i), "after"))).await.iter().all(Result::is_ok)
        })
        .await;
        eventually("reads go on", || async { number(&store, "SELECT COUNT(*) FROM tally").await >= 2 }).await;
        let direct = database.open(Service::Interaction, migrations(), StoreOptions::new(Arc::new(SystemClock))).await;
        let after = number(&direct, "SELECT n FROM tally WHERE name = 'after'").await;
        assert!(after >= 8 * (round + 1), "an acknowledged write is lost: {after}");
    }
}
