//! The rules of the house that a program can check.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use it::contract::rpcs;
use serde_json::Value;

const SERVICES: [&str; 4] = ["identity", "interaction", "segmentation", "customization"];
/// A file is one subject; beyond this it is two.
const LONGEST: usize = 600;

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root of the workspace")
});

/// Every file of the project with one of the endings, by its path below the root; without what is generated.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![ROOT.clone()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(&*ROOT).expect("below the root").to_string_lossy().into_owned();
            if path.is_dir() {
                let skipped = ["target", ".git", "proto/src/gen", "node_modules"];
                if !skipped.iter().any(|s| below == *s || below.ends_with(&format!("/{s}"))) {
                    open.push(path);
                }
            } else if endings.iter().any(|ending| below.ends_with(ending))
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push((below, text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no file ends with {endings:?}");
    found
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

/// The workspace's packages, with those of their dependencies that are the workspace's too, and all by name.
struct Package {
    manifest: String,
    ours: BTreeSet<String>,
    all: BTreeSet<String>,
}

fn packages() -> BTreeMap<String, Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(&*ROOT)
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let listed = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<String> = listed.iter().map(|package| text(package, "name")).collect();
    listed
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            // What only tests, benches and the contract suite need is theirs to choose.
            let shipped = dependencies.iter().filter(|d| d["kind"].is_null() && d["optional"] == false);
            let all: BTreeSet<String> = shipped.map(|dependency| text(dependency, "name")).collect();
            let ours = all.intersection(&names).cloned().collect();
            (text(package, "name"), Package { manifest: text(package, "manifest_path"), ours, all })
        })
        .collect()
}

/// Import rule 1: `terms ← <x>-domain ← <x>`; shared crates know no service; a service knows no other.
#[test]
fn crates_import_what_they_may() {
    let mut broken = Vec::new();
    let packages = packages();
    for (name, package) in &packages {
        let allowed: BTreeSet<&str> = match name.as_str() {
            "rapport-proto" | "terms" | "identity-matching" | "testkit-datasets" => BTreeSet::new(),
            "rules" => ["terms"].into(),
            "host" => ["terms", "rapport-proto"].into(),
            "data" | "profile" => ["terms", "rapport-proto", "host", "data"].into(),
            "testkit" => ["terms", "rapport-proto", "host", "data", "profile", "testkit-datasets"].into(),
            name if SERVICES.contains(&name) => {
                let own = SERVICES.iter().find(|s| **s == name).copied().unwrap_or_default();
                let domain = packages.keys().find(|p| **p == format!("{own}-domain"));
                ["terms", "rules", "host", "data", "profile", "rapport-proto"]
                    .into_iter()
                    .chain(domain.map(String::as_str))
                    .chain((own == "identity").then_some("identity-matching"))
                    .collect()
            }
            "identity-domain" => ["terms", "rules", "identity-matching"].into(),
            name if name.ends_with("-domain") => ["terms", "rules"].into(),
            // `rapport` and the tests see everything.
            _ => continue,
        };
        let unlawful = package.ours.iter().filter(|dependency| !allowed.contains(dependency.as_str()));
        broken.extend(unlawful.map(|dependency| format!("{name} imports {dependency}")));
    }
    assert_none("import rules", &broken);
}

/// A domain crate knows no tonic, no sea-orm, no Redis and no clock but the one handed to it.
#[test]
fn domains_know_no_infrastructure() {
    const BANNED: [&str; 10] =
        ["tonic", "prost", "prost-types", "sea-orm", "sqlx", "redis", "tokio", "host", "data", "rapport-proto"];
    let mut broken = Vec::new();
    for (name, package) in packages()
        .iter()
        .filter(|(name, _)| name.ends_with("-domain") || ["terms", "identity-matching"].contains(&name.as_str()))
    {
        broken.extend(package.all.iter().filter(|d| BANNED.contains(&d.as_str())).map(|d| format!("{name} knows {d}")));
    }
    assert_none("domains stay pure", &broken);
}

#[test]
fn every_crate_follows_the_workspace() {
    let mut broken = Vec::new();
    for (name, package) in packages() {
        let manifest = fs::read_to_string(&package.manifest).expect("a manifest");
        if !manifest.contains("[lints]\nworkspace = true") {
            broken.push(format!("{name} does not take the workspace's lints"));
        }
        // One version per dependency, in one place.
        let mut dependencies = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                dependencies = line.contains("dependencies");
            } else if dependencies
                && line.contains('=')
                && !["workspace = true", "path = "].iter().any(|w| line.contains(w))
            {
                broken.push(format!("{name}: `{line}` has a version of its own"));
            }
        }
    }
    assert_none("workspace", &broken);
}

#[test]
fn no_drawer_for_everything() {
    const BANNED: [&str; 6] = ["common", "utils", "util", "helpers", "misc", "manager"];
    let mut broken = Vec::new();
    for (path, text) in files(&[".rs", "Cargo.toml"]) {
        let parts = path.trim_end_matches(".rs").split('/');
        if parts.into_iter().any(|part| BANNED.contains(&part)) {
            broken.push(path.clone());
        }
        for (number, line) in text.lines().enumerate() {
            let module = line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let module = module.strip_prefix("mod ").map(|rest| rest.trim_end_matches([';', '{', ' ']));
            if module.is_some_and(|module| BANNED.contains(&module)) {
                broken.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert_none("a module is named after its subject", &broken);
}

#[test]
fn a_file_has_one_subject() {
    let long = files(&[".rs"]).into_iter().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > LONGEST).then(|| format!("{path}: {lines} lines"))
    });
    assert_none("files end before they change the subject", &long.collect::<Vec<_>>());
}

/// A migration's name comes from its file.
#[test]
fn one_migration_per_file() {
    let mut broken = Vec::new();
    for (path, text) in files(&[".rs"]) {
        let count = text.matches("MigrationTrait for ").count();
        if count > 1 {
            broken.push(format!("{path}: {count} migrations"));
        }
    }
    assert_none("one migration per file", &broken);
}

/// `SplitCustomer` is `split_customer`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// One name from end to end: an RPC that is served has its own file in `grpc/`.
#[test]
fn every_served_rpc_has_its_file() {
    let mut broken = Vec::new();
    let unserved = unserved();
    for rpc in rpcs().iter().filter(|rpc| rpc.is_public()) {
        let verb = snake(rpc.method.name());
        let file = format!("services/{}/src/grpc/{verb}.rs", rpc.home);
        let there = ROOT.join(&file).exists() || ROOT.join(file.trim_end_matches(".rs")).is_dir();
        match unserved.contains(&rpc.name) {
            false if !there => broken.push(format!("{} is served and has no {file}", rpc.name)),
            true if there => broken.push(format!("{} is not served and has {file}", rpc.name)),
            _ => {}
        }
    }
    assert_none("one RPC per file", &broken);
}

fn unserved() -> BTreeSet<String> {
    let lists = [
        identity::NOT_YET_SERVED,
        interaction::NOT_YET_SERVED,
        segmentation::NOT_YET_SERVED,
        customization::NOT_YET_SERVED,
    ];
    lists.into_iter().flatten().map(|name| (*name).to_owned()).collect()
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X:"].concat()];
    let mut broken = Vec::new();
    for (path, text) in files(&[".rs", ".proto", ".toml", ".md", ".sh", ".py", "tests/run", "clients/run"]) {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                broken.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none("issues hold what is left", &broken);
}

/// A path of one machine works on that machine.
#[test]
fn no_paths_of_one_machine() {
    let folders = ["home", "root", "Users", "work"].map(|folder| format!("/{folder}/"));
    let marks: Vec<String> = folders.into_iter().chain([["\"C:", "\\"].concat()]).collect();
    let mut broken = Vec::new();
    for (path, text) in files(&[".rs", ".toml", ".md", ".sh", ".py", ".yaml", ".yml", "tests/run", "clients/run"]) {
        for (number, line) in text.lines().enumerate() {
            let named = marks.iter().any(|mark| {
                line.match_indices(mark.as_str())
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.'))
            });
            if named {
                broken.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none("no absolute paths", &broken);
}

/// Clippy bans ambient clocks and randomness; an exception says why.
#[test]
fn exceptions_are_explained() {
    let mut broken = Vec::new();
    for (path, text) in files(&[".rs"]).into_iter().filter(|(path, _)| path != "tests/tidy.rs") {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (at, _) in flat.match_indices("disallowed_methods") {
            let before = &flat[..at];
            let attribute = before.rfind("#[").map_or("", |from| &flat[from..]);
            let attribute = attribute.split(")]").next().unwrap_or_default();
            if attribute.starts_with("#[") && !attribute.contains("reason =") && path != "proto/src/lib.rs" {
                broken.push(format!("{path}: {attribute}"));
            }
        }
    }
    assert_none("an exception gives its reason", &broken);
}

#[test]
fn every_service_keeps_its_decisions() {
    let mut broken = Vec::new();
    for service in SERVICES {
        if !ROOT.join("services").join(service).join("DECISIONS.md").exists() {
            broken.push(format!("services/{service}/DECISIONS.md is missing"));
        }
    }
    assert_none("decisions are written down", &broken);
}
