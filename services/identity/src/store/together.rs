//! Calls of one process that wait together share a transaction: while one is under way, others wait; then all of them go
//! together. Nobody waits for others to come.
//!
//! On SQLite, where there is one writer, every `Identify` goes this way. On PostgreSQL those do that are likely to file
//! records: they come one after the other anyway, under the tenant's lock. Of the others a few run side by side; what is
//! more goes together, rather than wait for a connection.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use data::Dialect;
use identity_domain::{Identified, Identify, matching::likeness::is_name};
use parking_lot::Mutex;
use terms::{Caller, Fault, Once, Reason, Tenant, Written};
use tokio::sync::oneshot;

use super::{SqlCustomers, matching::Hints};

/// How many calls share a transaction at most.
const GROUP: usize = 256;
/// How many calls have a transaction of their own at once.
const SIDE_BY_SIDE: usize = 4;

type Answer = Result<Written<Identified>, Fault>;

/// The calls that are under way.
#[derive(Clone, Default)]
pub(super) struct Together {
    /// Those that wait, by tenant. A tenant that is here is being served.
    waiting: Arc<Mutex<HashMap<Tenant, VecDeque<Waiting>>>>,
    /// How many have a transaction of their own.
    alone: Arc<AtomicUsize>,
}

/// A call that has a transaction of its own.
struct Alone(Arc<AtomicUsize>);

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that waits.
struct Waiting {
    caller: Caller,
    once: Option<Once>,
    command: Identify,
    reply: oneshot::Sender<Answer>,
}

impl Waiting {
    /// Whether both are decided for the same caller by the same rules.
    fn goes_with(&self, other: &Self) -> bool {
        self.caller.subject == other.caller.subject && Arc::ptr_eq(&self.command.policy, &other.command.policy)
    }
}

impl Together {
    /// A place beside the others, if there is one.
    fn beside(&self) -> Option<Alone> {
        let before = self.alone.fetch_add(1, Ordering::Relaxed);
        let alone = Alone(self.alone.clone());
        (before < SIDE_BY_SIDE).then_some(alone)
    }

    /// Adds a call; says whether its tenant is not being served yet.
    fn wait(&self, call: Waiting) -> bool {
        let mut waiting = self.waiting.lock();
        match waiting.get_mut(&call.caller.tenant) {
            Some(calls) => {
                calls.push_back(call);
                false
            }
            None => {
                waiting.insert(call.caller.tenant.clone(), VecDeque::from([call]));
                true
            }
        }
    }

    /// The calls that go next; `None` ends the service of the tenant.
    fn next(&self, tenant: &Tenant) -> Option<Vec<Waiting>> {
        let mut waiting = self.waiting.lock();
        let calls = waiting.get_mut(tenant)?;
        calls.retain(|call| !call.reply.is_closed());
        let mut group: Vec<Waiting> = calls.pop_front().into_iter().collect();
        if group.is_empty() {
            waiting.remove(tenant);
            return None;
        }
        let id = |call: &Waiting| call.once.as_ref().map(|once| (once.method, once.request_id.clone()));
        let mut ids: BTreeSet<_> = group.iter().filter_map(id).collect();
        let mut others = VecDeque::with_capacity(calls.len());
        for call in calls.drain(..) {
            let fits = group.len() < GROUP && group.first().is_some_and(|first| call.goes_with(first));
            // A request id comes once in a transaction: the second call gets the first one's answer, afterwards.
            if fits && id(&call).is_none_or(|id| ids.insert(id)) {
                group.push(call);
            } else {
                others.push_back(call);
            }
        }
        *calls = others;
        Some(group)
    }
}

/// Serves a tenant until nobody waits. If that ends otherwise, whoever waits hears of it.
struct Serving {
    together: Together,
    tenant: Tenant,
    done: bool,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.done {
            self.together.waiting.lock().remove(&self.tenant);
        }
    }
}

impl SqlCustomers {
    /// Carries out a command, with others where it has to wait for them anyway.
    pub(super) async fn take_in(&self, caller: &Caller, once: Option<Once>, command: Identify) -> Answer {
        // Whoever may not create is carried out alone: it is undone if nobody was found.
        let may_share = command.create_if_missing;
        if may_share && (self.store.dialect() == Dialect::Sqlite || likely_to_file(&command)) {
            return self.share(caller, once, command).await;
        }
        let beside = self.together.beside();
        if may_share && beside.is_none() {
            return self.share(caller, once, command).await;
        }
        let hints = Arc::new(Hints::default());
        let alone = || async {
            let calls = (vec![once.clone()], vec![command.clone()]);
            single(self.carry_out(caller, calls, &hints).await?)
        };
        self.matchers.in_turn(&caller.tenant, &hints, alone).await
    }

    async fn share(&self, caller: &Caller, once: Option<Once>, command: Identify) -> Answer {
        let (reply, answer) = oneshot::channel();
        if self.together.wait(Waiting { caller: caller.clone(), once, command, reply }) {
            let serving = Serving { together: self.together.clone(), tenant: caller.tenant.clone(), done: false };
            // Whoever comes first may go away; the others are served.
            tokio::spawn(self.clone().serve(serving));
        }
        answer.await.unwrap_or_else(|_| Err(Fault::internal("a call was dropped while it waited")))
    }

    async fn serve(self, mut serving: Serving) {
        while let Some(group) = serving.together.next(&serving.tenant) {
            self.serve_group(group).await;
        }
        serving.done = true;
    }

    async fn serve_group(&self, group: Vec<Waiting>) {
        let Some(caller) = group.first().map(|first| first.caller.clone()) else { return };
        let calls = group.iter().map(|call| (call.once.clone(), call.command.clone())).unzip();
        let outcome = self.in_line(&caller, calls).await;
        // Whoever waited may be gone; the writes stand.
        match outcome {
            Ok(answers) => group.into_iter().zip(answers).for_each(|(call, answer)| drop(call.reply.send(answer))),
            // The store is the same for all of them.
            Err(fault) if fault.reason() == Reason::StoreUnavailable => {
                let same = || Fault::new(fault.reason(), fault.message()).because("as for the calls that came with it");
                group.into_iter().for_each(|call| drop(call.reply.send(Err(same()))));
            }
            Err(fault) => match <[Waiting; 1]>::try_from(group) {
                Ok([call]) => drop(call.reply.send(Err(fault))),
                // One of them spoils it for the others: each for itself.
                Err(group) => {
                    for call in group {
                        let alone = self.in_line(&caller, (vec![call.once], vec![call.command])).await;
                        drop(call.reply.send(alone.and_then(single)));
                    }
                }
            },
        }
    }

    /// Carries out commands together.
    async fn in_line(&self, caller: &Caller, calls: (Vec<Option<Once>>, Vec<Identify>)) -> Result<Vec<Answer>, Fault> {
        if calls.1.iter().any(likely_to_file) {
            let _turn = self.matchers.turn(&caller.tenant).await;
            return self.carry_out(caller, calls, &Arc::new(Hints::filing())).await;
        }
        let hints = Arc::new(Hints::default());
        self.matchers.in_turn(&caller.tenant, &hints, || self.carry_out(caller, calls.clone(), &hints)).await
    }
}

/// Whether a command is likely to file a record, for which it needs the tenant's lock: it names somebody.
fn likely_to_file(command: &Identify) -> bool {
    command.traits.keys().any(|name| is_name(name))
}

fn single(answers: Vec<Answer>) -> Answer {
    answers.into_iter().next().unwrap_or_else(|| Err(Fault::internal("a command had no answer")))
}
