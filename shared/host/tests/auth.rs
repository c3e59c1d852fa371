//! Who may call what: tokens, certificates, tenants, scopes.

mod support;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use host::{Context, config::Loader};
use rapport_proto::{
    feed::v1::{WatchRequest, feed_service_client::FeedServiceClient},
    profile::v1::profile_service_client::ProfileServiceClient,
};
use serde_json::json;
use support::{
    Host,
    credentials::{CertificateAuthority, TokenIssuer},
    ids, loader, reason, request, request_with, say, soon,
};
use terms::{Clock as _, FixedClock, SystemClock};
use tonic::{
    Code, Request,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

fn jwt(issuer: &TokenIssuer) -> Loader {
    loader()
        .flag("test", "auth.mode", "jwt")
        .flag("test", "auth.issuer", &issuer.issuer)
        .flag("test", "auth.audience", &issuer.audience)
        .flag("test", "auth.jwks_file", issuer.jwks_file().to_str().unwrap())
        .flag("test", "auth.leeway", "5s")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The code and reason of a call with this token, and `problem` of its metadata.
async fn with(host: &Host, token: &str) -> Result<String, (Code, String, String)> {
    let request = request_with("who", &[("authorization", &bearer(token))]);
    say(&mut host.client(), request).await.map_err(|status| {
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        (status.code(), info.reason.clone(), info.metadata.get("problem").cloned().unwrap_or_default())
    })
}

#[tokio::test]
async fn a_good_token_names_tenant_and_subject() {
    let mut issuer = TokenIssuer::new();
    issuer.add_eddsa("ed");
    let host = Host::start(jwt(&issuer)).await;
    let claims = issuer.claims("acme", "jane", "openid identity.write");
    for key in ["es", "ed"] {
        // The second time from memory.
        for _ in 0..2 {
            let text = with(&host, &issuer.sign_by(key, &claims)).await.unwrap();
            assert!(text.starts_with("acme jane "), "{text}");
        }
    }
    let mut claims = claims;
    claims["aud"] = json!(["other", "rapport"]);
    claims["exp"] = json!(claims["exp"].as_f64().unwrap() + 0.5);
    assert!(with(&host, &issuer.sign(&claims)).await.is_ok());
}

#[tokio::test]
async fn rs256_is_taken_too() {
    let mut issuer = TokenIssuer::new();
    let (secret, public) = support::rsa::key();
    issuer.add("rs", jsonwebtoken::Algorithm::RS256, secret, public);
    let host = Host::start(jwt(&issuer)).await;
    let claims = issuer.claims("acme", "jane", "identity.write");
    assert!(with(&host, &issuer.sign_by("rs", &claims)).await.is_ok());
}

#[tokio::test]
async fn bad_tokens_are_told_why() {
    let issuer = TokenIssuer::new();
    let host = Host::start(jwt(&issuer)).await;
    let good = issuer.claims("acme", "jane", "identity.write");
    let changed = |key: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[key] = value;
        issuer.sign(&claims)
    };
    let now = good["iat"].as_i64().unwrap();
    let mut stranger = TokenIssuer::new();
    let forged = stranger.sign(&good);
    stranger.remove("es");
    stranger.add_es256("other");
    let part = |value: serde_json::Value| BASE64.encode(value.to_string());
    let none = format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(good.clone()));
    let token = issuer.sign(&good);
    let parts: Vec<&str> = token.split('.').collect();
    let swapped = format!("{}.{}.{}", parts[0], part(changed_claims(&good)), parts[2]);
    // Signed by HMAC with the public key as the secret: the classic confusion.
    let jwks = std::fs::read(issuer.jwks_file()).unwrap();
    let confused = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
        &good,
        &jsonwebtoken::EncodingKey::from_secret(&jwks),
    )
    .unwrap();
    let cases = [
        ("garbage", "abc".to_owned(), "CREDENTIAL_INVALID", "malformed"),
        ("empty", String::new(), "CREDENTIAL_INVALID", "malformed"),
        ("too long", "x.".repeat(9_000), "CREDENTIAL_INVALID", "malformed"),
        ("alg none", none, "CREDENTIAL_INVALID", "algorithm"),
        ("hmac", confused, "CREDENTIAL_INVALID", "algorithm"),
        ("another's key", forged, "CREDENTIAL_INVALID", "signature"),
        ("unknown key", stranger.sign(&good), "CREDENTIAL_INVALID", "key"),
        ("other claims", swapped, "CREDENTIAL_INVALID", "signature"),
        ("issuer", changed("iss", json!("https://evil.example")), "CREDENTIAL_INVALID", "issuer"),
        ("audience", changed("aud", json!("other")), "CREDENTIAL_INVALID", "audience"),
        ("no audience", changed("aud", json!([])), "CREDENTIAL_INVALID", "audience"),
        ("expired", changed("exp", json!(now - 60)), "CREDENTIAL_EXPIRED", ""),
        ("not yet", changed("nbf", json!(now + 60)), "CREDENTIAL_EXPIRED", ""),
        ("no expiry", changed("exp", json!(null)), "CREDENTIAL_INVALID", "claims"),
        ("odd expiry", changed("exp", json!("soon")), "CREDENTIAL_INVALID", "claims"),
        ("no tenant", changed("tenant", json!("")), "CREDENTIAL_INVALID", "claims"),
        ("odd tenant", changed("tenant", json!("A B")), "CREDENTIAL_INVALID", "claims"),
        ("reserved tenant", changed("tenant", json!("every-tenant")), "CREDENTIAL_INVALID", "claims"),
        ("no subject", changed("sub", json!("")), "CREDENTIAL_INVALID", "claims"),
    ];
    for (name, token, reason, problem) in cases {
        let refused = with(&host, &token).await.unwrap_err();
        assert_eq!(refused, (Code::Unauthenticated, reason.to_owned(), problem.to_owned()), "{name}");
    }
    let status = host.say("who").await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unauthenticated, "CREDENTIAL_MISSING".to_owned()));
    let basic = request_with("who", &[("authorization", "Basic YTpi")]);
    let status = say(&mut host.client(), basic).await.unwrap_err();
    assert_eq!(reason(&status), "CREDENTIAL_INVALID");
}

fn changed_claims(claims: &serde_json::Value) -> serde_json::Value {
    let mut claims = claims.clone();
    claims["tenant"] = json!("other");
    claims
}

#[tokio::test]
async fn a_remembered_token_expires_too() {
    let issuer = TokenIssuer::new();
    let clock = Arc::new(FixedClock::new(SystemClock.now()));
    let config = jwt(&issuer).load().unwrap();
    let host = Host::with(Context::new(Arc::new(config), clock.clone(), ids()), Vec::new()).await;
    let token = issuer.sign(&issuer.claims_at(clock.now(), "acme", "jane", "identity.write"));
    assert!(with(&host, &token).await.is_ok());
    clock.advance(Duration::from_secs(3_604));
    assert!(with(&host, &token).await.is_ok(), "within the leeway");
    clock.advance(Duration::from_secs(1));
    let (_, reason, _) = with(&host, &token).await.unwrap_err();
    assert_eq!(reason, "CREDENTIAL_EXPIRED");
}

#[tokio::test]
async fn keys_change_without_a_restart() {
    let mut issuer = TokenIssuer::new();
    let clock = Arc::new(FixedClock::new(SystemClock.now()));
    let config = jwt(&issuer).load().unwrap();
    let host = Host::with(Context::new(Arc::new(config), clock.clone(), ids()), Vec::new()).await;
    let claims = issuer.claims_at(clock.now(), "acme", "jane", "identity.write");
    let old = issuer.sign_by("es", &claims);
    assert!(with(&host, &old).await.is_ok());
    issuer.add_es256("new");
    let new = issuer.sign_by("new", &claims);
    clock.advance(Duration::from_secs(2));
    assert!(with(&host, &new).await.is_ok());
    issuer.remove("es");
    clock.advance(Duration::from_secs(2));
    let (_, _, problem) = with(&host, &old).await.unwrap_err();
    assert_eq!(problem, "key", "a key taken back is forgotten, remembered tokens with it");
    // A broken file leaves the keys as they are.
    issuer.file("jwks.json", "{");
    clock.advance(Duration::from_secs(2));
    assert!(with(&host, &new).await.is_ok());
}

#[tokio::test]
async fn scopes_are_looked_at_before_the_message() {
    let issuer = TokenIssuer::new();
    let host = Host::start(jwt(&issuer)).await;
    for (scopes, allowed) in [
        ("identity.write", true),
        ("identity.admin", true),
        ("*.write", true),
        ("identity.read", false),
        ("segmentation.admin", false),
        ("", false),
    ] {
        let token = issuer.token("acme", "jane", scopes);
        let header = bearer(&token);
        let result = say(&mut host.client(), request_with("wrong", &[("authorization", &header)])).await;
        let reason = reason(&result.unwrap_err());
        assert_eq!(reason, if allowed { "INVALID_FIELDS" } else { "SCOPE_MISSING" }, "{scopes}");
    }
}

#[tokio::test]
async fn a_tenant_is_the_credentials_not_the_requests() {
    let issuer = TokenIssuer::new();
    let host = Host::start(jwt(&issuer)).await;
    let acme = bearer(&issuer.token("acme", "jane", "identity.write"));
    let call = |tenant: &'static str, token: &str| {
        let request = request_with("who", &[("authorization", token), ("x-rapport-tenant", tenant)]);
        let mut client = host.client();
        async move { say(&mut client, request).await }
    };
    assert!(call("acme", &acme).await.is_ok());
    let status = call("other", &acme).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::PermissionDenied, "TENANT_MISMATCH".to_owned()));
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["tenant"], "acme");
    // It cannot say on whose behalf it calls either.
    let request = request_with("who", &[("authorization", &acme), ("x-rapport-subject", "boss")]);
    assert!(say(&mut host.client(), request).await.unwrap().starts_with("acme jane "));

    let service = bearer(&issuer.token("*", "interaction", "*.admin"));
    assert!(call("other", &service).await.unwrap().starts_with("other interaction "));
    for nobody in ["*", "every-tenant", "A B"] {
        let status = call(nobody, &service).await.unwrap_err();
        assert_eq!(reason(&status), "TENANT_MISMATCH", "{nobody}");
    }
    let request = request_with("who", &[("authorization", &service)]);
    assert_eq!(reason(&say(&mut host.client(), request).await.unwrap_err()), "TENANT_MISMATCH");
    let headers = [("authorization", service.as_str()), ("x-rapport-tenant", "t1"), ("x-rapport-subject", "jane")];
    assert!(say(&mut host.client(), request_with("who", &headers)).await.unwrap().starts_with("t1 jane "));
    // A feed concerns every tenant.
    let mut watch = Request::new(WatchRequest::default());
    watch.metadata_mut().insert("authorization", service.parse().unwrap());
    assert!(FeedServiceClient::new(host.channel()).watch(watch).await.is_ok());
}

#[tokio::test]
async fn health_needs_no_credential() {
    let issuer = TokenIssuer::new();
    let host = Host::start(jwt(&issuer)).await;
    assert!(HealthClient::new(host.channel()).check(HealthCheckRequest::default()).await.is_ok());
}

/// Calls `host` with a certificate of `authority`, trusting a server of `trusted`.
fn channel(host: &Host, authority: &CertificateAuthority, trusted: &CertificateAuthority) -> Client {
    let files = authority.client("checkout");
    let identity = Identity::from_pem(std::fs::read(files.cert).unwrap(), std::fs::read(files.key).unwrap());
    let ca = Certificate::from_pem(std::fs::read(trusted.ca_file()).unwrap());
    let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost").identity(identity);
    let url = host.url().replace("http:", "https:");
    ProfileServiceClient::new(Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap().connect_lazy())
}

type Client = ProfileServiceClient<tonic::transport::Channel>;

#[tokio::test]
async fn certificates_that_change_are_read_again() {
    let (old, new) = (CertificateAuthority::new(), CertificateAuthority::new());
    let (served, renewed) = (old.server(), new.server());
    let loader = loader()
        .flag("test", "auth.mode", "mtls")
        .flag("test", "auth.clients", r#"[{ name = "checkout", tenant = "acme", scopes = ["identity.write"] }]"#)
        .flag("test", "server.tls.cert_file", served.cert.to_str().unwrap())
        .flag("test", "server.tls.key_file", served.key.to_str().unwrap())
        .flag("test", "server.tls.client_ca_file", old.ca_file().to_str().unwrap())
        .flag("test", "server.tls.reload", "20ms");
    let host = Host::start(loader).await;
    let mut open = channel(&host, &old, &old);
    say(&mut open, request("who")).await.unwrap();
    let old_ca = std::fs::read(old.ca_file()).unwrap();
    std::fs::copy(&renewed.cert, &served.cert).unwrap();
    std::fs::copy(&renewed.key, &served.key).unwrap();
    std::fs::copy(new.ca_file(), old.ca_file()).unwrap();
    soon(async {
        while say(&mut channel(&host, &new, &new), request("who")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Clients of the new authority alone are let in, and none that trusts the old server.
    assert!(soon(say(&mut channel(&host, &old, &new), request("who"))).await.is_err());
    std::fs::write(old.ca_file(), old_ca).unwrap();
    assert!(soon(say(&mut channel(&host, &new, &old), request("who"))).await.is_err());
    // Who was connected stays so.
    say(&mut open, request("who")).await.unwrap();
}

#[tokio::test]
async fn a_certificate_names_its_holder() {
    let authority = CertificateAuthority::new();
    let server = authority.server();
    let client = r#"[{ name = "checkout", tenant = "acme", scopes = ["identity.write"] },
                     { name = "interaction", tenant = "*", scopes = ["*.admin"] }]"#
        .replace('\n', " ");
    let loader = loader()
        .flag("test", "auth.mode", "mtls")
        .flag("test", "auth.clients", &client)
        .flag("test", "server.tls.cert_file", server.cert.to_str().unwrap())
        .flag("test", "server.tls.key_file", server.key.to_str().unwrap())
        .flag("test", "server.tls.client_ca_file", authority.ca_file().to_str().unwrap());
    let host = Host::start(loader).await;
    let channel = |authority: &CertificateAuthority, trusted: &CertificateAuthority, name: Option<&str>| {
        let ca = Certificate::from_pem(std::fs::read(trusted.ca_file()).unwrap());
        let mut tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
        if let Some(name) = name {
            let files = authority.client(name);
            let identity = Identity::from_pem(std::fs::read(files.cert).unwrap(), std::fs::read(files.key).unwrap());
            tls = tls.identity(identity);
        }
        let url = host.url().replace("http:", "https:");
        ProfileServiceClient::new(Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap().connect_lazy())
    };
    let known = say(&mut channel(&authority, &authority, Some("checkout")), request("who")).await.unwrap();
    assert!(known.starts_with("acme checkout "), "{known}");
    let service = request_with("who", &[("x-rapport-tenant", "t1"), ("x-rapport-subject", "jane")]);
    let known = say(&mut channel(&authority, &authority, Some("interaction")), service).await.unwrap();
    assert!(known.starts_with("t1 jane "), "{known}");
    let unknown = say(&mut channel(&authority, &authority, Some("stranger")), request("who")).await.unwrap_err();
    assert_eq!(reason(&unknown), "CREDENTIAL_MISSING");
    // Of another authority, or without a certificate: there is no connection at all.
    let other = CertificateAuthority::new();
    for mut refused in [channel(&other, &authority, Some("checkout")), channel(&authority, &authority, None)] {
        let status = soon(say(&mut refused, request("who"))).await.unwrap_err();
        assert_eq!(reason(&status), "", "{status:?}");
    }
}
