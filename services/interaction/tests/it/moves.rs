//! Merges and splits while writers write: every row ends where it belongs, and nothing is lost.

use std::sync::Arc;

use data::Sql;
use futures::future::join_all;
use rapport_proto::{
    interaction::v1::*,
    r#type::v1::{BoundaryScope, CustomerRef},
};
use terms::{CustomerId, Id, id};
use testkit::eventually;

use crate::world::{Client, World, by_email, by_id, happening, saying, worlds};

/// Writers per customer, and writes of each.
const WRITERS: usize = 4;
const WRITES: usize = 6;

async fn count(world: &World, table: &str, customer: CustomerId) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE tenant = $1 AND customer = $2");
    let values = vec!["default".into(), customer.uuid().into()];
    let row = world.store.reader().row(&sql, values).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn rows(world: &World, customer: CustomerId) -> [i64; 4] {
    [
        count(world, "interaction", customer).await,
        count(world, "statement", customer).await,
        count(world, "consent", customer).await,
        count(world, "boundary", customer).await,
    ]
}

/// Writes of every kind, some of them twice.
async fn write(mut client: Client, customer: Option<CustomerRef>, ids: Arc<terms::Ids>) {
    for n in 0..WRITES {
        let mut input = happening(customer.clone(), "visit");
        input.interaction_id = ids.next::<id::Interaction>().to_string();
        input.statements = vec![saying("visits", &n.to_string())];
        let request = RecordInteractionRequest { interaction: Some(input), ..Default::default() };
        let first = client.record_interaction(request.clone()).await.unwrap().into_inner();
        let again = client.record_interaction(request).await.unwrap().into_inner();
        assert!(again.duplicate && !first.duplicate);
        assert_eq!(again.interaction.unwrap().interaction_id, first.interaction.unwrap().interaction_id);
        let consents = vec![Consent {
            purpose: "marketing".to_owned(),
            state: ConsentState::Granted.into(),
            source: "form".to_owned(),
            ..Default::default()
        }];
        let request = RecordConsentRequest { customer: customer.clone(), consents, ..Default::default() };
        client.record_consent(request).await.unwrap();
        let request = SetBoundaryRequest {
            customer: customer.clone(),
            statement: "no".to_owned(),
            scope: Some(BoundaryScope { topics: vec!["alcohol".to_owned()], ..Default::default() }),
            ..Default::default()
        };
        client.set_boundary(request).await.unwrap();
        let records = (0..5).map(|_| RecordInteractionsRequest {
            interaction: Some(happening(customer.clone(), "page.view")),
            correlation: String::new(),
        });
        let records: Vec<_> = records.collect();
        let mut verdicts = client.record_interactions(tokio_stream::iter(records)).await.unwrap().into_inner();
        while let Some(message) = verdicts.message().await.unwrap() {
            for verdict in message.verdicts {
                assert!(matches!(verdict.outcome, Some(record_verdict::Outcome::Recorded(_))), "{verdict:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_race_with_merges() {
    for world in worlds().await {
        let ids = world.context.ids.clone();
        // Chains: the first into the second, the second into the third, while all three are written to.
        let chains: Vec<[CustomerId; 3]> = (0..4)
            .map(|n| ["a", "b", "c"].map(|part| world.identity.create(&ids, &format!("{part}{n}@example.org"))))
            .collect();
        let writers = chains.iter().enumerate().flat_map(|(n, chain)| {
            let (world, ids) = (&world, &ids);
            chain.iter().zip(["a", "b", "c"]).flat_map(move |(id, part)| {
                (0..WRITERS / 2).flat_map(move |_| {
                    [by_id(*id), by_email(&format!("{part}{n}@example.org"))]
                        .map(|customer| tokio::spawn(write(world.client.clone(), customer, ids.clone())))
                })
            })
        });
        let writers: Vec<_> = writers.collect();
        for [a, b, c] in &chains {
            // The later merge may well be heard first.
            world.identity.merge(*a, *b).await;
            world.identity.merge(*b, *c).await;
        }
        for written in join_all(writers).await {
            written.unwrap();
        }
        let each = (3 * WRITERS * WRITES) as i64;
        for [a, b, c] in &chains {
            eventually("every row is the survivor's", async || {
                rows(&world, *a).await == [0; 4] && rows(&world, *b).await == [0; 4]
            })
            .await;
            // Of each write: one interaction and five in bulk; a statement of it and one of the boundary.
            assert_eq!(rows(&world, *c).await, [6 * each, 2 * each, each, each], "{}", world.store.name());
        }
        assert_eq!(world.store.idle_in_transaction().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_race_with_splits() {
    for world in worlds().await {
        let ids = world.context.ids.clone();
        let jane = world.identity.create(&ids, "jane@example.org");
        let j = world.identity.create(&ids, "j@example.org");
        let writers = [by_id(jane), by_email("jane@example.org"), by_id(j), by_email("j@example.org")]
            .map(|customer| tokio::spawn(write(world.client.clone(), customer, ids.clone())));
        for _ in 0..3 {
            world.identity.merge(j, jane).await;
            world.identity.split(jane, j, "j@example.org").await;
        }
        for written in join_all(writers).await {
            written.unwrap();
        }
        let each = 2 * WRITES as i64;
        let half = [6 * each, 2 * each, each, each];
        eventually("every row is whose it was", async || {
            rows(&world, jane).await == half && rows(&world, j).await == half
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_those_who_race_with_one_id_one_records() {
    for world in worlds().await {
        let jane = world.identity.create(&world.context.ids, "jane@example.org");
        for _ in 0..10 {
            let id: Id<id::Interaction> = world.context.ids.next();
            let racers = (0..8).map(|n| {
                let mut client = world.client.clone();
                let mut input = happening(by_id(jane), "visit");
                input.interaction_id = id.to_string();
                // Two different contents: whoever is first has the id.
                input.channel = ["web", "app"][n % 2].to_owned();
                tokio::spawn(async move {
                    let request = RecordInteractionRequest { interaction: Some(input), ..Default::default() };
                    client.record_interaction(request).await.map(|reply| reply.into_inner().duplicate)
                })
            });
            let mut outcomes = [0; 3];
            for raced in join_all(racers).await {
                outcomes[match raced.unwrap() {
                    Ok(false) => 0,
                    Ok(true) => 1,
                    Err(status) => {
                        assert_eq!(status.code(), tonic::Code::AlreadyExists, "{status:?}");
                        2
                    }
                }] += 1;
            }
            assert_eq!(outcomes, [1, 3, 4], "{}", world.store.name());
        }
        assert_eq!(world.store.count("interaction").await, 10);
    }
}
