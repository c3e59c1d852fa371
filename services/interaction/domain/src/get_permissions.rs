//! What may be said to a customer, and why.

use terms::{Caller, CustomerId, CustomerRef, Fault, Revision, Timestamp, Violations};

use crate::{
    boundary::Boundary,
    consent::{Consent, standing},
    key::{KEY_MAX, TOPIC_MAX, check_optional_key},
    permission::{Permission, Wanted, effective},
    ports::Ports,
    store::{Demand, Store},
};

/// Which permissions.
#[derive(Debug, Clone)]
pub struct GetPermissions {
    /// Whose.
    pub customer: CustomerRef,
    /// Only this purpose; empty: every one.
    pub purpose: String,
    /// Only this channel; empty: every one on record.
    pub channel: String,
    /// For this topic; empty: every one on record.
    pub topic: String,
    /// At this time; otherwise now.
    pub as_of: Option<Timestamp>,
    /// What the answer must contain.
    pub at_least: Demand,
}

impl GetPermissions {
    /// Notes everything that is wrong with it.
    pub fn check(&self, wrong: &mut Violations) {
        check_optional_key(wrong, "purpose", &self.purpose, KEY_MAX);
        check_optional_key(wrong, "channel", &self.channel, KEY_MAX);
        check_optional_key(wrong, "topic", &self.topic, TOPIC_MAX);
    }
}

/// What may be said.
#[derive(Debug, Clone, PartialEq)]
pub struct Permissions {
    /// The customer; the survivor.
    pub customer: CustomerId,
    /// Effective permissions.
    pub permissions: Vec<Permission>,
    /// Boundaries that hold.
    pub boundaries: Vec<Boundary>,
    /// Consents that stand.
    pub consents: Vec<Consent>,
    /// The state that was read.
    pub revision: Revision,
}

/// Decides them.
///
/// # Errors
/// [`terms::Reason::InvalidFields`], [`terms::Reason::CustomerNotFound`], [`terms::Reason::RevisionNotReached`].
pub async fn get_permissions<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    wish: &GetPermissions,
) -> Result<Permissions, Fault> {
    let mut wrong = Violations::new();
    wish.check(&mut wrong);
    wrong.done()?;
    let mut reading = ports.reading(caller, &wish.customer, &wish.at_least).await?;
    let limits = loop {
        let limits = ports.store.limits(&caller.tenant, reading.customer).await?;
        if ports.settled(&caller.tenant, &mut reading).await? {
            break limits;
        }
    };
    let at = wish.as_of.unwrap_or_else(|| ports.clock.now());
    let wanted = Wanted { purpose: &wish.purpose, channel: &wish.channel, topic: &wish.topic, at };
    Ok(Permissions {
        customer: reading.customer,
        permissions: effective(&wanted, &limits.boundaries, &limits.consents),
        consents: standing(&limits.consents, at).into_iter().cloned().collect(),
        boundaries: limits.boundaries.into_iter().filter(|b| b.holds(at)).collect(),
        revision: reading.revision(&caller.tenant, &wish.at_least),
    })
}
