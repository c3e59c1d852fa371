//! What stewards do: relate customers to each other, and find them by the beginnings of names and identifiers.

use data::Sql;
use rapport_proto::{
    identity::v1::*,
    r#type::v1::{CustomerKind, CustomerRef, customer_ref::Ref},
};
use testkit::eventually;
use tonic::Code;
use tonic_types::StatusExt;

use crate::world::{Client, Replica, by_id, identifier, refusal, served, traits};

/// Identifies somebody; gives the id.
async fn somebody(client: &mut Client, kind: CustomerKind, identifiers: &[&str], said: &[(&str, &str)]) -> String {
    let claim = |text: &&str| IdentifierClaim { identifier: Some(identifier(text)), verified: None };
    let request = IdentifyRequest {
        source: "webshop".to_owned(),
        identifiers: identifiers.iter().map(claim).collect(),
        traits: traits(said),
        kind: kind.into(),
        ..IdentifyRequest::default()
    };
    client.identify(request).await.unwrap().into_inner().customer_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_household_and_its_members() {
    for mut served in served().await {
        let client = &mut served.client;
        let home = somebody(client, CustomerKind::Household, &["crm:home"], &[]).await;
        let firm = somebody(client, CustomerKind::Organization, &["crm:firm"], &[]).await;
        let mut members = Vec::new();
        for name in ["crm:ann", "crm:bob", "crm:cleo"] {
            members.push(somebody(client, CustomerKind::Person, &[name], &[]).await);
        }
        let member = |id: &str| RelateCustomersRequest {
            from_customer: by_id(id),
            to_customer: Some(CustomerRef { r#ref: Some(Ref::Identifier(identifier("crm:home"))) }),
            r#type: RelationType::HouseholdMember.into(),
            role: "parent".to_owned(),
            ..RelateCustomersRequest::default()
        };
        let mut relations = Vec::new();
        for id in &members {
            let reply = client.relate_customers(member(id)).await.unwrap().into_inner();
            assert!(!reply.revision.is_empty());
            relations.push(reply.relation.unwrap());
        }
        let first = &relations[0];
        assert!(first.relation_id.starts_with("rel_") && first.role == "parent" && !first.etag.is_empty());
        assert_eq!((&first.from_customer_id, &first.to_customer_id), (&members[0], &home));
        let list = |id: &str| ListRelationsRequest { customer: by_id(id), ..ListRelationsRequest::default() };
        // Newest first, in pages.
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let request = ListRelationsRequest { page_size: 2, page_token: token, ..list(&home) };
            let page = client.list_relations(request).await.unwrap().into_inner();
            seen.extend(page.relations.into_iter().map(|relation| relation.from_customer_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, members.iter().rev().cloned().collect::<Vec<_>>(), "{}", served.store.name());
        // It ends, and shows only to whoever asks for what has ended.
        let ended = RelateCustomersRequest {
            valid_until: Some(prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 }),
            etag: first.etag.clone(),
            ..member(&members[0])
        };
        let ended = client.relate_customers(ended).await.unwrap().into_inner().relation.unwrap();
        assert_eq!(ended.relation_id, first.relation_id);
        assert!(client.list_relations(list(&members[0])).await.unwrap().into_inner().relations.is_empty());
        let past = ListRelationsRequest {
            valid_at: Some(prost_types::Timestamp { seconds: 1_500_000_000, nanos: 0 }),
            ..list(&members[0])
        };
        for request in [ListRelationsRequest { include_ended: true, ..list(&members[0]) }, past] {
            assert_eq!(
                client.list_relations(request).await.unwrap().into_inner().relations,
                std::slice::from_ref(&ended)
            );
        }
        // What is refused.
        let stale = RelateCustomersRequest { etag: first.etag.clone(), ..member(&members[0]) };
        let stale = client.relate_customers(stale).await.unwrap_err();
        assert_eq!(refusal(&stale), (Code::Aborted, "ETAG_STALE".to_owned()));
        let kinds = RelateCustomersRequest { from_customer: by_id(&firm), ..member(&firm) };
        let kinds = client.relate_customers(kinds).await.unwrap_err();
        assert_eq!(refusal(&kinds), (Code::FailedPrecondition, "KIND_MISMATCH".to_owned()));
        let wrong = RelateCustomersRequest { role: "x".repeat(64), ..RelateCustomersRequest::default() };
        let wrong = client.relate_customers(wrong).await.unwrap_err();
        let fields = wrong.get_details_bad_request().unwrap().field_violations;
        let fields: Vec<_> = fields.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["from_customer", "to_customer", "type", "role"]);
        let nobody = client.list_relations(list("cust_00000000000000000000000000")).await.unwrap_err();
        assert_eq!(refusal(&nobody), (Code::NotFound, "CUSTOMER_NOT_FOUND".to_owned()));
    }
}

async fn find(client: &mut Client, request: ListCustomersRequest) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListCustomersRequest { page_token: token, page_size: 2, ..request.clone() };
        let page = client.list_customers(request).await.unwrap().into_inner();
        found.extend(page.customers.into_iter().map(|customer| customer.customer_id));
        token = page.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

fn query(text: &str) -> ListCustomersRequest {
    ListCustomersRequest { query: text.to_owned(), ..ListCustomersRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn found_by_the_beginnings_of_names_and_identifiers() {
    for mut served in served().await {
        let client = &mut served.client;
        let person = CustomerKind::Person;
        let jane = somebody(
            client,
            person,
            &["email:jane.doe@example.org", "phone:+4930901820"],
            &[("first_name", "Jane"), ("last_name", "Müller"), ("city", "Bonn")],
        );
        let jane = jane.await;
        let jan = somebody(client, person, &["crm:c-1701"], &[("name", "Jan Mulder"), ("city", "Ghent")]).await;
        let firm = [("company", "Müller & Söhne")];
        let firm = somebody(client, CustomerKind::Organization, &["crm:77-x"], &firm).await;
        let shop = served.store.name();
        for (text, expected) in [
            ("jan", vec![&jane, &jan]),
            ("JANE", vec![&jane]),
            ("mul", vec![&jane, &jan, &firm]),
            ("müll jan", vec![&jane]),
            ("sohne", vec![&firm]),
            ("jane.d", vec![&jane]),
            ("030 90", vec![&jane]),
            ("77-x", vec![&firm]),
            ("bonn", vec![]),
            ("ane", vec![]),
        ] {
            assert_eq!(find(client, query(text)).await.iter().collect::<Vec<_>>(), expected, "{shop}: {text}");
        }
        let filtered = ListCustomersRequest { filter: r#"customer.city == "Ghent""#.to_owned(), ..query("jan") };
        assert_eq!(find(client, filtered).await, std::slice::from_ref(&jan));
        let newest = ListCustomersRequest { order_by: "create_time desc".to_owned(), ..query("mul") };
        assert_eq!(find(client, newest).await, [firm.clone(), jan.clone(), jane.clone()]);
        // A name that holds no more finds nobody; the new one does.
        somebody(client, person, &["crm:c-1701"], &[("name", "Johan Mulder")]).await;
        assert_eq!(
            (find(client, query("jan")).await, find(client, query("joha")).await),
            (vec![jane.clone()], vec![jan.clone()])
        );
        // Whoever was merged is found as the survivor.
        somebody(client, person, &["crm:c-1701", "email:jane.doe@example.org"], &[]).await;
        assert_eq!(find(client, query("c-17")).await, std::slice::from_ref(&jane));
        assert_eq!(find(client, query("jane.doe c-17")).await, [jane]);
        let wrong = client.list_customers(query("?!")).await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument);
    }
}

/// Customers that were there before there was a search are found as well, soon.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_there_before_is_found() {
    for mut served in served().await {
        let jane = somebody(&mut served.client, CustomerKind::Person, &["crm:j1"], &[("name", "Jane")]).await;
        let john = somebody(&mut served.client, CustomerKind::Person, &["crm:j2"], &[("name", "John")]).await;
        somebody(&mut served.client, CustomerKind::Person, &["crm:j1", "crm:j2"], &[]).await;
        let emptied = served.store.write(|tx| {
            Box::pin(async move {
                tx.conn().run("DELETE FROM search", vec![]).await?;
                let all = "INSERT INTO search_todo (tenant, customer) SELECT tenant, id FROM customer \
                           UNION ALL SELECT tenant, id FROM alias";
                tx.conn().run(all, vec![]).await
            })
        });
        assert_eq!(emptied.await.unwrap().value, 2, "{jane} and {john}");
        assert!(find(&mut served.client, query("jan")).await.is_empty());
        let replica = Replica::new(served.store.store()).await;
        eventually("the tokens are written", || async {
            let mut client = replica.client.clone();
            find(&mut client, query("j2")).await == [jane.clone()]
                && find(&mut client, query("j1")).await == [jane.clone()]
        })
        .await;
        assert_eq!(served.store.count("search_todo").await, 0);
    }
}

/// Identifies what a record with a key of its own says; gives the customer.
async fn told(client: &mut Client, key: &str, identifiers: &[&str], said: &[(&str, &str)]) -> String {
    let claim = |text: &&str| IdentifierClaim { identifier: Some(identifier(text)), verified: None };
    let request = IdentifyRequest {
        source: "crm".to_owned(),
        source_record_id: key.to_owned(),
        identifiers: identifiers.iter().map(claim).collect(),
        traits: traits(said),
        ..IdentifyRequest::default()
    };
    client.identify(request).await.unwrap().into_inner().customer_id
}

/// Relations that are told of a customer, by the other side.
async fn related(client: &mut Client, id: &str) -> Vec<String> {
    let request = ListRelationsRequest { customer: by_id(id), ..ListRelationsRequest::default() };
    let relations = client.list_relations(request).await.unwrap().into_inner().relations;
    relations.into_iter().map(|relation| relation.to_customer_id).collect()
}

/// Relations and what a customer is found by go where its ids go: when records come to resemble each other, when they no
/// longer do, and by hand.
#[tokio::test(flavor = "multi_thread")]
async fn relations_and_search_follow_merges_and_splits() {
    let jane = [("name", "Jane Kowalski"), ("dob", "1970-03-01"), ("address", "12 Elm Street, Springfield")];
    let jayne = [("name", "Jane Kowalsky"), ("dob", "1970-03-01"), ("address", "12 Elm St, Springfield")];
    let otto = [("name", "Otto Prendergast"), ("dob", "1941-11-23"), ("address", "3 Birch Lane, Ghent")];
    for mut served in served().await {
        let (shop, client) = (served.store.name(), &mut served.client);
        let home = somebody(client, CustomerKind::Household, &["crm:home"], &[]).await;
        let first = told(client, "1", &["crm:one"], &jane).await;
        let second = told(client, "2", &["crm:two"], &[("name", "J. K.")]).await;
        assert_ne!(first, second, "{shop}");
        let member = RelateCustomersRequest {
            from_customer: by_id(&second),
            to_customer: by_id(&home),
            r#type: RelationType::HouseholdMember.into(),
            ..RelateCustomersRequest::default()
        };
        client.relate_customers(member).await.unwrap();
        // Joined by resemblance.
        assert_eq!(told(client, "2", &[], &jayne).await, first, "{shop}");
        assert_eq!(related(client, &first).await, std::slice::from_ref(&home), "{shop}");
        assert_eq!(find(client, query("two")).await, std::slice::from_ref(&first), "{shop}");
        // Parted by what the record says now.
        assert_eq!(told(client, "2", &[], &otto).await, second, "{shop}");
        assert!(related(client, &first).await.is_empty(), "{shop}");
        assert_eq!(related(client, &second).await, std::slice::from_ref(&home), "{shop}");
        assert_eq!(find(client, query("two")).await, std::slice::from_ref(&second), "{shop}");
        assert_eq!(find(client, query("otto")).await, std::slice::from_ref(&second), "{shop}");
        assert_eq!(find(client, query("jane")).await, std::slice::from_ref(&first), "{shop}");
        // Merged and split by hand.
        let merge = MergeCustomersRequest {
            survivor: by_id(&first),
            losers: vec![by_id(&second).unwrap()],
            reason: "a stage name".to_owned(),
            ..MergeCustomersRequest::default()
        };
        client.merge_customers(merge).await.unwrap();
        assert_eq!(related(client, &first).await, std::slice::from_ref(&home), "{shop}");
        for text in ["two", "one"] {
            assert_eq!(find(client, query(text)).await, std::slice::from_ref(&first), "{shop}: {text}");
        }
        let split = SplitCustomerRequest {
            customer: by_id(&first),
            alias: second.clone(),
            reason: "none".to_owned(),
            ..SplitCustomerRequest::default()
        };
        client.split_customer(split).await.unwrap();
        assert!(related(client, &first).await.is_empty(), "{shop}");
        assert_eq!(related(client, &second).await, [home], "{shop}");
        for (text, who) in [("two", &second), ("otto", &second), ("one", &first), ("jane", &first)] {
            assert_eq!(find(client, query(text)).await, std::slice::from_ref(who), "{shop}: {text}");
        }
    }
}
