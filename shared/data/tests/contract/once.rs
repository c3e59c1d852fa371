//! Request ids: one effect, one answer.

use std::time::Duration;

use data::{Store, StoreOptions};
use futures::{FutureExt, future::join_all};
use terms::{Caller, Fault, Once, Reason, Service, Written};

use crate::support::{count, customer, event, migrations, number, stores, tenant};

fn once(id: &str, body: u8) -> Option<Once> {
    Some(Once { tenant: tenant(), method: "test.Service/Count", request_id: id.to_owned(), fingerprint: [body; 32] })
}

async fn record_once(store: &Store, once: Option<Once>, name: &'static str) -> Result<Written<i64>, Fault> {
    let written = store.write_once(once, move |tx| {
        async move {
            let n = count(tx, name).await?;
            tx.publish(&tenant(), customer(1), event(name));
            Ok(n)
        }
        .boxed()
    });
    written.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_take_effect_once() {
    for store in stores().await {
        let calls = (0..100).map(|_| {
            let store = store.store();
            tokio::spawn(async move { record_once(&store, once("r1", 1), "once").await })
        });
        let written: Vec<_> = join_all(calls).await.into_iter().map(|outcome| outcome.unwrap().unwrap()).collect();
        assert_eq!(written.iter().filter(|w| !w.replayed).count(), 1, "{}", store.name());
        assert!(written.iter().all(|w| w.value == 1 && w.revision == written[0].revision && !w.revision.is_empty()));
        assert_eq!(number(&store, "SELECT n FROM tally").await, 1);
        assert_eq!(store.count("feed_entry").await, 1);
    }
}

#[tokio::test]
async fn what_comes_of_a_call_shows_under_its_recorded_revision() {
    for store in stores().await {
        let recorded = record_once(&store, once("r1", 1), "a").await.unwrap().revision;
        let more = record_once(&store, None, "b").await.unwrap().revision;
        let whole = store.add_to_recorded(once("r1", 1).unwrap(), more.clone()).await.unwrap();
        assert!(whole.covers(&recorded) && whole.covers(&more), "{}", store.name());
        let again = record_once(&store, once("r1", 1), "a").await.unwrap();
        assert!(again.replayed && again.revision == whole);
        // What is not recorded is not recorded by this either.
        assert_eq!(store.add_to_recorded(once("r2", 1).unwrap(), more.clone()).await.unwrap(), more);
        assert!(!record_once(&store, once("r2", 1), "a").await.unwrap().replayed);
    }
}

#[tokio::test]
async fn an_id_belongs_to_its_body_its_method_and_its_tenant() {
    for store in stores().await {
        record_once(&store, once("r1", 1), "a").await.unwrap();
        let reused = record_once(&store, once("r1", 2), "a").await.unwrap_err();
        assert_eq!(reused.reason(), Reason::RequestIdReused);
        let other_method = Once { method: "test.Service/Other", ..once("r1", 2).unwrap() };
        let other_tenant = Once { tenant: "other".parse().unwrap(), ..once("r1", 2).unwrap() };
        for other in [other_method, other_tenant] {
            assert!(!record_once(&store, Some(other), "a").await.unwrap().replayed);
        }
        assert_eq!(number(&store, "SELECT n FROM tally").await, 3);
        // Without an id every call counts.
        record_once(&store, None, "a").await.unwrap();
        assert_eq!(record_once(&store, None, "a").await.unwrap().value, 5);
    }
}

#[tokio::test]
async fn a_failure_is_not_recorded() {
    for store in stores().await {
        let failed = store.write_once(once("r1", 1), |_| {
            async { Err::<i64, _>(Fault::new(Reason::CustomerNotFound, "not yet")) }.boxed()
        });
        assert_eq!(failed.await.unwrap_err().reason(), Reason::CustomerNotFound);
        assert!(!record_once(&store, once("r1", 1), "a").await.unwrap().replayed);
        assert!(record_once(&store, once("r1", 1), "a").await.unwrap().replayed);
    }
}

#[tokio::test]
async fn answers_outlive_a_restart_but_not_their_retention() {
    let clock = testkit::clock();
    let stores = testkit::stores_with(Service::Interaction, migrations, || StoreOptions::new(clock.clone())).await;
    for store in stores {
        record_once(&store, once("r1", 1), "a").await.unwrap();
        let restarted = store.another().await;
        assert!(record_once(&restarted, once("r1", 1), "a").await.unwrap().replayed);
        clock.advance(Duration::from_secs(23 * 3600));
        assert_eq!(store.prune().await.unwrap().answers, 0);
        clock.advance(Duration::from_secs(2 * 3600));
        assert_eq!(store.prune().await.unwrap().answers, 1);
        assert!(!record_once(&store, once("r1", 1), "a").await.unwrap().replayed);
    }
}

#[test]
fn the_fingerprint_is_of_the_body() {
    let caller = Caller::all_powerful(tenant(), "test");
    let body = |n: u64| prost_types::Timestamp { seconds: n as i64, nanos: 0 };
    assert_eq!(data::once(&caller, "m", "", &body(1)), None);
    let (a, b) = (data::once(&caller, "m", "id", &body(1)).unwrap(), data::once(&caller, "m", "id", &body(2)).unwrap());
    assert_eq!(a.fingerprint, data::once(&caller, "m", "id", &body(1)).unwrap().fingerprint);
    assert_ne!(a.fingerprint, b.fingerprint);
}
