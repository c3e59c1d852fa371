//! What the shape of the settings cannot say: which of them go together.

use terms::{Scope, Service, Tenant};

use super::{AuthMode, Config, StoreKind};

/// Every setting that makes no sense, with what is wrong.
pub(super) fn check(config: &Config) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    server(config, &mut wrong);
    auth(config, &mut wrong);
    store(config, &mut wrong);
    peers(config, &mut wrong);
    telemetry(config, &mut wrong);
    wrong
}

type Wrong = Vec<(&'static str, String)>;

fn server(config: &Config, wrong: &mut Wrong) {
    let server = &config.server;
    if server.tls.cert_file.is_some() != server.tls.key_file.is_some() {
        wrong.push(("server.tls", "needs both `cert_file` and `key_file`".to_owned()));
    }
    if server.tls.client_ca_file.is_some() && server.tls.cert_file.is_none() {
        wrong.push(("server.tls.client_ca_file", "needs `server.tls.cert_file` and `server.tls.key_file`".to_owned()));
    }
    let least = [
        ("server.max_connections", server.max_connections),
        ("server.max_in_flight", server.max_in_flight),
        ("server.max_streams", server.max_streams),
        ("server.max_request_bytes", server.max_request_bytes),
        ("server.max_reply_bytes", server.max_reply_bytes),
        ("server.max_streams_per_connection", server.max_streams_per_connection as usize),
    ];
    for (key, _) in least.into_iter().filter(|(_, n)| *n == 0) {
        wrong.push((key, "must be at least 1".to_owned()));
    }
    if server.default_deadline.is_zero() || server.default_deadline > server.max_deadline {
        wrong.push(("server.default_deadline", "must lie above 0 and not above `server.max_deadline`".to_owned()));
    }
}

fn auth(config: &Config, wrong: &mut Wrong) {
    let auth = &config.auth;
    match auth.mode {
        AuthMode::Open if !config.server.address.ip().is_loopback() => wrong.push((
            "auth.mode",
            format!(
                "is `open`: everybody who reaches {} could do everything; set `jwt` or `mtls`, or serve a loopback address such as 127.0.0.1",
                config.server.address
            ),
        )),
        AuthMode::Open => {}
        AuthMode::Jwt => {
            if auth.jwks_file.is_none() {
                wrong.push(("auth.jwks_file", "is needed with `auth.mode = \"jwt\"`".to_owned()));
            }
            if auth.issuer.is_empty() {
                wrong.push(("auth.issuer", "is needed with `auth.mode = \"jwt\"`".to_owned()));
            }
            if auth.audience.is_empty() {
                wrong.push(("auth.audience", "is needed with `auth.mode = \"jwt\"`".to_owned()));
            }
        }
        AuthMode::Mtls => {
            if config.server.tls.client_ca_file.is_none() {
                wrong.push(("server.tls.client_ca_file", "is needed with `auth.mode = \"mtls\"`".to_owned()));
            }
            if auth.clients.is_empty() {
                wrong.push(("auth.clients", "must name at least one client with `auth.mode = \"mtls\"`".to_owned()));
            }
        }
    }
    for client in &auth.clients {
        if client.tenant != "*" && client.tenant.parse::<Tenant>().is_err() {
            wrong.push(("auth.clients", format!("names the tenant `{}`, which is no tenant", client.tenant)));
        }
        for scope in &client.scopes {
            if !known_scope(scope) {
                let form = "which is no scope; one is `<service>.<read|write|admin>`";
                wrong.push(("auth.clients", format!("gives `{}` the scope `{scope}`, {form}", client.name)));
            }
        }
    }
}

/// Whether a text is a scope of a service that there is.
fn known_scope(text: &str) -> bool {
    text.parse::<Scope>().is_ok_and(|scope| scope.service == "*" || scope.service.parse::<Service>().is_ok())
}

fn store(config: &Config, wrong: &mut Wrong) {
    let store = &config.store;
    if store.kind == StoreKind::Postgres && store.url.is_empty() {
        wrong.push(("store.url", "is needed with `store.kind = \"postgres\"`".to_owned()));
    }
    if store.max_connections < 2 {
        wrong.push(("store.max_connections", "must be at least 2".to_owned()));
    }
}

fn peers(config: &Config, wrong: &mut Wrong) {
    const KEYS: [(Service, &str); 4] = [
        (Service::Identity, "peers.identity"),
        (Service::Interaction, "peers.interaction"),
        (Service::Segmentation, "peers.segmentation"),
        (Service::Customization, "peers.customization"),
    ];
    for (service, key) in KEYS {
        let Some(url) = config.peers.url(service) else { continue };
        let fine = url
            .parse::<http::Uri>()
            .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some());
        if fine && url.starts_with("https:") && config.peers.ca_file.is_none() {
            wrong.push((key, "is served by TLS: say in `peers.ca_file` who signs its certificate".to_owned()));
        }
        if !fine {
            wrong.push((key, "is no address of the form `http://host:port` or `https://host:port`".to_owned()));
        }
    }
    if config.peers.cert_file.is_some() != config.peers.key_file.is_some() {
        wrong.push(("peers", "needs both `cert_file` and `key_file`, or neither".to_owned()));
    }
    if config.peers.attempts == 0 || config.peers.connections == 0 {
        wrong.push(("peers", "needs at least 1 for `attempts` and for `connections`".to_owned()));
    }
}

fn telemetry(config: &Config, wrong: &mut Wrong) {
    let telemetry = &config.telemetry;
    if !(0.0..=1.0).contains(&telemetry.sample) {
        wrong.push(("telemetry.sample", format!("is {}; it is a share from 0 to 1", telemetry.sample)));
    }
    if let Err(e) = tracing_subscriber::EnvFilter::builder().parse(&telemetry.log_filter) {
        wrong.push(("telemetry.log_filter", format!("is no filter: {e}")));
    }
    if !telemetry.otlp.is_empty() && !collector(&telemetry.otlp) {
        wrong.push(("telemetry.otlp", "is no address of the form `http://host:port`".to_owned()));
    }
}

/// Whether a text is the address of a collector, in the clear: one on this machine or in this pod.
fn collector(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some())
}
