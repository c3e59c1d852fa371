//! The memory store sits the exam.

use std::sync::Arc;

use proptest::prelude::*;
use segmentation_domain::{
    contract::{BEGIN, Exam, history},
    memory::Memory,
};
use terms::FixedClock;

fn exam() -> Exam {
    let clock = Arc::new(FixedClock::new(BEGIN));
    Exam::new(Arc::new(Memory::new(clock.clone())), clock)
}

async fn open() -> Option<Exam> {
    Some(exam())
}

segmentation_domain::exams!(open);

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: incremental XOR full computation = 0.
    #[test]
    fn any_history(seed: u64, steps in 10usize..250) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(history(&exam(), seed, steps));
    }
}
