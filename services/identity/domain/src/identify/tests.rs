//! Properties of the decision: the order of arrival does not matter, and the golden record is what all records say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;
use serde_json::Value;
use terms::{Clock, CustomerId, FixedClock, Identifier, Ids, Reason, Timestamp};

use super::{ClaimInput, Identify, IdentifyInput};
use crate::{
    anchors::Anchors,
    customer::Kind,
    golden::Golden,
    identify_stream::identify_all,
    policy::Policy,
    record::Record,
    view::{Moment, Node, View},
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// What can be said of a call without the ids that depend on its run.
fn input() -> impl Strategy<Value = IdentifyInput> {
    let identifiers = prop::collection::btree_set((0..3u8, 0..4u8), 0..3);
    let text = "x{1,4}".prop_map(Value::from);
    let value = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..5).prop_map(Value::from), text];
    let traits = prop::collection::btree_map("[ab]", value, 0..3);
    // One kind, or none: what is of different kinds is never joined.
    let kind = prop::option::of(Just(Kind::Household));
    (0..3u8, 0..5u8, identifiers, traits, kind, any::<bool>()).prop_map(
        |(source, key, identifiers, traits, kind, keyed)| IdentifyInput {
            source: if source == 2 { "manual".to_owned() } else { format!("s{source}") },
            source_record_id: if keyed || identifiers.is_empty() { format!("r{key}") } else { String::new() },
            identifiers: identifiers
                .into_iter()
                .map(|(namespace, value)| ClaimInput {
                    namespace: format!("n{namespace}"),
                    value: format!("v{value}"),
                    verified: None,
                })
                .collect(),
            traits: traits.into_iter().collect(),
            kind,
            create_if_missing: true,
            ..IdentifyInput::default()
        },
    )
}

/// Calls, each observed at an instant of its own, and an order to make them in.
fn calls() -> impl Strategy<Value = (Vec<Identify>, Vec<usize>)> {
    (prop::collection::vec(input(), 1..12), survivorship()).prop_flat_map(|(inputs, policy)| {
        let policy = Arc::new(policy);
        let commands: Vec<_> = inputs.into_iter().enumerate().map(|(i, input)| command(input, i, &policy)).collect();
        let order: Vec<usize> = (0..commands.len()).collect();
        (Just(commands), Just(order).prop_shuffle())
    })
}

/// Any way to choose golden values.
fn survivorship() -> impl Strategy<Value = Policy> {
    use crate::policy::Strategy as Choice;
    let any = vec![Choice::MostRecent, Choice::MostTrusted, Choice::MostFrequent, Choice::Longest, Choice::Manual];
    let any = prop::sample::select(any);
    (any.clone(), any).prop_map(|(default, of_a)| Policy {
        default_survivorship: default,
        survivorship: [("a".to_owned(), of_a)].into(),
        source_ranking: vec!["s1".to_owned(), "s0".to_owned()],
        ..Policy::default()
    })
}

fn command(mut input: IdentifyInput, second: usize, policy: &Arc<Policy>) -> Identify {
    input.observed_at = Some(Timestamp::from_seconds(1_700_000_000 + second as i64));
    Identify::check(input, policy, NOW).expect("a right command")
}

/// Makes the calls in groups of `group`.
fn run(commands: &[Identify], group: usize) -> View {
    let clock = Arc::new(FixedClock::new(NOW));
    let ids = Ids::seeded(clock.clone(), 1);
    let mut view = View::new();
    for commands in commands.chunks(group) {
        clock.advance(std::time::Duration::from_secs(1));
        let moment = Moment { now: clock.now(), ids: &ids, actor: "tester" };
        let (verdicts, _) = identify_all(&mut view, commands, moment);
        assert!(verdicts.iter().all(Result::is_ok));
        for customer in view.customers() {
            let policy = &commands[0].policy;
            assert_eq!(customer.golden, Golden::of(policy, records_of(&view, customer.id)), "kept and computed anew");
            let records: BTreeSet<_> = records_of(&view, customer.id).map(|record| record.id).collect();
            let edges = view.claims().filter(|(record, _)| records.contains(record)).map(|(_, claim)| claim);
            assert_eq!(customer.anchors, Anchors::of(policy, edges), "kept and computed anew");
            assert_eq!(customer.record_count as usize, records_of(&view, customer.id).count());
        }
    }
    view
}

fn records_of(view: &View, customer: CustomerId) -> impl Iterator<Item = &Record> {
    view.records().filter(move |record| view.resolve(record.home) == customer)
}

/// Source, key and identifiers of a record.
type Name = (String, Option<String>, BTreeSet<String>);

/// A record by what it is, not by its id.
fn name(view: &View, record: &Record) -> Name {
    let claims = view.claims().filter(|(id, _)| *id == record.id);
    let claims = claims.map(|(_, claim)| format!("{}:{}", claim.identifier.namespace, claim.identifier.value));
    (record.source.clone(), record.source_record_id.clone(), claims.collect())
}

type Described = (Kind, BTreeMap<String, (Value, Timestamp, u32)>);

/// Every customer: its records, and what they say together.
fn describe(view: &View) -> BTreeMap<BTreeSet<Name>, Described> {
    view.customers()
        .map(|customer| {
            let traits = customer.golden.traits.iter();
            let traits =
                traits.map(|(name, w)| (name.clone(), (w.value.clone(), w.origin.observed_at, w.candidates))).collect();
            let records = records_of(view, customer.id).map(|record| name(view, record)).collect();
            (records, (customer.golden.kind(), traits))
        })
        .collect()
}

/// Calls of people with a user id each, with addresses, devices and sessions that they share, lose and take over.
fn guarded() -> impl Strategy<Value = Vec<Identify>> {
    let claim = (prop::sample::select(vec!["user_id", "email", "device", "session"]), 0..3u8);
    let claims = prop::collection::btree_set(claim, 1..4);
    let call = (claims, prop::option::of(0..4u8), any::<bool>(), 0..40usize);
    prop::collection::vec(call, 1..16).prop_map(|calls| {
        let policy = Arc::new(Policy::default());
        let command = |(claims, key, verified, second): (BTreeSet<(&str, u8)>, Option<u8>, bool, usize)| {
            let value = |namespace, n| match namespace {
                "email" => format!("m{n}@example.org"),
                _ => format!("v{n}"),
            };
            let claims = claims.into_iter().map(|(namespace, n)| ClaimInput {
                namespace: namespace.to_owned(),
                value: value(namespace, n),
                verified: Some(verified),
            });
            let input = IdentifyInput {
                source: "app".to_owned(),
                source_record_id: key.map(|key| format!("r{key}")).unwrap_or_default(),
                identifiers: claims.collect(),
                create_if_missing: true,
                ..IdentifyInput::default()
            };
            command(input, second, &policy)
        };
        calls.into_iter().map(command).collect()
    })
}

/// How many values of `namespace` link to each customer.
fn linked(view: &View, namespace: &str) -> BTreeMap<CustomerId, BTreeSet<String>> {
    let mut linked: BTreeMap<CustomerId, BTreeSet<String>> = BTreeMap::new();
    for (record, claim) in view.claims().filter(|(_, claim)| claim.links() && claim.identifier.namespace == namespace) {
        let home = view.resolve(view.record(record).unwrap().home);
        linked.entry(home).or_default().insert(claim.identifier.value.clone());
    }
    linked
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nobody_gets_two_user_ids_and_groups_decide_alike(commands in guarded(), group in 2usize..6) {
        let view = run(&commands, 1);
        for (customer, users) in linked(&view, "user_id") {
            prop_assert!(users.len() <= 1, "{} has {:?}", customer, users);
        }
        // Of what is unique, every value that links anywhere links to the customer to whom it leads, and to no other.
        for namespace in ["user_id", "email"] {
            for (customer, values) in linked(&view, namespace) {
                for value in values {
                    let identifier = Identifier { namespace: namespace.to_owned(), value };
                    let lead = view.lead(&Node::Identifier(identifier)).unwrap();
                    prop_assert_eq!(view.resolve(lead.customer), customer);
                }
            }
        }
        prop_assert_eq!(describe(&run(&commands, group)), describe(&view));
    }

    #[test]
    fn the_order_of_arrival_does_not_matter((commands, order) in calls(), group in 1usize..5) {
        let shuffled: Vec<_> = order.iter().map(|i| commands[*i].clone()).collect();
        let reference = describe(&run(&commands, 1));
        prop_assert_eq!(&describe(&run(&shuffled, 1)), &reference);
        prop_assert_eq!(&describe(&run(&shuffled, group)), &reference);
    }

    #[test]
    fn making_every_call_again_changes_nothing((commands, order) in calls()) {
        let shuffled: Vec<_> = order.iter().map(|i| commands[*i].clone()).collect();
        let twice: Vec<_> = commands.iter().chain(&shuffled).cloned().collect();
        prop_assert_eq!(describe(&run(&twice, 1)), describe(&run(&commands, 1)));
    }

    #[test]
    fn every_id_that_was_ever_answered_resolves_in_one_hop((commands, _) in calls()) {
        let clock = Arc::new(FixedClock::new(NOW));
        let ids = Ids::seeded(clock.clone(), 1);
        let mut view = View::new();
        let moment = Moment { now: NOW, ids: &ids, actor: "tester" };
        let (verdicts, _) = identify_all(&mut view, &commands, moment);
        for verdict in verdicts {
            let id = verdict.unwrap().customer.unwrap();
            prop_assert!(view.customer(view.resolve(id)).is_some());
        }
    }
}

#[test]
fn every_wrong_field_is_told() {
    let input = IdentifyInput {
        source: "Web Shop".to_owned(),
        source_record_id: "x".repeat(257),
        identifiers: vec![
            ClaimInput { namespace: "email".to_owned(), value: "jane@example.org".to_owned(), verified: None },
            ClaimInput { namespace: "email".to_owned(), value: "no address".to_owned(), verified: None },
        ],
        traits: vec![("a b".to_owned(), Value::from(1))],
        observed_at: Some(NOW + std::time::Duration::from_secs(301)),
        ..IdentifyInput::default()
    };
    let fault = Identify::check(input, &Arc::default(), NOW).unwrap_err();
    assert_eq!(fault.reason(), Reason::InvalidFields);
    let fields: Vec<_> = fault.violations().iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["source", "source_record_id", "identifiers[1].identifier.value", "traits", "observed_at"]);
}

#[test]
fn a_record_that_nothing_could_find_again_is_refused() {
    let input = IdentifyInput { source: "webshop".to_owned(), ..IdentifyInput::default() };
    let fault = Identify::check(input, &Arc::default(), NOW).unwrap_err();
    assert_eq!(fault.violations()[0].field, "identifiers");
}

#[test]
fn the_same_identifier_twice_is_one_claim() {
    let claim = |value: &str, verified| ClaimInput { namespace: "email".to_owned(), value: value.to_owned(), verified };
    let input = IdentifyInput {
        source: "webshop".to_owned(),
        identifiers: vec![claim("Jane@example.org", Some(false)), claim("jane@EXAMPLE.org", Some(true))],
        ..IdentifyInput::default()
    };
    let command = Identify::check(input, &Arc::default(), NOW).unwrap();
    assert_eq!(command.claims.len(), 1);
    assert_eq!((command.claims[0].raw_value.as_str(), command.claims[0].verified), ("Jane@example.org", Some(true)));
}
