//! The store in memory sits the exam.

use std::sync::Arc;

use customization_domain::{
    contract::{EXAMS, Exam, no_upkeep, run},
    memory::MemoryStore,
};
use terms::{Clock, FixedClock, Ids, Timestamp};

#[tokio::test]
async fn memory() {
    for name in EXAMS {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(Timestamp::from_seconds(1_767_225_600)));
        let ids = Arc::new(Ids::seeded(clock.clone(), 1));
        run(name, &Exam { store: MemoryStore::new(clock.clone()), ids, clock, upkeep: no_upkeep() }).await;
    }
}
