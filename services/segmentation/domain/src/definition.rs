//! Definitions: what creating, changing and deleting a segment decide over the catalog, and share.

use std::collections::BTreeSet;

use rules::{Rule, Schema, Type, Vocabulary};
use terms::{CustomerId, Fault, Reason, Violations};

use crate::{
    catalog::Catalog,
    segment::{Kind, MAX_DEFINITION, MAX_LISTED, Segment},
};

/// How members are to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// By a rule.
    Rule(String),
    /// By a list; who is on it.
    List(Vec<CustomerId>),
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

pub(crate) fn over(kind: &Kind) -> BuildOver {
    match kind {
        Kind::Rule(_) => BuildOver::Everyone,
        Kind::List => BuildOver::Listed,
    }
}

pub(crate) fn body(
    wrong: &mut Violations,
    catalog: &Catalog,
    name: &str,
    body: &Body,
) -> (Kind, Option<Vec<CustomerId>>) {
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

/// Refuses a definition by which a segment would use itself.
pub(crate) fn uses_itself(catalog: &Catalog, name: &str, kind: &Kind) -> Result<(), Fault> {
    let Kind::Rule(source) = kind else { return Ok(()) };
    let schema = schema(catalog).segments(Vocabulary::Open);
    let rule = Rule::compile(source, &schema).map_err(|errors| rules::fault("segment.definition", &errors))?;
    catalog.check_cycle(name, &segments_of(&rule))
}
