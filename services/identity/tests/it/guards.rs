//! Guards and policy, through the RPCs.

use futures::StreamExt;
use rapport_proto::identity::v1::{identify_verdict::Outcome, *};
use testkit::eventually;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    grpc::{by_identifier, get, identifier, record},
    world::{Client, Replica, by_id, caller, reason, served, text},
};

fn namespace(name: &str) -> NamespacePolicy {
    NamespacePolicy { namespace: name.to_owned(), unique: true, priority: 50, ..NamespacePolicy::default() }
}

async fn policy_of(client: &mut Client) -> IdentityPolicy {
    let reply = client.get_identity_policy(GetIdentityPolicyRequest::default()).await.unwrap();
    reply.into_inner().policy.unwrap()
}

fn update(policy: IdentityPolicy, paths: &[&str]) -> UpdateIdentityPolicyRequest {
    let mask = prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    UpdateIdentityPolicyRequest { policy: Some(policy), update_mask: Some(mask), ..Default::default() }
}

async fn identify(client: &mut Client, identifiers: &[(&str, &str)]) -> IdentifyResponse {
    client.identify(record(identifiers, &[])).await.unwrap().into_inner()
}

fn guards(reply: &IdentifyResponse) -> Vec<IdentityGuard> {
    reply.refused.iter().map(|refusal| refusal.guard()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn case_2_a_shared_device_has_three_users() {
    for mut served in served().await {
        let client = &mut served.client;
        let alice = identify(client, &[("user_id", "alice"), ("device", "phone")]).await;
        let bob = identify(client, &[("user_id", "bob"), ("device", "phone")]).await;
        let third = identify(client, &[("device", "phone")]).await;
        assert!(bob.created && third.created && bob.merged.is_empty() && third.merged.is_empty());
        assert_eq!(guards(&third), [IdentityGuard::SharedIdentifier]);
        for _ in 0..3 {
            let again = identify(client, &[("device", "phone")]).await;
            assert_eq!((&again.customer_id, again.created), (&third.customer_id, false));
        }
        let ids = [&alice.customer_id, &bob.customer_id, &third.customer_id];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        let device = get(client, by_identifier("device", "phone"), "").await.unwrap();
        assert_eq!(device.customer_id, third.customer_id, "a reference means the anonymous device");
        let alice = get(client, by_id(&alice.customer_id), &third.revision).await.unwrap();
        let phone = alice.identifiers.iter().find(|known| known.namespace == "device").unwrap();
        assert!(phone.shared);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_3_the_address_is_demoted_in_any_order() {
    for mut served in served().await {
        let client = &mut served.client;
        for (n, order) in [["abc123", "abc456"], ["abc456", "abc123"]].iter().enumerate() {
            let (one, two) = (format!("{}{n}", order[0]), format!("{}{n}", order[1]));
            let email = format!("jane{n}@example.org");
            let first = identify(client, &[("user_id", &one), ("email", &email)]).await;
            let second = identify(client, &[("email", &email), ("user_id", &two)]).await;
            assert!(second.created && second.customer_id != first.customer_id);
            let refusal = &second.refused[0];
            assert_eq!((refusal.guard(), &refusal.customer_id), (IdentityGuard::UniqueConflict, &first.customer_id));
            assert_eq!(refusal.identifier, Some(identifier("email", &email)));
            assert!(!refusal.detail.is_empty());
            let demoted = get(client, by_id(&second.customer_id), &second.revision).await.unwrap();
            let flags: Vec<_> = demoted.identifiers.iter().map(|i| (i.namespace.as_str(), i.demoted)).collect();
            assert_eq!(flags, [("email", true), ("user_id", false)]);
            assert_eq!(get(client, by_identifier("email", &email), "").await.unwrap().customer_id, first.customer_id);
            let lookup = LookupCustomerRequest {
                identifiers: vec![identifier("email", &email), identifier("user_id", &two)],
                id_only: true,
                ..Default::default()
            };
            let found = client.lookup_customer(lookup).await.unwrap().into_inner();
            assert_eq!(found.customer_id, second.customer_id, "the user id has priority");
            assert_eq!(found.other_customer_ids, std::slice::from_ref(&first.customer_id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_4_the_session_moves() {
    for mut served in served().await {
        let client = &mut served.client;
        let b = identify(client, &[("user_id", "b"), ("session", "s")]).await;
        let before = get(client, by_id(&b.customer_id), &b.revision).await.unwrap();
        let a = identify(client, &[("user_id", "a"), ("session", "s")]).await;
        assert!(a.created && a.refused.is_empty());
        let now = get(client, by_identifier("session", "s"), "").await.unwrap();
        assert_eq!(now.customer_id, a.customer_id);
        let visit = identify(client, &[("session", "s")]).await;
        assert_eq!((&visit.customer_id, visit.created), (&a.customer_id, false));
        let after = get(client, by_id(&b.customer_id), &a.revision).await.unwrap();
        assert_eq!((after.traits, after.record_count), (before.traits, before.record_count));
        let session = after.identifiers.iter().find(|known| known.namespace == "session").unwrap();
        assert!(session.demoted, "it is A's now, and B is told so at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_come_in_a_stream_too() {
    for mut served in served().await {
        let client = &mut served.client;
        let records = [
            record(&[("user_id", "1"), ("email", "j@example.org")], &[]),
            record(&[("user_id", "2"), ("email", "j@example.org"), ("phone", "n/a")], &[]),
            record(&[("email", "none")], &[]),
        ];
        let requests = records.map(|record| IdentifyStreamRequest { record: Some(record), ..Default::default() });
        let replies = client.identify_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
        let verdicts: Vec<IdentifyVerdict> =
            replies.map(|reply| reply.unwrap().verdicts).collect::<Vec<_>>().await.into_iter().flatten().collect();
        let Some(Outcome::Result(second)) = &verdicts[1].outcome else { panic!("{verdicts:?}") };
        assert_eq!(guards(second), [IdentityGuard::UniqueConflict, IdentityGuard::BlockedValue]);
        assert_eq!(second.refused[1].identifier, Some(identifier("phone", "n/a")));
        let Some(Outcome::Error(third)) = &verdicts[2].outcome else { panic!("{verdicts:?}") };
        assert_eq!(third.code, Code::FailedPrecondition as i32);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_read_changed_and_obeyed() {
    for mut served in served().await {
        let client = &mut served.client;
        let shipped = policy_of(client).await;
        assert!(shipped.allow_undeclared_namespaces && shipped.update_time.is_none());
        let names: Vec<&str> = shipped.namespaces.iter().map(|n| n.namespace.as_str()).collect();
        assert_eq!(names, ["anonymous_id", "cookie", "device", "email", "phone", "session", "user_id"]);
        let mut given = IdentityPolicy { allow_undeclared_namespaces: false, ..Default::default() };
        given.namespaces = vec![
            NamespacePolicy { max_per_customer: 1, normalizer: Normalizer::CaseFold.into(), ..namespace("member") },
            NamespacePolicy {
                blocked_values: vec!["Info@Acme.example".to_owned()],
                blocked_patterns: vec!["*@spam.*".to_owned()],
                strip_plus_tag: true,
                limit_period: None,
                ..namespace("email")
            },
        ];
        let request = update(given.clone(), &["namespaces", "allow_undeclared_namespaces"]);
        let dry = UpdateIdentityPolicyRequest { validate_only: true, ..request.clone() };
        let dry = client.update_identity_policy(dry).await.unwrap().into_inner();
        assert!(dry.revision.is_empty() && policy_of(client).await == shipped);
        let stale = UpdateIdentityPolicyRequest { etag: "7-0".to_owned(), ..request.clone() };
        assert_eq!(reason(&client.update_identity_policy(stale).await.unwrap_err()), "ETAG_STALE");
        let keyed = UpdateIdentityPolicyRequest { etag: shipped.etag, request_id: "p1".to_owned(), ..request };
        let written = client.update_identity_policy(keyed.clone()).await.unwrap().into_inner();
        assert!(!written.revision.is_empty());
        assert_eq!(client.update_identity_policy(keyed).await.unwrap().into_inner(), written, "once");
        let policy = policy_of(client).await;
        assert_eq!(Some(&policy), written.policy.as_ref());
        assert_eq!(policy.namespaces[0].normalizer(), Normalizer::Email, "as its name suggests");
        assert_eq!(policy.thresholds, shipped.thresholds, "what is not named stays");
        // At once, in this process.
        let one = identify(client, &[("member", "Straße"), ("email", "jane+x@example.org")]).await;
        let same = identify(client, &[("email", "Jane@example.org"), ("member", " STRAßE")]).await;
        assert_eq!((&one.customer_id, same.refused.len()), (&same.customer_id, 0));
        let blocked =
            identify(client, &[("member", "2"), ("email", "info@ACME.example"), ("email", "x@spam.org")]).await;
        assert_eq!(guards(&blocked), [IdentityGuard::BlockedValue, IdentityGuard::BlockedValue]);
        let status = client.identify(record(&[("crm", "1")], &[])).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "NAMESPACE_UNKNOWN".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_policy_is_told_every_fault() {
    for mut served in served().await {
        let client = &mut served.client;
        let mut given = IdentityPolicy { default_region: "Norway".to_owned(), ..Default::default() };
        given.namespaces = vec![
            NamespacePolicy { normalizer: 99, max_per_customer: 1_001, ..namespace("E-Mail") },
            NamespacePolicy { limit_period: Some(prost_types::Duration { seconds: -1, nanos: 0 }), ..namespace("crm") },
        ];
        given.survivorship = vec![SurvivorshipRule { r#trait: "a b".to_owned(), strategy: 0 }];
        given.source_ranking = vec!["Web Shop".to_owned()];
        given.thresholds = Some(MatchThresholds { upper: 0.5, lower: 0.9, probabilistic_disabled: false });
        let mut request = update(given, &["*"]);
        let status = client.update_identity_policy(request.clone()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
        let fields: Vec<_> =
            status.get_details_bad_request().unwrap().field_violations.into_iter().map(|v| v.field).collect();
        for field in [
            "policy.namespaces[0].normalizer",
            "policy.namespaces[0].namespace",
            "policy.namespaces[0].max_per_customer",
            "policy.namespaces[1].limit_period",
            "policy.survivorship[0].trait",
            "policy.survivorship[0].strategy",
            "policy.source_ranking[0]",
            "policy.thresholds.lower",
            "policy.default_region",
        ] {
            assert!(fields.iter().any(|f| f == field), "{field} in {fields:?}");
        }
        request.update_mask = Some(prost_types::FieldMask { paths: vec!["etag".to_owned()] });
        assert_eq!(client.update_identity_policy(request).await.unwrap_err().code(), Code::InvalidArgument);
        let hollow = UpdateIdentityPolicyRequest { policy: Some(IdentityPolicy::default()), ..Default::default() };
        assert_eq!(client.update_identity_policy(hollow).await.unwrap_err().code(), Code::InvalidArgument);
        let nothing = UpdateIdentityPolicyRequest::default();
        assert_eq!(client.update_identity_policy(nothing).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_reaches_other_replicas() {
    for served in served().await {
        if served.store.name() != "postgres" {
            continue;
        }
        let mut one = served.client.clone();
        let replica = Replica::new(served.store.another().await).await;
        let (mut two, reader) = (replica.client.clone(), &replica.reader);
        identify(&mut two, &[("member", "A")]).await;
        let folded = NamespacePolicy { normalizer: Normalizer::CaseFold.into(), ..namespace("member") };
        let request = update(IdentityPolicy { namespaces: vec![folded], ..Default::default() }, &["namespaces"]);
        one.update_identity_policy(request).await.unwrap();
        assert_eq!(policy_of(&mut two).await.namespaces.len(), 1, "a read of it shows it at once");
        let (tenant, named) = (caller().tenant, terms::Identifier { namespace: "member".into(), value: "B".into() });
        eventually("the other replica obeys it", || {
            let (reader, tenant, named) = (reader.clone(), tenant.clone(), named.clone());
            async move {
                let (found, _) =
                    reader.resolve_refs(&tenant, vec![terms::CustomerRef::Identifier(named)]).await.unwrap();
                found[0].identifier.as_ref().is_some_and(|known| known.value == "b")
            }
        })
        .await;
        eventually("and so do its writes", || {
            let mut two = two.clone();
            async move {
                identify(&mut two, &[("member", "C")]).await.customer_id
                    == identify(&mut two, &[("member", "c")]).await.customer_id
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_values_follow_the_policy() {
    for mut served in served().await {
        let client = &mut served.client;
        let say = |source: &str, name: &str| IdentifyRequest {
            source: source.to_owned(),
            ..record(&[("email", "j@example.org")], &[("name", name), ("city", "Bonn")])
        };
        for (source, name) in [("crm", "Jane Mary Doe"), ("webshop", "Jane"), ("till", "Jane"), ("erp", "J. Doe")] {
            client.identify(say(source, name)).await.unwrap();
        }
        let customer = get(client, by_identifier("email", "j@example.org"), "").await.unwrap();
        let why = |customer: &Customer| {
            let named = customer.trait_provenance.iter().find(|p| p.r#trait == "name").unwrap();
            (named.value.clone().unwrap(), named.why_it_won.clone())
        };
        assert_eq!(why(&customer), (text("J. Doe"), "most recent of 4".to_owned()));
        for (strategy, name, reason) in [
            (SurvivorshipStrategy::Longest, "Jane Mary Doe", "longest of 4"),
            (SurvivorshipStrategy::MostFrequent, "Jane", "most frequent (2 of 4)"),
            (SurvivorshipStrategy::MostTrusted, "Jane", "most trusted of 4 (source webshop)"),
        ] {
            let rule = SurvivorshipRule { r#trait: "name".to_owned(), strategy: strategy.into() };
            let given = IdentityPolicy {
                survivorship: vec![rule],
                source_ranking: vec!["webshop".to_owned(), "crm".to_owned()],
                ..Default::default()
            };
            client.update_identity_policy(update(given, &["survivorship", "source_ranking"])).await.unwrap();
            // It holds from the customer's next record on.
            client.identify(say("erp", "J. Doe")).await.unwrap();
            let customer = get(client, by_id(&customer.customer_id), "").await.unwrap();
            assert_eq!(why(&customer), (text(name), reason.to_owned()));
        }
    }
}
