//! The contract, on the store in memory.

use std::sync::Arc;

use interaction_domain::{
    MemoryStore,
    contract::{World, suite},
};
use terms::{FixedClock, Timestamp};

#[tokio::test]
async fn memory() {
    suite(&World::new(MemoryStore::new(), Arc::new(FixedClock::new(Timestamp::EPOCH)))).await;
}
