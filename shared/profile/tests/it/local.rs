//! The level in process.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use profile::{Marks, Profiles, ProfilesOptions, Section};
use terms::{Reason, Revision};

use crate::owners::{Owners, Values, customer, tenant};

fn set_up() -> (Arc<Owners>, Marks, Profiles<Values>) {
    let owners = Owners::new();
    let marks = Marks::in_process();
    let profiles = Profiles::new(&marks, owners.clone(), &ProfilesOptions::default());
    (owners, marks, profiles)
}

#[tokio::test]
async fn a_hundred_misses_are_one_load() {
    let (owners, _marks, profiles) = set_up();
    let tenant = tenant();
    owners.hold();
    let reads: Vec<_> = (0..100)
        .map(|_| {
            let (profiles, tenant) = (profiles.clone(), tenant.clone());
            tokio::spawn(async move { profiles.get(&tenant, customer(1), &Revision::new()).await })
        })
        .collect();
    while owners.loads.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    owners.release();
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap().shown, [0; 3]);
    }
    assert_eq!(owners.loads.load(Ordering::SeqCst), 3, "one load of each section");
}

#[tokio::test]
async fn a_reader_who_gives_up_takes_nobody_along() {
    let (owners, _marks, profiles) = set_up();
    let tenant = tenant();
    owners.hold();
    let first = {
        let (profiles, tenant) = (profiles.clone(), tenant.clone());
        tokio::spawn(async move { profiles.get(&tenant, customer(1), &Revision::new()).await })
    };
    while owners.loads.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let none = Revision::new();
    let second = profiles.get(&tenant, customer(1), &none);
    tokio::pin!(second);
    assert!(futures::poll!(second.as_mut()).is_pending());
    owners.release();
    second.await.unwrap();
    assert_eq!(owners.loads.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_mark_reloads_the_stale_section_alone() {
    let (owners, marks, profiles) = set_up();
    let tenant = tenant();
    profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    let (n, revision) = owners.write(&tenant, customer(1), Section::Interaction);
    assert!(profiles.hot(&tenant, customer(1), &Revision::new()).is_some(), "nobody said that it is stale");
    assert!(profiles.hot(&tenant, customer(1), &revision).is_none());
    marks.mark(&tenant, &[customer(1)], Section::Interaction, &revision).await;
    assert!(profiles.hot(&tenant, customer(1), &Revision::new()).is_none());
    let profile = profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    assert_eq!(profile.shown, [0, n, 0]);
    assert_eq!(owners.loads.load(Ordering::SeqCst), 4);
    assert!(profiles.hot(&tenant, customer(1), &revision).is_none(), "segmentation has not been asked for it yet");
    profiles.get(&tenant, customer(1), &revision).await.unwrap();
    assert!(profiles.hot(&tenant, customer(1), &revision).is_some());
    assert_eq!(owners.loads.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_mark_during_a_load_is_not_lost() {
    let (owners, marks, profiles) = set_up();
    let tenant = tenant();
    // The load reads, then the write commits and marks, then the load lands.
    owners.yields.store(50, Ordering::SeqCst);
    let none = Revision::new();
    let read = profiles.get(&tenant, customer(1), &none);
    tokio::pin!(read);
    while owners.loads.load(Ordering::SeqCst) < 3 {
        assert!(futures::poll!(read.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    for _ in 0..70 {
        tokio::task::yield_now().await;
    }
    let (n, revision) = owners.write(&tenant, customer(1), Section::Identity);
    marks.mark(&tenant, &[customer(1)], Section::Identity, &revision).await;
    read.await.unwrap();
    let profile = profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    assert_eq!(profile.shown[0], n);
}

#[tokio::test]
async fn a_merged_customer_answers_as_the_survivor() {
    let (owners, marks, profiles) = set_up();
    let tenant = tenant();
    let (loser, survivor) = (customer(1), customer(2));
    assert_eq!(profiles.get(&tenant, loser, &Revision::new()).await.unwrap().customer, loser);
    let revision = owners.merge(&tenant, loser, survivor);
    assert_eq!(profiles.get(&tenant, loser, &revision).await.unwrap().customer, survivor);
    marks.mark(&tenant, &[loser, survivor], Section::Identity, &revision).await;
    assert_eq!(profiles.get(&tenant, loser, &Revision::new()).await.unwrap().customer, survivor);
}

#[tokio::test]
async fn an_erased_customer_stays_erased() {
    let (owners, marks, profiles) = set_up();
    let tenant = tenant();
    profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    marks.bury(&tenant, customer(1)).await;
    let fault = profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::CustomerErased);
    owners.erase(customer(2));
    for _ in 0..2 {
        let fault = profiles.get(&tenant, customer(2), &Revision::new()).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::CustomerErased);
    }
}

#[tokio::test]
async fn a_load_that_outlasts_its_time_fails_and_leaves_nothing_behind() {
    let owners = Owners::new();
    let marks = Marks::in_process();
    let options = ProfilesOptions { load_timeout: Duration::from_millis(20), ..ProfilesOptions::default() };
    let profiles: Profiles<Values> = Profiles::new(&marks, owners.clone(), &options);
    let tenant = tenant();
    owners.hold();
    let fault = profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::PeerUnavailable);
    owners.release();
    profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
}

#[tokio::test]
async fn what_an_owner_does_not_give_is_missing_and_not_kept() {
    let (owners, _marks, profiles) = set_up();
    let tenant = tenant();
    owners.away.lock().push(Section::Interaction);
    let fault = profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::PeerUnavailable);
    let partial = profiles.get_partial(&tenant, customer(1), &Revision::new()).await.unwrap();
    assert_eq!(partial.shown, [0, -1, 0]);
    assert!(profiles.hot(&tenant, customer(1), &Revision::new()).is_none());
    let (_, demanded) = owners.write(&tenant, customer(1), Section::Interaction);
    assert!(profiles.get_partial(&tenant, customer(1), &demanded).await.is_err(), "it was demanded");
    owners.away.lock().clear();
    assert!(profiles.get(&tenant, customer(1), &demanded).await.is_ok());
}
