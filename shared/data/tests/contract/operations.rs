//! Operations: they end once, whatever is killed when; they are seen by their tenant alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use data::{
    Operation, Operations, Run, Sql, Store, StoreOptions, Work,
    operations::{Outcome, Progress, RunOptions},
};
use terms::{Access, Caller, Fault, Ids, Reason, Service, SystemClock, Tenant};
use testkit::{TestStore, eventually};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::support::{count, migrations, number, stores, tenant};

/// Counts up to what was asked, one step in a transaction.
#[derive(Default)]
pub(crate) struct Steps {
    /// How long a step takes.
    pub(crate) pace: Duration,
    /// What becomes of each attempt, before its first step; nothing after the last.
    pub(crate) fails: Vec<Failure>,
    pub(crate) attempts: AtomicU32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Failure {
    Passing,
    Final,
    Panic,
}

#[async_trait]
impl Work for Steps {
    fn kind(&self) -> &'static str {
        "Count"
    }

    fn access(&self) -> Access {
        Access::Admin
    }

    fn unit(&self) -> &'static str {
        "steps"
    }

    fn response(&self) -> &'static str {
        "rapport.test.v1.CountResponse"
    }

    async fn run(&self, run: &Run) -> Result<Vec<u8>, Fault> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst) as usize;
        match self.fails.get(attempt) {
            Some(Failure::Passing) => return Err(Fault::new(Reason::PeerUnavailable, "away")),
            Some(Failure::Final) => return Err(Fault::new(Reason::SegmentInUse, "it is in use")),
            Some(Failure::Panic) => panic!("deliberate"),
            None => {}
        }
        let all = u64::from(run.request()[0]);
        let from = run.checkpoint().map_or(0, |checkpoint| u64::from(checkpoint[0]));
        for step in from..all {
            tokio::select! {
                () = sleep(self.pace) => {}
                () = run.stopping().cancelled() => run.check()?,
            }
            run.progress(Progress::of("counting", step + 1, all));
            let name = run.id().to_string();
            run.write(vec![(step + 1) as u8], move |tx| {
                let name = name.clone();
                Box::pin(async move { count(tx, &name).await })
            })
            .await?;
        }
        Ok(vec![all as u8])
    }
}

fn steps(pace: u64) -> Arc<Steps> {
    Arc::new(Steps { pace: Duration::from_millis(pace), ..Steps::default() })
}

pub(crate) fn status(fault: Fault) -> Status {
    let code = match fault.kind() {
        terms::FaultKind::Invalid => Code::InvalidArgument,
        terms::FaultKind::NotFound => Code::NotFound,
        terms::FaultKind::Denied => Code::PermissionDenied,
        terms::FaultKind::Unauthenticated => Code::Unauthenticated,
        terms::FaultKind::Cancelled => Code::Cancelled,
        terms::FaultKind::Precondition => Code::FailedPrecondition,
        terms::FaultKind::Internal => Code::Internal,
        _ => Code::Unavailable,
    };
    Status::new(code, fault.to_string())
}

pub(crate) fn operations(store: &Store) -> Operations {
    Operations::new(store.clone(), Arc::new(Ids::new(Arc::new(SystemClock))), status)
}

fn quick() -> RunOptions {
    RunOptions {
        lease: Some(Duration::from_millis(600)),
        poll: Duration::from_millis(50),
        pause: Duration::from_millis(10),
        ..RunOptions::default()
    }
}

/// A replica at work.
pub(crate) fn replica(store: &Store, work: &Arc<Steps>, shutdown: &CancellationToken) -> JoinHandle<()> {
    operations(store).run(vec![work.clone()], quick(), shutdown.clone())
}

pub(crate) fn caller() -> Caller {
    Caller::all_powerful(tenant(), "ann")
}

pub(crate) async fn start(store: &Store, work: &Arc<Steps>, steps: u8) -> Operation {
    operations(store).start(&caller(), None, &**work, vec![steps]).await.unwrap()
}

/// Waits until it has ended.
async fn ended(store: &Store, operation: &Operation) -> Operation {
    let until = Instant::now() + Duration::from_secs(30);
    let operation = operations(store).wait(&tenant(), operation.id, until).await.unwrap().expect("it is known");
    assert!(operation.outcome.is_some(), "it did not end: {operation:?}");
    operation
}

/// How many steps were counted, however often.
async fn counted(store: &Store, operation: &Operation) -> i64 {
    number(store, &format!("SELECT MAX(n) FROM tally WHERE name = '{}'", operation.id)).await
}

fn error(operation: &Operation) -> Code {
    match &operation.outcome {
        Some(Outcome::Error(status)) => Code::from_i32(status.code),
        other => panic!("no error: {other:?}"),
    }
}

fn answer(operation: &Operation) -> &[u8] {
    match &operation.outcome {
        Some(Outcome::Response(any)) => {
            assert_eq!(any.type_url, "type.googleapis.com/rapport.test.v1.CountResponse");
            &any.value
        }
        other => panic!("no response: {other:?}"),
    }
}

/// Another replica of the same service: of another process where there can be one.
async fn other(store: &TestStore) -> Store {
    if store.dialect() == data::Dialect::Postgres { store.another().await } else { store.store() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_runs_to_its_end() {
    for store in stores().await {
        let (work, shutdown) = (steps(1), CancellationToken::new());
        let accepted = start(&store, &work, 5).await;
        assert!(accepted.outcome.is_none() && accepted.name().starts_with("operations/interaction/op_"));
        let known = operations(&store).get(&tenant(), accepted.id).await.unwrap().unwrap();
        assert_eq!(known, accepted, "{}", store.name());
        let running = replica(&store, &work, &shutdown);
        let done = ended(&store, &accepted).await;
        assert_eq!((answer(&done), counted(&store, &done).await), (&[5u8][..], 5));
        assert_eq!((done.progress.clone(), done.unit.as_str()), (Progress::of("counting", 5, 5), "steps"));
        assert!(done.updated > done.created && !done.cancelling && done.access == Access::Admin);
        // What was asked is not kept longer than it is needed.
        assert_eq!(number(&store, "SELECT COUNT(*) FROM operation WHERE length(request) > 0").await, 0);
        shutdown.cancel();
        running.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_id_is_the_same_operation() {
    for store in stores().await {
        let (work, shutdown) = (steps(1), CancellationToken::new());
        let operations = operations(&store);
        let once = |body: u8| terms::Once {
            tenant: tenant(),
            method: "rapport.test.v1.Test/Count",
            request_id: "r1".to_owned(),
            fingerprint: [body; 32],
        };
        let first = operations.start(&caller(), Some(once(1)), &*work, vec![3]).await.unwrap();
        let _running = replica(&store, &work, &shutdown);
        ended(&store, &first).await;
        let again = operations.start(&caller(), Some(once(1)), &*work, vec![3]).await.unwrap();
        assert_eq!((again.id, answer(&again)), (first.id, &[3u8][..]), "{}", store.name());
        let reused = operations.start(&caller(), Some(once(2)), &*work, vec![4]).await.unwrap_err();
        assert_eq!(reused.reason(), Reason::RequestIdReused);
        assert_eq!(store.count("operation").await, 1);
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_goes_on_after_a_crash() {
    for store in stores().await {
        let (work, shutdown) = (steps(20), CancellationToken::new());
        let second = other(&store).await;
        let operation = start(&store, &work, 40).await;
        let mut killed = replica(&store, &work, &shutdown);
        for (round, on) in [&second, &store.store(), &second].into_iter().enumerate() {
            let reached = 8 * (round as i64 + 1);
            eventually("it gets on", || async { counted(&store, &operation).await >= reached }).await;
            // Nothing is given back.
            killed.abort();
            killed = replica(on, &work, &shutdown);
        }
        let done = ended(&store, &operation).await;
        assert_eq!((answer(&done), counted(&store, &done).await), (&[40u8][..], 40), "{}", store.name());
        assert!(work.attempts.load(Ordering::SeqCst) >= 4, "somebody took over each time");
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lost_its_lease_writes_nothing() {
    for store in stores().await {
        let (work, shutdown) = (steps(30), CancellationToken::new());
        let operation = start(&store, &work, 60).await;
        let zombie = replica(&store, &work, &shutdown);
        eventually("it works", || async { counted(&store, &operation).await >= 3 }).await;
        let take = |owner: &'static str, until: i64| {
            store.write(move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE operation SET owner = $1, lease_until = $2";
                    tx.conn().run(sql, vec![owner.into(), until.into()]).await
                })
            })
        };
        take("somebody/1", i64::MAX).await.unwrap();
        let before = counted(&store, &operation).await;
        sleep(Duration::from_millis(900)).await;
        assert_eq!(counted(&store, &operation).await, before, "{}", store.name());
        take("", 0).await.unwrap();
        let done = ended(&store, &operation).await;
        assert_eq!((answer(&done), counted(&store, &done).await), (&[60u8][..], 60));
        assert_eq!(work.attempts.load(Ordering::SeqCst), 2);
        shutdown.cancel();
        zombie.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_ends_gives_back_what_it_holds() {
    for store in stores().await {
        let (work, shutdown) = (steps(20), CancellationToken::new());
        let operation = start(&store, &work, 30).await;
        let long = RunOptions { lease: Some(Duration::from_secs(3_600)), ..quick() };
        let first = operations(&store).run(vec![work.clone()], long, shutdown.clone());
        eventually("it works", || async { counted(&store, &operation).await >= 3 }).await;
        shutdown.cancel();
        first.await.unwrap();
        assert_eq!(number(&store, "SELECT COUNT(*) FROM operation WHERE owner = '' AND state = 0").await, 1);
        let shutdown = CancellationToken::new();
        let _second = replica(&other(&store).await, &work, &shutdown);
        assert_eq!(answer(&ended(&store, &operation).await), [30]);
        assert_eq!(counted(&store, &operation).await, 30, "{}", store.name());
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling() {
    for store in stores().await {
        let (work, shutdown) = (steps(20), CancellationToken::new());
        let operations = operations(&store);
        // Nobody works on it.
        let waiting = start(&store, &work, 9).await;
        assert!(operations.cancel(&tenant(), waiting.id).await.unwrap());
        assert_eq!(error(&ended(&store, &waiting).await), Code::Cancelled, "{}", store.name());
        // Another replica works on it.
        let _running = replica(&other(&store).await, &work, &shutdown);
        let running = start(&store, &work, 250).await;
        eventually("it works", || async { counted(&store, &running).await >= 3 }).await;
        assert!(operations.cancel(&tenant(), running.id).await.unwrap());
        let asked = operations.get(&tenant(), running.id).await.unwrap().unwrap();
        assert!(asked.cancelling);
        let stopped = ended(&store, &running).await;
        assert_eq!(error(&stopped), Code::Cancelled);
        let reached = counted(&store, &running).await;
        sleep(Duration::from_millis(100)).await;
        assert!(reached < 250 && reached == counted(&store, &running).await);
        // Cancelling again, or what has ended, changes nothing.
        assert!(operations.cancel(&tenant(), running.id).await.unwrap());
        let short = start(&store, &work, 1).await;
        let done = ended(&store, &short).await;
        assert!(operations.cancel(&tenant(), short.id).await.unwrap());
        assert_eq!(operations.get(&tenant(), short.id).await.unwrap().unwrap(), done);
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_pass_and_faults_that_do_not() {
    for store in stores().await {
        let ends = |fails: Vec<Failure>| {
            let store = store.store();
            async move {
                let (work, shutdown) = (Arc::new(Steps { fails, ..Steps::default() }), CancellationToken::new());
                let operation = start(&store, &work, 2).await;
                let running = replica(&store, &work, &shutdown);
                let ended = ended(&store, &operation).await;
                shutdown.cancel();
                running.await.unwrap();
                (ended, work.attempts.load(Ordering::SeqCst))
            }
        };
        let (done, attempts) = ends(vec![Failure::Passing, Failure::Passing]).await;
        assert_eq!((answer(&done), attempts), (&[2u8][..], 3), "{}", store.name());
        let (done, attempts) = ends(vec![Failure::Passing; 99]).await;
        assert_eq!((error(&done), attempts), (Code::Unavailable, 5));
        let (done, attempts) = ends(vec![Failure::Final]).await;
        assert_eq!((error(&done), attempts), (Code::FailedPrecondition, 1));
        let (done, attempts) = ends(vec![Failure::Panic]).await;
        assert_eq!((error(&done), attempts), (Code::Internal, 1));
    }
}

/// Work that kills whoever touches it is given up; it does not take every replica down for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_kills_its_replicas_is_given_up() {
    for store in stores().await {
        let (work, shutdown) = (steps(60_000), CancellationToken::new());
        let operation = start(&store, &work, 1).await;
        for round in 1..=5 {
            let killed = replica(&store, &work, &shutdown);
            eventually("it is taken up", || async { work.attempts.load(Ordering::SeqCst) == round }).await;
            killed.abort();
        }
        let _last = replica(&store, &work, &shutdown);
        assert_eq!(error(&ended(&store, &operation).await), Code::Internal, "{}", store.name());
        assert_eq!(work.attempts.load(Ordering::SeqCst), 5);
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_ends_with_the_operation_or_with_the_time() {
    for store in stores().await {
        let (work, shutdown) = (steps(100), CancellationToken::new());
        let operation = start(&store, &work, 3).await;
        let begun = Instant::now();
        let until = begun + Duration::from_millis(200);
        let open = operations(&store).wait(&tenant(), operation.id, until).await.unwrap().unwrap();
        assert!(open.outcome.is_none() && begun.elapsed() >= Duration::from_millis(200));
        let _running = replica(&other(&store).await, &work, &shutdown);
        let done = ended(&store, &operation).await;
        assert_eq!(answer(&done), [3], "{}", store.name());
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_anothers_does_not_exist() {
    for store in stores().await {
        let (work, operations) = (steps(1), operations(&store));
        let theirs: Tenant = "other".parse().unwrap();
        let operation = start(&store, &work, 1).await;
        assert_eq!(operations.get(&theirs, operation.id).await.unwrap(), None);
        assert_eq!(operations.wait(&theirs, operation.id, Instant::now()).await.unwrap(), None);
        assert!(!operations.cancel(&theirs, operation.id).await.unwrap());
        assert!(!operations.delete(&theirs, operation.id).await.unwrap());
        assert_eq!(operations.get(&tenant(), operation.id).await.unwrap(), Some(operation), "{}", store.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_forgets_and_does_not_cancel() {
    for store in stores().await {
        let (work, shutdown) = (steps(10), CancellationToken::new());
        let operations = operations(&store);
        let operation = start(&store, &work, 20).await;
        assert!(operations.delete(&tenant(), operation.id).await.unwrap());
        assert!(!operations.delete(&tenant(), operation.id).await.unwrap());
        assert!(!operations.cancel(&tenant(), operation.id).await.unwrap());
        assert_eq!(operations.get(&tenant(), operation.id).await.unwrap(), None);
        let _running = replica(&store, &work, &shutdown);
        eventually("it ends unseen", || async { store.count("operation").await == 0 }).await;
        assert_eq!(counted(&store, &operation).await, 20, "{}", store.name());
        let operation = start(&store, &work, 1).await;
        ended(&store, &operation).await;
        assert!(operations.delete(&tenant(), operation.id).await.unwrap());
        assert_eq!(store.count("operation").await, 0);
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_kept_for_a_time() {
    let clock = testkit::clock();
    let stores = testkit::stores_with(Service::Interaction, migrations, || StoreOptions::new(clock.clone())).await;
    for store in stores {
        let work = steps(1);
        let (open, ended) = (start(&store, &work, 1).await, start(&store, &work, 1).await);
        assert!(operations(&store).cancel(&tenant(), ended.id).await.unwrap());
        clock.advance(Duration::from_secs(6 * 24 * 3_600));
        assert_eq!(store.prune().await.unwrap().operations, 0);
        clock.advance(Duration::from_secs(2 * 24 * 3_600));
        assert_eq!(store.prune().await.unwrap().operations, 1, "{}", store.name());
        assert!(operations(&store).get(&tenant(), open.id).await.unwrap().is_some());
    }
}
