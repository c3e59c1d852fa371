//! Looking up, listing.

use terms::{Caller, CustomerId, CustomerRef, Reason};
use uuid::Uuid;

use super::{caller, given, identifier};
use crate::{
    list_customers::{ListQuery, Order, SortField},
    lookup_customer::{lookup_customer, resolve},
    ports::Customers,
};

pub(super) async fn run(store: &dyn Customers) {
    identifiers_lead_to_survivors(store, &caller("looks-up")).await;
    references_resolve_in_order(store, &caller("refers")).await;
    a_batch_keeps_its_order(store, &caller("batches")).await;
    lists_come_in_pages(store, &caller("lists")).await;
}

fn nobody() -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001))
}

async fn identifiers_lead_to_survivors(store: &dyn Customers, caller: &Caller) {
    let a = given(&["crm:a"]).identify(store, caller).await;
    let b = given(&["crm:b"]).identify(store, caller).await;
    let c = given(&["crm:c"]).identify(store, caller).await;
    given(&["crm:a", "crm:b"]).identify(store, caller).await;
    let asked = ["crm:x", "crm:b", "crm:c", "crm:a"].map(identifier).to_vec();
    let found = lookup_customer(store, &caller.tenant, asked).await.unwrap();
    assert_eq!(Some(found.customer), a.customer);
    assert_eq!(found.others, [c.customer.unwrap()]);
    let matched: Vec<_> = found.matched_by.iter().map(|m| (m.identifier.value.as_str(), Some(m.record))).collect();
    assert_eq!(matched, [("b", b.record), ("a", a.record)]);
    let fault = lookup_customer(store, &caller.tenant, vec![identifier("crm:x")]).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::CustomerNotFound);
}

async fn references_resolve_in_order(store: &dyn Customers, caller: &Caller) {
    let a = given(&["crm:a"]).identify(store, caller).await.customer;
    let b = given(&["crm:b"]).identify(store, caller).await.customer;
    given(&["crm:a", "crm:b"]).identify(store, caller).await;
    let references = [
        CustomerRef::Identifier(identifier("crm:b")),
        CustomerRef::Id(nobody()),
        CustomerRef::Id(b.unwrap()),
        CustomerRef::Identifier(identifier("crm:x")),
        CustomerRef::Id(a.unwrap()),
    ];
    let resolved = resolve(store, &caller.tenant, &references).await.unwrap();
    assert_eq!(resolved, [a, None, a, None, a]);
    assert!(resolve(store, &caller.tenant, &[]).await.unwrap().is_empty());
}

async fn a_batch_keeps_its_order(store: &dyn Customers, caller: &Caller) {
    let a = given(&["crm:a"]).identify(store, caller).await.customer.unwrap();
    let b = given(&["crm:b"]).identify(store, caller).await.customer.unwrap();
    let c = given(&["crm:c"]).identify(store, caller).await.customer.unwrap();
    given(&["crm:a", "crm:c"]).identify(store, caller).await;
    let found = store.get(&caller.tenant, &[c, nobody(), b, c, a]).await.unwrap();
    let ids: Vec<_> = found.iter().map(|customer| customer.as_ref().map(|c| c.id)).collect();
    assert_eq!(ids, [Some(a), None, Some(b), Some(a), Some(a)]);
    assert_eq!(found[0], found[4]);
    assert!(store.get(&caller.tenant, &[]).await.unwrap().is_empty());
}

async fn lists_come_in_pages(store: &dyn Customers, caller: &Caller) {
    let mut ids = Vec::new();
    for i in 0..7 {
        ids.push(given(&[&format!("crm:{i}")]).identify(store, caller).await.customer.unwrap());
    }
    given(&["crm:0"]).says("late", true).seen(50).identify(store, caller).await;
    for field in [SortField::Id, SortField::CreateTime, SortField::UpdateTime] {
        for descending in [false, true] {
            let order = Order { field, descending };
            let all =
                store.list(&caller.tenant, ListQuery { search: None, order, after: None, limit: 100 }).await.unwrap();
            assert_eq!(all.len(), 7);
            let mut sorted = all.clone();
            sorted.sort_by_key(|customer| order.place(customer));
            if descending {
                sorted.reverse();
            }
            assert_eq!(all, sorted, "{order:?}");
            assert_eq!(pages(store, caller, order).await, all.iter().map(|c| c.id).collect::<Vec<_>>(), "{order:?}");
        }
    }
}

async fn pages(store: &dyn Customers, caller: &Caller, order: Order) -> Vec<CustomerId> {
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let page = store.list(&caller.tenant, ListQuery { search: None, order, after, limit: 3 }).await.unwrap();
        let Some(last) = page.last() else { return ids };
        after = Some(order.place(last));
        ids.extend(page.iter().map(|customer| customer.id));
    }
}
