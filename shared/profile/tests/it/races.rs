//! Marks against fills: random interleavings of loads, commits, marks and reads.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::Mutex;
use profile::{Marks, Profiles, ProfilesOptions, Section};
use proptest::prelude::*;
use terms::{CustomerId, Revision, Tenant};

use crate::{
    owners::{Owners, Values, customer, tenant},
    shared::redis_options,
};

/// What was acknowledged, and what was marked.
#[derive(Debug, Default, Clone)]
struct Told {
    token: Revision,
    acknowledged: [i64; 3],
    marked: [i64; 3],
}

struct World {
    tenant: Tenant,
    owners: Arc<Owners>,
    /// One per process: the first writes, all read.
    processes: Vec<(Marks, Profiles<Values>)>,
    told: Mutex<Vec<Told>>,
}

impl World {
    fn new(processes: usize, customers: usize, marks: impl Fn() -> Marks) -> Arc<Self> {
        let owners = Owners::new();
        let processes = (0..processes)
            .map(|_| {
                let marks = marks();
                let profiles = Profiles::new(&marks, owners.clone(), &ProfilesOptions::default());
                (marks, profiles)
            })
            .collect();
        let told = Mutex::new(vec![Told::default(); customers]);
        Arc::new(Self { tenant: tenant(), owners, processes, told })
    }

    fn id(n: usize) -> CustomerId {
        customer(n as u128 + 1)
    }

    async fn write(&self, n: usize, section: Section, pause: u8) {
        let (seq, revision) = self.owners.write(&self.tenant, Self::id(n), section);
        {
            let told = &mut self.told.lock()[n];
            told.token.merge(&revision);
            told.acknowledged[section as usize] = told.acknowledged[section as usize].max(seq);
        }
        pauses(pause).await;
        // Other processes hear of it by their tails, in whatever order.
        for (marks, _) in self.processes.iter().rev() {
            marks.mark(&self.tenant, &[Self::id(n)], section, &revision).await;
            pauses(pause).await;
        }
        let told = &mut self.told.lock()[n];
        told.marked[section as usize] = told.marked[section as usize].max(seq);
    }

    async fn read(&self, n: usize, process: usize, with_token: bool) {
        let told = self.told.lock()[n].clone();
        let token = if with_token { told.token } else { Revision::new() };
        let (_, profiles) = &self.processes[process % self.processes.len()];
        let profile = profiles.get(&self.tenant, Self::id(n), &token).await.unwrap();
        let least = if with_token { told.acknowledged } else { told.marked };
        assert!(
            profile.shown.iter().zip(least).all(|(shown, least)| *shown >= least),
            "read {:?}, but {least:?} was told before (with a token: {with_token})",
            profile.shown
        );
    }
}

async fn pauses(n: u8) {
    for _ in 0..n {
        tokio::task::yield_now().await;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write { customer: usize, section: usize, pause: u8 },
    Read { customer: usize, process: usize, with_token: bool },
    Pause(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..2, 0usize..3, 0u8..6).prop_map(|(customer, section, pause)| Step::Write { customer, section, pause }),
        (0usize..2, 0usize..2, any::<bool>()).prop_map(|(customer, process, with_token)| Step::Read {
            customer,
            process,
            with_token
        }),
        (0u8..12).prop_map(Step::Pause),
    ];
    prop::collection::vec(step, 1..80)
}

async fn play(world: Arc<World>, steps: Vec<Step>) {
    let mut tasks = Vec::new();
    for step in steps {
        let world = world.clone();
        match step {
            Step::Write { customer, section, pause } => {
                tasks.push(tokio::spawn(async move { world.write(customer, Section::ALL[section], pause).await }))
            }
            Step::Read { customer, process, with_token } => {
                tasks.push(tokio::spawn(async move { world.read(customer, process, with_token).await }));
            }
            Step::Pause(n) => pauses(n).await,
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    for n in 0..2 {
        for process in 0..world.processes.len() {
            world.read(n, process, false).await;
        }
    }
}

fn on_one_thread(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_read_in_process_is_stale(steps in steps(), yields in 0u64..8) {
        on_one_thread(async {
            let world = World::new(1, 2, Marks::in_process);
            world.owners.yields.store(yields, Ordering::SeqCst);
            play(world, steps).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn no_read_of_two_processes_on_one_redis_is_stale(steps in steps(), yields in 0u64..8) {
        let Some(options) = redis_options() else { return Ok(()) };
        on_one_thread(async {
            let world = World::new(2, 2, || Marks::with_redis(&options).unwrap());
            world.owners.yields.store(yields, Ordering::SeqCst);
            play(world, steps).await;
        });
    }
}

/// Many tasks on several threads, without any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_is_stale_under_load() {
    let Some(options) = redis_options() else { return };
    let world = World::new(3, 4, || Marks::with_redis(&options).unwrap());
    let tasks: Vec<_> = (0..24usize)
        .map(|task| {
            let world = world.clone();
            tokio::spawn(async move {
                for round in 0..150usize {
                    let n = (task + round) % 4;
                    if task % 6 == 0 {
                        world.write(n, Section::ALL[round % 3], (round % 5) as u8).await;
                    } else {
                        world.read(n, task, round % 2 == 0).await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
