//! What rules may speak of: declared attributes, and which parts of the language are on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::text;

/// The type of an attribute or of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number. Compares and computes with [`Type::Double`].
    Int,
    /// A number.
    Double,
    /// Text.
    String,
    /// An instant. An attribute declared so may also hold RFC 3339 text.
    Timestamp,
    /// A length of time.
    Duration,
    /// Several values of one type.
    List(Box<Type>),
    /// Values by name; what is inside is dynamic.
    Map,
    /// Known only when evaluated.
    Dynamic,
    /// The literal `null`.
    Null,
}

impl Type {
    /// A list of `item`s.
    pub fn list(item: Self) -> Self {
        Self::List(Box::new(item))
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Dynamic)
    }

    /// Whether values of the two types can be equal.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dynamic, _) | (_, Self::Dynamic) => true,
            (Self::Int | Self::Double, Self::Int | Self::Double) => true,
            (Self::List(a), Self::List(b)) => a.meets(b),
            (a, b) => a == b,
        }
    }

    /// The type of a value that is of one or the other.
    pub(crate) fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a.clone(),
            (Self::Int | Self::Double, Self::Int | Self::Double) => Self::Double,
            _ => Self::Dynamic,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "a boolean",
            Self::Int | Self::Double => "a number",
            Self::String => "a string",
            Self::Timestamp => "a timestamp",
            Self::Duration => "a duration",
            Self::List(item) => return write!(f, "a list whose items are each {item}"),
            Self::Map => "a map",
            Self::Dynamic => "of any type",
            Self::Null => "null",
        })
    }
}

/// Which names may be used: any, or those listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vocabulary {
    /// Any name.
    Open,
    /// Only these; others are mistakes.
    Closed(BTreeSet<String>),
}

impl Vocabulary {
    /// Only these.
    pub fn closed<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Closed(names.into_iter().map(Into::into).collect())
    }
}

/// The declared attributes, and which parts of the language may be used.
///
/// An attribute is a dotted path; the first part is its *root*. A list filter declares roots that hold a value
/// themselves: `Schema::new().declare("state", Type::String)`.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    declared: BTreeMap<String, Type>,
    open: BTreeSet<String>,
    pub(crate) statements: Option<Vocabulary>,
    pub(crate) segments: Option<Vocabulary>,
    pub(crate) events: Option<Vocabulary>,
    pub(crate) clock: bool,
    /// The rule is itself a filter over one event.
    pub(crate) of_event: bool,
}

impl Schema {
    /// Nothing declared: the beginning of a list filter's schema.
    pub fn new() -> Self {
        Self::default()
    }

    /// For segment definitions: open `customer`, `traits`, `value` and `needs`; any topic, segment and event type; the
    /// clock. Declare what is known on top.
    pub fn segmentation() -> Self {
        let mut schema =
            Self::new().statements(Vocabulary::Open).segments(Vocabulary::Open).events(Vocabulary::Open).clock();
        for root in ["customer", "traits", "value", "needs"] {
            schema = schema.open(root);
        }
        schema
    }

    /// For the eligibility of treatments and questions: as [`Schema::segmentation`], and an open `context`.
    pub fn eligibility() -> Self {
        Self::segmentation().open("context")
    }

    /// For a filter over one event, as of a computed trait: `event.channel == "web"`. Evaluate with
    /// [`Rule::matches_event`](crate::Rule::matches_event).
    pub fn event() -> Self {
        Self { of_event: true, ..Self::new() }.declare_event()
    }

    /// Declares an attribute and its type. A declaration is a promise that evaluation keeps: a value of another type
    /// counts as missing, but for whole numbers and numbers, which are converted where nothing is lost, and RFC 3339
    /// text, which is read as a timestamp.
    #[must_use]
    pub fn declare(mut self, path: impl Into<String>, of: Type) -> Self {
        self.declared.insert(path.into(), of);
        self
    }

    /// Lets any attribute below `root` be used; those not declared are dynamic.
    #[must_use]
    pub fn open(mut self, root: impl Into<String>) -> Self {
        self.open.insert(root.into());
        self
    }

    /// Turns `statements` on.
    #[must_use]
    pub fn statements(mut self, topics: Vocabulary) -> Self {
        self.statements = Some(topics);
        self
    }

    /// Turns `segments` on.
    #[must_use]
    pub fn segments(mut self, names: Vocabulary) -> Self {
        self.segments = Some(names);
        self
    }

    /// Turns the event functions on. In a closed vocabulary a type covers those below it: `purchase` allows
    /// `purchase.online`.
    #[must_use]
    pub fn events(mut self, types: Vocabulary) -> Self {
        self.events = Some(types);
        self.declare_event()
    }

    /// Turns `now` on.
    #[must_use]
    pub fn clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// What can be asked of an event.
    fn declare_event(mut self) -> Self {
        for field in EVENT_TEXTS {
            self = self.declare(format!("event.{field}"), Type::String);
        }
        self.declare("event.occurred_at", Type::Timestamp).declare("event.value", Type::Double).open("event.properties")
    }

    /// The type of the attribute at `path`, or why there is none.
    pub(crate) fn type_of(&self, path: &str) -> Result<Type, String> {
        if let Some(declared) = self.declared.get(path) {
            return Ok(declared.clone());
        }
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('.') {
            above = parent;
            match self.declared.get(above) {
                Some(Type::Map | Type::Dynamic) => return Ok(Type::Dynamic),
                Some(of) => return Err(format!("`{above}` is {of}; it has nothing inside that could be asked for")),
                None => {}
            }
            if self.open.contains(above) {
                return Ok(Type::Dynamic);
            }
        }
        Err(self.why_not(path))
    }

    fn why_not(&self, path: &str) -> String {
        let below: Vec<&str> = self.children(path).collect();
        if !below.is_empty() || self.open.contains(path) {
            let example = below.first().map_or_else(|| "name".to_owned(), |child| (*child).to_owned());
            return format!("`{path}` is a group of attributes; name one of them, as in `{path}.{example}`");
        }
        let (parent, name) = path.rsplit_once('.').map_or((None, path), |(parent, name)| (Some(parent), name));
        match parent {
            Some(parent) if self.children(parent).next().is_some() => {
                let known: Vec<&str> = self.children(parent).collect();
                unknown(&format!("`{parent}` has no attribute `{name}`"), name, &known)
            }
            _ => {
                let root = path.split('.').next().unwrap_or(path);
                unknown(&format!("there is no `{root}` here"), root, &self.roots())
            }
        }
    }

    /// The names directly below `path`.
    fn children(&self, path: &str) -> impl Iterator<Item = &str> {
        let all = self.declared.keys().chain(&self.open);
        let prefix = format!("{path}.");
        let mut names: Vec<&str> = all.filter_map(|full| full.strip_prefix(&prefix)?.split('.').next()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }

    /// The names that a rule may begin with.
    pub(crate) fn roots(&self) -> Vec<&str> {
        let mut roots: Vec<&str> = self
            .declared
            .keys()
            .chain(&self.open)
            .filter_map(|path| path.split('.').next())
            .filter(|root| *root != "event" || self.of_event)
            .collect();
        let parts =
            [("statements", self.statements.is_some()), ("segments", self.segments.is_some()), ("now", self.clock)];
        roots.extend(parts.iter().filter(|(_, on)| *on).map(|(name, _)| *name));
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

/// The fields of an event that are text.
const EVENT_TEXTS: [&str; 9] = [
    "type",
    "channel",
    "touchpoint",
    "direction",
    "directness",
    "motivation",
    "inducement",
    "currency",
    "conversation_id",
];

/// "… ; did you mean …" or "…; known are …".
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    if let Some(near) = text::closest(name, known.iter().copied()) {
        return format!("{what}; did you mean `{near}`?");
    }
    match known {
        [] => format!("{what}, and nothing of the kind is declared"),
        known if known.len() <= 20 => format!("{what}; known are `{}`", known.join("`, `")),
        known => format!("{what}, nor anything like it among the {} that are known", known.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_resolve() {
        let schema = Schema::new()
            .declare("customer.country", Type::String)
            .declare("customer.address", Type::Map)
            .open("context")
            .declare("state", Type::String);
        assert_eq!(schema.type_of("customer.country"), Ok(Type::String));
        assert_eq!(schema.type_of("customer.address.city"), Ok(Type::Dynamic));
        assert_eq!(schema.type_of("context.a.b"), Ok(Type::Dynamic));
        assert_eq!(schema.type_of("state"), Ok(Type::String));
        let why = |path: &str| schema.type_of(path).unwrap_err();
        assert!(why("customer.contry").contains("did you mean `country`"), "{}", why("customer.contry"));
        assert!(why("customer.country.x").contains("is a string"));
        assert!(why("customer").contains("`customer.address`"));
        assert!(why("context").contains("group"));
        assert!(why("costumer.x").contains("did you mean `customer`"));
        assert!(why("zebra").contains("known are"));
    }
}
