//! Settings: layers, origins, every mistake at once, secrets.

use std::io::Write as _;

use host::config::{AuthMode, Flags, Loader, Problems, Span, StoreKind};
use serde::{Deserialize, Serialize};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn keys(problems: &Problems) -> Vec<&str> {
    problems.0.iter().map(|p| p.key.as_str()).collect()
}

#[test]
fn the_defaults_stand() {
    let config = Loader::new().load().unwrap();
    assert_eq!(config.auth.mode, AuthMode::Open);
    assert!(config.server.address.ip().is_loopback());
    assert_eq!(config.origin("server.address").to_string(), "default");
}

#[test]
fn later_layers_win_whatever_the_order_of_the_calls() {
    let file = file("[server]\nlinger = \"1s\"\ndrain = \"1s\"\nmax_in_flight = 1\n[store]\nkind = \"memory\"\n");
    let flags = Flags {
        config: Some(file.path().to_owned()),
        set: vec!["server.linger=3s".to_owned()],
        listen: Some("127.0.0.1:0".to_owned()),
        dump_config: false,
    };
    let config = Loader::new()
        .flags(&flags)
        .environment(env(&[("RAPPORT_SERVER__LINGER", "2s"), ("RAPPORT_SERVER__DRAIN", "2s"), ("RAPPORT_PORT", "x")]))
        .preset("rapport dev", "server.max_in_flight", "7")
        .preset("rapport dev", "server.max_streams", "7")
        .load()
        .unwrap();
    assert_eq!(config.server.linger, Span::seconds(3));
    assert_eq!(config.server.drain, Span::seconds(2));
    assert_eq!(config.server.max_in_flight, 1);
    assert_eq!(config.server.max_streams, 7);
    assert_eq!(config.store.kind, StoreKind::Memory);
    let origin = |key: &str| config.origin(key).to_string();
    assert_eq!(origin("server.linger"), "flag --set");
    assert_eq!(origin("server.address"), "flag --listen");
    assert_eq!(origin("server.drain"), "environment RAPPORT_SERVER__DRAIN");
    assert_eq!(origin("server.max_in_flight"), format!("{}:4", file.path().display()));
    assert_eq!(origin("server.max_streams"), "`rapport dev`");
    assert_eq!(origin("server.keep_alive"), "default");
}

#[test]
fn every_mistake_is_told_with_its_origin() {
    let file = file("[server]\nadress = \"x\"\nmax_in_flight = \"many\"\n[sever]\na = 1\n[store]\nkind = \"oracle\"\n");
    let problems = Loader::new()
        .file(file.path())
        .environment(env(&[("RAPPORT_FEED__BATCH", "-1"), ("RAPPORT_TELEMETRY__SAMPLE", "7")]))
        .flag("--set", "auth.mode", "jwt")
        .load()
        .unwrap_err();
    let mut found = keys(&problems);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "auth.issuer",
            "auth.jwks_file",
            "feed.batch",
            "server.adress",
            "server.max_in_flight",
            "sever",
            "store.kind",
            "telemetry.sample",
        ]
    );
    let text = problems.to_string();
    assert!(text.starts_with("the configuration has 8 mistakes:"), "{text}");
    assert!(text.contains("is `address` meant?"), "{text}");
    assert!(text.contains(&format!("`server.adress` ({}:2)", file.path().display())), "{text}");
    assert!(text.contains("`feed.batch` (environment RAPPORT_FEED__BATCH)"), "{text}");
}

#[test]
fn open_mode_is_refused_where_others_reach_it() {
    let problems = Loader::new().flag("--listen", "server.address", "0.0.0.0:7400").load().unwrap_err();
    assert_eq!(keys(&problems), ["auth.mode"]);
    assert!(problems.to_string().contains("loopback"));
}

#[test]
fn a_text_is_read_as_the_type_of_its_setting() {
    let config = Loader::new()
        .environment(env(&[
            ("RAPPORT_STORE__URL", "12345"),
            ("RAPPORT_SERVER__WEB_ORIGINS", "https://a.example, https://b.example"),
            ("RAPPORT_SERVER__GRPC_WEB", "false"),
            ("RAPPORT_TELEMETRY__SAMPLE", "1"),
            ("RAPPORT_PEERS__IDENTITY", ""),
            ("RAPPORT_SERVER__TLS__CLIENT_CA_FILE", ""),
            ("RAPPORT_AUTH__CLIENTS", r#"[{ name = "a", tenant = "*", scopes = ["*.read"] }]"#),
        ]))
        .load()
        .unwrap();
    assert_eq!(config.store.url.expose(), "12345");
    assert_eq!(config.server.web_origins, ["https://a.example", "https://b.example"]);
    assert!(!config.server.grpc_web && config.telemetry.sample == 1.0 && config.peers.identity.is_none());
    assert_eq!(config.auth.clients[0].scopes, ["*.read"]);
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    size: u32,
    label: String,
}

#[test]
fn a_service_reads_its_own_section() {
    let loader = || Loader::new().allow("segmentation");
    let good = loader().environment(env(&[("RAPPORT_SEGMENTATION__SIZE", "5")])).load().unwrap();
    assert_eq!(good.section::<Own>("segmentation").unwrap(), Own { size: 5, label: String::new() });
    assert_eq!(good.section::<Own>("identity").unwrap(), Own::default());
    let bad = loader().flag("--set", "segmentation.sise", "5").flag("--set", "segmentation.size", "x").load().unwrap();
    assert_eq!(keys(&bad.section::<Own>("segmentation").unwrap_err()).len(), 2);
}

#[test]
fn a_dump_shows_origins_and_hides_secrets() {
    let config = Loader::new()
        .allow("identity")
        .flag("--set", "store.url", "postgres://u:hunter2@db/x")
        .flag("--set", "peers.identity", "http://me:hunter2@identity:7400")
        .flag("--set", "identity.seal_key", "hunter2")
        .flag("--set", "identity.size", "5")
        .load()
        .unwrap();
    let dump = config.dump(&[]);
    assert!(!dump.contains("hunter2"), "{dump}");
    let line =
        |start: &str| dump.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}\n{dump}"));
    assert!(line("url = \"***\"").ends_with("# flag --set"));
    assert!(line("identity = \"http://***@identity:7400\"").ends_with("# flag --set"));
    assert!(line("size = \"5\"").ends_with("# flag --set"));
    assert!(line("linger = \"3s\"").ends_with("# default"));
    assert!(line("# jwks_file").ends_with("# not set"));
    // What is not hidden can be read back.
    let copy = file(&dump.replace("\"***\"", "\"\""));
    let again = Loader::new().allow("identity").file(copy.path()).load().unwrap();
    assert_eq!(again.server, config.server);
    assert_eq!(again.telemetry, config.telemetry);
}
