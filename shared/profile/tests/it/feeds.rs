//! Following the owners' feeds: marks that were lost are made good for; hints cross processes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use data::{Entry, FeedBatch, FeedSource, Hints, Watch};
use futures::{StreamExt, stream::BoxStream};
use parking_lot::Mutex;
use profile::{Marks, Profiles, ProfilesOptions, RedisHints, Section};
use terms::{CustomerId, Fault, Position, Reason, Revision, Service, Tenant, Timestamp, partition};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    owners::{Owners, Values, customer, tenant},
    shared::redis_options,
};

/// A feed that says what it is told to.
struct Told(Service, Mutex<Option<mpsc::UnboundedReceiver<FeedBatch>>>);

#[async_trait]
impl FeedSource for Told {
    fn service(&self) -> Service {
        self.0
    }

    async fn watch(&self, _: Watch) -> Result<BoxStream<'static, Result<FeedBatch, Fault>>, Fault> {
        match self.1.lock().take() {
            Some(batches) => {
                let next = |mut batches: mpsc::UnboundedReceiver<FeedBatch>| async {
                    let batch = batches.recv().await?;
                    Some((Ok(batch), batches))
                };
                Ok(futures::stream::unfold(batches, next).boxed())
            }
            None => Ok(futures::stream::pending().boxed()),
        }
    }
}

fn entry(tenant: &Tenant, customer: CustomerId, seq: i64, kind: &'static str) -> FeedBatch {
    let partition = partition(tenant, customer);
    let position = Position { xid: 0, seq };
    let entry = Entry {
        partition,
        position,
        tenant: tenant.clone(),
        customer: Some(customer),
        kind: kind.into(),
        actor: "test".into(),
        at: Timestamp::EPOCH,
        event: Arc::default(),
    };
    FeedBatch { entries: vec![entry], cursors: vec![(partition, position)], restarted: false }
}

#[tokio::test]
async fn a_lost_mark_is_made_good_for_by_the_feed() {
    let (owners, marks) = (Owners::new(), Marks::in_process());
    let profiles: Profiles<Values> = Profiles::new(&marks, owners.clone(), &ProfilesOptions::default());
    let tenant = tenant();
    let (tell, told) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let feed = Arc::new(Told(Service::Interaction, Mutex::new(Some(told))));
    let following = marks.follow(feed, shutdown.clone());
    tell.send(FeedBatch::default()).unwrap();
    profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    let (seq, _) = owners.write(&tenant, customer(1), Section::Interaction);
    tell.send(entry(&tenant, customer(1), seq, "statement.changed")).unwrap();
    loop {
        let profile = profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
        if profile.shown[1] == seq {
            break;
        }
        tokio::task::yield_now().await;
    }
    tell.send(entry(&tenant, customer(1), seq + 1, "customer.erased")).unwrap();
    loop {
        if let Err(fault) = profiles.get(&tenant, customer(1), &Revision::new()).await {
            assert_eq!(fault.reason(), Reason::CustomerErased);
            break;
        }
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    following.await.unwrap();
}

#[tokio::test]
async fn a_tail_that_lost_its_place_forgets_everything() {
    let (owners, marks) = (Owners::new(), Marks::in_process());
    let profiles: Profiles<Values> = Profiles::new(&marks, owners.clone(), &ProfilesOptions::default());
    let tenant = tenant();
    profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    let (seq, _) = owners.write(&tenant, customer(1), Section::Identity);
    let (tell, told) = mpsc::unbounded_channel();
    let feed = Arc::new(Told(Service::Identity, Mutex::new(Some(told))));
    let following = marks.follow(feed, CancellationToken::new());
    tell.send(FeedBatch::default()).unwrap();
    loop {
        let profile = profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
        if profile.shown[0] == seq {
            break;
        }
        tokio::task::yield_now().await;
    }
    following.abort();
}

#[tokio::test]
async fn a_wake_reaches_another_process() {
    let Some(mut options) = redis_options() else { return };
    options.prefix = tenant().to_string();
    let shutdown = CancellationToken::new();
    let (here, there) =
        (RedisHints::open(&options, &shutdown).unwrap(), RedisHints::open(&options, &shutdown).unwrap());
    let mut listener = there.listen(Service::Identity);
    // The subscription takes a moment, and wakes by itself: wait until only our wake can be the cause.
    let woken = async |listener: &mut data::Listener| {
        tokio::time::timeout(Duration::from_millis(200), listener.woken()).await.is_ok()
    };
    while woken(&mut listener).await {}
    let mut heard = false;
    for _ in 0..50 {
        here.wake(Service::Identity);
        heard = woken(&mut listener).await;
        if heard {
            break;
        }
    }
    assert!(heard);
    shutdown.cancel();
}
