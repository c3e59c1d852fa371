//! Files records anew, in the background and for operations: those of the time before matching, and all of a tenant whose
//! matcher is another one now.

use std::{sync::Arc, time::Duration};

use data::{
    Run,
    operations::{OperationId, Progress},
};
use terms::{Fault, Ids, Tenant};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    policies::Policies,
    store::{SqlCustomers, matching::refile::Step},
};

/// How often to look for what other replicas began or left.
const LOOK: Duration = Duration::from_secs(15);
/// How long to wait for what another replica does.
const PAUSE: Duration = Duration::from_secs(1);

/// Files records anew. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Refiling {
    customers: SqlCustomers,
    policies: Policies,
    /// Under which name this process works.
    owner: Arc<str>,
}

impl Refiling {
    pub(crate) fn new(customers: SqlCustomers, policies: Policies, ids: &Ids) -> Self {
        let owner: OperationId = ids.next();
        Self { customers, policies, owner: owner.to_string().into() }
    }

    /// Does what there is to do, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.round() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.policies.changed() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    async fn round(&self) {
        let tenants = match self.customers.to_refile().await {
            Ok(tenants) => tenants,
            Err(fault) => {
                tracing::warn!(fault = ?fault, "it could not be asked whose records are to be filed");
                return;
            }
        };
        let mut open = tenants;
        // In turn: nobody waits for a tenant that has many.
        while !open.is_empty() {
            let mut left = Vec::with_capacity(open.len());
            for tenant in open {
                match self.step(&tenant).await {
                    Ok(Step::Done(_)) => left.push(tenant),
                    Ok(Step::Elsewhere(_) | Step::Nothing) => {}
                    Err(fault) => {
                        tracing::warn!(fault = ?fault, %tenant, "records could not be filed; trying again later");
                    }
                }
            }
            open = left;
        }
    }

    /// The next records of a tenant; nothing while it wants nothing compared.
    async fn step(&self, tenant: &Tenant) -> Result<Step, Fault> {
        let policy = self.policies.get(tenant).await?;
        if policy.thresholds.probabilistic_disabled {
            return Ok(Step::Nothing);
        }
        self.customers.refile(tenant, policy, &self.owner).await
    }

    /// Sees to it that all records of the operation's tenant are filed; `iterations` is what its progress counts.
    pub(crate) async fn finish(&self, run: &Run, iterations: u64) -> Result<(), Fault> {
        let all = 2 * self.customers.record_count(run.tenant()).await?;
        let tell = |done: u64| {
            let stage = format!("filing and clustering records: {} of {all} steps", done.min(all));
            run.progress(Progress::of(stage, iterations, iterations));
        };
        loop {
            run.check()?;
            match self.step(run.tenant()).await? {
                Step::Done(done) => tell(done),
                Step::Elsewhere(done) => {
                    tell(done);
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        () = run.stopping().cancelled() => {}
                    }
                }
                Step::Nothing => return Ok(()),
            }
        }
    }
}
