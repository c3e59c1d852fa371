//! Transactions: all or nothing, apart from each other, never dropped half way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use data::{Dialect, OrFault, Sql};
use futures::{FutureExt, future::join_all};
use sea_orm::TransactionTrait;
use terms::{Fault, FaultKind, Reason, Service};
use testkit::eventually;

use crate::support::{count, customer, event, number, record, stores, tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_there_when_it_is_acknowledged() {
    for store in stores().await {
        let written = record(&store, customer(1), "a").await.unwrap();
        assert_eq!(written.value, 1);
        assert!(!written.replayed);
        assert_eq!(written.revision.of(Service::Interaction).count(), 1);
        assert_eq!(number(&store, "SELECT n FROM tally WHERE name = 'a'").await, 1);
        assert_eq!(store.count("feed_entry").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_share_a_commit_fail_alone() {
    for store in stores().await {
        let writes = (0..120u32).map(|i| {
            let store = store.store();
            tokio::spawn(async move {
                let written = store.write(move |tx| {
                    async move {
                        count(tx, &format!("w{i}")).await?;
                        tx.publish(&tenant(), customer(u64::from(i)), event(&format!("w{i}")));
                        match i % 4 {
                            1 => Err(Fault::new(Reason::EtagStale, "refused")),
                            2 => panic!("on purpose"),
                            _ => Ok(()),
                        }
                    }
                    .boxed()
                });
                written.await
            })
        });
        for (i, outcome) in join_all(writes).await.into_iter().enumerate() {
            let kind = outcome.unwrap().map_err(|fault| fault.kind()).err();
            let expected = match i % 4 {
                1 => Some(FaultKind::Stale),
                2 => Some(FaultKind::Internal),
                _ => None,
            };
            assert_eq!(kind, expected, "{} write {i}", store.name());
        }
        assert_eq!(store.count("tally").await, 60, "{}", store.name());
        assert_eq!(store.count("feed_entry").await, 60, "{}", store.name());
        assert_eq!(store.idle_in_transaction().await, 0);
        record(&store, customer(1), "after").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_waits_for_is_whole_or_not_there() {
    for store in stores().await {
        let acknowledged = Arc::new(AtomicU32::new(0));
        let writes = (0..1_000u64).map(|i| {
            let (store, acknowledged) = (store.store(), acknowledged.clone());
            async move {
                // Given up at every stage: before it begins, while it begins, in the midst, at the end.
                let patience = Duration::from_micros(i * 37 % 30_000);
                if let Ok(written) = tokio::time::timeout(patience, record(&store, customer(i), &format!("d{i}"))).await
                {
                    written.unwrap();
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        futures::StreamExt::for_each_concurrent(futures::stream::iter(writes), 50, |write| write).await;
        // Whatever was left to itself ends, and leaves no session behind.
        record(&store, customer(1), "last").await.unwrap();
        let name = store.name();
        eventually("no session idle in transaction", || async { store.idle_in_transaction().await == 0 }).await;
        let rows = store.count("tally").await;
        assert!(rows > u64::from(acknowledged.load(Ordering::Relaxed)), "{name}: an acknowledged write is lost");
        eventually("rows and entries agree", || async {
            store.count("tally").await == store.count("feed_entry").await
        })
        .await;
        // Seen by a connection that had no part in it.
        let other = store.another().await;
        assert_eq!(number(&other, "SELECT COUNT(*) FROM tally WHERE name = 'last'").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_lock_each_other_out_both_succeed() {
    for store in stores().await {
        for name in ["x", "y"] {
            record(&store, customer(1), name).await.unwrap();
        }
        let writes = (0..4).map(|i| {
            let store = store.store();
            async move {
                let written = store.write(move |tx| {
                    async move {
                        let order = if i % 2 == 0 { ["x", "y"] } else { ["y", "x"] };
                        count(tx, order[0]).await?;
                        tokio::task::yield_now().await;
                        count(tx, order[1]).await
                    }
                    .boxed()
                });
                written.await
            }
        });
        for outcome in join_all(writes).await {
            outcome.unwrap();
        }
        assert_eq!(number(&store, "SELECT MIN(n) FROM tally").await, 5, "{}", store.name());
        assert_eq!(number(&store, "SELECT MAX(n) FROM tally").await, 5, "{}", store.name());
    }
}

#[tokio::test]
async fn work_can_ask_to_run_again() {
    for store in stores().await {
        let runs = Arc::new(AtomicU32::new(0));
        let at_work = runs.clone();
        let written = store.write(move |tx| {
            let runs = at_work.clone();
            async move {
                count(tx, "again").await?;
                if runs.fetch_add(1, Ordering::Relaxed) < 3 { Err(data::retry("not yet")) } else { Ok(()) }
            }
            .boxed()
        });
        written.await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 4);
        assert_eq!(number(&store, "SELECT n FROM tally").await, 1);

        let never = store.write(|_| async { Err::<(), _>(data::retry("never")) }.boxed()).await;
        assert_eq!(never.unwrap_err().reason(), Reason::WriteConflict);
    }
}

#[tokio::test]
async fn a_nested_transaction_is_a_savepoint() {
    for store in stores().await {
        let written = store.write(|tx| {
            async move {
                count(tx, "kept").await?;
                let nested = tx.conn().begin().await.or_fault()?;
                nested.run("INSERT INTO tally (tenant, name, n) VALUES ('acme', 'gone', 1)", vec![]).await?;
                nested.rollback().await.or_fault()?;
                // Dropped without a word: rolled back too.
                let dropped = tx.conn().begin().await.or_fault()?;
                dropped.run("INSERT INTO tally (tenant, name, n) VALUES ('acme', 'dropped', 1)", vec![]).await?;
                drop(dropped);
                count(tx, "kept").await
            }
            .boxed()
        });
        assert_eq!(written.await.unwrap().value, 2);
        assert_eq!(store.count("tally").await, 1, "{}", store.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_does_not_move() {
    for store in stores().await {
        record(&store, customer(1), "a").await.unwrap();
        let writer = store.store();
        let counts = store.snapshot(move |conn| {
            async move {
                let sql = "SELECT COUNT(*) FROM tally";
                let before: i64 = conn.row(sql, vec![]).await?.unwrap().try_get_by_index(0).or_fault()?;
                record(&writer, customer(2), "b").await?;
                let after: i64 = conn.row(sql, vec![]).await?.unwrap().try_get_by_index(0).or_fault()?;
                Ok((before, after))
            }
            .boxed()
        });
        assert_eq!(counts.await.unwrap(), (1, 1), "{}", store.name());
        assert_eq!(store.count("tally").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_finishes_what_waits() {
    for store in stores().await {
        let writes: Vec<_> = (0..50u64)
            .map(|i| {
                let store = store.store();
                tokio::spawn(async move { record(&store, customer(i), &format!("c{i}")).await })
            })
            .collect();
        eventually("a first write", || async { store.count("tally").await > 0 }).await;
        store.close().await.unwrap();
        let outcomes = join_all(writes).await;
        let done = outcomes.into_iter().filter(|outcome| match outcome.as_ref().unwrap() {
            Ok(_) => true,
            Err(fault) => {
                assert_eq!(fault.reason(), Reason::ShuttingDown, "{fault:?}");
                false
            }
        });
        let done = done.count() as u64;
        let reopened = store.another().await;
        assert_eq!(number(&reopened, "SELECT COUNT(*) FROM tally").await.unsigned_abs(), done, "{}", store.name());
        let late = record(&store, customer(1), "late").await.unwrap_err();
        assert_eq!(late.reason(), Reason::ShuttingDown);
    }
}

#[tokio::test]
async fn connections_are_told_to_be_careful() {
    for store in stores().await {
        let expected: &[(&str, &str)] = match store.dialect() {
            // 2 is FULL: a commit waits for the disk.
            Dialect::Sqlite => {
                &[("PRAGMA synchronous", "2"), ("PRAGMA journal_mode", "wal"), ("PRAGMA foreign_keys", "1")]
            }
            Dialect::Postgres => &[
                ("SHOW search_path", "interaction"),
                ("SHOW statement_timeout", "30s"),
                ("SHOW idle_in_transaction_session_timeout", "30s"),
                ("SHOW transaction_isolation", "read committed"),
                ("SHOW synchronous_commit", "on"),
            ],
        };
        for (sql, value) in expected {
            let told = store.write(move |tx| {
                async move {
                    let row = tx.conn().row(sql, vec![]).await?.unwrap();
                    let text = row.try_get_by_index::<String>(0);
                    text.or_else(|_| row.try_get_by_index::<i64>(0).map(|n| n.to_string())).or_fault()
                }
                .boxed()
            });
            assert_eq!(told.await.unwrap().value, *value, "{sql}");
        }
        // Readers cannot write.
        if store.dialect() == Dialect::Sqlite {
            assert!(store.reader().run("DELETE FROM tally", vec![]).await.is_err());
        }
    }
}
