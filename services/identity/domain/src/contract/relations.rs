//! Relations between customers.

use terms::{Caller, CustomerId, CustomerRef, Fault, Once, Reason, Timestamp};

use super::{at, caller, given, identifier};
use crate::{
    customer::Kind,
    history::HistoryKind,
    identify::Identify,
    list_identity_history::HistoryQuery,
    list_relations::RelationQuery,
    ports::{Customers, Relations},
    relate_customers::{Relate, RelateInput, Relation, RelationType},
};

/// A store of both.
pub trait Both: Customers + Relations {}

impl<T: Customers + Relations> Both for T {}

pub(super) async fn run(store: &dyn Both) {
    one_relation_for_a_pair_and_type(store, &caller("relates")).await;
    kinds_and_customers_are_checked(store, &caller("relates-kinds")).await;
    relations_follow_merges(store, &caller("relates-merges")).await;
    what_holds_when(store, &caller("relates-times")).await;
    lists_in_pages(store, &caller("relates-pages")).await;
    a_request_id_counts_once(store, &caller("relates-once")).await;
    nothing_is_anothers(store, &caller("relates-own"), &caller("relates-other")).await;
}

fn of_kind(kind: Kind, identifiers: &[&str]) -> Identify {
    let mut given = given(identifiers);
    given.0.kind = Some(kind);
    given.command()
}

async fn party(store: &dyn Both, caller: &Caller, kind: Kind, node: &str) -> CustomerId {
    let written = store.identify(caller, None, of_kind(kind, &[node])).await.expect("identified");
    written.value.customer.expect("a customer")
}

fn input(from: CustomerId, to: CustomerId, kind: RelationType) -> RelateInput {
    RelateInput {
        from: CustomerRef::Id(from),
        to: CustomerRef::Id(to),
        kind,
        role: "child".to_owned(),
        valid_from: None,
        valid_until: None,
        etag: String::new(),
        validate_only: false,
    }
}

async fn relate(store: &dyn Both, caller: &Caller, input: RelateInput) -> Result<Relation, Fault> {
    store.relate(caller, None, Relate::check(input)?).await.map(|written| written.value)
}

fn all(customer: CustomerId) -> RelationQuery {
    RelationQuery { customer, kind: None, valid_at: None, before: None, limit: 100 }
}

async fn list(store: &dyn Both, caller: &Caller, query: RelationQuery) -> Vec<Relation> {
    store.relations(&caller.tenant, query).await.expect("read")
}

async fn one_relation_for_a_pair_and_type(store: &dyn Both, caller: &Caller) {
    let child = party(store, caller, Kind::Person, "crm:child").await;
    let home = party(store, caller, Kind::Household, "crm:home").await;
    let member = || input(child, home, RelationType::HouseholdMember);
    let tried = relate(store, caller, RelateInput { validate_only: true, ..member() }).await.unwrap();
    assert_eq!((tried.from, tried.to, tried.version), (child, home, 1));
    assert!(list(store, caller, all(child)).await.is_empty());
    let written = store.relate(caller, None, Relate::check(member()).unwrap()).await.unwrap();
    let first = written.value;
    assert!(!written.revision.is_empty());
    // The same again, by identifiers: nothing happens.
    let by_identifier = RelateInput {
        from: CustomerRef::Identifier(identifier("crm:child")),
        to: CustomerRef::Identifier(identifier("crm:home")),
        ..member()
    };
    assert_eq!(relate(store, caller, by_identifier).await.unwrap(), first);
    // It changes by its etag, and only so if one is given.
    let parent = RelateInput { role: "parent".to_owned(), etag: first.etag(), ..member() };
    let second = relate(store, caller, parent.clone()).await.unwrap();
    assert_eq!((second.id, second.role.as_str(), second.created_at), (first.id, "parent", first.created_at));
    let stale = relate(store, caller, RelateInput { role: "aunt".to_owned(), ..parent }).await.unwrap_err();
    assert_eq!(stale.reason(), Reason::EtagStale);
    for side in [child, home] {
        assert_eq!(list(store, caller, all(side)).await, std::slice::from_ref(&second));
    }
    // Another type is another relation.
    let other = RelateInput { role: "pays the rent".to_owned(), ..input(child, home, RelationType::Other) };
    let other = relate(store, caller, other).await.unwrap();
    assert_eq!(list(store, caller, all(home)).await, [other, second.clone()]);
    // The history of both tells of it, and of nothing that was only tried, refused or said again.
    for side in [child, home] {
        let told = store.history(&caller.tenant, side, HistoryQuery::ALL).await.unwrap();
        let told: Vec<_> = told.iter().filter(|e| e.kind == HistoryKind::Relate).map(|e| e.reason.as_str()).collect();
        let member = ["relation household_member recorded", "relation household_member changed"];
        assert_eq!(told, [member[0], member[1], "relation other recorded"]);
    }
    let only = RelationQuery { kind: Some(RelationType::HouseholdMember), ..all(home) };
    assert_eq!(list(store, caller, only).await, [second]);
}

async fn kinds_and_customers_are_checked(store: &dyn Both, caller: &Caller) {
    let person = party(store, caller, Kind::Person, "crm:p").await;
    let firm = party(store, caller, Kind::Organization, "crm:o").await;
    let refused = relate(store, caller, input(person, firm, RelationType::HouseholdMember)).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::KindMismatch);
    assert_eq!(refused.metadata(), [("kind", "person".to_owned()), ("other_kind", "organization".to_owned())]);
    let backwards = relate(store, caller, input(firm, person, RelationType::Employee)).await.unwrap_err();
    assert_eq!(backwards.reason(), Reason::KindMismatch);
    assert!(relate(store, caller, input(person, firm, RelationType::Employee)).await.is_ok());
    let nobody = RelateInput {
        to: CustomerRef::Identifier(identifier("crm:nobody")),
        ..input(person, firm, RelationType::Employee)
    };
    assert_eq!(relate(store, caller, nobody).await.unwrap_err().reason(), Reason::CustomerNotFound);
    // Two names of one customer.
    let same =
        RelateInput { to: CustomerRef::Identifier(identifier("crm:p")), ..input(person, firm, RelationType::Other) };
    assert_eq!(relate(store, caller, same).await.unwrap_err().reason(), Reason::InvalidFields);
}

async fn relations_follow_merges(store: &dyn Both, caller: &Caller) {
    let mut people = Vec::new();
    for node in ["crm:a", "crm:b", "crm:c"] {
        people.push(party(store, caller, Kind::Person, node).await);
    }
    let home = party(store, caller, Kind::Household, "crm:home").await;
    for person in &people {
        relate(store, caller, input(*person, home, RelationType::HouseholdMember)).await.unwrap();
    }
    relate(store, caller, input(people[0], people[1], RelationType::Guardian)).await.unwrap();
    let last = RelateInput { role: "last".to_owned(), ..input(people[1], home, RelationType::HouseholdMember) };
    let last = relate(store, caller, last).await.unwrap();
    assert_eq!(list(store, caller, all(home)).await.len(), 3);
    store.identify(caller, None, of_kind(Kind::Person, &["crm:a", "crm:b"])).await.unwrap();
    // Of two relations of one pair the last word shows; one of a customer with itself does not.
    let shown = list(store, caller, all(people[1])).await;
    assert!(shown.is_empty(), "it is asked for by the survivor: {shown:?}");
    let shown = list(store, caller, all(people[0])).await;
    let expected = Relation { from: people[0], ..last };
    assert_eq!(shown, std::slice::from_ref(&expected));
    assert_eq!(list(store, caller, all(home)).await.len(), 2);
    // An alias names the survivor, and what is written then is the last word.
    let again = RelateInput { role: "again".to_owned(), ..input(people[1], home, RelationType::HouseholdMember) };
    let again = relate(store, caller, again).await.unwrap();
    assert_eq!((again.from, again.id), (people[0], expected.id));
    assert_eq!(list(store, caller, all(people[0])).await, [again]);
    // The household, too, may turn out to be another.
    let house = party(store, caller, Kind::Household, "crm:house").await;
    relate(store, caller, input(people[2], house, RelationType::HouseholdMember)).await.unwrap();
    store.identify(caller, None, of_kind(Kind::Household, &["crm:home", "crm:house"])).await.unwrap();
    let shown = list(store, caller, all(people[2])).await;
    assert_eq!(shown.iter().map(|r| (r.from, r.to)).collect::<Vec<_>>(), [(people[2], home)]);
}

async fn what_holds_when(store: &dyn Both, caller: &Caller) {
    let person = party(store, caller, Kind::Person, "crm:p").await;
    let mut held = Vec::new();
    for (n, (from, until)) in
        [(None, None), (None, Some(10)), (Some(10), None), (Some(10), Some(20))].iter().enumerate()
    {
        let firm = party(store, caller, Kind::Organization, &format!("crm:o{n}")).await;
        let job = RelateInput {
            valid_from: from.map(at),
            valid_until: until.map(at),
            ..input(person, firm, RelationType::Employee)
        };
        held.push(relate(store, caller, job).await.unwrap().id);
    }
    let valid = async |time: Option<Timestamp>| {
        let found = list(store, caller, RelationQuery { valid_at: time, ..all(person) }).await;
        let mut found: Vec<_> = found.iter().filter_map(|r| held.iter().position(|id| *id == r.id)).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(valid(Some(at(9))).await, [0, 1]);
    assert_eq!(valid(Some(at(10))).await, [0, 2, 3]);
    assert_eq!(valid(Some(at(20))).await, [0, 2]);
    assert_eq!(valid(None).await, [0, 1, 2, 3]);
}

async fn lists_in_pages(store: &dyn Both, caller: &Caller) {
    let firm = party(store, caller, Kind::Organization, "crm:firm").await;
    let mut expected = Vec::new();
    for n in 0..7 {
        let person = party(store, caller, Kind::Person, &format!("crm:{n}")).await;
        expected.push(relate(store, caller, input(person, firm, RelationType::Employee)).await.unwrap());
    }
    expected.reverse();
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page = list(store, caller, RelationQuery { before, limit: 3, ..all(firm) }).await;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page);
    }
    assert_eq!(seen, expected);
}

async fn a_request_id_counts_once(store: &dyn Both, caller: &Caller) {
    let person = party(store, caller, Kind::Person, "crm:p").await;
    let firm = party(store, caller, Kind::Organization, "crm:o").await;
    let once = |fingerprint| {
        Some(Once {
            tenant: caller.tenant.clone(),
            method: "rapport.identity.v1.IdentityService/RelateCustomers",
            request_id: "r1".to_owned(),
            fingerprint: [fingerprint; 32],
        })
    };
    let command = || Relate::check(input(person, firm, RelationType::Employee)).unwrap();
    let first = store.relate(caller, once(1), command()).await.unwrap();
    let again = store.relate(caller, once(1), command()).await.unwrap();
    assert!(again.replayed && again.value == first.value && again.revision == first.revision);
    let reused = store.relate(caller, once(2), command()).await.unwrap_err();
    assert_eq!(reused.reason(), Reason::RequestIdReused);
}

async fn nothing_is_anothers(store: &dyn Both, ours: &Caller, theirs: &Caller) {
    let person = party(store, ours, Kind::Person, "crm:p").await;
    let firm = party(store, ours, Kind::Organization, "crm:o").await;
    relate(store, ours, input(person, firm, RelationType::Employee)).await.unwrap();
    let refused = relate(store, theirs, input(person, firm, RelationType::Employee)).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::CustomerNotFound);
    assert!(list(store, theirs, all(person)).await.is_empty());
    assert_eq!(list(store, ours, all(person)).await.len(), 1);
}
