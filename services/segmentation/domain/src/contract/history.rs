//! Random histories: whatever happens in whatever order, members are those of a full computation, and everything is in
//! the hands of whom it belongs to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

use super::*;

/// Some histories, from fixed seeds.
pub async fn random_histories(exam: Exam) {
    for seed in 0..4 {
        let exam = Exam::of_tenant(exam.store.clone(), exam.clock.clone(), &format!("history-{seed}"));
        history(&exam, seed, 60).await;
    }
}

const KINDS: [&str; 4] = ["login", "purchase", "purchase.shop", "visit"];
const TOPICS: [&str; 2] = ["diet", "size"];
const RULES: [&str; 12] = [
    r#"count("login", duration("7d")) >= 1"#,
    r#"count("login", duration("7d")) == 0"#,
    r#"count("purchase") in [1, 2]"#,
    r#"sum("purchase", "value", duration("10d")) > 20"#,
    r#"customer.country == "NO""#,
    r#"customer.country != "NO" && statements["diet"] == "vegan""#,
    r#"has(statements.size) || count("visit", duration("3d")) > 1"#,
    r#"did("visit").then_not("purchase", duration("2d"))"#,
    r#"last("login") > now - duration("5d")"#,
    r#"customer.age >= 3 && !has(statements.diet)"#,
    r#"count("visit", timestamp("2026-01-03T00:00:00Z"), timestamp("2026-01-20T00:00:00Z")) in [1, 2]"#,
    "false",
];

/// One random history of `steps` pieces of news, mixed with edits of definitions and moves of the clock.
pub async fn history(exam: &Exam, seed: u64, steps: usize) {
    let mut world = World::new(exam, seed);
    for _ in 0..steps {
        match world.random.random_range(0..20) {
            0 => world.define().await,
            1 => world.retire().await,
            2 => {
                exam.store.build(None, 2).await.expect("a build goes on");
            }
            3..6 => {
                let hours = world.random.random_range(1..60);
                exam.clock.advance(Duration::from_secs(3_600 * hours));
            }
            6 => {
                exam.store.settle_due(2).await.expect("customers are settled");
            }
            7 => exam.settle().await,
            8..11 => world.deliver().await,
            11 => world.deliver_again().await,
            _ => world.happen(),
        }
    }
    while world.deliver_some(1_000).await {}
    exam.audit().await;
    world.compare().await;
    exam.wait(40 * DAY).await;
    exam.audit().await;
}

/// The truth, as the two services that publish it know it, and what of it was delivered.
struct World<'e> {
    exam: &'e Exam,
    random: StdRng,
    ids: Vec<CustomerId>,
    /// Where each id that was ever used leads.
    leads: BTreeMap<CustomerId, CustomerId>,
    erased: BTreeSet<CustomerId>,
    /// The id to which each event is addressed, as of the last move.
    events: HashMap<InteractionId, CustomerId>,
    statements: Vec<Statement>,
    /// For each feed (false: identity, true: interaction) and partition: all entries, and how many were delivered.
    queues: BTreeMap<(bool, u8), (Vec<News>, usize)>,
    segments: Vec<String>,
}

impl<'e> World<'e> {
    fn new(exam: &'e Exam, seed: u64) -> Self {
        Self {
            exam,
            random: StdRng::seed_from_u64(seed),
            ids: (0..8).map(customer).collect(),
            leads: BTreeMap::new(),
            erased: BTreeSet::new(),
            events: HashMap::new(),
            statements: Vec::new(),
            queues: BTreeMap::new(),
            segments: Vec::new(),
        }
    }

    fn lead(&self, id: CustomerId) -> CustomerId {
        self.leads.get(&id).copied().unwrap_or(id)
    }

    fn any(&mut self) -> CustomerId {
        let n = self.random.random_range(0..self.ids.len());
        self.ids[n]
    }

    fn living(&mut self) -> Option<CustomerId> {
        let id = self.any();
        let id = self.lead(id);
        (!self.erased.contains(&id)).then_some(id)
    }

    /// Publishes one change in the partitions of all whom it concerns.
    fn publish(&mut self, interaction: bool, concerned: &[CustomerId], what: &What) {
        let mut partitions: BTreeSet<u8> = BTreeSet::new();
        for id in concerned {
            partitions.insert(id.as_bytes()[15] % 3);
        }
        for partition in partitions {
            let news = self.exam.news(what.clone());
            self.queues.entry((interaction, partition)).or_default().0.push(news);
        }
    }

    fn happen(&mut self) {
        match self.random.random_range(0..14) {
            0 | 1 => self.change(),
            2 => self.merge(),
            3 => self.split(),
            4 => self.move_one(),
            5 | 6 => self.tell(),
            7 if self.random.random_bool(0.2) => self.erase(),
            _ => self.interact(),
        }
    }

    fn change(&mut self) {
        let Some(customer) = self.living() else { return };
        let country = if self.random.random_bool(0.5) { "NO".into() } else { Value::Null };
        let age = Value::Double(f64::from(self.random.random_range(0..6u32)));
        let attributes: Attributes = [("country".into(), country), ("age".into(), age)].into();
        self.publish(false, &[customer], &What::Changed { customer, attributes });
    }

    fn merge(&mut self) {
        let (Some(loser), Some(survivor)) = (self.living(), self.living()) else { return };
        if loser != survivor {
            self.leads.insert(loser, survivor);
            self.leads.values_mut().filter(|to| **to == loser).for_each(|to| *to = survivor);
            self.publish(false, &[loser, survivor], &What::Merged { loser, survivor });
        }
    }

    /// Takes a former id out again; with it perhaps others that lead to the same customer.
    fn split(&mut self) {
        let former: Vec<_> = self.leads.iter().filter(|(id, to)| id != to).map(|(id, to)| (*id, *to)).collect();
        let Some((to, from)) = former.choose(&mut self.random).copied() else { return };
        if self.erased.contains(&from) {
            return;
        }
        let mut ids = vec![to];
        ids.extend(former.iter().filter(|(id, lead)| *lead == from && *id != to).map(|(id, _)| *id));
        for id in &ids {
            self.leads.insert(*id, to);
        }
        self.publish(false, &[vec![from], ids.clone()].concat(), &What::Split { from, to, ids });
    }

    /// Moves one interaction to somebody else, as after a split by identifier.
    fn move_one(&mut self) {
        let mut known: Vec<_> = self.events.iter().map(|(id, address)| (*id, *address)).collect();
        known.sort_unstable();
        let Some((id, address)) = known.choose(&mut self.random).copied() else { return };
        let from = self.lead(address);
        let Some(to) = self.living() else { return };
        if from != to && !self.erased.contains(&from) {
            self.events.insert(id, to);
            let moved = What::Moved { from, to, interactions: vec![id], statements: vec![] };
            // Interaction follows identity, so its entries come in the order of what it had heard.
            self.publish(true, &[from, to], &moved);
        }
    }

    fn tell(&mut self) {
        if self.random.random_bool(0.3) && !self.statements.is_empty() {
            let n = self.random.random_range(0..self.statements.len());
            let position = self.exam.position();
            let statement = &mut self.statements[n];
            statement.retracted = true;
            statement.told_at = position;
            let (customer, statement) = (statement.address.id, statement.clone());
            self.publish(true, &[customer], &What::Statement { customer, statement });
            return;
        }
        let Some(customer) = self.living() else { return };
        let topic = TOPICS[self.random.random_range(0..TOPICS.len())];
        let value = if self.random.random_bool(0.7) { "vegan" } else { "other" };
        let mut statement = self.exam.statement(customer, topic, value);
        if self.random.random_bool(0.4) {
            statement.valid_until = Some(statement.at + DAY * self.random.random_range(1..6));
        }
        self.statements.push(statement.clone());
        self.publish(true, &[customer], &What::Statement { customer, statement });
    }

    fn interact(&mut self) {
        // To a former id too: interaction may not have heard of the merge yet.
        let customer = self.any();
        let kind = KINDS[self.random.random_range(0..KINDS.len())];
        let late = Duration::from_secs(3_600 * self.random.random_range(0..100));
        let event = Event {
            micros: Some(self.random.random_range(1..30) * 1_000_000),
            currency: "EUR".into(),
            ..self.exam.event(customer, kind, self.exam.clock.now() - late)
        };
        self.events.insert(event.id, customer);
        self.publish(true, &[customer], &What::Interaction { customer, event });
    }

    fn erase(&mut self) {
        // What was moved away and is still on its way would be taken for the erased customer's: nobody can tell.
        let moving = |n: &News| matches!(n.what, What::Moved { .. });
        if self.queues.values().any(|(all, done)| all[*done..].iter().any(moving)) {
            return;
        }
        let Some(customer) = self.living() else { return };
        let mut ids: Vec<_> = self.leads.iter().filter(|(_, to)| **to == customer).map(|(id, _)| *id).collect();
        ids.push(customer);
        ids.sort_unstable();
        ids.dedup();
        self.erased.extend(ids.iter().copied());
        self.publish(false, &ids, &What::Erased { ids: ids.clone() });
    }

    async fn deliver(&mut self) {
        let most = self.random.random_range(1..6);
        self.deliver_some(most).await;
    }

    /// Delivers the next entries of one partition; false if nothing is left anywhere.
    async fn deliver_some(&mut self, most: usize) -> bool {
        let mut open: Vec<_> =
            self.queues.iter().filter(|(_, (all, done))| *done < all.len()).map(|(k, _)| *k).collect();
        open.shuffle(&mut self.random);
        let Some(key) = open.first() else { return false };
        let Some((all, done)) = self.queues.get_mut(key) else { return false };
        let end = all.len().min(*done + most);
        let batch = all[*done..end].to_vec();
        *done = end;
        self.exam.hear_all(batch).await;
        true
    }

    /// Delivers the last entries of one partition again, as after a crash before the cursor was kept.
    async fn deliver_again(&mut self) {
        let keys: Vec<_> = self.queues.keys().copied().collect();
        let Some(key) = keys.choose(&mut self.random) else { return };
        let Some((all, done)) = self.queues.get(key) else { return };
        let begin = done.saturating_sub(self.random.random_range(0..6));
        let batch = all[begin..*done].to_vec();
        if !batch.is_empty() {
            self.exam.hear_all(batch).await;
        }
    }

    async fn define(&mut self) {
        let rule = RULES[self.random.random_range(0..RULES.len())];
        let used = self.segments.choose(&mut self.random).cloned();
        let source = match used {
            Some(used) if self.random.random_bool(0.4) => format!(r#"{rule} && !("{used}" in segments)"#),
            _ => rule.to_owned(),
        };
        if let Some(name) = self.segments.first().cloned().filter(|_| self.random.random_bool(0.3)) {
            // The first was there before all others: it may only change into what uses none of them.
            self.exam.edit(&name, Body::Rule(rule.to_owned())).await;
        } else {
            let name = format!("s{}", self.exam.next_id().as_u128());
            self.exam.draft(&name, Body::Rule(source)).await;
            self.segments.push(name);
        }
    }

    /// Deletes the last segment: nothing can use it.
    async fn retire(&mut self) {
        if self.random.random_bool(0.5)
            && let Some(name) = self.segments.pop()
        {
            self.exam.delete(&name).await;
        }
    }

    /// Every event is with whom its address leads to.
    async fn compare(&self) {
        let mut expected: BTreeMap<CustomerId, BTreeSet<InteractionId>> = BTreeMap::new();
        for (id, address) in &self.events {
            let owner = self.lead(*address);
            if !self.erased.contains(&owner) && !self.erased.contains(address) {
                expected.entry(owner).or_default().insert(*id);
            }
        }
        let everything = crate::ruleset::Needs {
            events: KINDS.iter().map(|kind| (*kind).to_owned()).collect(),
            ..crate::ruleset::Needs::default()
        };
        for id in &self.ids {
            let person = self.exam.store.person(&self.exam.tenant, &everything, *id).await.expect("a person");
            let facts = person.and_then(|p| p.facts).unwrap_or_default();
            let found: BTreeSet<InteractionId> = facts.events.iter().map(|e| e.id).collect();
            let wanted = expected.remove(id).unwrap_or_default();
            assert_eq!(found, wanted, "{id} leads to {}", self.lead(*id));
        }
    }
}
