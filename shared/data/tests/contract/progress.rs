//! What was consumed, and waiting for it.

use std::{sync::Arc, time::Duration};

use data::follow;
use terms::{Position, Reason, Revision, Service, partition};
use tokio_util::sync::CancellationToken;

use crate::{
    consumers::{Effects, effects, quick},
    support::{customer, follower_store, record, stores, tenant},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reach_waits_for_the_effect() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let shutdown = CancellationToken::new();
        let _task =
            follow(store.clone(), Arc::new(source.feed()), Arc::new(Effects::default()), quick(), shutdown.clone());
        for i in 0..30 {
            let revision = record(&source, customer(i), &format!("n{i}")).await.unwrap().revision;
            store.reach("effects", &revision, Duration::from_secs(20)).await.unwrap();
            assert_eq!(effects(&store).await, i as i64 + 1, "{}", source.name());
            let p = partition(&tenant(), customer(i));
            assert!(store.progress_of(p).await.unwrap().covers(&revision));
            assert!(store.progress().await.unwrap().covers(&revision));
        }
        // Nothing demanded, or of services that it does not follow: nothing to wait for.
        let other = Revision::at(Service::Customization, 1, Position { xid: i64::MAX, seq: i64::MAX });
        for nothing in [Revision::new(), other] {
            store.reach("effects", &nothing, Duration::ZERO).await.unwrap();
        }
        let future = Revision::at(Service::Interaction, 1, Position { xid: i64::MAX, seq: i64::MAX });
        let late = store.reach("effects", &future, Duration::from_millis(30)).await.unwrap_err();
        assert_eq!(late.reason(), Reason::RevisionNotReached);
        assert!(late.retry_delay().is_some());
        shutdown.cancel();
    }
}
