//! How many statements an `Identify` takes: guards read what they need with the rows that are read anyway.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use identity::{SqlCustomers, migrations};
use identity_domain::{ClaimInput, Customers, Identify, IdentifyInput};
use profile::Marks;
use terms::{Caller, Ids, Service, SystemClock, Timestamp};
use testkit::stores;
use tracing::{Subscriber, span};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry,
};

static STATEMENTS: AtomicUsize = AtomicUsize::new(0);

/// Counts what is sent within transactions: sea-orm opens a span for each.
struct Count;

impl<S: Subscriber> Layer<S> for Count {
    fn on_new_span(&self, span: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        let (target, name) = (span.metadata().target(), span.metadata().name());
        if target == "sea_orm::database::transaction"
            && ["execute_raw", "query_one_raw", "query_all_raw"].contains(&name)
        {
            STATEMENTS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn command(identifiers: &[(&str, &str)], second: i64) -> Identify {
    let claim = |(namespace, value): &(&str, &str)| ClaimInput {
        namespace: (*namespace).to_owned(),
        value: (*value).to_owned(),
        verified: None,
    };
    let input = IdentifyInput {
        source: "webshop".to_owned(),
        identifiers: identifiers.iter().map(claim).collect(),
        observed_at: Some(Timestamp::from_seconds(1_600_000_000 + second)),
        create_if_missing: true,
        ..IdentifyInput::default()
    };
    Identify::check(input, &Arc::default(), Timestamp::from_seconds(2_000_000_000)).unwrap()
}

/// One test alone in its process: the count is everybody's.
#[tokio::test(flavor = "multi_thread")]
async fn guards_cost_a_hit_no_statement() {
    tracing::subscriber::set_global_default(registry().with(Count)).unwrap();
    for store in stores(Service::Identity, migrations).await {
        let ids = Arc::new(Ids::new(Arc::new(SystemClock)));
        let customers = SqlCustomers::new(store.store(), ids, Marks::in_process());
        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
        let statements = async |identifiers: &[(&str, &str)], second| {
            let before = STATEMENTS.load(Ordering::Relaxed);
            customers.identify(&caller, None, command(identifiers, second)).await.unwrap();
            STATEMENTS.load(Ordering::Relaxed) - before
        };
        // Read: leads, customer, record, edges. Written: customer, record, edges. And the revision of what was seen.
        const HIT: usize = 8;
        let jane = [("user_id", "jane"), ("email", "jane@example.org"), ("device", "phone")];
        statements(&jane, 0).await;
        assert_eq!(statements(&jane, 1).await, HIT, "{}: seen again", store.name());
        assert_eq!(statements(&jane, 1).await, HIT - 3, "{}: repeated", store.name());
        statements(&[("crm", "1")], 2).await;
        assert_eq!(statements(&[("crm", "1")], 3).await, HIT, "{}: a namespace that nobody declared", store.name());
        // Nothing is refused twice at a price.
        let joe = [("user_id", "joe"), ("email", "jane@example.org"), ("device", "phone")];
        statements(&joe, 4).await;
        // Who stands for the shared device, and whether the two customers were taken apart.
        assert_eq!(statements(&joe, 5).await, HIT + 2, "{}", store.name());
        // A session keeps when it was seen last.
        let visit = [("user_id", "jane"), ("session", "s")];
        statements(&visit, 6).await;
        assert_eq!(statements(&visit, 7).await, HIT + 1, "{}: a session", store.name());
    }
}
