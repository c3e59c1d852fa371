//! Every RPC without a credential, with a bad one, without its scope, for another tenant: refused, whatever it asks.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::{StreamExt, stream};
use it::{
    app::{App, Credential},
    contract::{Rpc, rpcs},
    credentials::Issuer,
    furniture::Furniture,
    raw::{self, Refusal},
    samples::Sample,
    suite::Shape,
};
use prost_reflect::DynamicMessage;
use serde_json::json;
use terms::Access;
use tonic::Code;

use crate::not_yet_served::{NOT_YET_SERVED, access};

fn issuer(app: &App) -> &'static Issuer {
    app.suite.issuer.as_ref().expect("four processes ask for tokens")
}

/// Calls every RPC with an empty request under each credential; gives what was not refused with `code` and `reason`.
async fn refused(app: &App, credentials: Vec<(String, Credential, Code, &'static str)>) -> Vec<String> {
    let calls = rpcs().iter().flat_map(|rpc| credentials.iter().map(move |credential| (rpc, credential)));
    stream::iter(calls)
        .map(|(rpc, (what, credential, code, reason))| async move {
            let app = app.showing(credential.clone());
            let status = match raw::call(&app, rpc, &DynamicMessage::new(rpc.input())).await {
                Ok(_) => return Some(format!("{}: {what}: answered", rpc.name)),
                Err(status) => status,
            };
            let found = Refusal::of(&status).reason;
            let right = status.code() == *code && found == *reason && raw::lawful(&status).is_ok();
            (!right).then(|| format!("{}: {what}: {:?} {found}: {}", rpc.name, status.code(), status.message()))
        })
        .buffer_unordered(16)
        .filter_map(|wrong| async move { wrong })
        .collect()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_refuses_bad_credentials() {
    let app = App::new(Shape::Four, "credentials");
    let own = issuer(&app);
    let all = ["*.admin"];
    let changed = |name: &str, value: serde_json::Value| {
        let mut claims = Issuer::claims(&app.tenant, &all);
        claims[name] = value;
        own.sign(&claims)
    };
    let good = own.token(&app.tenant, &all);
    let unsigned = {
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(json!({ "alg": "none", "typ": "JWT" })), part(Issuer::claims(&app.tenant, &all)))
    };
    let tampered = {
        let mut parts: Vec<&str> = good.split('.').collect();
        let claims = BASE64_URL_SAFE_NO_PAD.encode(Issuer::claims("somebody-else", &all).to_string());
        parts[1] = &claims;
        parts.join(".")
    };
    let now = Issuer::claims("x", &[])["iat"].as_i64().expect("a time");
    let invalid = "CREDENTIAL_INVALID";
    let bearer =
        |what: &str, token: &str, reason| (what.to_owned(), Credential::bearer(token), Code::Unauthenticated, reason);
    let wrong = refused(
        &app,
        vec![
            ("none".to_owned(), Credential::none(), Code::Unauthenticated, "CREDENTIAL_MISSING"),
            bearer("no token at all", "nonsense", invalid),
            bearer("unsigned", &unsigned, invalid),
            bearer("changed after signing", &tampered, invalid),
            bearer("of another key", &Issuer::new().expect("a key").token(&app.tenant, &all), invalid),
            bearer("of another issuer", &changed("iss", json!("https://elsewhere.test")), invalid),
            bearer("for another audience", &changed("aud", json!("elsewhere")), invalid),
            bearer("without a tenant", &changed("tenant", json!("")), invalid),
            bearer("expired", &changed("exp", json!(now - 3_600)), "CREDENTIAL_EXPIRED"),
            bearer("not yet valid", &changed("nbf", json!(now + 3_600)), "CREDENTIAL_EXPIRED"),
            (
                "of another scheme".to_owned(),
                Credential::with("authorization", "Basic c3VpdGU6c3VpdGU="),
                Code::Unauthenticated,
                invalid,
            ),
        ],
    )
    .await;
    assert!(wrong.is_empty(), "{} calls:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every scope but the one that is asked for, and the next smaller one of that service.
fn all_but(service: &str, needed: Access) -> Vec<String> {
    let mut scopes: Vec<String> = ["identity", "interaction", "segmentation", "customization"]
        .into_iter()
        .filter(|other| *other != service)
        .map(|other| format!("{other}.admin"))
        .collect();
    match needed {
        Access::Read => {}
        Access::Write => scopes.push(format!("{service}.read")),
        Access::Admin => scopes.push(format!("{service}.write")),
    }
    scopes
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Admin => "admin",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_demands_its_scope_and_no_more() {
    let app = App::new(Shape::Four, "scopes");
    let furniture = Furniture::make(&app, "s").await.expect("furniture");
    let mut wrong = Vec::new();
    for rpc in rpcs() {
        let request = Sample::of(&rpc.name).map_or_else(
            || DynamicMessage::new(rpc.input()),
            |sample| sample.request_with(&furniture, &validate_only(rpc)),
        );
        // The feed and the profile ask for the scope of the service that the request is about: where it is called.
        let (service, needed) = (rpc.home.name(), if rpc.is_public() { access(&rpc.name) } else { Access::Read });
        let call = |scopes: Vec<String>| {
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let app = app.showing(Credential::bearer(&issuer(&app).token(&app.tenant, &scopes)));
            let request = request.clone();
            async move { raw::call(&app, rpc, &request).await }
        };
        let scope = format!("{service}.{}", word(needed));
        match call(all_but(service, needed)).await {
            Err(status)
                if status.code() == Code::PermissionDenied && Refusal::of(&status).reason == "SCOPE_MISSING" =>
            {
                if !status.message().contains(&scope) {
                    wrong.push(format!("{}: does not name `{scope}`: {}", rpc.name, status.message()));
                }
            }
            Err(status) => wrong.push(format!("{}: without `{scope}`: {status:?}", rpc.name)),
            Ok(_) => wrong.push(format!("{}: answered without `{scope}`", rpc.name)),
        }
        match call(vec![scope.clone()]).await {
            Err(status) if NOT_YET_SERVED.contains(&rpc.name.as_str()) && status.code() == Code::Unimplemented => {}
            Err(status) => wrong.push(format!("{}: with `{scope}` alone: {status:?}", rpc.name)),
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn validate_only(rpc: &Rpc) -> serde_json::Value {
    if rpc.takes("validate_only") { json!({ "validate_only": true }) } else { json!({}) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_of_one_tenant() {
    let app = App::new(Shape::Four, "one-tenant");
    // A bearer token and, beside it, the header that names another tenant.
    let token = issuer(&app).token(&app.tenant, &["*.admin"]);
    let mut client = app.showing(Credential::bearer(&token)).identity();
    let mut request = tonic::Request::new(rapport_proto::identity::v1::ListCustomersRequest::default());
    request.metadata_mut().insert("x-rapport-tenant", "somebody-else".parse().expect("a header value"));
    let status = client.list_customers(request).await.expect_err("another tenant");
    assert_eq!((status.code(), Refusal::of(&status).reason.as_str()), (Code::PermissionDenied, "TENANT_MISMATCH"));
}
