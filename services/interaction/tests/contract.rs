//! The contract of the domain, on every database that there is here.

use data::StoreOptions;
use interaction::SqlInteractions;
use interaction_domain::contract::{World, suite};
use profile::Marks;
use terms::Service;

#[tokio::test(flavor = "multi_thread")]
async fn every_store_passes() {
    let clock = testkit::clock();
    let options = {
        let clock = clock.clone();
        move || StoreOptions::new(clock.clone())
    };
    for store in testkit::stores_with(Service::Interaction, interaction::migrations, options).await {
        let world = World::new(SqlInteractions::new(store.store(), Marks::in_process()), clock.clone());
        suite(&world).await;
        assert_eq!(store.idle_in_transaction().await, 0, "{}", store.name());
    }
}
