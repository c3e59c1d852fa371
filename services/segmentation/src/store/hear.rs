//! Takes in news: load, decide, write, in one transaction.

use std::sync::Arc;

use data::Tx;
use futures::FutureExt;
use segmentation_domain::{hear::hear, news::News};
use terms::{Fault, Revision, Tenant};

use super::{Outcome, SqlSegments, catalogs::Hold, load::Loading, write::Writing};

impl SqlSegments {
    /// News of one tenant, in a transaction of their own.
    pub(super) async fn hear_news(&self, tenant: &Tenant, news: Vec<News>) -> Result<Revision, Fault> {
        let (store, tenant, news) = (self.clone(), tenant.clone(), Arc::new(news));
        let written = self
            .database
            .write(move |tx: &Tx| {
                let (store, tenant, news) = (store.clone(), tenant.clone(), news.clone());
                async move { store.hear_in(tx, &tenant, |_| Ok((*news).clone())).await }.boxed()
            })
            .await?;
        self.committed(vec![written.value], &written.revision).await;
        Ok(written.revision)
    }

    /// News of one tenant, in a transaction of the caller's; `read` gets to know whether rules read the details of
    /// events.
    pub(crate) async fn hear_in(
        &self,
        tx: &Tx,
        tenant: &Tenant,
        read: impl FnOnce(bool) -> Result<Vec<News>, Fault>,
    ) -> Result<Outcome, Fault> {
        let snapshot = self.catalogs.hold(tx, tenant, Hold::Share).await?;
        let ruleset = snapshot.catalog.ruleset();
        let news = read(ruleset.needs().details)?;
        let view = Loading { tx, tenant, snapshot: &snapshot, faces: &self.faces }.view(&news).await?;
        let effects = hear(ruleset, view, &news, tx.now());
        Writing { tx, tenant, catalog: &snapshot.catalog }.write(&effects).await?;
        Ok(Outcome::new(tenant, &snapshot.catalog, effects))
    }
}
