//! SQLite and PostgreSQL sit the domain's exam.

use std::sync::Arc;

use data::StoreOptions;
use profile::Marks;
use segmentation::SqlSegments;
use segmentation_domain::contract::{BEGIN, Exam};
use terms::{FixedClock, Service};
use testkit::Database;

async fn exam(database: Option<Database>) -> Option<Exam> {
    let database = database?;
    let clock = Arc::new(FixedClock::new(BEGIN));
    let options = StoreOptions::new(clock.clone());
    let store = database.open(Service::Segmentation, segmentation::migrations(), options).await;
    let store = SqlSegments::new(store, Marks::in_process(), 10_000);
    Some(Exam::new(Arc::new(store), clock).keeping(database))
}

mod sqlite {
    use super::*;

    async fn open() -> Option<Exam> {
        exam(Some(Database::sqlite())).await
    }

    segmentation_domain::exams!(open);
}

mod postgres {
    use super::*;

    async fn open() -> Option<Exam> {
        exam(Database::postgres().await).await
    }

    segmentation_domain::exams!(open);
}

/// Many random histories; run with `--ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn many_histories() {
    for database in Database::each().await {
        let clock = Arc::new(FixedClock::new(BEGIN));
        let store =
            database.open(Service::Segmentation, segmentation::migrations(), StoreOptions::new(clock.clone())).await;
        let store = Arc::new(SqlSegments::new(store, Marks::in_process(), 10_000));
        for seed in 1_000..1_060 {
            let exam = Exam::of_tenant(store.clone(), clock.clone(), &format!("t{seed}"));
            segmentation_domain::contract::history(&exam, seed, 150).await;
        }
    }
}
