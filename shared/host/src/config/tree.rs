//! Raw settings: a tree of keys whose leaves know where they came from.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use toml::{Spanned, Table, Value, de::DeTable};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// What a command of the program sets before anything else, as in `rapport dev`.
    Preset(Arc<str>),
    /// A line of a file.
    File(Arc<str>, usize),
    /// A variable of the environment.
    Variable(Arc<str>),
    /// A flag of the command line.
    Flag(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset(name) => write!(f, "`{name}`"),
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// In a file: typed.
    Typed(Value),
    /// In the environment or in a flag: a text, read as the type that the setting has.
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Table(BTreeMap<String, Node>),
    Leaf(Leaf),
}

impl Default for Node {
    fn default() -> Self {
        Self::Table(BTreeMap::new())
    }
}

impl Node {
    /// Puts a text at a dotted key.
    pub(super) fn put(&mut self, key: &str, text: &str, origin: Origin) {
        let mut node = self;
        for part in key.split('.') {
            if !matches!(node, Self::Table(_)) {
                *node = Self::default();
            }
            let Self::Table(table) = node else { return };
            node = table.entry(part.to_owned()).or_default();
        }
        *node = Self::Leaf(Leaf { raw: Raw::Text(text.to_owned()), origin });
    }

    /// Lays `upper` over this: tables merge, other values replace.
    pub(super) fn overlay(&mut self, upper: Self) {
        match (self, upper) {
            (Self::Table(lower), Self::Table(upper)) => {
                for (key, value) in upper {
                    match lower.get_mut(&key) {
                        Some(node) => node.overlay(value),
                        None => {
                            lower.insert(key, value);
                        }
                    }
                }
            }
            (lower, upper) => *lower = upper,
        }
    }

    /// The node at a dotted key.
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        key.split('.').filter(|part| !part.is_empty()).try_fold(self, |node, part| match node {
            Self::Table(table) => table.get(part),
            Self::Leaf(_) => None,
        })
    }

    /// Where the value at a dotted key, or the one around it, came from.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        let mut node = self;
        for part in key.split('.') {
            match node {
                Self::Leaf(leaf) => return Some(&leaf.origin),
                Self::Table(table) => node = table.get(part)?,
            }
        }
        node.first_origin()
    }

    fn first_origin(&self) -> Option<&Origin> {
        match self {
            Self::Leaf(leaf) => Some(&leaf.origin),
            Self::Table(table) => table.values().find_map(Self::first_origin),
        }
    }

    /// Takes out what stands at a dotted key, or around it; whether anything did.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let (part, rest) = key.split_once('.').unwrap_or((key, ""));
        let Self::Table(table) = self else { return false };
        match table.get_mut(part) {
            None => false,
            Some(Self::Table(_)) if rest.is_empty() => table.remove(part).is_some(),
            Some(node @ Self::Table(_)) => node.remove(rest),
            Some(Self::Leaf(_)) => table.remove(part).is_some(),
        }
    }

    /// Every leaf with its dotted key.
    pub(super) fn leaves(&self) -> Vec<(String, &Leaf)> {
        fn walk<'a>(node: &'a Node, path: &str, out: &mut Vec<(String, &'a Leaf)>) {
            match node {
                Node::Leaf(leaf) => out.push((path.to_owned(), leaf)),
                Node::Table(table) => {
                    for (key, value) in table {
                        walk(value, &join(path, key), out);
                    }
                }
            }
        }
        let mut out = Vec::new();
        walk(self, "", &mut out);
        out
    }
}

/// `a.b` and `c` are `a.b.c`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Reads a file's text.
pub(super) fn parse(file: &Path, text: &str) -> Result<Node, (usize, String)> {
    let refused = |e: toml::de::Error| {
        let line = e.span().map_or(1, |span| line(text, span.start));
        (line, e.message().to_owned())
    };
    let values: Table = toml::from_str(text).map_err(refused)?;
    let spans = DeTable::parse(text).map_err(refused)?;
    let name: Arc<str> = file.display().to_string().into();
    Ok(Node::Table(table(&values, spans.get_ref(), &name, text)))
}

fn table(values: &Table, spans: &DeTable<'_>, file: &Arc<str>, text: &str) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    for (key, span) in spans {
        let Some(value) = values.get(key.get_ref().as_ref()) else { continue };
        let node = match (value, Spanned::get_ref(span).as_table()) {
            (Value::Table(inner), Some(spans)) => Node::Table(table(inner, spans, file, text)),
            _ => {
                let origin = Origin::File(file.clone(), line(text, key.span().start));
                Node::Leaf(Leaf { raw: Raw::Typed(value.clone()), origin })
            }
        };
        nodes.insert(key.get_ref().to_string(), node);
    }
    nodes
}

fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_and_origins() {
        let mut node =
            parse(Path::new("a.toml"), "[server]\nlinger = \"1s\"\n\n[server.tls]\ncert_file = \"c\"\n").unwrap();
        assert_eq!(node.origin("server.tls.cert_file").unwrap().to_string(), "a.toml:5");
        let mut upper = Node::default();
        upper.put("server.linger", "2s", Origin::Variable("RAPPORT_SERVER__LINGER".into()));
        node.overlay(upper);
        assert_eq!(node.origin("server.linger").unwrap().to_string(), "environment RAPPORT_SERVER__LINGER");
        assert_eq!(node.origin("server.tls.cert_file").unwrap().to_string(), "a.toml:5");
        assert!(node.remove("server.linger") && node.at("server.linger").is_none());
        assert!(!node.remove("server.linger"));
    }

    #[test]
    fn a_broken_file_names_its_line() {
        assert_eq!(parse(Path::new("a.toml"), "[server]\nlinger = \n").unwrap_err().0, 2);
    }
}
