//! Many writers at once: feeds, clock and builds meet on the same customers; nothing is lost.

use std::{sync::Arc, time::Duration};

use data::StoreOptions;
use profile::Marks;
use segmentation::SqlSegments;
use segmentation_domain::{
    contract::{BEGIN, Exam, customer},
    definition::Body,
    news::What,
};
use terms::{Clock, FixedClock, Service};
use testkit::Database;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn feeds_clock_and_builds_meet() {
    for database in Database::each().await {
        let clock = Arc::new(FixedClock::new(BEGIN));
        let store =
            database.open(Service::Segmentation, segmentation::migrations(), StoreOptions::new(clock.clone())).await;
        // Two replicas: each with facts of its own in memory.
        let replicas: Vec<Arc<Exam>> = (0..2)
            .map(|_| {
                let replica = SqlSegments::new(store.clone(), Marks::in_process(), 10_000);
                Arc::new(Exam::new(Arc::new(replica), clock.clone()))
            })
            .collect();
        replicas[0].rule("active", r#"count("login", duration("2h")) >= 2"#).await;
        replicas[0].rule("quiet", r#"!("active" in segments)"#).await;
        let mut work = tokio::task::JoinSet::new();
        for (n, exam) in replicas.iter().enumerate() {
            for writer in 0..3usize {
                let (exam, clock) = (exam.clone(), clock.clone());
                work.spawn(async move {
                    for k in 0..40u128 {
                        let who = customer((k * 7 + writer as u128) % 12);
                        let mut event = exam.event(who, "login", clock.now());
                        event.id =
                            terms::Id::from_uuid(uuid::Uuid::from_u128((n as u128) << 64 | (writer as u128) << 32 | k));
                        exam.hear(What::Interaction { customer: who, event }).await;
                        if k % 13 == 0 {
                            clock.advance(Duration::from_secs(1_200));
                        }
                    }
                });
            }
            let exam = exam.clone();
            work.spawn(async move {
                for _ in 0..30 {
                    exam.store.settle_due(4).await.unwrap();
                    exam.store.build(None, 3).await.unwrap();
                }
            });
        }
        let merger = replicas[0].clone();
        work.spawn(async move {
            for n in 0..6u128 {
                merger.hear(What::Merged { loser: customer(2 * n), survivor: customer(2 * n + 1) }).await;
            }
        });
        let definer = replicas[1].clone();
        work.spawn(async move {
            for n in 0..4 {
                let rule = format!(r#"count("login", duration("{}h")) >= 3"#, n + 1);
                definer.draft(&format!("d{n}"), Body::Rule(rule)).await;
            }
            definer.draft("listed", Body::List((0..12).map(customer).collect())).await;
        });
        while let Some(done) = work.join_next().await {
            done.unwrap();
        }
        for exam in &replicas {
            exam.audit().await;
        }
        let everybody = segmentation_domain::ruleset::Needs {
            events: ["login".to_owned()].into(),
            ..segmentation_domain::ruleset::Needs::default()
        };
        let exam = &replicas[0];
        let people = exam.store.people(&exam.tenant, &everybody, None, 100).await.unwrap();
        let events: usize = people.iter().map(|(_, p)| p.facts.as_ref().map_or(0, |f| f.events.len())).sum();
        assert_eq!((people.len(), events), (6, 240), "{}", database.name);
        let (tenant, catalog) = (&exam.tenant, exam.store.catalog(&exam.tenant).await.unwrap());
        let listed = catalog.named("listed").unwrap().id;
        assert_eq!(exam.store.members(tenant, listed, None, None, 100).await.unwrap().len(), 6);
        exam.wait(Duration::from_secs(100_000)).await;
        exam.audit().await;
    }
}
