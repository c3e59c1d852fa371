//! SQLite's log is copied into the database while writes go on, and then begins anew.

use std::{fs, path::Path, sync::Arc};

use data::{Sql, Store, StoreOptions};
use futures::FutureExt;
use terms::{Service, SystemClock};
use testkit::{Database, eventually};

use crate::support::migrations;

/// What one burst writes at least, in bytes.
const BURST: u64 = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_copied_beside_the_writer() {
    let database = Database::sqlite();
    let data::StoreConfig::Sqlite { dir } = &database.config else { panic!("SQLite") };
    let store = database.open(Service::Interaction, migrations(), StoreOptions::new(Arc::new(SystemClock))).await;
    let (file, log) = (dir.join("interaction.db"), dir.join("interaction.db-wal"));
    // The writer itself never copies: whatever is in the database file was copied beside it.
    for burst in 1..=4 {
        write(&store).await;
        eventually("the log was copied", || async { size(&file) >= burst * BURST }).await;
    }
    assert!(size(&log) < 3 * BURST, "the log holds {} bytes after bursts of {BURST}", size(&log));
}

async fn write(store: &Store) {
    for _ in 0..64 {
        let work = store.write(move |tx| {
            async move {
                let text = "x".repeat((BURST / 64) as usize);
                let sql = "INSERT INTO effect (consumer, entry, customer) VALUES ('me', 'it', $1)";
                tx.conn().run(sql, vec![text.into()]).await.map(drop)
            }
            .boxed()
        });
        work.await.expect("written");
    }
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}
