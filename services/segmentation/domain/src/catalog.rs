//! All segments of a tenant: names, who uses whom, and the compiled rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use terms::{Fault, Reason};

use crate::{
    ruleset::Ruleset,
    segment::{Segment, SegmentId, SegmentRef, State},
};

/// All segments of a tenant, at one moment.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Rises with every change of a segment.
    pub epoch: i64,
    /// Rises with every change of a rule or a list; whoever computes memberships computes by the rules of one such.
    pub rules: i64,
    segments: BTreeMap<SegmentId, Arc<Segment>>,
    names: BTreeMap<String, SegmentId>,
    ruleset: Arc<Ruleset>,
}

impl Catalog {
    /// Compiles the segments. Deleted ones only keep their names.
    pub fn new(epoch: i64, rules: i64, segments: Vec<Segment>) -> Self {
        let living = segments.iter().filter(|s| s.state != State::Deleted);
        let ruleset = Arc::new(Ruleset::build(living));
        Self::of(epoch, rules, segments, ruleset)
    }

    /// The same rules with other names for people and other states.
    #[must_use]
    pub fn refreshed(&self, epoch: i64, segments: Vec<Segment>) -> Self {
        Self::of(epoch, self.rules, segments, self.ruleset.clone())
    }

    fn of(epoch: i64, rules: i64, segments: Vec<Segment>, ruleset: Arc<Ruleset>) -> Self {
        let living = segments.iter().filter(|s| s.state != State::Deleted);
        let names = living.map(|s| (s.name.clone(), s.id)).collect();
        let segments = segments.into_iter().map(|s| (s.id, Arc::new(s))).collect();
        Self { epoch, rules, segments, names, ruleset }
    }

    /// The compiled rules.
    pub fn ruleset(&self) -> &Arc<Ruleset> {
        &self.ruleset
    }

    /// The living segments, by name.
    pub fn living(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.names.values().filter_map(|id| self.segments.get(id))
    }

    /// How many live.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The names of the living segments.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// A segment by id, also a deleted one.
    pub fn get(&self, id: SegmentId) -> Option<&Arc<Segment>> {
        self.segments.get(&id)
    }

    /// A living segment by name.
    pub fn named(&self, name: &str) -> Option<&Arc<Segment>> {
        self.segments.get(self.names.get(name)?)
    }

    /// A living segment.
    ///
    /// # Errors
    /// [`Reason::SegmentNotFound`].
    pub fn find(&self, segment: &SegmentRef) -> Result<&Arc<Segment>, Fault> {
        let found = match segment {
            SegmentRef::Id(id) => self.get(*id).filter(|s| s.state != State::Deleted),
            SegmentRef::Name(name) => self.named(name),
        };
        found.ok_or_else(|| segment.not_found())
    }

    /// The names of the segments that `id` uses, in order.
    pub fn uses(&self, id: SegmentId) -> Vec<&str> {
        let entry = self.ruleset.place(id).and_then(|place| self.ruleset.entry(place));
        let mut names: Vec<&str> = entry.map_or_else(Vec::new, |entry| self.name_all(&entry.uses));
        names.sort_unstable();
        names
    }

    /// The names of the segments that use `id`, in order.
    pub fn users(&self, id: SegmentId) -> Vec<&str> {
        let users: BTreeSet<SegmentId> =
            self.ruleset.entries().filter(|entry| entry.uses.contains(&id)).map(|entry| entry.id).collect();
        let mut names = self.name_all(&users);
        names.sort_unstable();
        names
    }

    fn name_all<'a>(&'a self, ids: &BTreeSet<SegmentId>) -> Vec<&'a str> {
        ids.iter().filter_map(|id| Some(self.segments.get(id)?.name.as_str())).collect()
    }

    /// Refuses a definition of `name` that would use `uses`, if `name` is among what they use in turn.
    ///
    /// # Errors
    /// [`Reason::SegmentCycle`] with the way round, as in `a -> c -> b -> a`.
    pub fn check_cycle(&self, name: &str, uses: &BTreeSet<String>) -> Result<(), Fault> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open: Vec<&str> = uses.iter().map(String::as_str).collect();
        if uses.contains(name) {
            return Err(cycle(&[name, name]));
        }
        while let Some(user) = open.pop() {
            let Some(segment) = self.named(user) else { continue };
            for used in self.uses(segment.id) {
                if used == name {
                    let mut way = vec![name, user];
                    let mut at = user;
                    while let Some(before) = came_from.get(at) {
                        way.push(before);
                        at = before;
                    }
                    way.push(name);
                    // Found from the end: `name` uses the last of the way, and so on.
                    way.reverse();
                    return Err(cycle(&way));
                }
                if !came_from.contains_key(used) && !uses.contains(used) {
                    came_from.insert(used, user);
                    open.push(used);
                }
            }
        }
        Ok(())
    }
}

fn cycle(way: &[&str]) -> Fault {
    let way = way.join(" -> ");
    Fault::new(
        Reason::SegmentCycle,
        format!("the segment would use itself: {way}; take one of these references out of its definition"),
    )
    .with("cycle", way)
}
