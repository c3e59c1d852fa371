//! What an earlier schema holds is there in this one.

use std::sync::Arc;

use customization::SqlStore;
use customization_domain::{ports::DecisionLog, report_outcome::DecisionId};
use data::{Sql, Store, StoreOptions};
use sea_orm_migration::MigrationTrait;
use terms::{CustomerId, Ids, Service, SystemClock, Tenant, Timestamp};
use testkit::Database;
use uuid::Uuid;

/// The schema in which a decision was one row.
fn rows() -> Vec<Box<dyn MigrationTrait>> {
    customization::migrations().into_iter().take(6).collect()
}

fn customer(n: u128) -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(n))
}

/// Sealed bytes begin with the version of their form.
const BODY: [u8; 4] = [1, 7, 8, 9];
const VIA: [u8; 32] = [5; 32];

/// A decision of the customer `n % 3`; every seventh was moved to customer 9, every fifth was named by an identifier.
async fn insert(store: &Store, tenant: &Tenant, id: DecisionId, n: u128) {
    let sql = "INSERT INTO decision (tenant, id, customer, arrived_as, arrived_via, touchpoint, catalog_version, at, \
               inputs, body) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, NULL, $8)";
    let made_for = customer(n % 3);
    let now = if n.is_multiple_of(7) { customer(9) } else { made_for };
    let values = vec![
        tenant.as_str().into(),
        id.uuid().into(),
        now.uuid().into(),
        made_for.uuid().into(),
        n.is_multiple_of(5).then(|| VIA.to_vec()).into(),
        Uuid::from_u128(4).into(),
        i64::try_from(n).unwrap().into(),
        BODY.to_vec().into(),
    ];
    let written = store.write(move |tx| {
        let values = values.clone();
        Box::pin(async move { tx.conn().run(sql, values).await })
    });
    written.await.unwrap();
}

#[tokio::test]
async fn decisions_that_were_rows_are_found_in_blocks() {
    for database in Database::each().await {
        let clock = Arc::new(SystemClock);
        let ids = Ids::seeded(clock.clone(), 1);
        let before = database.open(Service::Customization, rows(), StoreOptions::new(clock.clone())).await;
        let tenants: Vec<Tenant> = ["a", "b"].map(|name| name.parse().unwrap()).into();
        let mut made: Vec<(Tenant, DecisionId, u128)> = Vec::new();
        for n in 0..1_030 {
            let tenant = &tenants[usize::from(n % 4 == 0)];
            made.push((tenant.clone(), ids.next(), n));
            insert(&before, tenant, made[made.len() - 1].1, n).await;
        }
        before.close().await.unwrap();
        let all = customization::migrations();
        let store = SqlStore::new(database.open(Service::Customization, all, StoreOptions::new(clock)).await);
        for _ in 0..2 {
            for (tenant, id, n) in made.iter().step_by(97) {
                let logged = store.find(tenant, *id).await.unwrap().unwrap();
                let owner = if n.is_multiple_of(7) { customer(9) } else { customer(n % 3) };
                assert_eq!((logged.customer, logged.arrived_as), (Some(owner), Some(customer(n % 3))));
                assert_eq!((logged.at.micros(), logged.body.as_slice()), (i64::try_from(*n).unwrap(), &BODY[1..]));
            }
            for tenant in &tenants {
                for (who, is_theirs) in [(2, (|n| n % 3 == 2 && n % 7 != 0) as fn(u128) -> bool), (9, |n| n % 7 == 0)] {
                    let effects = store.effects(tenant, &[customer(who)], Timestamp::EPOCH).await.unwrap();
                    let theirs = made.iter().filter(|(of, _, n)| of == tenant && is_theirs(*n)).count();
                    assert_eq!(usize::try_from(effects.decision_count), Ok(theirs));
                }
            }
            while store.index().await.unwrap() > 0 {}
        }
        store.reassign(&tenants[0], customer(8), &[VIA]).await.unwrap();
        let effects = store.effects(&tenants[0], &[customer(8)], Timestamp::EPOCH).await.unwrap();
        let named = made.iter().filter(|(tenant, _, n)| *tenant == tenants[0] && n % 5 == 0).count();
        assert_eq!(usize::try_from(effects.decision_count), Ok(named));
    }
}
