//! Segments created, changed and deleted: pure decisions over the catalog.

use std::collections::BTreeSet;

use rules::{Rule, Schema, Type, Vocabulary};
use terms::{CustomerId, Fault, Reason, Timestamp, Violations};

use crate::{
    catalog::Catalog,
    segment::{self, Kind, MAX_DEFINITION, MAX_LISTED, MAX_SEGMENTS, Segment, SegmentId, SegmentRef, State},
};

/// A segment to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The handle.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// How members are found.
    pub body: Body,
}

/// How members are to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// By a rule.
    Rule(String),
    /// By a list; who is on it.
    List(Vec<CustomerId>),
}

/// What is to change; `None`: stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// For people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// A new rule, or a new list in place of the old one.
    pub body: Option<Body>,
}

/// What is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The segment in its new state.
    pub segment: Segment,
    /// Whether the rules of the tenant are others from now on.
    pub rules_changed: bool,
    /// The new list.
    pub listed: Option<Vec<CustomerId>>,
    /// Whose memberships are to be computed.
    pub build: Option<BuildOver>,
}

/// Whose memberships a build computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildOver {
    /// Those of every customer.
    Everyone,
    /// Those of the members, and of who is on the list.
    Listed,
}

impl BuildOver {
    /// The stored form.
    pub const fn code(self) -> i32 {
        match self {
            Self::Everyone => 1,
            Self::Listed => 2,
        }
    }

    /// Reads the stored form.
    pub const fn from_code(code: i32) -> Option<Self> {
        match code {
            1 => Some(Self::Everyone),
            2 => Some(Self::Listed),
            _ => None,
        }
    }
}

/// What definitions may speak of: golden traits (any), `customer.kind`, statements, the segments of the tenant, event
/// functions and the clock. Computed traits, value and needs come with their models.
pub fn schema(catalog: &Catalog) -> Schema {
    Schema::new()
        .open("customer")
        .declare("customer.kind", Type::String)
        .statements(Vocabulary::Open)
        .segments(Vocabulary::closed(catalog.names()))
        .events(Vocabulary::Open)
        .clock()
}

/// Compiles a definition.
///
/// # Errors
/// [`Reason::RuleInvalid`] with every mistake, by line and column.
pub fn compile(field: &str, source: &str, catalog: &Catalog) -> Result<Rule, Fault> {
    if source.len() > MAX_DEFINITION {
        return Err(Fault::invalid(field, Reason::InvalidFields, "is longer than 16384 bytes"));
    }
    Rule::compile(source, &schema(catalog)).map_err(|errors| rules::fault(field, &errors))
}

/// The names of the segments that a rule uses.
pub fn segments_of(rule: &Rule) -> BTreeSet<String> {
    rule.references().segments.iter().cloned().collect()
}

/// Creates a segment.
///
/// # Errors
/// [`Reason::InvalidFields`], [`Reason::RuleInvalid`], [`Reason::NameTaken`], [`Reason::SegmentCycle`].
pub fn create_segment(catalog: &Catalog, draft: &Draft, id: SegmentId, now: Timestamp) -> Result<Definition, Fault> {
    let mut wrong = Violations::new();
    wrong.take(segment::name("segment.name", &draft.name));
    segment::texts(&mut wrong, &draft.display_name, &draft.description);
    let (kind, listed) = body(&mut wrong, catalog, &draft.name, &draft.body);
    wrong.done()?;
    if catalog.named(&draft.name).is_some() {
        return Err(Fault::new(
            Reason::NameTaken,
            format!("there is a segment `{}` already; choose another name, or update that one", draft.name),
        )
        .with("kind", "segment")
        .with("name", draft.name.clone()));
    }
    if catalog.count() >= MAX_SEGMENTS {
        let message = format!("there are {MAX_SEGMENTS} segments already; delete some first");
        return Err(Fault::invalid("segment", Reason::InvalidFields, message));
    }
    uses_itself(catalog, &draft.name, &kind)?;
    let build = over(&kind);
    let segment = Segment {
        id,
        name: draft.name.clone(),
        display_name: draft.display_name.clone(),
        description: draft.description.clone(),
        kind,
        version: 1,
        edit: 1,
        state: State::Building,
        created_at: now,
        updated_at: now,
    };
    Ok(Definition { segment, rules_changed: true, listed, build: Some(build) })
}

/// Changes a segment. A definition that says the same is no new version.
///
/// # Errors
/// [`Reason::SegmentNotFound`], [`Reason::EtagStale`], [`Reason::InvalidFields`], [`Reason::RuleInvalid`],
/// [`Reason::SegmentCycle`].
pub fn update_segment(
    catalog: &Catalog,
    which: &SegmentRef,
    etag: &str,
    edit: &Edit,
    now: Timestamp,
) -> Result<Definition, Fault> {
    let old = catalog.find(which)?;
    old.check_etag(etag)?;
    let mut new = Segment { edit: old.edit + 1, updated_at: now, ..(**old).clone() };
    let mut wrong = Violations::new();
    if let Some(text) = &edit.display_name {
        new.display_name.clone_from(text);
    }
    if let Some(text) = &edit.description {
        new.description.clone_from(text);
    }
    segment::texts(&mut wrong, &new.display_name, &new.description);
    let mut listed = None;
    match (&edit.body, &old.kind) {
        (None, _) => {}
        (Some(Body::List(_)), Kind::Rule(_)) => {
            wrong.add("segment.static_members", "cannot take the place of a rule; create another segment for the list");
        }
        (Some(Body::Rule(_)), Kind::List) => {
            wrong.add("segment.definition", "cannot take the place of a list; create another segment for the rule");
        }
        (Some(given), _) => (new.kind, listed) = body(&mut wrong, catalog, &old.name, given),
    }
    wrong.done()?;
    let rules_changed = new.kind != old.kind;
    let build = (rules_changed || listed.is_some()).then(|| over(&new.kind));
    if rules_changed {
        uses_itself(catalog, &old.name, &new.kind)?;
        new.version += 1;
    }
    if build.is_some() {
        new.state = State::Building;
    }
    Ok(Definition { segment: new, rules_changed, listed, build })
}

/// Deletes a segment; its members leave.
///
/// # Errors
/// [`Reason::SegmentNotFound`], [`Reason::EtagStale`], [`Reason::SegmentInUse`] with the users.
pub fn delete_segment(catalog: &Catalog, which: &SegmentRef, etag: &str, now: Timestamp) -> Result<Definition, Fault> {
    let old = catalog.find(which)?;
    old.check_etag(etag)?;
    let users: Vec<String> = catalog.users(old.id).iter().map(|name| format!("segment:{name}")).collect();
    if !users.is_empty() {
        let users = users.join(",");
        return Err(Fault::new(
            Reason::SegmentInUse,
            format!("segment `{}` is used by {users}; change or delete these first", old.name),
        )
        .with("used_by", users));
    }
    let segment = Segment { state: State::Deleted, edit: old.edit + 1, updated_at: now, ..(**old).clone() };
    Ok(Definition { segment, rules_changed: true, listed: Some(Vec::new()), build: Some(BuildOver::Listed) })
}

fn over(kind: &Kind) -> BuildOver {
    match kind {
        Kind::Rule(_) => BuildOver::Everyone,
        Kind::List => BuildOver::Listed,
    }
}

fn body(wrong: &mut Violations, catalog: &Catalog, name: &str, body: &Body) -> (Kind, Option<Vec<CustomerId>>) {
    match body {
        Body::Rule(source) => {
            if source.trim().is_empty() {
                wrong.add("segment.definition", "is required: a rule in CEL that is true of the members");
            } else if !source.contains(name) || catalog.named(name).is_some() {
                wrong.take(compile("segment.definition", source, catalog));
            } else {
                // A new segment may name itself, so that the cycle is what it hears of.
                let field = "segment.definition";
                let names = catalog.names().chain([name]);
                let schema = schema(catalog).segments(Vocabulary::closed(names));
                wrong.take(Rule::compile(source, &schema).map_err(|errors| rules::fault(field, &errors)));
            }
            (Kind::Rule(source.clone()), None)
        }
        Body::List(customers) => {
            wrong.add_if(customers.len() > MAX_LISTED, "segment.static_members.customers", "has more than 10000 items");
            (Kind::List, Some(customers.clone()))
        }
    }
}

fn uses_itself(catalog: &Catalog, name: &str, kind: &Kind) -> Result<(), Fault> {
    let Kind::Rule(source) = kind else { return Ok(()) };
    let schema = schema(catalog).segments(Vocabulary::Open);
    let rule = Rule::compile(source, &schema).map_err(|errors| rules::fault("segment.definition", &errors))?;
    catalog.check_cycle(name, &segments_of(&rule))
}
