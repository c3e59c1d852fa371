//! Interactions: recorded once, read back whole, listed in pages.

use std::time::Duration;

use serde_json::{Map, json};
use terms::{CustomerId, CustomerRef, Fault, Once, PageRequest, Reason, Timestamp};

use super::world::{BEGIN, World, happening, mail, saying};
use crate::{
    draft::InteractionDraft,
    filter::InteractionFilter,
    interaction::{Direction, Directness, Interaction, Money, Motivation},
    lists::{ListInteractions, get_interaction, list_interactions},
    ports::How,
    record_interaction::record_interaction,
    record_interactions::record_interactions,
    store::{Demand, Recorded, Store, Timeline, TimelineOrder},
};

async fn record<S: Store + Clone>(world: &World<S>, draft: &InteractionDraft) -> Result<Recorded, Fault> {
    Ok(record_interaction(&world.ports, &world.caller, How::default(), draft).await?.value)
}

fn full(customer: CustomerRef) -> InteractionDraft {
    let properties: Map<_, _> =
        [("basket".to_owned(), json!({"items": 3, "gift": true})), ("é".to_owned(), json!(null))].into_iter().collect();
    InteractionDraft {
        touchpoint: "checkout".to_owned(),
        direction: Direction::Outbound,
        directness: Directness::Indirect,
        inducement: "spring-deal".to_owned(),
        occurred_at: Some(Timestamp(BEGIN.0 - 12_345_678)),
        properties: Some(properties),
        value: Some(Money { currency: "EUR".to_owned(), micros: -1_500_000 }),
        statements: vec![saying("diet.vegetarian", true), saying("size.shoe", 43.0)],
        source: "webshop".to_owned(),
        ..happening(customer, "purchase.online")
    }
}

pub(super) async fn everything_that_was_given_is_read_back<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    let draft = InteractionDraft {
        conversation: Some(world.ports.ids.next()),
        record: Some(world.ports.ids.next()),
        decision: Some(world.ports.ids.next()),
        reservation: Some(world.ports.ids.next()),
        ..full(CustomerRef::Identifier(mail("jane@example.org")))
    };
    let written = record_interaction(&world.ports, &world.caller, How::default(), &draft).await.unwrap();
    assert!(!written.revision.is_empty() && !written.value.duplicate);
    let recorded = written.value;
    let demand = Demand { revision: written.revision.clone(), patience: Duration::from_secs(1) };
    let (read, revision) =
        get_interaction(&world.ports, &world.caller, recorded.interaction.id, &demand).await.unwrap();
    assert_eq!(read, recorded);
    assert!(revision.covers(&written.revision));
    let interaction = read.interaction;
    assert_eq!(interaction.customer, jane);
    assert_eq!(interaction.arrival.identifier, Some(mail("jane@example.org")));
    assert_eq!(interaction.arrival.record, draft.record);
    assert_eq!(interaction.motivation, Motivation::Incentivised);
    assert_eq!((interaction.properties, interaction.value), (draft.properties, draft.value));
    assert_eq!((interaction.conversation, interaction.decision), (draft.conversation, draft.decision));
    assert_eq!(interaction.reservation, draft.reservation);
    assert_eq!((interaction.occurred_at, interaction.recorded_at), (Timestamp(BEGIN.0 - 12_345_678), BEGIN));
    let said: Vec<_> = read.statements.iter().map(|s| s.statement.topic.as_str()).collect();
    assert_eq!(said, ["diet.vegetarian", "size.shoe"]);
    assert!(read.statements.iter().all(|s| s.statement.source_interaction == Some(interaction.id)));
    let missing = get_interaction(&world.ports, &world.caller, world.ports.ids.next(), &Demand::default()).await;
    assert_eq!(missing.unwrap_err().reason(), Reason::InteractionNotFound);
    let nobody = happening(CustomerRef::Identifier(mail("nobody@example.org")), "login");
    assert_eq!(record(world, &nobody).await.unwrap_err().reason(), Reason::CustomerNotFound);
}

pub(super) async fn an_own_id_is_recorded_once<S: Store + Clone>(world: &World<S>) {
    let jane = CustomerRef::Id(world.customer("jane@example.org"));
    let draft = InteractionDraft { id: Some(world.ports.ids.next()), ..full(jane.clone()) };
    let first = record(world, &draft).await.unwrap();
    world.pass(60);
    let again = record(world, &draft).await.unwrap();
    assert!(again.duplicate && !first.duplicate);
    assert_eq!(Recorded { duplicate: false, ..again }, first);
    let other = InteractionDraft { channel: "app".to_owned(), ..draft.clone() };
    assert_eq!(record(world, &other).await.unwrap_err().reason(), Reason::IdReused);
    // An id that the server made is no one's to give.
    let ours = record(world, &happening(jane.clone(), "login")).await.unwrap().interaction.id;
    let theirs = InteractionDraft { id: Some(ours), ..happening(jane.clone(), "login") };
    assert_eq!(record(world, &theirs).await.unwrap_err().reason(), Reason::IdReused);
    // A statement's own id belongs to one telling.
    let mut telling = happening(jane, "survey");
    telling.statements = vec![crate::draft::StatementDraft { id: Some(world.ports.ids.next()), ..saying("a", 1.0) }];
    record(world, &telling).await.unwrap();
    assert_eq!(record(world, &telling).await.unwrap_err().reason(), Reason::IdReused);
    let races = futures_of(8, |_| record(world, &draft));
    for raced in races.await {
        assert!(raced.unwrap().duplicate);
    }
    let fresh = InteractionDraft { id: Some(world.ports.ids.next()), ..draft.clone() };
    let raced = futures_of(8, |_| record(world, &fresh)).await;
    let new = raced.into_iter().filter(|r| !r.as_ref().unwrap().duplicate).count();
    assert_eq!(new, 1, "of those who race with one id, one records");
}

/// Runs `n` futures at once.
pub(super) async fn futures_of<F: Future>(n: usize, make: impl Fn(usize) -> F) -> Vec<F::Output> {
    let mut pending: Vec<std::pin::Pin<Box<F>>> = (0..n).map(|i| Box::pin(make(i))).collect();
    let mut done: Vec<Option<F::Output>> = (0..n).map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in pending.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

pub(super) async fn a_request_is_answered_once<S: Store + Clone>(world: &World<S>) {
    let jane = CustomerRef::Id(world.customer("jane@example.org"));
    let once = |fingerprint: u8| How {
        once: Some(Once {
            tenant: world.caller.tenant.clone(),
            method: "rapport.interaction.v1.InteractionService/RecordInteraction",
            request_id: "r-1".to_owned(),
            fingerprint: [fingerprint; 32],
        }),
        dry: false,
    };
    let draft = full(jane.clone());
    let first = record_interaction(&world.ports, &world.caller, once(1), &draft).await.unwrap();
    let again = record_interaction(&world.ports, &world.caller, once(1), &draft).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!((&again.value, &again.revision), (&first.value, &first.revision));
    let other = record_interaction(&world.ports, &world.caller, once(2), &draft).await;
    assert_eq!(other.unwrap_err().reason(), Reason::RequestIdReused);
    assert_eq!(kinds(world, None, TimelineOrder::Newest).await.len(), 1);
}

pub(super) async fn bulk_verdicts_come_in_order<S: Store + Clone>(world: &World<S>) {
    let customers: Vec<CustomerId> = (0..7).map(|i| world.customer(&format!("c{i}@example.org"))).collect();
    let own = world.ports.ids.next();
    let drafts: Vec<Result<InteractionDraft, Fault>> = (0..300)
        .map(|i| {
            let mut draft = happening(CustomerRef::Id(customers[i % 7]), "page.view");
            draft.statements = (i % 10 == 0).then(|| saying("seen.page", i as f64)).into_iter().collect();
            match i {
                100 => return Err(Fault::new(Reason::InvalidFields, "could not be read")),
                101 => draft.kind = "Not A Key".to_owned(),
                102 => draft.customer = CustomerRef::Identifier(mail("nobody@example.org")),
                200 | 201 => (draft.id, draft.customer) = (Some(own), CustomerRef::Id(customers[0])),
                202 => (draft.id, draft.kind) = (Some(own), "other".to_owned()),
                _ => {}
            }
            if (200..=202).contains(&i) {
                draft.statements.clear();
            }
            Ok(draft)
        })
        .collect();
    let batch = record_interactions(&world.ports, &world.caller, drafts).await.unwrap();
    assert_eq!(batch.verdicts.len(), 300);
    for (i, verdict) in batch.verdicts.iter().enumerate() {
        match (i, verdict) {
            (100 | 101, Err(fault)) => assert_eq!(fault.reason(), Reason::InvalidFields),
            (102, Err(fault)) => assert_eq!(fault.reason(), Reason::CustomerNotFound),
            (202, Err(fault)) => assert_eq!(fault.reason(), Reason::IdReused),
            (200 | 201, Ok(taken)) => assert_eq!((taken.interaction, taken.duplicate), (own, i == 201)),
            (_, Ok(taken)) => {
                assert_eq!((taken.customer, taken.duplicate), (customers[i % 7], false), "{i}");
                assert_eq!(taken.statements.len(), usize::from(i % 10 == 0));
            }
            (_, Err(fault)) => panic!("{i}: {fault:?}"),
        }
    }
    assert_eq!(kinds(world, None, TimelineOrder::Newest).await.len(), 295);
    let again = InteractionDraft { id: Some(own), ..happening(CustomerRef::Id(customers[0]), "page.view") };
    let batch = record_interactions(&world.ports, &world.caller, vec![Ok(again)]).await.unwrap();
    assert!(batch.verdicts[0].as_ref().unwrap().duplicate);
}

pub(super) async fn a_dry_run_leaves_nothing<S: Store + Clone>(world: &World<S>) {
    let jane = CustomerRef::Id(world.customer("jane@example.org"));
    let how = How { once: None, dry: true };
    let written = record_interaction(&world.ports, &world.caller, how, &full(jane.clone())).await.unwrap();
    assert!(written.revision.is_empty());
    assert_eq!(written.value.statements.len(), 2);
    assert!(kinds(world, None, TimelineOrder::Newest).await.is_empty());
    let bad = InteractionDraft { kind: String::new(), ..full(jane) };
    assert_eq!(record(world, &bad).await.unwrap_err().reason(), Reason::InvalidFields);
}

async fn kinds<S: Store + Clone>(world: &World<S>, customer: Option<CustomerRef>, order: TimelineOrder) -> Vec<String> {
    let which = Timeline { order, ..Timeline::default() };
    let wish = ListInteractions { customer, which, filter: None, at_least: Demand::default() };
    pages(world, &wish, 1_000).await.into_iter().map(|i| i.kind).collect()
}

async fn pages<S: Store + Clone>(world: &World<S>, wish: &ListInteractions, size: u32) -> Vec<Interaction> {
    let mut all = Vec::new();
    let mut after = Vec::new();
    loop {
        let page = PageRequest { size, after };
        let (page, _) = list_interactions(&world.ports, &world.caller, wish, &page).await.unwrap();
        assert!(page.items.len() <= size as usize);
        all.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => return all,
        }
    }
}

pub(super) async fn timelines_are_paged_and_sifted<S: Store + Clone>(world: &World<S>) {
    let (jane, john) = (world.customer("jane@example.org"), world.customer("john@example.org"));
    let conversation = world.ports.ids.next();
    for i in 0..10 {
        let at = |customer, minutes: i64, n: i32| InteractionDraft {
            occurred_at: Some(Timestamp(BEGIN.0 - minutes * 60_000_000)),
            conversation: (n % 2 == 0).then_some(conversation),
            properties: Some([("n".to_owned(), json!(n))].into_iter().collect()),
            ..happening(CustomerRef::Id(customer), &format!("k{n}"))
        };
        // Event times go back and forth, and pairs share one.
        record(world, &at(jane, [3, 3, 9, 1, 7, 7, 0, 2, 8, 5][i as usize], i)).await.unwrap();
        record(world, &at(john, i64::from(i), i)).await.unwrap();
        world.pass(1);
    }
    let wish = |order| ListInteractions {
        customer: Some(CustomerRef::Id(jane)),
        which: Timeline { order, ..Timeline::default() },
        filter: None,
        at_least: Demand::default(),
    };
    for size in [1, 3, 10, 11] {
        let names = |items: Vec<Interaction>| items.into_iter().map(|i| i.kind).collect::<Vec<_>>().join(" ");
        assert_eq!(names(pages(world, &wish(TimelineOrder::Newest), size).await), "k6 k3 k7 k1 k0 k9 k5 k4 k8 k2");
        assert_eq!(names(pages(world, &wish(TimelineOrder::Oldest), size).await), "k2 k8 k4 k5 k9 k0 k1 k7 k3 k6");
        assert_eq!(names(pages(world, &wish(TimelineOrder::Recorded), size).await), "k0 k1 k2 k3 k4 k5 k6 k7 k8 k9");
        let mut some = wish(TimelineOrder::Newest);
        some.which.conversation = Some(conversation);
        some.which.from = Some(Timestamp(BEGIN.0 - 8 * 60_000_000));
        some.which.before = Some(BEGIN);
        assert_eq!(names(pages(world, &some, size).await), "k0 k4 k8");
        let mut sifted = wish(TimelineOrder::Newest);
        sifted.filter = InteractionFilter::compile("filter", "properties.n > 6.0 && channel == 'web'").unwrap();
        assert_eq!(names(pages(world, &sifted, size).await), "k7 k9 k8");
    }
    let all = ListInteractions { customer: None, ..wish(TimelineOrder::Newest) };
    assert_eq!(pages(world, &all, 7).await.len(), 20);
    assert!(InteractionFilter::compile("filter", "no_such == 1").is_err());
}

pub(super) async fn tenants_share_nothing<S: Store + Clone>(a: &World<S>, b: &World<S>) {
    let jane = a.customer("jane@example.org");
    b.directory.add(jane, &[]);
    let recorded = record(a, &full(CustomerRef::Id(jane))).await.unwrap();
    let foreign = get_interaction(&b.ports, &b.caller, recorded.interaction.id, &Demand::default()).await;
    assert_eq!(foreign.unwrap_err().reason(), Reason::InteractionNotFound);
    assert!(kinds(b, Some(CustomerRef::Id(jane)), TimelineOrder::Newest).await.is_empty());
    assert!(b.ports.store.portrait(&b.caller.tenant, jane).await.unwrap().statements.is_empty());
}

pub(super) async fn counters_keep_organic_and_incentivised_apart<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    for (i, (kind, paid, out)) in
        [("buy", false, false), ("buy", true, false), ("buy", false, true), ("see", true, true)].into_iter().enumerate()
    {
        let draft = InteractionDraft {
            inducement: if paid { "deal".to_owned() } else { String::new() },
            direction: if out { Direction::Outbound } else { Direction::Inbound },
            occurred_at: Some(Timestamp(BEGIN.0 - i as i64)),
            ..happening(CustomerRef::Id(jane), kind)
        };
        record(world, &draft).await.unwrap();
    }
    let counters = world.ports.store.portrait(&world.caller.tenant, jane).await.unwrap().counters;
    let buy = counters.types["buy"];
    assert_eq!((buy.organic, buy.incentivised, buy.last_at), (2, 1, BEGIN));
    assert_eq!((counters.inbound, counters.outbound, counters.organic()), (2, 2, 2));
    assert_eq!((counters.first_at, counters.last_at), (Some(Timestamp(BEGIN.0 - 3)), Some(BEGIN)));
    assert_eq!(counters.last_inbound_at, Some(BEGIN));
}
