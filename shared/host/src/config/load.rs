//! Lays the sources over each other, and reports every mistake at once.

use std::{fmt, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Config, check,
    read::read,
    tree::{Node, Origin, parse},
};

/// One wrong key or value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key.
    pub key: String,
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong. Reads on after the key.
    pub message: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a mistake:")?,
            n => write!(f, "the configuration has {n} mistakes:")?,
        }
        for Problem { key, origin, message } in &self.0 {
            write!(f, "\n  `{key}` ({origin}) {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The flags that set configuration. A command flattens them into its own.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "RAPPORT_CONFIG")]
    pub config: Option<std::path::PathBuf>,
    /// Where gRPC is served; short for `--set server.address=ADDRESS`.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// One setting, as in `--set server.linger=0`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the configuration in force, with the origin of each value, and end.
    #[arg(long)]
    pub dump_config: bool,
}

/// Gathers the sources: defaults < presets < file < environment < flags, in whatever order they are given.
#[derive(Debug, Default)]
pub struct Loader {
    presets: Node,
    file: Node,
    environment: Node,
    flags: Node,
    problems: Vec<Problem>,
    free: Vec<&'static str>,
}

impl Loader {
    /// Defaults alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the command `name` sets before anything else.
    #[must_use]
    pub fn preset(mut self, name: &str, key: &str, value: &str) -> Self {
        self.presets.put(key, value, Origin::Preset(name.into()));
        self
    }

    /// Reads a file; one that cannot be read is a problem like any other.
    #[must_use]
    pub fn file(mut self, file: &Path) -> Self {
        let name: std::sync::Arc<str> = file.display().to_string().into();
        let parsed = match std::fs::read_to_string(file) {
            Ok(text) => parse(file, &text),
            Err(e) => Err((0, format!("cannot be read: {e}"))),
        };
        match parsed {
            Ok(node) => self.file.overlay(node),
            Err((line, message)) => {
                let origin = Origin::File(name, line);
                self.problems.push(Problem { key: "config".to_owned(), origin, message });
            }
        }
        self
    }

    /// Takes the variables `RAPPORT_<SECTION>__<KEY>`. Those without a double underscore are none of ours: Kubernetes
    /// sets `RAPPORT_PORT` and the like for a service of that name.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix("RAPPORT_").filter(|rest| rest.contains("__")) else { continue };
            let key = rest.to_ascii_lowercase().replace("__", ".");
            self.environment.put(&key, &value, Origin::Variable(name.into()));
        }
        self
    }

    /// Takes flags, and the file that they name.
    #[must_use]
    pub fn flags(mut self, flags: &Flags) -> Self {
        if let Some(file) = &flags.config {
            self = self.file(file);
        }
        if let Some(address) = &flags.listen {
            self.flags.put("server.address", address, Origin::Flag("--listen".into()));
        }
        for pair in &flags.set {
            match pair.split_once('=') {
                Some((key, value)) => self.flags.put(key.trim(), value, Origin::Flag("--set".into())),
                None => self.problems.push(Problem {
                    key: pair.clone(),
                    origin: Origin::Flag("--set".into()),
                    message: "has no value; write KEY=VALUE".to_owned(),
                }),
            }
        }
        self
    }

    /// One flag of the command's own.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        self.flags.put(key, value, Origin::Flag(flag.into()));
        self
    }

    /// Allows a section that somebody else reads: a service's own.
    #[must_use]
    pub fn allow(mut self, section: &'static str) -> Self {
        self.free.push(section);
        self
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// Every wrong key and value, of the shape or of the sense.
    pub fn load(self) -> Result<Config, Problems> {
        let Self { mut presets, file, environment, flags, mut problems, free } = self;
        presets.overlay(file);
        presets.overlay(environment);
        presets.overlay(flags);
        let mut tree = presets;
        for key in strangers(&tree, &free) {
            let origin = tree.origin(&key).cloned().unwrap_or(Origin::Default);
            problems.push(Problem { key, origin, message: "is no section of the configuration".to_owned() });
        }
        let config = Config {
            server: section(&mut tree, "server", &mut problems),
            auth: section(&mut tree, "auth", &mut problems),
            store: section(&mut tree, "store", &mut problems),
            cache: section(&mut tree, "cache", &mut problems),
            peers: section(&mut tree, "peers", &mut problems),
            telemetry: section(&mut tree, "telemetry", &mut problems),
            feed: section(&mut tree, "feed", &mut problems),
            tree: std::sync::Arc::new(tree),
        };
        for (key, message) in check::check(&config) {
            let origin = config.origin(key);
            problems.push(Problem { key: key.to_owned(), origin, message });
        }
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }
}

/// The sections that everybody shares.
pub(super) const SECTIONS: [&str; 7] = ["server", "auth", "store", "cache", "peers", "telemetry", "feed"];

fn strangers(tree: &Node, free: &[&str]) -> Vec<String> {
    let Node::Table(table) = tree else { return Vec::new() };
    let known = |key: &str| SECTIONS.contains(&key) || free.contains(&key);
    table.keys().filter(|key| !known(key)).cloned().collect()
}

/// Reads a section; each mistake is noted and taken out, until what is left can be read.
pub(super) fn section<T: DeserializeOwned + Default>(tree: &mut Node, name: &str, problems: &mut Vec<Problem>) -> T {
    loop {
        let Some(node) = tree.at(name) else { return T::default() };
        let mistake = match read(node, name) {
            Ok(section) => return section,
            Err(mistake) => mistake,
        };
        let origin = tree.origin(&mistake.key).cloned().unwrap_or(Origin::Default);
        let removed = tree.remove(&mistake.key);
        problems.push(Problem { key: mistake.key, origin, message: mistake.message });
        if !removed {
            return T::default();
        }
    }
}

impl Config {
    /// A service's own section: its keys over `T`'s defaults.
    ///
    /// # Errors
    /// Every wrong key and value of it.
    pub fn section<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, Problems> {
        let mut tree = (*self.tree).clone();
        let mut problems = Vec::new();
        let section = section(&mut tree, name, &mut problems);
        if problems.is_empty() { Ok(section) } else { Err(Problems(problems)) }
    }

    /// Where the value at a dotted key came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.tree.origin(key).cloned().unwrap_or(Origin::Default)
    }

    /// The configuration in force, as a file that says the same, with the origin of each value beside it. Secrets
    /// are hidden. `sections` are the services' own, as read: pass those that have defaults worth showing.
    pub fn dump(&self, sections: &[(&str, serde_json::Value)]) -> String {
        super::dump::dump(self, sections)
    }
}

/// A service's own section, for [`Config::dump`].
pub fn shown<T: Serialize>(section: &T) -> serde_json::Value {
    serde_json::to_value(section).unwrap_or_default()
}
