//! The SQL store sits the exam, on every database that there is here.

use std::sync::Arc;

use customization::SqlStore;
use customization_domain::contract::{EXAMS, Exam, Upkeep, no_upkeep, run};
use terms::{Clock, Ids, Service, SystemClock};

async fn sit(name: &str) {
    for store in testkit::stores(Service::Customization, customization::migrations).await {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = Arc::new(Ids::seeded(clock.clone(), 1));
        // Twice: what was decided waits to be indexed, or is indexed at once.
        let store = SqlStore::new(store.store());
        run(name, &Exam { store, ids, clock, upkeep: no_upkeep() }).await;
    }
    for store in testkit::stores(Service::Customization, customization::migrations).await {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = Arc::new(Ids::seeded(clock.clone(), 1));
        let store = SqlStore::new(store.store());
        let indexed = store.clone();
        let upkeep: Upkeep = Box::new(move || {
            let store = indexed.clone();
            Box::pin(async move { while store.index().await.expect("indexed") > 0 {} })
        });
        run(name, &Exam { store, ids, clock, upkeep }).await;
    }
}

macro_rules! exams {
    ($($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            sit(stringify!($name)).await;
        })*

        #[test]
        fn every_exam_is_sat() {
            let mut sat = vec![$(stringify!($name)),*];
            let mut all = EXAMS.to_vec();
            sat.sort_unstable();
            all.sort_unstable();
            assert_eq!(sat, all);
        }
    };
}

exams! {
    definitions_are_versioned
    names_are_unique_and_tenants_apart
    writers_of_one_tenant_take_turns
    a_request_id_defines_once
    an_old_place_is_as_it_was
    a_decision_is_logged_whole
    a_request_id_decides_once
    inputs_are_shared
    outcomes_are_reported_once
    effects_are_counted
    many_at_once_are_all_found
    a_survivor_is_read_with_its_aliases
    what_came_by_an_identifier_goes_with_it
    an_erased_customer_leaves_nothing
}
