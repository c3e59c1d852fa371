//! A service whose schema is not up to date is not ready, and says what to run.

use std::{sync::Arc, time::Duration};

use data::{LocalHints, StoreConfig};
use host::{Config, Server, config::Loader};
use rapport::{compose::compose, settings};
use terms::{Service, SystemClock};
use testkit::Database;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn config(database: &Database, keys: &std::path::Path) -> Config {
    let file = keys.join("lookup.key");
    std::fs::write(&file, [7; 32]).unwrap();
    let [kind, key, place] = match &database.config {
        StoreConfig::Postgres { url, .. } => ["postgres", "store.url", url],
        StoreConfig::Sqlite { dir } => ["sqlite", "store.dir", dir.to_str().unwrap()],
        StoreConfig::SqliteMemory => unreachable!("what is in memory is seen by nobody else"),
    };
    let settings = [
        ("server.address", "127.0.0.1:0"),
        ("server.linger", "0"),
        ("telemetry.address", "127.0.0.1:0"),
        ("store.kind", kind),
        (key, place),
        ("store.lookup_key_file", file.to_str().unwrap()),
    ];
    let loader = settings.into_iter().fold(Loader::new(), |loader, (key, value)| loader.flag("test", key, value));
    loader.load().unwrap_or_else(|problems| panic!("{problems}"))
}

async fn readyz(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_waits_for_its_migrations() {
    for database in Database::each().await {
        let keys = tempfile::tempdir().unwrap();
        let config = Arc::new(config(&database, keys.path()));
        let server = Server::bind(&config).await.unwrap();
        let clock = Arc::new(SystemClock);
        let composed = compose(config.clone(), &[Service::Identity], clock.clone(), false).await.unwrap();
        let running = server.serve(&composed.context, composed.suite).unwrap();
        let http = running.http_address().unwrap();
        testkit::eventually("readiness says what to run", async || {
            let answer = readyz(http).await;
            answer.contains(" 503 ") && answer.contains("migrations: run `rapport migrate identity`")
        })
        .await;
        assert!(tokio::time::timeout(Duration::from_millis(500), running.ready()).await.is_err(), "{}", database.name);
        let hints = Arc::new(LocalHints::default());
        let store = settings::store(&config, Service::Identity, clock, hints).await.unwrap();
        store.migrate().await.unwrap();
        assert!(running.ready().await);
        let answer = readyz(http).await;
        assert!(answer.contains(" 200 ") && answer.contains("identity.schema: ok"), "{answer}");
        running.shut_down().await;
    }
}
