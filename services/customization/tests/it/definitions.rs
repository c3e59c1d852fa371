//! Treatments and touchpoints.

use customization::{ACCESS, NOT_YET_SERVED};
use customization_domain::ports::Definitions;
use prost::Message;
use rapport_proto::customization::v1::*;
use terms::Reason;

use crate::world::{World, reason};

fn named(name: &str) -> Treatment {
    Treatment { name: name.to_owned(), ..Treatment::default() }
}

fn create(treatment: Treatment) -> CreateTreatmentRequest {
    CreateTreatmentRequest { treatment: Some(treatment), ..CreateTreatmentRequest::default() }
}

#[tokio::test]
async fn a_treatment_lives_through_its_versions() {
    for world in World::each().await {
        let mut client = world.client();
        let dry = CreateTreatmentRequest { validate_only: true, ..create(named("offer")) };
        let checked = client.create_treatment(dry).await.unwrap().into_inner();
        assert!(checked.revision.is_empty() && checked.treatment.unwrap().version == 1);
        let made = client.create_treatment(create(Treatment { lever: 2.0, ..named("offer") })).await.unwrap();
        let made = made.into_inner();
        let first = made.treatment.unwrap();
        assert_eq!((first.version, first.lever, made.revision.is_empty()), (1, 2.0, false));
        let again = client.create_treatment(create(named("offer"))).await.unwrap_err();
        assert_eq!(reason(again), Reason::NameTaken);

        let update = UpdateTreatmentRequest {
            treatment: Some(Treatment { lever: 3.0, display_name: "Offer".into(), ..named("offer") }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["lever".into()] }),
            etag: first.etag.clone(),
            ..UpdateTreatmentRequest::default()
        };
        let second = client.update_treatment(update.clone()).await.unwrap().into_inner().treatment.unwrap();
        assert_eq!((second.version, second.lever, second.display_name.as_str()), (2, 3.0, ""));
        assert_eq!(reason(client.update_treatment(update).await.unwrap_err()), Reason::EtagStale);

        let get =
            |version| GetTreatmentRequest { treatment: "offer".into(), version, ..GetTreatmentRequest::default() };
        let latest = client.get_treatment(get(0)).await.unwrap().into_inner().treatment.unwrap();
        assert_eq!(latest, second);
        let old = client.get_treatment(get(1)).await.unwrap().into_inner().treatment.unwrap();
        assert_eq!(old, first);
        assert_eq!(reason(client.get_treatment(get(9)).await.unwrap_err()), Reason::TreatmentNotFound);

        world.touchpoint("home", &["offer"]).await;
        let delete = DeleteTreatmentRequest { treatment: "offer".into(), ..DeleteTreatmentRequest::default() };
        let status = client.delete_treatment(delete.clone()).await.unwrap_err();
        assert_eq!(reason(status), Reason::TreatmentInUse);
        let home = DeleteTouchpointRequest { touchpoint: "home".into(), ..DeleteTouchpointRequest::default() };
        client.delete_touchpoint(home).await.unwrap();
        client.delete_treatment(delete).await.unwrap();
        assert_eq!(reason(client.get_treatment(get(0)).await.unwrap_err()), Reason::TreatmentNotFound);
        let by_id = GetTreatmentRequest { treatment: first.treatment_id, version: 2, ..GetTreatmentRequest::default() };
        assert_eq!(client.get_treatment(by_id).await.unwrap().into_inner().treatment.unwrap(), second);
    }
}

#[tokio::test]
async fn lists_are_filtered_ordered_and_paged() {
    for world in World::each().await {
        for (name, tag) in [("c", "loud"), ("a", "quiet"), ("b", "loud")] {
            world.treatment(Treatment { tags: vec![tag.into()], ..named(name) }).await;
        }
        let mut client = world.client();
        let mut list = async |filter: &str, order: &str, size: i32, token: &str| {
            let request = ListTreatmentsRequest {
                page_size: size,
                page_token: token.into(),
                filter: filter.into(),
                order_by: order.into(),
                ..ListTreatmentsRequest::default()
            };
            client.list_treatments(request).await.map(|reply| {
                let reply = reply.into_inner();
                let names: Vec<_> = reply.treatments.into_iter().map(|treatment| treatment.name).collect();
                (names.join(","), reply.next_page_token)
            })
        };
        assert_eq!(list("", "", 0, "").await.unwrap().0, "a,b,c");
        assert_eq!(list("\"loud\" in tags", "name desc", 0, "").await.unwrap().0, "c,b");
        let (first, token) = list("", "", 2, "").await.unwrap();
        assert_eq!((first.as_str(), list("", "", 2, &token).await.unwrap().0.as_str()), ("a,b", "c"));
        assert_eq!(reason(list("size > 3", "", 0, "").await.unwrap_err()), Reason::RuleInvalid);
        assert_eq!(reason(list("", "", -1, "").await.unwrap_err()), Reason::InvalidFields);
        let mut client = world.client_of(&"other".parse().unwrap());
        let elsewhere = client.list_treatments(ListTreatmentsRequest::default()).await.unwrap().into_inner();
        assert!(elsewhere.treatments.is_empty());
    }
}

#[tokio::test]
async fn touchpoints_name_their_treatments() {
    for world in World::each().await {
        let one = world.treatment(named("one")).await;
        world.treatment(named("two")).await;
        let home = world.touchpoint("home", &["two", &one.treatment_id, "one"]).await;
        assert_eq!(home.treatments, ["two", "one"]);
        let mut client = world.client();
        let update = UpdateTouchpointRequest {
            touchpoint: Some(Touchpoint {
                touchpoint_id: home.touchpoint_id.clone(),
                treatments: vec!["one".into()],
                default_treatment: "two".into(),
                ..Touchpoint::default()
            }),
            ..UpdateTouchpointRequest::default()
        };
        let changed = client.update_touchpoint(update).await.unwrap().into_inner().touchpoint.unwrap();
        assert_eq!((changed.treatments, changed.default_treatment), (vec!["one".to_owned()], "two".to_owned()));
        let get = GetTouchpointRequest { touchpoint: "home".into(), version: 1, ..GetTouchpointRequest::default() };
        let old = client.get_touchpoint(get).await.unwrap().into_inner().touchpoint.unwrap();
        assert_eq!(old, home);
        let listed = client.list_touchpoints(ListTouchpointsRequest::default()).await.unwrap().into_inner();
        assert_eq!(listed.touchpoints.len(), 1);
        let unknown = Touchpoint { name: "shop".into(), treatments: vec!["none".into()], ..Touchpoint::default() };
        let request = CreateTouchpointRequest { touchpoint: Some(unknown), ..CreateTouchpointRequest::default() };
        assert_eq!(reason(client.create_touchpoint(request).await.unwrap_err()), Reason::TreatmentNotFound);
        let learning = DecisionPolicy { kind: DecisionPolicyKind::Thompson.into(), ..DecisionPolicy::default() };
        let later = Touchpoint { name: "shop".into(), policy: Some(learning), ..Touchpoint::default() };
        let request = CreateTouchpointRequest { touchpoint: Some(later), ..CreateTouchpointRequest::default() };
        assert_eq!(reason(client.create_touchpoint(request).await.unwrap_err()), Reason::NotYetServed);
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_treatment_is_told() {
    let world = World::each().await.remove(0);
    let wrong = Treatment { name: "No Name".into(), lever: -1.0, eligibility: "1 +".into(), ..Treatment::default() };
    let fault = host::fault(world.client().create_treatment(create(wrong)).await.unwrap_err());
    let fields: Vec<_> = fault.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["treatment.name", "treatment.lever", "treatment.eligibility"]);
}

#[tokio::test]
async fn another_replica_hears_of_a_definition() {
    for world in World::each().await {
        let replica = customization::SqlStore::new(world.store.another().await);
        let none = terms::Revision::new();
        assert_eq!(replica.catalog(&world.tenant, &none).await.unwrap().version(), 0);
        let made = world.client().create_treatment(create(named("offer"))).await.unwrap().into_inner();
        let at_least = made.revision.parse().unwrap();
        assert!(replica.catalog(&world.tenant, &at_least).await.unwrap().treatment("offer").is_ok());
    }
}

#[test]
fn every_rpc_has_its_access() {
    let all = prost_types::FileDescriptorSet::decode(rapport_proto::FILE_DESCRIPTOR_SET).unwrap();
    let file = all.file.iter().find(|file| file.package() == "rapport.customization.v1").unwrap();
    let service = &file.service[0];
    let mut declared: Vec<String> = service
        .method
        .iter()
        .map(|rpc| format!("rapport.customization.v1.CustomizationService/{}", rpc.name()))
        .collect();
    let mut listed: Vec<String> = ACCESS.iter().map(|(rpc, _)| (*rpc).to_owned()).collect();
    declared.sort();
    listed.sort();
    assert_eq!(declared, listed);
    assert!(NOT_YET_SERVED.iter().all(|rpc| listed.contains(&(*rpc).to_owned())));
}

#[tokio::test]
async fn what_comes_later_says_so() {
    let world = World::each().await.remove(0);
    let status = world.client().evaluate_policy(EvaluatePolicyRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), reason(status)), (tonic::Code::Unimplemented, Reason::NotYetServed));
}
