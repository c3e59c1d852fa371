//! `Identify`: reads, decides and writes, for one command or for many, in one transaction.

use std::sync::Arc;

use data::{Dialect, Part, Parts, Sql, Tx};
use identity_domain::{
    Batch, Identified, Identify, Moment, Verdicts, identify_all,
    matching::{Filing, Matcher, answer, ask, attempt, resemble},
};
use sea_orm::DatabaseTransaction;
use terms::{Caller, CustomerId, Fault, Once, Revision, Written};

use super::{
    SqlCustomers,
    load::{self, Loaded, Lock, load},
    matching::{self, Hints, Queue, SqlFiles},
    save,
    sealed::Sealing,
};
use crate::feed;

/// What a group of commands leads to.
struct Decided {
    loaded: Loaded,
    verdicts: Verdicts,
    batch: Batch,
    filed: Option<(Matcher, Filing)>,
}

/// What a transaction did.
struct Committed {
    verdicts: Verdicts,
    batch: Batch,
    /// Whose sections are stale.
    changed: Vec<CustomerId>,
}

/// One transaction, up to the decision.
struct Deciding<'a> {
    this: &'a SqlCustomers,
    conn: &'a DatabaseTransaction,
    sealing: Sealing<'a>,
    moment: Moment<'a>,
    hints: &'a Hints,
}

impl Deciding<'_> {
    async fn decide(&self, commands: &[Identify], lock: Lock) -> Result<Decided, Fault> {
        let Self { this, conn, sealing, moment, hints } = *self;
        let held = lock == Lock::No || hints.lock_first(conn, sealing.tenant).await?;
        let mut loaded = load(conn, sealing, commands, &hints.customers(), lock).await?;
        let (mut verdicts, mut batch) = identify_all(&mut loaded.view, commands, moment);
        let mut filed = None;
        let policy = commands.first().map(|command| &*command.policy);
        if let Some(policy) = policy.filter(|policy| !policy.thresholds.probabilistic_disabled)
            && !resemble::subjects(&loaded.view, &batch).is_empty()
        {
            let deferred = commands.iter().all(|command| command.defer_matching);
            let deferred = deferred.then(|| resemble::defer(&loaded.view, &batch, policy)).flatten();
            if deferred.is_none() && !held {
                hints.lock_now(conn, sealing.tenant).await?;
            }
            let matcher = this.matchers.current(conn, sealing).await?;
            let filing = match deferred {
                Some(deferred) => Some(deferred),
                None => {
                    let lock = lock == Lock::Yes && conn.dialect() == Dialect::Postgres;
                    let mut files = SqlFiles { conn, sealing, lock, hints, blocks: &this.blocks, policy };
                    let about = (&mut batch, &mut verdicts);
                    resemble::resemble(&mut files, &matcher, policy, &mut loaded.view, about, moment).await?
                }
            };
            filed = filing.map(|filing| (matcher, filing));
        }
        ask(&loaded.view, &mut batch, &mut verdicts);
        Ok(Decided { loaded, verdicts, batch, filed })
    }
}

impl SqlCustomers {
    /// Decides without storing.
    pub(super) async fn validate(&self, caller: &Caller, command: Identify) -> Result<Written<Identified>, Fault> {
        self.blocks.ready(&caller.tenant).await?;
        let (this, caller) = (self.clone(), caller.clone());
        let value = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let sealing = Sealing { sealer: this.store.sealer(), tenant: &caller.tenant };
                let (now, commands, hints) = (this.store.clock().now(), [attempt(&command)], Hints::default());
                let moment = Moment { now, ids: &this.ids, actor: &caller.subject };
                let deciding = Deciding { this: &this, conn, sealing, moment, hints: &hints };
                let Decided { verdicts, batch, .. } = deciding.decide(&commands, Lock::No).await?;
                let verdict = verdicts.into_iter().next().ok_or_else(|| Fault::internal("a command had no verdict"))?;
                answer(&command, verdict?, &batch)
            })
        });
        Ok(Written { value: value.await?, revision: Revision::new(), replayed: false })
    }

    /// Carries out commands in one transaction, each under its request id; `hints` is what is known of them from before.
    pub(super) async fn carry_out(
        &self,
        caller: &Caller,
        (onces, commands): (Vec<Option<Once>>, Vec<Identify>),
        hints: &Arc<Hints>,
    ) -> Result<Vec<Result<Written<Identified>, Fault>>, Fault> {
        self.blocks.ready(&caller.tenant).await?;
        let work = Arc::new((self.clone(), caller.clone(), commands, hints.clone()));
        let each = self.store.write_each(&caller.tenant, onces, move |tx, open| {
            let work = work.clone();
            Box::pin(async move {
                let (this, caller, commands, hints) = &*work;
                let commands: Vec<&Identify> = open.iter().filter_map(|at| commands.get(*at)).collect();
                this.answers(tx, caller, &commands, hints).await
            })
        });
        let each = each.await?;
        if let Some(done) = &each.all {
            self.mark(&caller.tenant, &done.value, &done.revision).await;
        }
        Ok(each.answers)
    }

    /// The answers to commands, and whose sections are stale.
    async fn answers(
        &self,
        tx: &Tx,
        caller: &Caller,
        commands: &[&Identify],
        hints: &Hints,
    ) -> Result<Parts<Identified, Vec<CustomerId>>, Fault> {
        let attempts: Vec<Identify> = commands.iter().copied().map(attempt).collect();
        let Committed { verdicts, batch, changed } = self.commit(tx, hints, caller, &attempts).await?;
        let answered = |(command, verdict): (&&Identify, Result<Identified, Fault>)| {
            let value = answer(command, verdict?, &batch)?;
            let refused = value.refused.iter().filter_map(|refusal| refusal.customer);
            let customers = value.customer.into_iter().chain(value.merged.iter().copied()).chain(refused).collect();
            Ok(Part { value, customers })
        };
        let mut parts: Vec<Result<Part<Identified>, Fault>> = commands.iter().zip(verdicts).map(answered).collect();
        // Who fails alone leaves nothing: also what was attempted is undone.
        if parts.len() == 1 && parts.iter().any(Result::is_err) {
            return Err(parts.remove(0).err().unwrap_or_else(|| Fault::internal("a failure has no fault")));
        }
        Ok(Parts { all: changed, parts })
    }

    /// Carries out commands that came together, in one transaction.
    pub(super) async fn take_in_all(
        &self,
        caller: &Caller,
        commands: Vec<Identify>,
    ) -> Result<Written<Verdicts>, Fault> {
        self.blocks.ready(&caller.tenant).await?;
        let work = Arc::new((self.clone(), caller.clone(), commands, Hints::default()));
        let write = || {
            let work = work.clone();
            self.store.write(move |tx| {
                let work = work.clone();
                Box::pin(async move {
                    let (this, caller, commands, hints) = &*work;
                    let done = this.commit(tx, hints, caller, commands).await?;
                    Ok((done.verdicts, done.changed))
                })
            })
        };
        let written = self.matchers.in_turn(&caller.tenant, &work.3, write).await?;
        self.mark(&caller.tenant, &written.value.1, &written.revision).await;
        Ok(written.map(|(verdicts, _)| verdicts))
    }

    /// Reads, decides, writes: the whole of one transaction.
    async fn commit(&self, tx: &Tx, hints: &Hints, caller: &Caller, commands: &[Identify]) -> Result<Committed, Fault> {
        let sealing = Sealing { sealer: tx.sealer(), tenant: &caller.tenant };
        let moment = Moment { now: tx.now(), ids: &self.ids, actor: &caller.subject };
        let deciding = Deciding { this: self, conn: tx.conn(), sealing, moment, hints };
        let Decided { loaded, verdicts, batch, filed } = deciding.decide(commands, Lock::Yes).await?;
        if !batch.is_empty() {
            save::save(tx.conn(), sealing, &loaded, &batch).await?;
        }
        if let Some((matcher, filing)) = &filed {
            matching::keep(tx.conn(), sealing, (&loaded.view, matcher), filing, tx.now()).await?;
            if filing.deferred {
                matching::refile::put_off(tx, &caller.tenant).await?;
            }
        }
        if !batch.proposals.is_empty() {
            Queue { conn: tx.conn(), sealing }.propose(&batch.proposals, tx.now()).await?;
        }
        load::release(tx.conn(), sealing, &loaded).await?;
        tx.act_as(&caller.subject);
        let changed = feed::publish(tx, &caller.tenant, &loaded.view, &batch)?;
        // A call that changed nothing still answers with a revision that contains what it saw.
        for reply in verdicts.iter().flatten() {
            if let Some(customer) = reply.customer {
                tx.concerns(customer);
                if !batch.news.contains_key(&customer) {
                    tx.observe(&caller.tenant, customer);
                }
            }
        }
        Ok(Committed { verdicts, batch, changed })
    }
}
