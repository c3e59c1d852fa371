//! Merges, splits and erasure: rows go where identity says, and come back.

use terms::{CustomerId, CustomerRef, PageRequest, Position, Reason, Revision};

use super::{
    limiting::{consent, consents, rule},
    world::{World, happening, mail, saying},
};
use crate::{
    boundary::Scope,
    consent::ConsentState,
    customers::resolve_one,
    draft::InteractionDraft,
    lists::{ListInteractions, list_interactions},
    permission::Rule,
    ports::How,
    record_interaction::record_interaction,
    record_interactions::record_interactions,
    set_boundary::{SetBoundary, set_boundary},
    store::{Demand, Limits, Portrait, Recorded, Store, Timeline},
    subject::News,
};

async fn record<S: Store + Clone>(world: &World<S>, customer: CustomerRef, kind: &str) -> Recorded {
    let draft = InteractionDraft { statements: vec![saying("last.kind", kind)], ..happening(customer, kind) };
    record_interaction(&world.ports, &world.caller, How::default(), &draft).await.unwrap().value
}

async fn kinds<S: Store + Clone>(world: &World<S>, customer: CustomerId) -> Vec<String> {
    let wish = ListInteractions {
        customer: Some(CustomerRef::Id(customer)),
        which: Timeline::default(),
        filter: None,
        at_least: Demand::default(),
    };
    let page = PageRequest { size: 1_000, after: Vec::new() };
    let (page, _) = list_interactions(&world.ports, &world.caller, &wish, &page).await.unwrap();
    let mut kinds: Vec<String> = page.items.into_iter().map(|i| i.kind).collect();
    kinds.sort();
    kinds
}

/// Everything of a customer, in an order of its own.
async fn portrait<S: Store + Clone>(world: &World<S>, customer: CustomerId) -> Portrait {
    let mut portrait = world.ports.store.portrait(&world.caller.tenant, customer).await.unwrap();
    portrait.statements.sort_by_key(|s| s.id);
    portrait.limits.consents.sort_by_key(|c| c.id);
    portrait.limits.boundaries.sort_by_key(|b| b.id);
    portrait
}

async fn limit<S: Store + Clone>(world: &World<S>, customer: CustomerId, topic: &str) {
    let wish = SetBoundary {
        customer: CustomerRef::Id(customer),
        words: format!("no {topic}"),
        scope: Scope::topic(topic),
        source_interaction: None,
        occurred_at: None,
        valid_until: None,
        source: String::new(),
    };
    set_boundary(&world.ports, &world.caller, How::default(), &wish).await.unwrap();
}

pub(super) async fn merge_then_split_is_as_if_nothing_had_happened<S: Store + Clone>(world: &World<S>) {
    let (jane, j) = (world.customer("jane@example.org"), world.customer("j@example.org"));
    record(world, CustomerRef::Id(jane), "a").await;
    world.pass(1);
    record(world, CustomerRef::Id(j), "b").await;
    record(world, CustomerRef::Identifier(mail("j@example.org")), "c").await;
    record(world, CustomerRef::Identifier(mail("jane@example.org")), "d").await;
    limit(world, j, "alcohol").await;
    consents(world, j, vec![consent(ConsentState::Withdrawn, "")]).await;
    let before = (portrait(world, jane).await, portrait(world, j).await);
    let merged = world.directory.merge(j, jane);
    world.hear(merged.clone()).await;
    assert_eq!(kinds(world, jane).await, ["a", "b", "c", "d"]);
    assert_eq!(rule(world, jane, "transactional", "", "alcohol").await, Rule::Boundary);
    let both = portrait(world, jane).await;
    assert_eq!(both.counters.organic(), 4);
    assert!(world.ports.store.limits(&world.caller.tenant, j).await.unwrap() == Limits::default());
    let split = world.directory.split(jane, j, &[mail("J@Example.org")]);
    world.hear(split.clone()).await;
    // What comes late and twice, in any order, changes nothing.
    world.hear(merged).await;
    world.hear(split).await;
    assert_eq!((portrait(world, jane).await, portrait(world, j).await), before);
    assert_eq!(
        (kinds(world, jane).await, kinds(world, j).await),
        (vec!["a".into(), "d".into()], vec!["b".into(), "c".into()])
    );
}

pub(super) async fn writes_to_a_former_id_land_on_the_survivor<S: Store + Clone>(world: &World<S>) {
    let [a, b, c] = ["a@x.org", "b@x.org", "c@x.org"].map(|email| world.customer(email));
    let first = world.directory.merge(a, b);
    let second = world.directory.merge(b, c);
    // The news of the second merge comes first.
    world.hear(second).await;
    record(world, CustomerRef::Identifier(mail("a@x.org")), "one").await;
    world.hear(first).await;
    for (customer, kind) in [(a, "two"), (b, "three"), (c, "four")] {
        assert_eq!(record(world, CustomerRef::Id(customer), kind).await.interaction.customer, c);
    }
    assert_eq!(kinds(world, a).await, ["four", "one", "three", "two"]);
    let drafts = [a, b, c].map(|id| Ok(happening(CustomerRef::Id(id), "bulk")));
    let batch = record_interactions(&world.ports, &world.caller, drafts.into()).await.unwrap();
    assert!(batch.verdicts.iter().all(|v| v.as_ref().is_ok_and(|v| v.customer == c)));
}

pub(super) async fn a_stale_reference_is_resolved_anew<S: Store + Clone>(world: &World<S>) {
    let (jane, j) = (world.customer("jane@example.org"), world.customer("j@example.org"));
    world.hear(world.directory.merge(j, jane)).await;
    world.hear(world.directory.split(jane, j, &[mail("j@example.org")])).await;
    // From here on a look-up without a demand answers as before the split.
    world.directory.lag(true);
    let reference = CustomerRef::Identifier(mail("j@example.org"));
    let cached = resolve_one(&*world.directory, &world.caller, &reference, &Revision::new()).await.unwrap();
    let fresh = resolve_one(&*world.directory, &world.caller, &reference, &world.seen()).await.unwrap();
    assert_eq!((cached.customer, fresh.customer), (jane, j));
    assert_eq!(record(world, reference.clone(), "x").await.interaction.customer, j);
    let batch = record_interactions(
        &world.ports,
        &world.caller,
        vec![Ok(happening(CustomerRef::Id(jane), "y")), Ok(happening(reference, "z"))],
    )
    .await
    .unwrap();
    let owners: Vec<_> = batch.verdicts.into_iter().map(|v| v.unwrap().customer).collect();
    assert_eq!(owners, [jane, j]);
}

pub(super) async fn what_identity_normalises_alike_moves_along<S: Store + Clone>(world: &World<S>) {
    let (jane, j) = (world.customer("jane@example.org"), world.customer("j.doe@example.org"));
    // The directory takes dots as nothing.
    record(world, CustomerRef::Identifier(mail("jdoe@example.org")), "dotless").await;
    record(world, CustomerRef::Identifier(mail("J.Doe@example.org ".trim_end())), "case").await;
    world.hear(world.directory.merge(j, jane)).await;
    assert_eq!(kinds(world, jane).await, ["case", "dotless"]);
    world.hear(world.directory.split(jane, j, &[mail("j.doe@example.org")])).await;
    assert_eq!((kinds(world, jane).await.len(), kinds(world, j).await.len()), (0, 2));
}

pub(super) async fn an_erased_customer_takes_nothing<S: Store + Clone>(world: &World<S>) {
    let (jane, john) = (world.customer("jane@example.org"), world.customer("john@example.org"));
    record(world, CustomerRef::Id(jane), "a").await;
    limit(world, jane, "alcohol").await;
    consents(world, jane, vec![consent(ConsentState::Granted, "")]).await;
    record(world, CustomerRef::Id(john), "b").await;
    world.hear(vec![(Position { xid: 0, seq: 9_000 }, News::Erased { customers: vec![jane] })]).await;
    let after = portrait(world, jane).await;
    assert!(after.erased && after.statements.is_empty() && after.limits == Limits::default());
    assert!(after.counters.types.is_empty() && kinds(world, jane).await.is_empty());
    assert_eq!(kinds(world, john).await, ["b"]);
    // A late write of someone who had resolved the id before.
    let late = happening(CustomerRef::Id(jane), "late");
    let refused = record_interaction(&world.ports, &world.caller, How::default(), &late).await;
    assert_eq!(refused.unwrap_err().reason(), Reason::CustomerErased);
    // Nor does news from before the erasure bring it back.
    world
        .hear(vec![(Position { xid: 0, seq: 1 }, News::Merged { loser: jane, survivor: john, cause: String::new() })])
        .await;
    assert!(portrait(world, jane).await.erased);
}
