//! `--dump-config`.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    Config,
    load::SECTIONS,
    tree::{Raw, join},
};

pub(super) fn dump(config: &Config, extra: &[(&str, Value)]) -> String {
    let mut out = String::new();
    let whole = serde_json::to_value(config).unwrap_or_default();
    for name in SECTIONS {
        table(config, name, whole.get(name).unwrap_or(&Value::Null), &mut out);
    }
    for (name, value) in extra {
        table(config, name, value, &mut out);
    }
    // What else was set, as it was written.
    let shown = |key: &str| {
        let section = key.split('.').next().unwrap_or_default();
        SECTIONS.contains(&section) || extra.iter().any(|(name, _)| *name == section)
    };
    let mut section = String::new();
    for (whole, leaf) in config.tree.leaves().into_iter().filter(|(key, _)| !shown(key)) {
        let (table, key) = whole.split_once('.').unwrap_or(("", &whole));
        if table != section {
            table.clone_into(&mut section);
            let _ = write!(out, "\n[{table}]\n");
        }
        let value = match &leaf.raw {
            Raw::Typed(value) => value.to_string(),
            Raw::Text(text) => toml::Value::from(text.as_str()).to_string(),
        };
        line(key, &hide(&whole, value), &leaf.origin.to_string(), &mut out);
    }
    out
}

fn table(config: &Config, path: &str, value: &Value, out: &mut String) {
    let Value::Object(fields) = value else { return };
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "[{path}]");
    let mut inner = Vec::new();
    for (key, value) in fields {
        let whole = join(path, key);
        match value {
            Value::Object(_) => inner.push((whole, value)),
            Value::Null => line(&format!("# {key}"), "", "not set", out),
            _ => line(key, &hide(&whole, text(value)), &config.origin(&whole).to_string(), out),
        }
    }
    for (path, value) in inner {
        table(config, &path, value, out);
    }
}

fn line(key: &str, value: &str, origin: &str, out: &mut String) {
    let _ = writeln!(out, "{:<48} # {origin}", format!("{key} = {value}"));
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key} = {}", text(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Secrets by the name of their key, and credentials within addresses.
fn hide(key: &str, value: String) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    let secret = ["password", "secret", "token", "key", "keys"]
        .iter()
        .any(|word| last == *word || last.ends_with(&format!("_{word}")));
    if secret && value != "\"\"" {
        return "\"***\"".to_owned();
    }
    match (value.find("://"), value.rfind('@')) {
        (Some(start), Some(end)) if start + 3 < end => {
            let (head, _) = value.split_at(start + 3);
            format!("{head}***{}", value.split_at(end).1)
        }
        _ => value,
    }
}
