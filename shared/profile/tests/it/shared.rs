//! The level in Redis.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use profile::{BreakerState, Marks, Profiles, ProfilesOptions, RedisOptions, Section};
use terms::{Reason, Revision, Tenant};

use crate::{
    owners::{Owners, Values, customer, tenant},
    proxy::{Proxy, Way},
};

/// Where a Redis for tests is; without one these tests are passed over.
pub(crate) fn redis_options() -> Option<RedisOptions> {
    let Ok(url) = std::env::var("RAPPORT_TEST_REDIS") else {
        eprintln!("RAPPORT_TEST_REDIS is not set: passed over");
        return None;
    };
    // A loaded test machine may take longer than a service would grant.
    Some(RedisOptions { timeout: Duration::from_secs(5), ..RedisOptions::new(url) })
}

/// A process of its own: own marks, own level in process.
fn process(options: &RedisOptions, owners: &Arc<Owners>) -> (Marks, Profiles<Values>) {
    let marks = Marks::with_redis(options).unwrap();
    let profiles = Profiles::new(&marks, owners.clone(), &ProfilesOptions::default());
    (marks, profiles)
}

/// Waits until what a load found has arrived in Redis: another process then reads without asking the owners.
async fn filled(options: &RedisOptions, owners: &Arc<Owners>, tenant: &Tenant, n: u128) {
    loop {
        let before = owners.loads.load(Ordering::SeqCst);
        process(options, owners).1.get(tenant, customer(n), &Revision::new()).await.unwrap();
        if owners.loads.load(Ordering::SeqCst) == before {
            return;
        }
    }
}

#[tokio::test]
async fn what_one_process_loaded_another_finds() {
    let Some(options) = redis_options() else { return };
    let (owners, tenant) = (Owners::new(), tenant());
    let (n, _) = owners.write(&tenant, customer(1), Section::Interaction);
    process(&options, &owners).1.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    filled(&options, &owners, &tenant, 1).await;
    let loads = owners.loads.load(Ordering::SeqCst);
    let profile = process(&options, &owners).1.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    assert_eq!((profile.shown, owners.loads.load(Ordering::SeqCst)), ([0, n, 0], loads));
}

#[tokio::test]
async fn a_mark_of_one_process_makes_another_load_that_section_alone() {
    let Some(options) = redis_options() else { return };
    let (owners, tenant) = (Owners::new(), tenant());
    filled(&options, &owners, &tenant, 1).await;
    let (n, revision) = owners.write(&tenant, customer(1), Section::Segmentation);
    process(&options, &owners).0.mark(&tenant, &[customer(1)], Section::Segmentation, &revision).await;
    let loads = owners.loads.load(Ordering::SeqCst);
    let profile = process(&options, &owners).1.get(&tenant, customer(1), &Revision::new()).await.unwrap();
    assert_eq!((profile.shown, owners.loads.load(Ordering::SeqCst)), ([0, 0, n], loads + 1));
}

#[tokio::test]
async fn an_older_section_never_overwrites_a_newer_one() {
    let Some(options) = redis_options() else { return };
    let (owners, tenant) = (Owners::new(), tenant());
    // Several processes load at once while writes go on; what stays in Redis is not older than any mark.
    for n in 1..20u128 {
        owners.yields.store((n % 4) as u64, Ordering::SeqCst);
        let processes: Vec<_> = (0..3).map(|_| process(&options, &owners)).collect();
        let none = Revision::new();
        let reads = processes.iter().map(|(_, profiles)| profiles.get(&tenant, customer(n), &none));
        let write = async {
            tokio::task::yield_now().await;
            let (seq, revision) = owners.write(&tenant, customer(n), Section::Identity);
            processes[0].0.mark(&tenant, &[customer(n)], Section::Identity, &revision).await;
            seq
        };
        let (seq, _) = tokio::join!(write, futures::future::join_all(reads));
        let profile = process(&options, &owners).1.get(&tenant, customer(n), &Revision::new()).await.unwrap();
        assert_eq!(profile.shown[0], seq);
    }
}

#[tokio::test]
async fn a_load_that_began_before_a_flush_fills_nothing() {
    let Some(options) = redis_options() else { return };
    let (owners, tenant) = (Owners::new(), tenant());
    let mut raw = redis::Client::open(options.url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let name = format!("rp:{{{tenant}:{}}}", customer(1));
    owners.yields.store(1, Ordering::SeqCst);
    owners.hold();
    let (_, profiles) = process(&options, &owners);
    let read = tokio::spawn({
        let tenant = tenant.clone();
        async move { profiles.get(&tenant, customer(1), &Revision::new()).await }
    });
    while owners.loads.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    // The flush takes the lease along, and would take the mark of a write in between.
    redis::cmd("DEL").arg(&name).exec_async(&mut raw).await.unwrap();
    owners.release();
    read.await.unwrap().unwrap();
    // Nothing is left to wait for but the fill itself: another load of the same process comes behind it.
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let there: bool = redis::cmd("EXISTS").arg(&name).query_async(&mut raw).await.unwrap();
        assert!(!there);
    }
}

#[tokio::test]
async fn a_tombstone_is_seen_by_every_process() {
    let Some(options) = redis_options() else { return };
    let (owners, tenant) = (Owners::new(), tenant());
    filled(&options, &owners, &tenant, 1).await;
    process(&options, &owners).0.bury(&tenant, customer(1)).await;
    let fault = process(&options, &owners).1.get(&tenant, customer(1), &Revision::new()).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::CustomerErased);
}

fn through(proxy: &Proxy, options: &RedisOptions) -> RedisOptions {
    RedisOptions {
        url: format!("redis://{}", proxy.address),
        timeout: Duration::from_millis(200),
        rest: Duration::from_millis(50),
        ..options.clone()
    }
}

fn target(options: &RedisOptions) -> String {
    let rest = options.url.split("://").nth(1).unwrap_or_default();
    rest.split('/').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn redis_gone_costs_no_read_and_comes_back() {
    let Some(options) = redis_options() else { return };
    for way in [Way::Cut, Way::Stalled] {
        let (owners, tenant) = (Owners::new(), tenant());
        let proxy = Proxy::to(target(&options)).await;
        let near = through(&proxy, &options);
        let (marks, profiles) = process(&near, &owners);
        filled(&options, &owners, &tenant, 1).await;
        profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap();
        proxy.set(way);
        // The mark of this write does not get through.
        let (seq, revision) = owners.write(&tenant, customer(1), Section::Interaction);
        marks.mark(&tenant, &[customer(1)], Section::Interaction, &revision).await;
        let mut n = 2;
        while marks.redis_state() == Some(BreakerState::Closed) {
            profiles.get(&tenant, customer(n), &Revision::new()).await.unwrap();
            n += 1;
        }
        let began = std::time::Instant::now();
        for n in 1_000..1_200 {
            profiles.get(&tenant, customer(n), &Revision::new()).await.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "an open breaker asks Redis now and then only");
        assert_eq!(profiles.get(&tenant, customer(1), &Revision::new()).await.unwrap().shown[1], seq);
        proxy.set(Way::Open);
        while marks.redis_state() != Some(BreakerState::Closed) {
            marks.redis_answers().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The lost mark is sent again: in the end no process reads the old section from Redis.
        loop {
            let profile = process(&options, &owners).1.get(&tenant, customer(1), &Revision::new()).await.unwrap();
            if profile.shown[1] == seq {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
