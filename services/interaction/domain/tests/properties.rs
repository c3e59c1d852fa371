//! Properties of what stands: independent of order, and strict.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use interaction_domain::{
    Customers, How, MemoryStore, Ports, Store,
    arrival::{Arrival, Resolved},
    boundary::{Boundary, Scope},
    consent::{Consent, ConsentState, LawfulBasis, standing},
    draft::InteractionDraft,
    interaction::{Direction, Directness},
    permission::{Ask, Permission, Rule, Wanted, decide, effective},
    record_interaction::record_interaction,
    statement::{Ending, Statement, StatementKind, head},
    subject::{News, Split},
};
use proptest::prelude::*;
use serde_json::json;
use terms::{Caller, CustomerId, CustomerRef, Fault, FixedClock, Id, Identifier, Ids, Position, Revision, Timestamp};
use uuid::Uuid;

fn id<K: terms::IdKind>(n: u128) -> Id<K> {
    Id::from_uuid(Uuid::from_u128(n))
}

fn pick(list: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(list).prop_map(str::to_owned)
}

fn times() -> impl Strategy<Value = Timestamp> {
    (0i64..20).prop_map(Timestamp)
}

prop_compose! {
    fn statement()(n in 0u128..1000, at in times(), retracted in any::<bool>()) -> Statement {
        Statement {
            id: id(n),
            customer: id(1),
            arrival: Arrival::by_id(id(1)),
            topic: "t".to_owned(),
            value: json!(n as u64),
            kind: StatementKind::Fact,
            source_interaction: None,
            confidence: 1.0,
            valid_until: None,
            utterance: String::new(),
            occurred_at: at,
            recorded_at: at,
            retraction: retracted.then(|| Ending { at, reason: String::new() }),
            source: String::new(),
            boundary: None,
            fingerprint: None,
        }
    }
}

prop_compose! {
    fn consent(origin: u128)(
        n in 0u128..1_000_000,
        purpose in pick(&["marketing", "research", "transactional"]),
        channel in pick(&["", "email", "sms"]),
        topic in pick(&["", "food", "food.wine"]),
        state in prop::sample::select(ConsentState::ALL),
        basis in prop::sample::select(LawfulBasis::ALL),
        at in times(),
        from in prop::option::of(times()),
        lasts in prop::option::of(1i64..20),
    ) -> Consent {
        let valid_from = from.unwrap_or(at);
        let customer: CustomerId = id(origin);
        Consent {
            id: id(n),
            customer,
            arrival: Arrival::by_id(customer),
            purpose,
            channel,
            topic,
            state,
            basis,
            source: "s".to_owned(),
            evidence: String::new(),
            source_interaction: None,
            valid_from,
            valid_until: lasts.map(|n| Timestamp(valid_from.0 + n)),
            occurred_at: at,
            recorded_at: at,
            speaks_for: vec![customer],
        }
    }
}

prop_compose! {
    fn boundary()(
        n in 0u128..1_000_000,
        topics in prop::collection::vec(pick(&["food", "food.wine"]), 0..2),
        channels in prop::collection::vec(pick(&["email", "sms"]), 0..2),
        purposes in prop::collection::vec(pick(&["marketing", "transactional"]), 0..2),
        at in times(),
        lasts in prop::option::of(1i64..20),
    ) -> Boundary {
        let everything = topics.is_empty() && channels.is_empty() && purposes.is_empty();
        Boundary {
            id: id(n),
            customer: id(1),
            arrival: Arrival::by_id(id(1)),
            words: "no".to_owned(),
            scope: Scope { topics, channels, purposes, treatment_tags: Vec::new(), everything },
            statement: None,
            source_interaction: None,
            source: String::new(),
            occurred_at: at,
            recorded_at: at,
            valid_until: lasts.map(|n| Timestamp(at.0 + n)),
            lifted: None,
        }
    }
}

fn consents(origin: u128) -> impl Strategy<Value = Vec<Consent>> {
    prop::collection::vec(consent(origin), 0..6).prop_map(|mut all| {
        all.sort_by_key(|c| c.id);
        all.dedup_by_key(|c| c.id);
        all
    })
}

fn boundaries() -> impl Strategy<Value = Vec<Boundary>> {
    prop::collection::vec(boundary(), 0..3)
}

/// A purpose, a channel, a topic and a time.
fn asks() -> impl Strategy<Value = (String, String, String, Timestamp)> {
    (
        pick(&["marketing", "research", "transactional", "transactional.receipt"]),
        pick(&["", "email", "sms"]),
        pick(&["", "food", "food.wine", "books"]),
        times(),
    )
}

fn answer(ask: &(String, String, String, Timestamp), boundaries: &[Boundary], consents: &[Consent]) -> Permission {
    let ask = Ask { purpose: &ask.0, channel: &ask.1, topic: &ask.2, tags: &[], at: ask.3 };
    decide(&ask, boundaries, &standing(consents, ask.at))
}

fn refuses(rule: Rule) -> bool {
    matches!(rule, Rule::Boundary | Rule::ConsentWithdrawn | Rule::ConsentDenied)
}

proptest! {
    #[test]
    fn what_stands_on_a_topic_does_not_depend_on_order(
        said in prop::collection::vec(statement(), 0..12).prop_shuffle(),
    ) {
        let mut sorted = said.clone();
        sorted.sort_by_key(|s| s.order());
        prop_assert_eq!(head(&said).map(|s| s.order()), head(&sorted).map(|s| s.order()));
        // Hearing it twice changes nothing.
        let twice: Vec<_> = said.iter().chain(&said).cloned().collect();
        prop_assert_eq!(head(&twice).map(|s| s.order()), head(&sorted).map(|s| s.order()));
        // What stands was not taken back, and nothing that was not taken back is newer.
        if let Some(stands) = head(&said) {
            prop_assert!(stands.retraction.is_none());
            prop_assert!(said.iter().all(|s| s.retraction.is_some() || s.order() <= stands.order()));
        }
    }

    #[test]
    fn permission_does_not_depend_on_the_order_of_arrival(
        (all, shuffled) in consents(1).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        limits in boundaries(), ask in asks(),
    ) {
        let (a, b) = (answer(&ask, &limits, &all), answer(&ask, &limits, &shuffled));
        prop_assert_eq!((a.rule, a.consent, a.valid_until), (b.rule, b.consent, b.valid_until));
    }

    #[test]
    fn a_boundary_never_allows(all in consents(1), limits in boundaries(), more in boundary(), ask in asks()) {
        let before = answer(&ask, &limits, &all).rule;
        let mut with = limits;
        with.push(more);
        let after = answer(&ask, &with, &all).rule;
        prop_assert!(after == before || after == Rule::Boundary);
    }

    #[test]
    fn a_refusal_never_allows(all in consents(1), limits in boundaries(), mut no in consent(1), ask in asks()) {
        no.state = ConsentState::Withdrawn;
        no.id = id(2_000_000);
        // One that holds at once, and at the time that is asked about: neither future nor past.
        no.valid_from = no.occurred_at;
        no.valid_until = None;
        let before = answer(&ask, &limits, &all).rule;
        let mut with = all;
        with.push(no);
        prop_assert!(!answer(&ask, &limits, &with).rule.allows() || before.allows());
    }

    /// The union of what two customers said is never more permissive than what either refused.
    #[test]
    fn on_a_merge_the_strictest_wins(
        a in consents(1), b in consents(2), limits_a in boundaries(), limits_b in boundaries(), ask in asks(),
    ) {
        let b: Vec<Consent> = b.into_iter().map(|c| Consent { id: id(c.id.uuid().as_u128() + 5_000_000), ..c }).collect();
        let (of_a, of_b) = (answer(&ask, &limits_a, &a), answer(&ask, &limits_b, &b));
        let consents: Vec<Consent> = a.into_iter().chain(b).collect();
        let limits: Vec<Boundary> = limits_a.into_iter().chain(limits_b).collect();
        let of_both = answer(&ask, &limits, &consents);
        if refuses(of_a.rule) || refuses(of_b.rule) {
            prop_assert!(!of_both.rule.allows());
        }
        // Nothing is made up: the answer is the stronger of the two.
        prop_assert_eq!(of_both.rule, of_a.rule.min(of_b.rule));
    }

    /// Consent and interest aside, a transactional purpose passes unless it is refused itself.
    #[test]
    fn transactional_purposes_pass_where_marketing_does_not(all in consents(1), ask in asks()) {
        let marketing_only: Vec<Consent> = all.into_iter().filter(|c| c.purpose != "transactional").collect();
        let ask = ("transactional".to_owned(), ask.1, ask.2, ask.3);
        prop_assert_eq!(answer(&ask, &[], &marketing_only).rule, Rule::Transactional);
    }

    #[test]
    fn expired_consent_is_no_consent(mut yes in consent(1), ask in asks()) {
        yes.state = ConsentState::Granted;
        yes.valid_until = Some(ask.3);
        yes.valid_from = Timestamp(-1);
        let rule = answer(&ask, &[], &[yes]).rule;
        prop_assert!(!rule.allows() || rule == Rule::Transactional);
    }

    /// Between now and the time that an answer names, it does not change.
    #[test]
    fn an_answer_holds_until_it_says(all in consents(1), limits in boundaries(), ask in asks(), later in 1i64..20) {
        // What is said later is another matter: only the clock moves.
        let known: Vec<Consent> = all.into_iter().filter(|c| c.occurred_at <= ask.3).collect();
        let limits: Vec<Boundary> = limits.into_iter().filter(|b| b.occurred_at <= ask.3).collect();
        let now = answer(&ask, &limits, &known);
        let then = Timestamp(ask.3.0 + later);
        if now.valid_until.is_none_or(|until| then < until) {
            let ask = (ask.0, ask.1, ask.2, then);
            prop_assert_eq!(answer(&ask, &limits, &known).rule, now.rule);
        }
    }

    /// The list of permissions says of every place what asking for that place says.
    #[test]
    fn a_list_agrees_with_single_answers(all in consents(1), limits in boundaries(), ask in asks()) {
        let wanted = Wanted { purpose: "", channel: "", topic: "", at: ask.3 };
        let listed = effective(&wanted, &limits, &all);
        for p in &listed {
            let single = answer(&(p.purpose.clone(), p.channel.clone(), p.topic.clone(), ask.3), &limits, &all);
            prop_assert_eq!(&single, p);
        }
        // A place without an entry of its own has the answer of the entries that stand for it.
        let one = |channel: &str, topic: &str| {
            listed.iter().find(|p| p.purpose == ask.0 && p.channel == channel && p.topic == topic)
        };
        if let Some(exact) = one(&ask.1, &ask.2) {
            prop_assert_eq!(exact.rule, answer(&ask, &limits, &all).rule);
        }
    }
}

/// Identity, as it was after each step of its history.
struct Historic {
    /// After each step: where each customer's id leads, and where each customer's identifier leads.
    states: Vec<([usize; N], [usize; N])>,
    /// The step after which questions are answered now.
    now: AtomicUsize,
}

const N: usize = 6;

fn customer(n: usize) -> CustomerId {
    id(100 + n as u128)
}

fn mail(n: usize) -> Identifier {
    Identifier { namespace: "email".to_owned(), value: n.to_string() }
}

#[async_trait::async_trait]
impl Customers for Historic {
    async fn resolve(&self, _: &Caller, refs: &[CustomerRef], _: &Revision) -> Result<Vec<Option<Resolved>>, Fault> {
        let now = self.now.load(Ordering::SeqCst);
        let (ids, identifiers) = self.states[now];
        let at = Position { xid: 0, seq: 10 * now as i64 };
        let leads = |r: &CustomerRef| match r {
            CustomerRef::Id(id) => ids[(0..N).find(|n| customer(*n) == *id).unwrap()],
            CustomerRef::Identifier(identifier) => identifiers[identifier.value.parse::<usize>().unwrap()],
        };
        Ok(refs.iter().map(|r| Some(Resolved { customer: customer(leads(r)), at })).collect())
    }
}

/// To whom each id and each identifier leads.
type State = ([usize; N], [usize; N]);

/// Merges of customers who stand, and splits that take a former id out again, with its identifier or without.
fn history() -> impl Strategy<Value = (Vec<State>, Vec<(News, [usize; 2])>)> {
    prop::collection::vec((0..N, 0..N, 0..4u8), 1..14).prop_map(|steps| {
        let (mut ids, mut identifiers) = (std::array::from_fn(|n| n), std::array::from_fn(|n| n));
        let mut states = vec![(ids, identifiers)];
        let mut history = Vec::new();
        for (a, b, what) in steps {
            let (at_a, at_b): (usize, usize) = (ids[a], ids[b]);
            if what < 2 && at_a != at_b {
                for to in ids.iter_mut().chain(&mut identifiers).filter(|to| **to == at_a) {
                    *to = at_b;
                }
                let news = News::Merged { loser: customer(at_a), survivor: customer(at_b), cause: String::new() };
                history.push((news, [at_a, at_b]));
            } else if what >= 2 && at_a != a {
                ids[a] = a;
                if what == 3 {
                    identifiers[a] = a;
                }
                let split = Split {
                    from: customer(at_a),
                    to: customer(a),
                    records: Vec::new(),
                    customers: vec![customer(a)],
                    cause: String::new(),
                };
                history.push((News::Split(split), [at_a, a]));
            } else {
                continue;
            }
            states.push((ids, identifiers));
        }
        (states, history)
    })
}

fn draft(reference: CustomerRef) -> InteractionDraft {
    InteractionDraft {
        id: None,
        customer: reference,
        kind: "k".to_owned(),
        channel: String::new(),
        touchpoint: String::new(),
        direction: Direction::Inbound,
        directness: Directness::Direct,
        motivation: None,
        inducement: String::new(),
        occurred_at: None,
        properties: None,
        value: None,
        statements: Vec::new(),
        conversation: None,
        source: String::new(),
        record: None,
        decision: None,
        reservation: None,
    }
}

proptest! {
    /// News comes once in each of two partitions, and partitions are read at any pace, while writers write with what
    /// identity says now: in the end every row lies where identity says that its reference leads.
    #[test]
    fn every_pace_of_the_partitions_ends_where_identity_says(
        (states, history) in history(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..N), 40),
    ) {
        let last = states.len() - 1;
        let historic = Arc::new(Historic { states, now: AtomicUsize::new(0) });
        let clock = Arc::new(FixedClock::new(Timestamp(0)));
        let ids = Arc::new(Ids::seeded(clock.clone(), 1));
        let ports = Ports { store: MemoryStore::new(), customers: historic.clone(), clock, ids };
        let caller = Caller::all_powerful("t".parse().unwrap(), "test");
        let mut partitions: [VecDeque<(usize, (Position, News))>; N] = Default::default();
        for (i, (news, concerned)) in history.iter().enumerate() {
            for (copy, n) in concerned.iter().enumerate() {
                // The state after step i is number i + 1, and answers at 10 (i + 1).
                let at = Position { xid: 0, seq: 10 * (i as i64 + 1) + copy as i64 - 1 };
                partitions[*n].push_back((i + 1, (at, news.clone())));
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut written = Vec::new();
        runtime.block_on(async {
            let write = async |n: usize, written: &mut Vec<_>| {
                for reference in [CustomerRef::Id(customer(n)), CustomerRef::Identifier(mail(n))] {
                    let taken = record_interaction(&ports, &caller, How::default(), &draft(reference)).await.unwrap();
                    written.push((taken.value.interaction.id, n, written.len() % 2 == 1));
                }
            };
            for n in 0..N {
                write(n, &mut written).await;
            }
            let mut picks = picks.into_iter();
            loop {
                let busy: Vec<usize> = (0..N).filter(|n| !partitions[*n].is_empty()).collect();
                let Some((pick, ahead, writer)) = picks.next() else { break };
                if busy.is_empty() {
                    break;
                }
                let (step, news) = partitions[busy[pick.index(busy.len())]].pop_front().unwrap();
                // Identity is at least as far as what it told, and perhaps further.
                let now = historic.now.load(Ordering::SeqCst).max(step);
                historic.now.store(now + ahead.index(last - now + 1), Ordering::SeqCst);
                ports.store.apply(&caller.tenant, vec![news], historic.clone()).await.unwrap();
                write(writer, &mut written).await;
            }
            historic.now.store(last, Ordering::SeqCst);
            for (_, news) in partitions.into_iter().flatten() {
                ports.store.apply(&caller.tenant, vec![news], historic.clone()).await.unwrap();
            }
            for (interaction, n, by_identifier) in written {
                let row = ports.store.interaction(&caller.tenant, interaction, Timestamp(0)).await.unwrap().unwrap();
                let (ids, identifiers) = historic.states[last];
                let leads = if by_identifier { identifiers[n] } else { ids[n] };
                assert_eq!(row.interaction.customer, customer(leads), "customer {n}, by identifier: {by_identifier}");
            }
        });
    }
}
