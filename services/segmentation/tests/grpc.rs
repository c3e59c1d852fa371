//! The RPCs, called as another service of the same process would call them.

mod world;

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use profile::Section;
use prost::Message;
use rapport_proto::{
    feed::v1::{CustomerErased, event::Event},
    profile::v1::SegmentationSection,
    segmentation::v1::*,
    r#type::v1::Motivation,
};
use segmentation::{ACCESS, NOT_YET_SERVED};
use terms::{Clock, Revision, Service};
use testkit::{eventually, eventually_some};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use world::{World, by_id, by_number, customer, tenant, worlds, worlds_with};

const DAY: Duration = Duration::from_secs(86_400);

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn draft(name: &str, definition: &str) -> CreateSegmentRequest {
    let segment = Segment {
        name: name.to_owned(),
        kind: Some(segment::Kind::Definition(definition.to_owned())),
        ..Segment::default()
    };
    CreateSegmentRequest { segment: Some(segment), ..CreateSegmentRequest::default() }
}

fn get(segment: &str) -> GetSegmentRequest {
    GetSegmentRequest { segment: segment.to_owned(), ..GetSegmentRequest::default() }
}

#[test]
fn every_rpc_is_in_the_table() {
    let names: BTreeSet<&str> = ACCESS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), 18);
    assert!(NOT_YET_SERVED.iter().all(|name| names.contains(name)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_makes_a_member() {
    for world in worlds().await {
        let segment = world.rule("visitor", r#"count("visit", duration("7d")) >= 2"#).await;
        assert_eq!((segment.state(), segment.version), (SegmentState::Live, 1));
        world.meet(1, serde_json::json!({"country": "NO"})).await;
        let revision = world.happen(1, "visit", 1).await;
        assert_eq!(world.inside(1, &revision).await, [""; 0]);
        let revision = world.happen(1, "visit", 1).await;
        let reply = world.memberships(1, &revision).await.unwrap();
        let membership = &reply.memberships[0];
        assert_eq!((membership.segment.as_str(), membership.reason()), ("visitor", MembershipReason::Event));
        assert_eq!(membership.since, Some(world.now()));
        let exit = host::encode::timestamp(world.clock.now() + 7 * DAY);
        assert_eq!(membership.expected_exit_at, Some(exit));
        let read: Revision = reply.revision.parse().unwrap();
        assert!(read.covers(&revision), "the reply says what it contains");
        // Without a revision: soon.
        world.happen(2, "visit", 2).await;
        eventually("the second customer is a member", || async { world.inside(2, &Revision::new()).await.len() == 1 })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_alone_makes_them_leave() {
    for world in worlds().await {
        world.rule("active", r#"count("login", duration("7d")) >= 1"#).await;
        world.rule("lapsed", r#"count("login", duration("7d")) == 0"#).await;
        let revision = world.happen(1, "login", 1).await;
        assert_eq!(world.inside(1, &revision).await, ["active"]);
        let due = world.clock.now() + 7 * DAY;
        world.clock.set(due - Duration::from_secs(1));
        assert_eq!(world.inside(1, &revision).await, ["active"]);
        world.clock.set(due);
        let reply = eventually_some("the clock is noticed", || async {
            let reply = world.memberships(1, &Revision::new()).await.unwrap();
            (reply.memberships[0].segment == "lapsed").then_some(reply)
        })
        .await;
        assert_eq!(reply.memberships[0].since, Some(host::encode::timestamp(due)), "at its second");
        assert_eq!(reply.memberships[0].reason(), MembershipReason::Clock);
        let as_of = Some(host::encode::timestamp(due - Duration::from_secs(1)));
        let before = GetMembershipsRequest { customer: by_id(1), as_of, ..GetMembershipsRequest::default() };
        let before = world.client.clone().get_memberships(before).await.unwrap().into_inner();
        assert_eq!(before.memberships[0].segment, "active");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_and_an_erasure_are_followed() {
    for world in worlds().await {
        world.rule("visitor", r#"count("visit") >= 3"#).await;
        world.happen(1, "visit", 2).await;
        let mut revision = world.happen(2, "visit", 1).await;
        revision.merge(&world.merge(1, 2).await);
        for n in [1, 2] {
            let reply = world.memberships(n, &revision).await.unwrap();
            assert_eq!(reply.customer_id, customer(2).to_string(), "an old id answers with the survivor");
            assert_eq!(reply.memberships.len(), 1);
        }
        let ids = vec![customer(1).to_string(), customer(2).to_string()];
        let erased = |n: u128| {
            Event::CustomerErased(CustomerErased {
                customer_id: customer(n).to_string(),
                customer_ids: ids.clone(),
                operation: String::new(),
            })
        };
        let revision = world.identity(customer(2), vec![erased(2)]).await;
        let late = world.happen(2, "visit", 3).await;
        for at_least in [revision, late] {
            let status = world.memberships(2, &at_least).await.unwrap_err();
            assert_eq!((status.code(), reason(&status)), (Code::NotFound, "CUSTOMER_NOT_FOUND".to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_found_by_identifier_and_by_identity() {
    for world in worlds().await {
        world.rule("silent", r#"count("visit") == 0"#).await;
        // Identity knows number 5; segmentation has heard nothing of it yet.
        let mut client = world.client.clone();
        for customer in [by_id(5), by_number(5)] {
            let request = GetMembershipsRequest { customer, ..GetMembershipsRequest::default() };
            let reply = client.get_memberships(request).await.unwrap().into_inner();
            assert_eq!(reply.customer_id, world::customer(5).to_string());
            assert!(reply.memberships.is_empty());
        }
        let revision = world.meet(5, serde_json::json!({})).await;
        let request = CheckMembershipRequest {
            customer: by_number(5),
            segments: vec!["silent".to_owned()],
            at_least: revision.to_string(),
            ..CheckMembershipRequest::default()
        };
        assert!(client.check_membership(request).await.unwrap().into_inner().checks[0].member);
        let status = world.memberships(5_000, &Revision::new()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::NotFound, "CUSTOMER_NOT_FOUND".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_are_created_changed_and_deleted() {
    for world in worlds().await {
        let mut client = world.client.clone();
        let revision = world.happen(1, "visit", 1).await;
        world.inside(1, &revision).await;
        let mut request = draft("visitor", r#"count("visit") >= 1"#);
        request.request_id = "r-1".to_owned();
        request.validate_only = true;
        let tried = client.create_segment(request.clone()).await.unwrap().into_inner();
        assert!(tried.revision.is_empty());
        assert_eq!(client.get_segment(get("visitor")).await.unwrap_err().code(), Code::NotFound);
        request.validate_only = false;
        let made = client.create_segment(request.clone()).await.unwrap().into_inner();
        let segment = made.segment.clone().unwrap();
        assert_eq!((segment.member_count, segment.state()), (1, SegmentState::Live), "members are there at once");
        assert!(!made.revision.is_empty());
        let again = client.create_segment(request.clone()).await.unwrap().into_inner();
        assert_eq!(again, made, "the build shows under the recorded revision");
        let jane = terms::partition(&tenant(), customer(1));
        let shown: Revision = again.revision.parse().unwrap();
        assert!(shown.position(Service::Segmentation, jane).is_some());
        request.segment.as_mut().unwrap().name = "other".to_owned();
        let status = client.create_segment(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));

        world.rule("often", r#""visitor" in segments && count("visit") >= 5"#).await;
        let change = |definition: &str, etag: &str| UpdateSegmentRequest {
            segment: Some(Segment {
                segment_id: segment.segment_id.clone(),
                display_name: "Visitors".to_owned(),
                kind: Some(segment::Kind::Definition(definition.to_owned())),
                ..Segment::default()
            }),
            etag: etag.to_owned(),
            ..UpdateSegmentRequest::default()
        };
        let update =
            UpdateSegmentRequest { request_id: "r-2".to_owned(), ..change(r#"count("visit") >= 2"#, &segment.etag) };
        let changed = client.update_segment(update.clone()).await.unwrap().into_inner();
        let again = client.update_segment(update).await.unwrap().into_inner();
        assert_eq!(again, changed);
        assert!(again.revision.parse::<Revision>().unwrap().position(Service::Segmentation, jane).is_some());
        let changed = changed.segment.unwrap();
        assert_eq!((changed.version, changed.member_count, changed.display_name.as_str()), (2, 0, "Visitors"));
        assert_eq!(changed.used_by, ["segment:often"]);
        let status = client.update_segment(change("true", &segment.etag)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::Aborted, "ETAG_STALE".to_owned()));
        let mut masked = change("true", "");
        masked.update_mask = Some(prost_types::FieldMask { paths: vec!["description".to_owned()] });
        let kept = client.update_segment(masked).await.unwrap().into_inner().segment.unwrap();
        assert_eq!((kept.version, kept.kind), (2, changed.kind.clone()), "what the mask does not name stays");
        let first = GetSegmentRequest { version: 1, ..get("visitor") };
        let first = client.get_segment(first).await.unwrap().into_inner().segment.unwrap();
        assert_eq!(first.kind, Some(segment::Kind::Definition(r#"count("visit") >= 1"#.to_owned())));

        let delete = |segment: &str| DeleteSegmentRequest { segment: segment.to_owned(), ..Default::default() };
        let status = client.delete_segment(delete("visitor")).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::FailedPrecondition, "SEGMENT_IN_USE".to_owned()));
        client.delete_segment(delete("often")).await.unwrap();
        let twice = DeleteSegmentRequest { request_id: "r-3".to_owned(), ..delete("visitor") };
        let gone = client.delete_segment(twice.clone()).await.unwrap().into_inner();
        assert_eq!(client.delete_segment(twice).await.unwrap().into_inner(), gone);
        assert_eq!(client.get_segment(get("visitor")).await.unwrap_err().code(), Code::NotFound);
        let gone = client.get_segment(get(&segment.segment_id)).await.unwrap().into_inner().segment.unwrap();
        assert_eq!(gone.state(), SegmentState::Deleted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_told_every_fault() {
    for world in worlds().await {
        let mut client = world.client.clone();
        let status = client.create_segment(draft("Vip", "count('x') >")).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "RULE_INVALID".to_owned()));
        let fields: Vec<_> =
            status.get_details_bad_request().unwrap().field_violations.into_iter().map(|v| v.field).collect();
        assert_eq!(fields, ["segment.name", "segment.definition"]);
        let status = client.create_segment(CreateSegmentRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let status = client.create_segment(draft("typed", "customer.kind == 5")).await.unwrap_err();
        assert!(status.message().contains("line 1, column"), "{}", status.message());
        let status = client.update_segment(UpdateSegmentRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let bad = ListSegmentsRequest {
            page_size: -1,
            order_by: "x".to_owned(),
            filter: "y ==".to_owned(),
            ..Default::default()
        };
        let status = client.list_segments(bad).await.unwrap_err();
        assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 3);
        let watch = WatchSegmentRequest { cursor: "x".to_owned(), ..Default::default() };
        assert_eq!(client.watch_segment(watch).await.unwrap_err().code(), Code::InvalidArgument);
        let preview = PreviewSegmentRequest::default();
        assert_eq!(client.preview_segment(preview).await.unwrap_err().code(), Code::InvalidArgument);
        let members = ListMembersRequest { segment: "nobody".to_owned(), ..Default::default() };
        assert_eq!(client.list_members(members).await.unwrap_err().code(), Code::NotFound);
        let status = client.list_traits(ListTraitsRequest::default()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::Unimplemented, "NOT_YET_SERVED".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_page_filter_and_order() {
    for world in worlds().await {
        let mut client = world.client.clone();
        let mut revision = Revision::new();
        for n in 0..3 {
            revision.merge(&world.happen(n, "visit", n as usize + 1).await);
        }
        for n in 1..=5 {
            world.rule(&format!("at-least-{n}"), &format!(r#"count("visit") >= {n}"#)).await;
        }
        let mut request = ListSegmentsRequest {
            page_size: 2,
            order_by: "member_count desc".to_owned(),
            filter: "member_count > 0 && state == \"live\"".to_owned(),
            at_least: revision.to_string(),
            ..ListSegmentsRequest::default()
        };
        let mut found = Vec::new();
        loop {
            let reply = client.list_segments(request.clone()).await.unwrap().into_inner();
            found.extend(reply.segments.into_iter().map(|s| (s.name, s.member_count)));
            if reply.next_page_token.is_empty() {
                break;
            }
            request.page_token = reply.next_page_token;
        }
        let expected = [("at-least-1", 3), ("at-least-2", 2), ("at-least-3", 1)];
        assert_eq!(found, expected.map(|(name, count)| (name.to_owned(), count)));
        let all = client.list_segments(ListSegmentsRequest::default()).await.unwrap().into_inner();
        assert!(all.segments.is_sorted_by_key(|s| s.name.clone()) && all.segments.len() == 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_tried_before_it_is_saved() {
    for world in worlds().await {
        let mut client = world.client.clone();
        let mut revision = Revision::new();
        for n in 0..20 {
            let country = if n % 2 == 0 { "NO" } else { "SE" };
            revision.merge(&world.meet(n, serde_json::json!({"country": country})).await);
            revision.merge(&world.happen(n, "visit", n as usize % 4).await);
        }
        world.rule("norwegians", r#"customer.country == "NO""#).await;
        let preview = PreviewSegmentRequest {
            definition: r#"customer.country == "NO" && count("visit") >= 2"#.to_owned(),
            attributes: true,
            compare_with: "norwegians".to_owned(),
            sample_size: 3,
            at_least: revision.to_string(),
        };
        let reply = client.preview_segment(preview.clone()).await.unwrap().into_inner();
        // Even numbers, of which every second has two visits.
        assert_eq!((reply.population, reply.count, reply.share), (20, 5, 0.25));
        assert_eq!((reply.would_enter, reply.would_leave), (0, 5));
        assert_eq!(reply.sample.len(), 3);
        assert_eq!(client.preview_segment(preview).await.unwrap().into_inner().sample, reply.sample, "repeatably");
        let influences: Vec<_> = reply
            .influences
            .iter()
            .map(|i| (i.attribute.as_str(), i.clause.as_str(), i.passing, i.count_without))
            .collect();
        assert_eq!(
            influences,
            [
                ("customer.country", r#"customer.country == "NO""#, 10, 10),
                ("events.visit", r#"count("visit") >= 2"#, 10, 10),
            ]
        );
        let explained = CheckMembershipRequest {
            customer: by_id(1),
            segments: vec!["norwegians".to_owned()],
            explain: true,
            ..CheckMembershipRequest::default()
        };
        let check = client.check_membership(explained).await.unwrap().into_inner().checks.remove(0);
        assert!(!check.member && !check.clauses[0].holds);
        assert_eq!(check.clauses[0].actual, Some(host::encode::json(&"SE".into())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_and_watched() {
    for world in worlds().await {
        let mut client = world.client.clone();
        world.rule("visitor", r#"count("visit", duration("1d")) >= 1"#).await;
        let revision = world.happen(1, "visit", 1).await;
        let request = ListMembersRequest {
            segment: "visitor".to_owned(),
            at_least: revision.to_string(),
            ..ListMembersRequest::default()
        };
        let mut pages = client.list_members(request.clone()).await.unwrap().into_inner();
        let page = pages.message().await.unwrap().unwrap();
        assert_eq!((page.total_count, page.members[0].customer_id.as_str()), (1, customer(1).to_string().as_str()));
        assert!(pages.message().await.unwrap().is_none());
        let none = ListMembersRequest { resume_after: customer(1).to_string(), ..request };
        let mut pages = client.list_members(none).await.unwrap().into_inner();
        assert!(pages.message().await.unwrap().is_some_and(|page| page.members.is_empty() && page.total_count == 1));

        let watch = WatchSegmentRequest { segment: "visitor".to_owned(), include_members: true, ..Default::default() };
        let mut stream = client.watch_segment(watch).await.unwrap().into_inner();
        let present = transitions(&mut stream, 1).await;
        assert_eq!((present.0[0].customer_id.as_str(), present.0[0].entered), (customer(1).to_string().as_str(), true));
        world.happen(2, "visit", 1).await;
        let (entered, cursor) = transitions(&mut stream, 1).await;
        assert_eq!(
            (entered[0].customer_id.as_str(), entered[0].reason()),
            (customer(2).to_string().as_str(), MembershipReason::Event)
        );
        assert!(entered[0].cause_id.starts_with("int_"));
        drop(stream);
        // What happens while nobody watches is told on return.
        world.clock.advance(2 * DAY);
        let watch = WatchSegmentRequest { segment: "visitor".to_owned(), cursor, ..Default::default() };
        let mut stream = client.watch_segment(watch).await.unwrap().into_inner();
        let (left, _) = transitions(&mut stream, 2).await;
        assert!(left.iter().all(|t| !t.entered && t.reason() == MembershipReason::Clock));
        let who: BTreeSet<_> = left.iter().map(|t| t.customer_id.clone()).collect();
        assert_eq!(who, BTreeSet::from([customer(1).to_string(), customer(2).to_string()]));
    }
}

/// The next `count` transitions, and the cursor after them.
async fn transitions(
    stream: &mut tonic::Streaming<WatchSegmentResponse>,
    count: usize,
) -> (Vec<MembershipTransition>, String) {
    let mut found = Vec::new();
    loop {
        let reply = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.expect("in time");
        let reply = reply.expect("the stream goes on").expect("without fault");
        found.extend(reply.transitions);
        if found.len() >= count {
            return (found, reply.cursor);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_by_hand_and_comparisons() {
    for world in worlds().await {
        let mut client = world.client.clone();
        let mut revision = Revision::new();
        for n in 1..=4 {
            revision.merge(&world.meet(n, serde_json::json!({"n": n})).await);
        }
        world.inside(4, &revision).await;
        let members = StaticMembers { customers: [by_id(1), by_number(2)].into_iter().flatten().collect() };
        let segment = Segment {
            name: "press".to_owned(),
            kind: Some(segment::Kind::StaticMembers(members)),
            ..Segment::default()
        };
        let request = CreateSegmentRequest { segment: Some(segment), ..CreateSegmentRequest::default() };
        let made = client.create_segment(request.clone()).await.unwrap().into_inner().segment.unwrap();
        assert_eq!((made.member_count, made.state()), (2, SegmentState::Live));
        let mut unknown = request;
        let name = &mut unknown.segment.as_mut().unwrap();
        name.name = "unknown".to_owned();
        name.kind = Some(segment::Kind::StaticMembers(StaticMembers { customers: vec![by_id(5_000).unwrap()] }));
        assert_eq!(client.create_segment(unknown).await.unwrap_err().code(), Code::NotFound);
        world.rule("odd", "customer.n in [1, 3]").await;
        let request = CompareSegmentsRequest {
            segments: vec!["press".to_owned(), "odd".to_owned()],
            at_least: revision.to_string(),
        };
        let reply = client.compare_segments(request).await.unwrap().into_inner();
        assert_eq!((reply.intersection_count, reply.union_count), (1, 3));
        assert!((reply.pairs[0].jaccard - 1.0 / 3.0).abs() < 1e-12);
        let replaced = UpdateSegmentRequest {
            segment: Some(Segment {
                name: "press".to_owned(),
                kind: Some(segment::Kind::StaticMembers(StaticMembers { customers: vec![by_id(4).unwrap()] })),
                ..Segment::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["static_members".to_owned()] }),
            ..UpdateSegmentRequest::default()
        };
        let changed = client.update_segment(replaced).await.unwrap().into_inner().segment.unwrap();
        assert_eq!(changed.member_count, 1);
        assert_eq!(world.inside(4, &Revision::new()).await, ["press"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_tenants_are_built_in_the_background() {
    for world in worlds_with(&[("segmentation.build_at_once", "0")]).await {
        let mut revision = Revision::new();
        for n in 0..5 {
            revision.merge(&world.happen(n, "visit", 1).await);
        }
        for n in 0..5 {
            world.inside(n, &revision).await;
        }
        let segment = world.rule("visitor", r#"count("visit") >= 1"#).await;
        assert!(matches!(segment.state(), SegmentState::Building | SegmentState::Live));
        let built = eventually_some("the members are complete", || async {
            let segment = world.client.clone().get_segment(get("visitor")).await.unwrap().into_inner().segment.unwrap();
            (segment.state() == SegmentState::Live).then_some(segment)
        })
        .await;
        assert_eq!(built.member_count, 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_was_cut_off_goes_on_after_a_restart() {
    for world in worlds().await {
        let revision = world.happen(1, "visit", 1).await;
        world.inside(1, &revision).await;
        let segment = world.rule("visitor", r#"count("visit") >= 1"#).await;
        let database = world.database.clone();
        let id: segmentation_domain::segment::SegmentId = segment.segment_id.parse().unwrap();
        // As if the process had died between the definition and the first customer.
        let cut_off = [
            "DELETE FROM membership",
            "UPDATE segment SET state = 1",
            "UPDATE ruleset SET epoch = epoch + 1",
            "INSERT INTO build (tenant, segment, over, after, created_at) SELECT tenant, id, 1, NULL, 0 FROM segment",
        ];
        let store = world.segmentation.clone();
        let written = store.write(move |tx: &data::Tx| {
            use data::Sql;
            use futures::FutureExt;
            async move {
                for sql in cut_off {
                    tx.conn().run(sql, vec![]).await?;
                }
                Ok(())
            }
            .boxed()
        });
        drop(world);
        written.await.unwrap();
        let next = World::on(database, &[]).await;
        eventually("the build is done", || async {
            let segment =
                next.client.clone().get_segment(get(&id.to_string())).await.unwrap().into_inner().segment.unwrap();
            segment.state() == SegmentState::Live && segment.member_count == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_say_what_a_customer_is_worth() {
    for world in worlds().await {
        let mut revision = Revision::new();
        for n in 1..=5u128 {
            for day in 0..n {
                let mut bought = world.recorded(n, "purchase");
                bought.occurred_at = Some(host::encode::timestamp(world.clock.now() - DAY * (20 - day as u32)));
                bought.value_micros = Some(i64::try_from(n).unwrap() * 10_000_000);
                bought.currency = "EUR".to_owned();
                bought.set_motivation(if day == 0 { Motivation::Incentivised } else { Motivation::Organic });
                revision.merge(&world.interaction(customer(n), vec![Event::InteractionRecorded(bought)]).await);
            }
        }
        let mut client = world.client.clone();
        for n in 1..=5 {
            world.inside(n, &revision).await;
        }
        let request = GetDifferentiationRequest {
            customer: by_id(4),
            at_least: revision.to_string(),
            ..GetDifferentiationRequest::default()
        };
        let value = eventually_some("quintiles of all five", || async {
            let reply = client.clone().get_differentiation(request.clone()).await.unwrap().into_inner();
            reply.value.filter(|v| v.rfm.as_ref().is_some_and(|r| r.frequency_score == 4))
        })
        .await;
        let rfm = value.rfm.unwrap();
        assert_eq!((rfm.frequency, rfm.recency_days, rfm.age_days), (3, 3.0, 20.0));
        assert_eq!((rfm.monetary.as_ref().unwrap().units, rfm.total.unwrap().units), (40, 160));
        assert_eq!((rfm.recency_score, rfm.frequency_score, rfm.monetary_score), (4, 4, 4));
        assert_eq!((rfm.organic_share, rfm.days_since_last), (0.75, 17.0));
        let request = GetDifferentiationRequest { customer: by_id(9), ..GetDifferentiationRequest::default() };
        assert_eq!(client.get_differentiation(request).await.unwrap().into_inner().value, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_section_shows_what_it_says_it_contains() {
    for world in worlds().await {
        world.rule("visitor", r#"count("visit", duration("1d")) >= 1"#).await;
        world.rule("vegan", r#"statements["diet"] == "vegan""#).await;
        let load = async |at_least: &Revision| {
            let loaded = world.section.load(&tenant(), customer(1), Section::Segmentation, at_least).await.unwrap();
            (SegmentationSection::decode(loaded.bytes).unwrap(), loaded.revision)
        };
        let (nothing, _) = load(&Revision::new()).await;
        assert!(nothing.memberships.is_empty());
        let mut revision = world.tell(1, "diet", "vegan").await;
        revision.merge(&world.happen(1, "visit", 1).await);
        let (section, shown) = load(&revision).await;
        let names: Vec<_> = section.memberships.iter().map(|m| m.segment.as_str()).collect();
        assert_eq!(names, ["vegan", "visitor"]);
        assert_eq!(section.next_change_at_micros, (world.clock.now() + DAY).micros());
        assert!(shown.covers(&revision));
        assert!(shown.position(Service::Segmentation, terms::partition(&tenant(), customer(1))).is_some());
    }
}
