//! What every store must do. Each exam takes an empty store.

use std::{pin::Pin, sync::Arc};

use terms::{Clock, CustomerId, Id, Ids, Once, Reason, Revision, Tenant, Timestamp};
use uuid::Uuid;

use crate::{
    catalog::Catalog,
    create_touchpoint, create_treatment, delete_treatment,
    ports::{DecisionLog, Definition, Definitions, Effect, Entry, How, Inputs, News, Word},
    report_outcome::{DecisionId, ReportOutcome, report_outcome},
    touchpoint::{Touchpoint, TouchpointSpec},
    treatment::{Treatment, TreatmentSpec},
    update_treatment::{UpdateTreatment, update_treatment},
};

/// A store and what an exam needs beside it.
pub struct Exam<S> {
    /// The store.
    pub store: S,
    /// Makes ids.
    pub ids: Arc<Ids>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// What a store does in the background, for it to do at once: an exam lets it after each decision.
    pub upkeep: Upkeep,
}

/// Runs to its end.
pub type Upkeep = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A store has nothing to do in the background.
pub fn no_upkeep() -> Upkeep {
    Box::new(|| Box::pin(std::future::ready(())))
}

/// Every exam, by name: `run(name, exam)`.
pub const EXAMS: &[&str] = &[
    "definitions_are_versioned",
    "names_are_unique_and_tenants_apart",
    "writers_of_one_tenant_take_turns",
    "a_request_id_defines_once",
    "an_old_place_is_as_it_was",
    "a_decision_is_logged_whole",
    "a_request_id_decides_once",
    "inputs_are_shared",
    "outcomes_are_reported_once",
    "effects_are_counted",
    "many_at_once_are_all_found",
    "a_survivor_is_read_with_its_aliases",
    "what_came_by_an_identifier_goes_with_it",
    "an_erased_customer_leaves_nothing",
];

/// Sits one exam.
///
/// # Panics
/// When the store fails it.
pub async fn run<S: Definitions + DecisionLog>(name: &str, exam: &Exam<S>) {
    match name {
        "definitions_are_versioned" => exam.definitions_are_versioned().await,
        "names_are_unique_and_tenants_apart" => exam.names_are_unique_and_tenants_apart().await,
        "writers_of_one_tenant_take_turns" => exam.writers_of_one_tenant_take_turns().await,
        "a_request_id_defines_once" => exam.a_request_id_defines_once().await,
        "an_old_place_is_as_it_was" => exam.an_old_place_is_as_it_was().await,
        "a_decision_is_logged_whole" => exam.a_decision_is_logged_whole().await,
        "a_request_id_decides_once" => exam.a_request_id_decides_once().await,
        "inputs_are_shared" => exam.inputs_are_shared().await,
        "outcomes_are_reported_once" => exam.outcomes_are_reported_once().await,
        "effects_are_counted" => exam.effects_are_counted().await,
        "many_at_once_are_all_found" => exam.many_at_once_are_all_found().await,
        "a_survivor_is_read_with_its_aliases" => exam.a_survivor_is_read_with_its_aliases().await,
        "what_came_by_an_identifier_goes_with_it" => exam.what_came_by_an_identifier_goes_with_it().await,
        "an_erased_customer_leaves_nothing" => exam.an_erased_customer_leaves_nothing().await,
        _ => panic!("there is no exam {name}"),
    }
}

fn tenant(name: &str) -> Tenant {
    name.parse().expect("a tenant")
}

fn customer(n: u128) -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(n))
}

fn how(tenant: &Tenant) -> How {
    How { tenant: tenant.clone(), actor: "tester".into(), once: None }
}

fn once(tenant: &Tenant, fingerprint: u8) -> Once {
    Once { tenant: tenant.clone(), method: "test/Method", request_id: "r".into(), fingerprint: [fingerprint; 32] }
}

fn spec(name: &str) -> TreatmentSpec {
    TreatmentSpec { name: name.into(), ..TreatmentSpec::default() }
}

fn treatment_of(definition: Definition) -> Treatment {
    match definition {
        Definition::Treatment(treatment) => treatment,
        Definition::Touchpoint(_) => panic!("a treatment was expected"),
    }
}

impl<S: Definitions + DecisionLog> Exam<S> {
    async fn treatment(&self, tenant: &Tenant, spec: TreatmentSpec) -> Treatment {
        let id = self.ids.next();
        let decide =
            move |catalog: &Catalog, now| create_treatment(catalog, spec.clone(), id, now).map(Definition::Treatment);
        treatment_of(self.store.define(how(tenant), Box::new(decide)).await.expect("created").value)
    }

    async fn touchpoint(&self, tenant: &Tenant, name: &str, treatments: &[&str]) -> Touchpoint {
        let id = self.ids.next();
        let treatments = treatments.iter().map(|t| (*t).to_owned()).collect();
        let spec = TouchpointSpec { name: name.into(), treatments, ..TouchpointSpec::default() };
        let decide =
            move |catalog: &Catalog, now| create_touchpoint(catalog, spec.clone(), id, now).map(Definition::Touchpoint);
        match self.store.define(how(tenant), Box::new(decide)).await.expect("created").value {
            Definition::Touchpoint(touchpoint) => touchpoint,
            Definition::Treatment(_) => panic!("a touchpoint was expected"),
        }
    }

    async fn update(&self, tenant: &Tenant, spec: TreatmentSpec) -> Treatment {
        let command =
            UpdateTreatment { treatment: spec.name.clone(), mask: vec!["*".into()], spec, etag: String::new() };
        let decide = move |catalog: &Catalog, now| update_treatment(catalog, &command, now).map(Definition::Treatment);
        treatment_of(self.store.define(how(tenant), Box::new(decide)).await.expect("updated").value)
    }

    async fn catalog(&self, tenant: &Tenant) -> Arc<Catalog> {
        self.store.catalog(tenant, &Revision::new()).await.expect("a catalog")
    }

    fn entry(&self, tenant: &Tenant, customer: Option<CustomerId>) -> Entry {
        Entry {
            tenant: tenant.clone(),
            id: self.ids.next(),
            customer,
            named: None,
            arrived_via: None,
            touchpoint: Id::from_uuid(Uuid::from_u128(7)),
            catalog_version: 1,
            at: self.clock.now(),
            inputs: None,
            body: vec![1, 2, 3],
            effects: Vec::new(),
            news: None,
        }
    }

    async fn record(&self, mut entry: Entry) -> DecisionId {
        let (id, told) = (entry.id, entry.effects.iter().any(|effect| effect.changed));
        entry.news = told.then(|| News { actor: "tester".into(), touchpoint: "home".into(), ..News::default() });
        let revision = self.store.record(entry).await.expect("recorded");
        assert_eq!(revision.is_empty(), !told);
        (self.upkeep)().await;
        id
    }

    async fn owner(&self, tenant: &Tenant, id: DecisionId) -> Option<CustomerId> {
        self.store.find(tenant, id).await.expect("found").expect("logged").customer
    }

    async fn definitions_are_versioned(&self) {
        let tenant = tenant("a");
        let first = self.treatment(&tenant, TreatmentSpec { lever: 2.0, ..spec("one") }).await;
        assert_eq!(first.version, 1);
        let second = self.update(&tenant, TreatmentSpec { lever: 3.0, ..spec("one") }).await;
        assert_eq!((second.version, second.id, second.created_at), (2, first.id, first.created_at));
        let found = self.store.treatment(&tenant, first.id, 1).await.expect("read");
        assert_eq!(found.as_ref(), Some(&first));
        assert_eq!(self.store.treatment(&tenant, first.id, 3).await.expect("read"), None);
        let catalog = self.catalog(&tenant).await;
        assert_eq!(catalog.version(), 2);
        assert_eq!(catalog.treatment("one").expect("there").treatment, second);
        let place = self.touchpoint(&tenant, "home", &["one"]).await;
        let delete = |catalog: &Catalog, now| delete_treatment(catalog, "one", "", now).map(Definition::Treatment);
        let fault = self.store.define(how(&tenant), Box::new(delete)).await.expect_err("in use");
        assert_eq!(fault.reason(), Reason::TreatmentInUse);
        let stored = self.store.touchpoint(&tenant, place.id, 1).await.expect("read").expect("there");
        assert_eq!(stored.touchpoint.candidates, [first.id]);
        self.treatment(&tenant, spec("two")).await;
        let delete = |catalog: &Catalog, now| delete_treatment(catalog, "two", "", now).map(Definition::Treatment);
        let gone = treatment_of(self.store.define(how(&tenant), Box::new(delete)).await.expect("deleted").value);
        assert!(self.catalog(&tenant).await.treatment("two").is_err());
        assert!(self.store.treatment(&tenant, gone.id, 2).await.expect("read").is_some_and(|t| t.deleted));
        // The name is free again.
        assert_ne!(self.treatment(&tenant, spec("two")).await.id, gone.id);
    }

    async fn names_are_unique_and_tenants_apart(&self) {
        let (a, b) = (tenant("a"), tenant("b"));
        let of_a = self.treatment(&a, spec("one")).await;
        let id = self.ids.next();
        let again =
            move |catalog: &Catalog, now| create_treatment(catalog, spec("one"), id, now).map(Definition::Treatment);
        let fault = self.store.define(how(&a), Box::new(again)).await.expect_err("taken");
        assert_eq!(fault.reason(), Reason::NameTaken);
        assert!(self.catalog(&b).await.treatment("one").is_err());
        assert_eq!(self.store.treatment(&b, of_a.id, 1).await.expect("read"), None);
        assert_eq!(self.store.place_at(&b, self.ids.next(), 1).await.expect("read").map(|_| ()), None);
        self.treatment(&b, spec("one")).await;
        let decision = self.record(self.entry(&a, Some(customer(1)))).await;
        assert_eq!(self.store.find(&b, decision).await.expect("read"), None);
        assert!(self.store.effects(&b, &[customer(1)], Timestamp::EPOCH).await.expect("read").decision_count == 0);
    }

    async fn writers_of_one_tenant_take_turns(&self) {
        let tenant = tenant("a");
        let all = (0..12).map(|n| self.treatment(&tenant, spec(&format!("t{n}"))));
        let mut running = Vec::new();
        for one in all {
            running.push(one);
        }
        join_all(running).await;
        let catalog = self.catalog(&tenant).await;
        assert_eq!((catalog.version(), catalog.treatments().count()), (12, 12));
    }

    async fn a_request_id_defines_once(&self) {
        let tenant = tenant("a");
        let define = |fingerprint: u8| {
            let id = self.ids.next();
            let decide = move |catalog: &Catalog, now| {
                create_treatment(catalog, spec("one"), id, now).map(Definition::Treatment)
            };
            let how = How { once: Some(once(&tenant, fingerprint)), ..how(&tenant) };
            self.store.define(how, Box::new(decide))
        };
        let first = define(1).await.expect("created");
        let again = define(1).await.expect("recorded");
        assert!(again.replayed && again.value == first.value && again.revision == first.revision);
        assert_eq!(define(2).await.expect_err("another body").reason(), Reason::RequestIdReused);
    }

    async fn an_old_place_is_as_it_was(&self) {
        let tenant = tenant("a");
        self.treatment(&tenant, TreatmentSpec { lever: 2.0, ..spec("one") }).await;
        self.treatment(&tenant, spec("two")).await;
        let home = self.touchpoint(&tenant, "home", &["two", "one"]).await;
        let version = self.catalog(&tenant).await.version();
        self.update(&tenant, TreatmentSpec { lever: 9.0, ..spec("one") }).await;
        let then = self.store.place_at(&tenant, home.id, version).await.expect("read").expect("there");
        let levers: Vec<_> = then.candidates.iter().map(|c| (c.name().to_owned(), c.treatment.spec.lever)).collect();
        assert_eq!(levers, [("two".to_owned(), 0.0), ("one".to_owned(), 2.0)]);
        let now = self.store.place_at(&tenant, home.id, version + 1).await.expect("read").expect("there");
        assert_eq!(now.candidates.last().map(|c| c.treatment.spec.lever), Some(9.0));
        assert!(self.store.place_at(&tenant, home.id, version - 1).await.expect("read").is_none());
    }

    async fn a_decision_is_logged_whole(&self) {
        let tenant = tenant("a");
        let inputs = Arc::new(Inputs::new([7; 16], b"what was known".to_vec()));
        let entry = Entry {
            inputs: Some(inputs.clone()),
            arrived_via: Some([9; 32]),
            ..self.entry(&tenant, Some(customer(1)))
        };
        let id = self.record(entry.clone()).await;
        assert!(inputs.is_stored());
        let logged = self.store.find(&tenant, id).await.expect("read").expect("logged");
        assert_eq!((logged.customer, logged.arrived_as), (entry.customer, entry.customer));
        assert_eq!((logged.touchpoint, logged.catalog_version, logged.at), (entry.touchpoint, 1, entry.at));
        assert_eq!((logged.body, logged.inputs), (entry.body, Some(inputs.content.clone())));
        let by_alias = self.record(Entry { named: Some(customer(3)), ..self.entry(&tenant, Some(customer(1))) }).await;
        let logged = self.store.find(&tenant, by_alias).await.expect("read").expect("logged");
        assert_eq!((logged.customer, logged.arrived_as), (Some(customer(3)), Some(customer(1))), "the id owns it");
        let nobody = self.record(self.entry(&tenant, None)).await;
        let logged = self.store.find(&tenant, nobody).await.expect("read").expect("logged");
        assert_eq!((logged.customer, logged.inputs), (None, None));
        assert_eq!(self.store.find(&tenant, self.ids.next()).await.expect("read"), None);
        let mut all = self.store.find_all(&tenant, &[nobody, self.ids.next(), id]).await.expect("read");
        all.sort_unstable_by_key(|logged| logged.id);
        assert_eq!(all.iter().map(|logged| logged.id).collect::<Vec<_>>(), [id, nobody]);
        assert!(all.iter().all(|logged| logged.body == [1, 2, 3] && logged.inputs.is_none()));
        assert_eq!(self.store.find_all(&self::tenant("b"), &[id]).await.expect("read"), []);
    }

    async fn a_request_id_decides_once(&self) {
        let tenant = tenant("a");
        let record = |fingerprint: u8, reply: &[u8]| {
            let entry = self.entry(&tenant, Some(customer(1)));
            self.store.record_once(once(&tenant, fingerprint), entry, reply.to_vec())
        };
        let first = record(1, b"first").await.expect("recorded");
        let again = record(1, b"second").await.expect("replayed");
        assert_eq!((again.value.as_slice(), again.replayed), (b"first".as_slice(), true));
        assert_eq!(again.revision, first.revision);
        assert_eq!(record(2, b"x").await.expect_err("another body").reason(), Reason::RequestIdReused);
        let effects = self.store.effects(&tenant, &[customer(1)], Timestamp::EPOCH).await.expect("read");
        assert_eq!(effects.decision_count, 1);
    }

    async fn inputs_are_shared(&self) {
        let tenant = tenant("a");
        // Two processes read the same profile: each believes that it has to store it.
        let mut ids = Vec::new();
        for _ in 0..2 {
            let inputs = Arc::new(Inputs::new([5; 16], b"same".to_vec()));
            for _ in 0..2 {
                let entry = Entry { inputs: Some(inputs.clone()), ..self.entry(&tenant, Some(customer(1))) };
                ids.push(self.record(entry).await);
            }
        }
        for id in ids {
            let logged = self.store.find(&tenant, id).await.expect("read").expect("logged");
            assert_eq!(logged.inputs.as_deref(), Some(b"same".as_slice()));
        }
    }

    async fn outcomes_are_reported_once(&self) {
        let tenant = tenant("a");
        let id = self.record(self.entry(&tenant, Some(customer(1)))).await;
        let report = |id: DecisionId, outcome: &str, reward: f64| {
            let command = ReportOutcome {
                decision: id,
                outcome: outcome.into(),
                treatment: String::new(),
                value: None,
                reward: Some(reward),
                occurred_at: None,
                motivation: None,
                properties: serde_json::Map::from_iter([("note".to_owned(), "é".into())]),
            };
            let report = move |known: &[crate::report_outcome::Outcome], now| {
                let before =
                    |treatment| known.iter().find(|o| o.treatment == treatment && o.outcome == command.outcome);
                report_outcome(&command, &[], |treatment| before(treatment).cloned(), now)
            };
            self.store.report(how(&tenant), id, Box::new(report))
        };
        let first = report(id, "shown", 0.0).await.expect("reported");
        assert!(!first.value.1 && !first.revision.is_empty());
        let again = report(id, "shown", 0.0).await.expect("a duplicate");
        assert_eq!(again.value, (first.value.0.clone(), true));
        assert_eq!(report(id, "shown", 1.0).await.expect_err("another").reason(), Reason::OutcomeConflict);
        report(id, "accepted", 1.0).await.expect("another outcome");
        let all = self.store.outcomes(&tenant, id).await.expect("read");
        assert_eq!(all.iter().map(|o| o.outcome.as_str()).collect::<Vec<_>>(), ["shown", "accepted"]);
        assert_eq!(all.first(), Some(&first.value.0));
        let fault = report(self.ids.next(), "shown", 0.0).await.expect_err("unknown");
        assert_eq!(fault.reason(), Reason::DecisionNotFound);
    }

    async fn effects_are_counted(&self) {
        let tenant = tenant("a");
        let (statement, boundary) = (self.ids.next(), self.ids.next());
        let said = |changed| Effect { of: Word::Statement(statement), changed, exclusions: 0 };
        let set = |changed, exclusions| Effect { of: Word::Boundary(boundary), changed, exclusions };
        let mut ids = Vec::new();
        for effects in [vec![said(true)], vec![said(true), set(true, 2)], vec![set(false, 1)], vec![]] {
            ids.push(self.record(Entry { effects, ..self.entry(&tenant, Some(customer(1))) }).await);
        }
        self.record(Entry { effects: vec![said(true)], ..self.entry(&tenant, Some(customer(2))) }).await;
        let effects = self.store.effects(&tenant, &[customer(1)], Timestamp::EPOCH).await.expect("read");
        assert_eq!((effects.decision_count, effects.changed_decision_count), (4, 2));
        let changed = effects.statements.get(&statement).expect("heard");
        assert_eq!((changed.count, changed.latest.as_slice()), (2, [ids[1], ids[0]].as_slice()));
        assert!(changed.first_at.is_some());
        assert_eq!(effects.boundaries.get(&boundary), Some(&3));
        let later = Timestamp(self.clock.now().0 + 10_000_000);
        let none = self.store.effects(&tenant, &[customer(1)], later).await.expect("read");
        assert_eq!((none.decision_count, none.statements.len()), (0, 0));
    }

    async fn many_at_once_are_all_found(&self) {
        const CUSTOMERS: u128 = 40;
        let tenants = [tenant("a"), tenant("b")];
        let mut entries = Vec::new();
        for n in 0..200 {
            // Some customers' ids differ in their first bytes alone.
            let who = customer(((n % CUSTOMERS) << 100) | (n % CUSTOMERS / 2));
            entries.push(self.entry(&tenants[usize::from(n % 3 == 0)], Some(who)));
        }
        join_all(entries.iter().map(|entry| self.record(entry.clone())).collect()).await;
        for tenant in &tenants {
            let theirs: Vec<&Entry> = entries.iter().filter(|entry| entry.tenant == *tenant).collect();
            let ids: Vec<DecisionId> = entries.iter().map(|entry| entry.id).collect();
            let mut found = self.store.find_all(tenant, &ids).await.expect("read");
            found.sort_by_key(|logged| logged.id);
            let expected: Vec<_> = theirs.iter().map(|entry| (entry.id, entry.customer, entry.at)).collect();
            assert_eq!(found.iter().map(|l| (l.id, l.customer, l.at)).collect::<Vec<_>>(), expected);
            for customer in theirs.iter().filter_map(|entry| entry.customer) {
                let effects = self.store.effects(tenant, &[customer], Timestamp::EPOCH).await.expect("read");
                let made = theirs.iter().filter(|entry| entry.customer == Some(customer)).count();
                assert_eq!(usize::try_from(effects.decision_count), Ok(made));
            }
        }
    }

    async fn a_survivor_is_read_with_its_aliases(&self) {
        let tenant = tenant("a");
        let statement = self.ids.next();
        let effects = vec![Effect { of: Word::Statement(statement), changed: true, exclusions: 0 }];
        let (loser, survivor) = (customer(1), customer(2));
        let early = self.record(Entry { effects: effects.clone(), ..self.entry(&tenant, Some(loser)) }).await;
        let late = self.record(Entry { effects, ..self.entry(&tenant, Some(survivor)) }).await;
        let both = self.store.effects(&tenant, &[survivor, loser], Timestamp::EPOCH).await.expect("read");
        assert_eq!((both.decision_count, both.changed_decision_count), (2, 2));
        assert_eq!(both.statements[&statement].latest, [late, early]);
        let one = self.store.effects(&tenant, &[survivor], Timestamp::EPOCH).await.expect("read");
        assert_eq!((one.decision_count, one.statements[&statement].count), (1, 1));
        // Made for the survivor, who was named by the former id.
        self.record(Entry { named: Some(loser), ..self.entry(&tenant, Some(survivor)) }).await;
        for (customers, count) in [(&[survivor, loser][..], 3), (&[survivor][..], 1), (&[loser][..], 2)] {
            let read = self.store.effects(&tenant, customers, Timestamp::EPOCH).await.expect("read");
            assert_eq!(read.decision_count, count);
        }
        let none = self.store.effects(&tenant, &[], Timestamp::EPOCH).await.expect("read");
        assert_eq!(none.decision_count, 0);
    }

    async fn what_came_by_an_identifier_goes_with_it(&self) {
        let tenant = tenant("a");
        let (from, to) = (customer(1), customer(2));
        let statement = self.ids.next();
        let effects = vec![Effect { of: Word::Statement(statement), changed: true, exclusions: 0 }];
        let via = |n: u8| Entry { arrived_via: Some([n; 32]), ..self.entry(&tenant, Some(from)) };
        let moves = self.record(Entry { effects, ..via(3) }).await;
        let stays = self.record(via(4)).await;
        for _ in 0..2 {
            self.store.reassign(&tenant, to, &[[3; 32]]).await.expect("reassigned");
        }
        self.store.reassign(&self::tenant("b"), to, &[[4; 32]]).await.expect("reassigned elsewhere");
        assert_eq!((self.owner(&tenant, moves).await, self.owner(&tenant, stays).await), (Some(to), Some(from)));
        let effects = self.store.effects(&tenant, &[to], Timestamp::EPOCH).await.expect("read");
        assert_eq!((effects.decision_count, effects.statements.len()), (1, 1));
        let effects = self.store.effects(&tenant, &[from], Timestamp::EPOCH).await.expect("read");
        assert_eq!((effects.decision_count, effects.statements.len()), (1, 0));
    }

    async fn an_erased_customer_leaves_nothing(&self) {
        let tenant = tenant("a");
        let inputs = || Some(Arc::new(Inputs::new([6; 16], b"a secret".to_vec())));
        let gone = self.record(Entry { inputs: inputs(), ..self.entry(&tenant, Some(customer(1))) }).await;
        let kept = self.record(Entry { inputs: inputs(), ..self.entry(&tenant, Some(customer(2))) }).await;
        let named = Entry { named: Some(customer(1)), ..self.entry(&tenant, Some(customer(3))) };
        let shared = self.record(Entry { inputs: inputs(), ..named }).await;
        for _ in 0..2 {
            self.store.erase(&tenant, &[customer(1)]).await.expect("erased");
        }
        let logged = self.store.find(&tenant, gone).await.expect("read").expect("that it was made stays");
        assert_eq!((logged.inputs, logged.body), (None, Vec::new()));
        let logged = self.store.find(&tenant, shared).await.expect("read").expect("that it was made stays");
        assert_eq!((logged.customer, logged.inputs, logged.body), (None, None, Vec::new()));
        let logged = self.store.find(&tenant, kept).await.expect("read").expect("logged");
        assert_eq!((logged.inputs.as_deref(), logged.body.len()), (Some(b"a secret".as_slice()), 3));
    }
}

/// Drives all at once, without a runtime of this crate's own.
async fn join_all<F: Future>(futures: Vec<F>) {
    let mut running: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(move |cx| {
        let mut pending = false;
        for slot in &mut running {
            if let Some(future) = slot {
                if future.as_mut().poll(cx).is_ready() {
                    *slot = None;
                } else {
                    pending = true;
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
}
