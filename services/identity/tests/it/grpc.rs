//! The RPCs, called as another service of the same process would call them.

use std::collections::BTreeMap;

use futures::StreamExt;
use identity::{ACCESS, NOT_YET_SERVED};
use profile::{Section, Sections};
use prost::Message;
use rapport_proto::{
    identity::v1::{identify_verdict::Outcome, *},
    profile::v1::IdentitySection,
    r#type::v1::{self as wire, CustomerRef, customer_ref::Ref},
};
use terms::{CustomerId, Revision, Service};
use testkit::{eventually, eventually_some};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::world::{Client, Replica, by_id, caller, reason, served, text, traits};

pub(crate) fn identifier(namespace: &str, value: &str) -> wire::Identifier {
    wire::Identifier { namespace: namespace.to_owned(), value: value.to_owned() }
}

pub(crate) fn record(identifiers: &[(&str, &str)], said: &[(&str, &str)]) -> IdentifyRequest {
    let claims = identifiers
        .iter()
        .map(|(namespace, value)| IdentifierClaim { identifier: Some(identifier(namespace, value)), verified: None });
    IdentifyRequest {
        source: "webshop".to_owned(),
        identifiers: claims.collect(),
        traits: traits(said),
        ..IdentifyRequest::default()
    }
}

pub(crate) fn by_identifier(namespace: &str, value: &str) -> Option<CustomerRef> {
    Some(CustomerRef { r#ref: Some(Ref::Identifier(identifier(namespace, value))) })
}

pub(crate) async fn get(
    client: &mut Client,
    customer: Option<CustomerRef>,
    at_least: &str,
) -> Result<Customer, Status> {
    let request = GetCustomerRequest { customer, at_least: at_least.to_owned() };
    Ok(client.get_customer(request).await?.into_inner().customer.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_is_told_back_in_the_form_that_is_kept() {
    for mut served in served().await {
        let known = served.client.identify(record(&[("email", "jane@x.com")], &[])).await.unwrap().into_inner();
        let jane: terms::CustomerId = known.customer_id.parse().unwrap();
        let named = |namespace: &str, value: &str| {
            terms::CustomerRef::Identifier(terms::Identifier { namespace: namespace.into(), value: value.into() })
        };
        let references = vec![
            named("email", " Jane@X.com"),
            terms::CustomerRef::Id(jane),
            named("email", "not an address"),
            named("card", "Ab "),
            named("email", "jane@x.com"),
        ];
        let (found, _) = served.replica.reader.resolve_refs(&"default".parse().unwrap(), references).await.unwrap();
        let shown: Vec<_> =
            found.iter().map(|r| (r.customer, r.identifier.as_ref().map(|i| i.value.as_str()))).collect();
        let email = (Some(jane), Some("jane@x.com"));
        assert_eq!(shown, [email, (Some(jane), None), (None, None), (None, Some("Ab")), email]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identified_and_read() {
    for mut served in served().await {
        let client = &mut served.client;
        let mut request = record(&[("email", " Jane@Example.org ")], &[("name", "Jane")]);
        request.identifiers[0].verified = Some(true);
        let reply = client.identify(request).await.unwrap().into_inner();
        assert!(reply.created && reply.customer_id.starts_with("cust_") && reply.record_id.starts_with("rec_"));
        let customer = get(client, by_id(&reply.customer_id), &reply.revision).await.unwrap();
        assert_eq!(customer.traits.as_ref().unwrap().fields["name"], text("Jane"));
        assert_eq!(customer.kind, i32::from(wire::CustomerKind::Person));
        let known = &customer.identifiers[0];
        assert_eq!((known.value.as_str(), known.raw_value.as_str()), ("jane@example.org", "Jane@Example.org"));
        assert!(known.verified && known.first_seen.is_some());
        let provenance = &customer.trait_provenance[0];
        assert_eq!((provenance.source.as_str(), provenance.why_it_won.as_str()), ("webshop", "the only value"));
        let same = get(client, by_identifier("email", "JANE@example.org"), "").await.unwrap();
        assert_eq!(same, customer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_the_revision_of_a_write_sees_it() {
    for mut served in served().await {
        let client = &mut served.client;
        let mut request = record(&[("crm", "1")], &[("n", "0")]);
        let id = client.identify(request.clone()).await.unwrap().into_inner().customer_id;
        for n in 1..50 {
            request.traits.as_mut().unwrap().fields.insert("n".to_owned(), text(&n.to_string()));
            let revision = client.identify(request.clone()).await.unwrap().into_inner().revision;
            let customer = get(client, by_id(&id), &revision).await.unwrap();
            assert_eq!(customer.traits.unwrap().fields["n"], text(&n.to_string()));
            // This process marks its own writes: without a token, too.
            let customer = get(client, by_id(&id), "").await.unwrap();
            assert_eq!(customer.traits.unwrap().fields["n"], text(&n.to_string()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_hears_what_another_wrote() {
    for served in served().await {
        if served.store.name() != "postgres" {
            continue;
        }
        let mut one = served.client.clone();
        let replica = Replica::new(served.store.another().await).await;
        let mut two = replica.client.clone();
        let id = one.identify(record(&[("crm", "1")], &[("n", "0")])).await.unwrap().into_inner().customer_id;
        for n in 1..10 {
            get(&mut one, by_id(&id), "").await.unwrap();
            let value = text(&n.to_string());
            let written = two.identify(record(&[("crm", "1")], &[("n", &n.to_string())])).await.unwrap().into_inner();
            let customer = get(&mut one, by_id(&id), &written.revision).await.unwrap();
            assert_eq!(customer.traits.unwrap().fields["n"], value, "with the revision: at once");
            eventually("without it: soon", || {
                let (mut one, id, value) = (one.clone(), id.clone(), value.clone());
                async move { get(&mut one, by_id(&id), "").await.unwrap().traits.unwrap().fields["n"] == value }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_id_answers_with_the_survivor() {
    for mut served in served().await {
        let client = &mut served.client;
        let a = client.identify(record(&[("crm", "a")], &[])).await.unwrap().into_inner().customer_id;
        let b = client.identify(record(&[("crm", "b")], &[])).await.unwrap().into_inner().customer_id;
        for id in [&a, &b] {
            get(client, by_id(id), "").await.unwrap();
        }
        let merged = client.identify(record(&[("crm", "a"), ("crm", "b")], &[])).await.unwrap().into_inner();
        assert_eq!((&merged.customer_id, &merged.merged), (&a, &vec![b.clone()]));
        assert_eq!(merged.matched_by.len(), 2);
        assert_eq!(merged.matched_by[1].identifier, Some(identifier("crm", "b")));
        for at_least in [merged.revision.as_str(), ""] {
            let customer = get(client, by_id(&b), at_least).await.unwrap();
            assert_eq!((&customer.customer_id, &customer.aliases), (&a, &vec![b.clone()]));
        }
        let tenant = caller().tenant;
        let old: CustomerId = b.parse().unwrap();
        let section = served.replica.reader.load(&tenant, old, Section::Identity, &Revision::new()).await.unwrap();
        let section = IdentitySection::decode(section.bytes).unwrap();
        assert_eq!((section.customer_id, section.merged_into), (b, a.clone()));
        let new: CustomerId = a.parse().unwrap();
        let written: Revision = merged.revision.parse().unwrap();
        let place = terms::partition(&tenant, new);
        let written = written.position(Service::Identity, place).unwrap();
        // The stamp follows the write as soon as no older transaction runs on the server.
        let section = eventually_some("the stamp covers the write", || async {
            let section = served.replica.reader.load(&tenant, new, Section::Identity, &Revision::new()).await.unwrap();
            (section.revision.position(Service::Identity, place).unwrap() >= written).then_some(section)
        })
        .await;
        assert_eq!(IdentitySection::decode(section.bytes).unwrap().namespaces, ["crm"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_counts_once() {
    for mut served in served().await {
        let client = &mut served.client;
        let mut request = record(&[("crm", "a")], &[("n", "1")]);
        request.request_id = "r-1".to_owned();
        let first = client.identify(request.clone()).await.unwrap().into_inner();
        let again = client.identify(request.clone()).await.unwrap().into_inner();
        assert_eq!(again, first);
        request.traits.as_mut().unwrap().fields.insert("n".to_owned(), text("2"));
        let status = client.identify(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_told_every_fault() {
    for mut served in served().await {
        let client = &mut served.client;
        let mut request = record(&[("email", "secret value"), ("Bad", "")], &[("a b", "x")]);
        request.source = String::new();
        request.kind = 99;
        request.identifiers.push(IdentifierClaim::default());
        let status = client.identify(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
        let fields: Vec<_> =
            status.get_details_bad_request().unwrap().field_violations.into_iter().map(|v| v.field).collect();
        for field in [
            "kind",
            "source",
            "identifiers[0].identifier.value",
            "identifiers[1].identifier.namespace",
            "identifiers[1].identifier.value",
            "identifiers[2].identifier.namespace",
            "traits",
        ] {
            assert!(fields.iter().any(|f| f == field), "{field} in {fields:?}");
        }
        assert!(!status.message().contains("secret"));
        let missing =
            client.identify(IdentifyRequest { create_if_missing: Some(false), ..record(&[("crm", "x")], &[]) });
        let status = missing.await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::NotFound, "CUSTOMER_NOT_FOUND".to_owned()));
        let status = get(client, by_identifier("crm", "x"), "").await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(get(client, None, "").await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(get(client, by_id("cust_1"), "%").await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_its_order_and_names_the_missing() {
    for mut served in served().await {
        let client = &mut served.client;
        let a = client.identify(record(&[("crm", "a")], &[])).await.unwrap().into_inner().customer_id;
        let b = client.identify(record(&[("crm", "b")], &[])).await.unwrap().into_inner().customer_id;
        let unknown = "cust_01h455vb4pex5vsknk084sn02q";
        let customers = [by_id(&b), by_identifier("crm", "x"), by_identifier("crm", "a"), by_id(unknown), by_id(&b)];
        let request =
            BatchGetCustomersRequest { customers: customers.into_iter().flatten().collect(), ..Default::default() };
        let reply = client.batch_get_customers(request).await.unwrap().into_inner();
        let found: Vec<_> = reply
            .results
            .into_iter()
            .map(|result| match result.result.unwrap() {
                customer_result::Result::Customer(customer) => Ok(customer.customer_id),
                customer_result::Result::Error(status) => Err(status.code),
            })
            .collect();
        let not_found = Code::NotFound as i32;
        assert_eq!(found, [Ok(b.clone()), Err(not_found), Ok(a), Err(not_found), Ok(b)]);
        let status = client.batch_get_customers(BatchGetCustomersRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let many = BatchGetCustomersRequest { customers: vec![by_id(unknown).unwrap(); 1_001], ..Default::default() };
        assert_eq!(client.batch_get_customers(many).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_page_and_filter() {
    for mut served in served().await {
        let client = &mut served.client;
        for i in 0..7 {
            let mut request = record(&[("crm", &i.to_string())], &[("city", if i % 2 == 0 { "Bonn" } else { "Rome" })]);
            request.kind = if i == 6 { 3 } else { 1 };
            client.identify(request).await.unwrap();
        }
        let list = async |client: &mut Client, filter: &str, size| {
            let mut request = ListCustomersRequest {
                page_size: size,
                filter: filter.to_owned(),
                order_by: "create_time desc".to_owned(),
                ..ListCustomersRequest::default()
            };
            let mut ids = Vec::new();
            loop {
                let reply = client.list_customers(request.clone()).await?.into_inner();
                assert!(reply.customers.len() <= size as usize);
                ids.extend(reply.customers.into_iter().map(|c| c.customer_id));
                if reply.next_page_token.is_empty() {
                    return Ok::<_, Status>(ids);
                }
                request.page_token = reply.next_page_token;
            }
        };
        let all = list(client, "", 3).await.unwrap();
        assert_eq!(all.len(), 7);
        assert!(all.is_sorted_by(|a, b| a > b));
        assert_eq!(list(client, r#"customer.city == "Bonn""#, 3).await.unwrap().len(), 4);
        assert_eq!(list(client, r#"customer.city == "Bonn" && kind == "organization""#, 2).await.unwrap().len(), 1);
        let status = list(client, "kind ==", 2).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "RULE_INVALID".to_owned()));
        let negative = ListCustomersRequest { page_size: -1, ..Default::default() };
        assert_eq!(client.list_customers(negative).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_by_hand_and_split_again() {
    for mut served in served().await {
        let client = &mut served.client;
        let a = client.identify(record(&[("crm", "a")], &[("name", "A")])).await.unwrap().into_inner().customer_id;
        let b = client.identify(record(&[("crm", "b")], &[("name", "B")])).await.unwrap().into_inner().customer_id;
        let before = (get(client, by_id(&a), "").await.unwrap(), get(client, by_id(&b), "").await.unwrap());
        let merge = MergeCustomersRequest {
            survivor: by_identifier("crm", "b"),
            losers: by_id(&a).into_iter().collect(),
            reason: "secret words".to_owned(),
            etag: before.1.etag.clone(),
            ..MergeCustomersRequest::default()
        };
        let merged = client.merge_customers(merge.clone()).await.unwrap().into_inner();
        let customer = get(client, by_id(&a), &merged.revision).await.unwrap();
        assert_eq!(merged.customer.as_ref(), Some(&customer));
        assert_eq!(
            (customer.customer_id, customer.aliases, merged.merged),
            (b.clone(), vec![a.clone()], vec![a.clone()])
        );
        let stale = client.merge_customers(merge).await.unwrap_err();
        assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "ETAG_STALE"));
        let split = SplitCustomerRequest {
            customer: by_id(&b),
            identifiers: vec![identifier("crm", " a")],
            reason: "secret words".to_owned(),
            request_id: "once".to_owned(),
            ..SplitCustomerRequest::default()
        };
        let parted = client.split_customer(split.clone()).await.unwrap().into_inner();
        assert_eq!(client.split_customer(split).await.unwrap().into_inner(), parted, "a retry");
        let after = (
            get(client, by_id(&a), &parted.revision).await.unwrap(),
            get(client, by_id(&b), &parted.revision).await.unwrap(),
        );
        assert_eq!((parted.separated.as_ref(), parted.remaining.as_ref()), (Some(&after.0), Some(&after.1)));
        for (mut after, before) in [(after.0, before.0), (after.1, before.1)] {
            assert_ne!(after.etag, before.etag);
            (after.etag, after.update_time) = (before.etag.clone(), before.update_time);
            assert_eq!(after, before, "as if nothing had happened");
        }
        assert!(parted.cannot_links[0].starts_with("cnl_") && parted.id_rule.contains(&b));
        let again = client.identify(record(&[("crm", "a"), ("crm", "b")], &[])).await.unwrap().into_inner();
        assert_eq!((again.customer_id.as_str(), again.merged.len()), (a.as_str(), 0));
        assert_eq!(again.refused[0].guard(), IdentityGuard::CannotLink);
        let all = history(client, ListIdentityHistoryRequest { customer: by_id(&a), ..Default::default() }).await;
        let kinds: Vec<_> = all.entries.iter().map(|entry| entry.kind()).collect();
        use IdentityHistoryKind::{Created, Linked, Merged, Refused, Split};
        assert!([Created, Linked, Merged, Refused, Split].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
        assert!(all.entries.iter().any(|entry| entry.reason == "secret words"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_merge_or_a_split_is_told_at_once() {
    for mut served in served().await {
        let fields = |status: Status| {
            let details = status.get_details_bad_request().expect("violations");
            details.field_violations.into_iter().map(|v| v.field).collect::<Vec<_>>()
        };
        let status = served.client.merge_customers(MergeCustomersRequest::default()).await.unwrap_err();
        assert_eq!(fields(status), ["survivor", "losers", "reason"]);
        let wrong = SplitCustomerRequest {
            record_ids: vec!["rec_x".to_owned()],
            identifiers: vec![identifier("Bad", "")],
            alias: "cust".to_owned(),
            ..SplitCustomerRequest::default()
        };
        let status = served.client.split_customer(wrong).await.unwrap_err();
        let expected =
            ["customer", "identifiers[0].namespace", "identifiers[0].value", "record_ids[0]", "alias", "reason"];
        assert_eq!(fields(status), expected);
        let status = served.client.split_customer(SplitCustomerRequest::default()).await.unwrap_err();
        assert_eq!(fields(status), ["customer", "reason", "identifiers"]);
    }
}

async fn history(client: &mut Client, request: ListIdentityHistoryRequest) -> ListIdentityHistoryResponse {
    client.list_identity_history(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_pages_and_filters() {
    for mut served in served().await {
        let client = &mut served.client;
        let a = client.identify(record(&[("crm", "a")], &[])).await.unwrap().into_inner();
        let b = client.identify(record(&[("crm", "b")], &[])).await.unwrap().into_inner();
        let joined = client.identify(record(&[("crm", "a"), ("crm", "b")], &[])).await.unwrap().into_inner();
        let of = |customer| ListIdentityHistoryRequest { customer, ..ListIdentityHistoryRequest::default() };
        let all = history(client, of(by_identifier("crm", "b"))).await;
        use IdentityHistoryKind::{Created, Linked, Merged};
        let kinds: Vec<_> = all.entries.iter().map(|entry| entry.kind()).collect();
        assert_eq!(kinds, [Merged, Linked, Created, Created], "newest first");
        let merge = &all.entries[0];
        assert_eq!((&merge.customer_id, &merge.other_customer_id), (&a.customer_id, &b.customer_id));
        assert_eq!((merge.record_id.as_str(), merge.actor.as_str()), (joined.record_id.as_str(), "tester"));
        assert_eq!(merge.reason, "shares crm");
        assert!(merge.occurred_at.is_some() && merge.record_time.is_some() && all.next_page_token.is_empty());
        let oldest_first = |page_token: String| ListIdentityHistoryRequest {
            order_by: "record_time".to_owned(),
            page_size: 3,
            page_token,
            ..of(by_id(&b.customer_id))
        };
        let first = history(client, oldest_first(String::new())).await;
        let second = history(client, oldest_first(first.next_page_token.clone())).await;
        let told: Vec<_> = first.entries.iter().chain(&second.entries).rev().cloned().collect();
        assert_eq!((first.entries.len(), told), (3, all.entries.clone()));
        let filter = r#"kind == "merged" && actor == "tester""#.to_owned();
        let merges = history(client, ListIdentityHistoryRequest { filter, ..of(by_id(&a.customer_id)) }).await;
        assert_eq!(merges.entries, all.entries[..1]);
        let wrong = ListIdentityHistoryRequest {
            filter: "kind ==".to_owned(),
            order_by: "kind".to_owned(),
            page_size: -1,
            ..of(None)
        };
        let status = client.list_identity_history(wrong).await.unwrap_err();
        let fields = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((status.code(), fields.len()), (Code::InvalidArgument, 4), "{fields:?}");
        let nobody = client.list_identity_history(of(by_identifier("crm", "x"))).await.unwrap_err();
        assert_eq!((nobody.code(), reason(&nobody).as_str()), (Code::NotFound, "CUSTOMER_NOT_FOUND"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn look_ups_never_create() {
    for mut served in served().await {
        let client = &mut served.client;
        let a = client.identify(record(&[("crm", "a")], &[])).await.unwrap().into_inner().customer_id;
        let b = client.identify(record(&[("crm", "b")], &[])).await.unwrap().into_inner().customer_id;
        let identifiers = vec![identifier("crm", "x"), identifier("crm", "b"), identifier("crm", "a")];
        let request = LookupCustomerRequest { identifiers, id_only: true, ..Default::default() };
        let reply = client.lookup_customer(request).await.unwrap().into_inner();
        assert_eq!((reply.customer_id, reply.other_customer_ids), (b.clone(), vec![a]));
        assert!(reply.customer.is_none() && reply.matched_by.len() == 1);
        let request = LookupCustomerRequest { customer: by_id(&b), ..Default::default() };
        assert_eq!(client.lookup_customer(request).await.unwrap().into_inner().customer.unwrap().customer_id, b);
        let request = LookupCustomerRequest { customer: by_identifier("crm", "x"), ..Default::default() };
        assert_eq!(client.lookup_customer(request).await.unwrap_err().code(), Code::NotFound);
        let status = client.lookup_customer(LookupCustomerRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_one_verdict_for_each_record() {
    for mut served in served().await {
        let client = &mut served.client;
        let mut records: Vec<IdentifyRequest> =
            (0..1_000).map(|i| record(&[("crm", &(i / 2).to_string())], &[("n", &i.to_string())])).collect();
        records[10].identifiers[0].identifier = Some(identifier("email", "no address"));
        records[20].create_if_missing = Some(false);
        for (i, request_id) in [(30, "r-1"), (31, "r-1"), (40, "r-2")] {
            records[i].request_id = request_id.to_owned();
        }
        let requests: Vec<_> = records
            .into_iter()
            .enumerate()
            .map(|(i, record)| IdentifyStreamRequest {
                correlation: format!("c{i}"),
                record: Some(record),
                ..IdentifyStreamRequest::default()
            })
            .chain([IdentifyStreamRequest::default()])
            .collect();
        let replies = client.identify_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
        let verdicts: Vec<IdentifyVerdict> =
            replies.map(|reply| reply.unwrap().verdicts).collect::<Vec<_>>().await.into_iter().flatten().collect();
        assert_eq!(verdicts.len(), 1_001);
        let mut refused = Vec::new();
        let mut customers = BTreeMap::new();
        for (i, verdict) in verdicts.iter().enumerate() {
            assert_eq!(verdict.index, i as u64);
            match verdict.outcome.as_ref().unwrap() {
                Outcome::Result(reply) => {
                    assert_eq!(verdict.correlation, format!("c{i}"));
                    assert!(!reply.revision.is_empty());
                    customers.insert(i, reply.customer_id.clone());
                }
                Outcome::Error(status) => {
                    assert!(!status.details.is_empty());
                    refused.push((i, status.code));
                }
            }
        }
        let (invalid, reused) = (Code::InvalidArgument as i32, Code::AlreadyExists as i32);
        assert_eq!(refused, [(10, invalid), (20, Code::NotFound as i32), (31, reused), (1_000, invalid)]);
        assert_eq!(customers[&500], customers[&501]);
        assert_ne!(customers[&500], customers[&502]);
        let customer = get(client, by_id(&customers[&501]), "").await.unwrap();
        assert_eq!(customer.traits.unwrap().fields["n"], text("501"), "in the order of the stream");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_says_so() {
    for mut served in served().await {
        let status = served.client.erase_customer(EraseCustomerRequest::default()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::Unimplemented, "NOT_YET_SERVED".to_owned()));
    }
}

#[test]
fn every_rpc_has_an_access_and_what_is_not_served_is_declared() {
    let names: Vec<&str> = ACCESS.iter().map(|(name, _)| *name).collect();
    for unserved in NOT_YET_SERVED {
        assert!(names.contains(unserved), "{unserved}");
    }
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
}
