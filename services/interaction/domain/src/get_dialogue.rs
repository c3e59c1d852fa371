//! What was said to and fro since a time: counted, and held against the boundaries that hold.

use std::collections::BTreeMap;

use terms::{Caller, CustomerRef, Fault, Id, Revision, Timestamp, id};

use crate::{
    boundary::{Boundary, BoundaryId},
    counters::Counters,
    ports::Ports,
    store::{Demand, Store},
};

/// The id of a decision, `dec_…`.
pub type DecisionId = Id<id::Decision>;

/// How many decisions are named for one boundary.
pub const DECISIONS_MAX: usize = 1_000;

/// Which dialogue.
#[derive(Debug, Clone)]
pub struct GetDialogue {
    /// Whose.
    pub customer: CustomerRef,
    /// At or after this event time.
    pub since: Timestamp,
    /// What the answer must contain.
    pub at_least: Demand,
}

/// Counts it; gives the state that was read with it.
///
/// # Errors
/// [`terms::Reason::CustomerNotFound`], [`terms::Reason::RevisionNotReached`].
pub async fn get_dialogue<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    wish: &GetDialogue,
) -> Result<(Dialogue, Revision), Fault> {
    let tenant = &caller.tenant;
    let mut reading = ports.reading(caller, &wish.customer, &wish.at_least).await?;
    loop {
        let dialogue = ports.store.dialogue(tenant, reading.customer, wish.since, ports.clock.now()).await?;
        if ports.settled(tenant, &mut reading).await? {
            return Ok((dialogue, reading.revision(tenant, &wish.at_least)));
        }
    }
}

/// A dialogue in figures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dialogue {
    /// The customer spoke.
    pub inbound: i64,
    /// The enterprise spoke.
    pub outbound: i64,
    /// Of both, organic ones.
    pub organic: i64,
    /// Each boundary that holds, with what came within its reach.
    pub contacts: Vec<Contacts>,
}

/// Outbound interactions within reach of a boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contacts {
    /// Which.
    pub boundary: BoundaryId,
    /// How many in all.
    pub count: i64,
    /// Of these, those that carried out a decision, the latest decisions first.
    pub decisions: Vec<(DecisionId, i64)>,
}

/// When and where an outbound interaction comes within reach of a boundary. What it was about is not known here: topics,
/// purposes and tags are those of the treatments that its decision chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Which.
    pub boundary: BoundaryId,
    /// From this event time on.
    pub since: Timestamp,
    /// On these channels; empty: on every one.
    pub channels: Vec<String>,
}

/// Outbound interactions since a boundary was set, counted alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The boundary.
    pub boundary: BoundaryId,
    /// Their channel.
    pub channel: String,
    /// The decision that they carried out.
    pub decision: Option<DecisionId>,
    /// How many.
    pub count: i64,
}

/// The reach of each boundary that holds, within a period that ends now.
pub fn reaches(boundaries: &[Boundary], since: Timestamp, now: Timestamp) -> Vec<Reach> {
    let reach =
        |b: &Boundary| Reach { boundary: b.id, since: b.occurred_at.max(since), channels: b.scope.channels.clone() };
    boundaries.iter().filter(|b| b.holds(now)).map(reach).collect()
}

impl Dialogue {
    /// Of what a store counted.
    pub fn new(counters: &Counters, reaches: &[Reach], outbound: &[Outbound]) -> Self {
        Self {
            inbound: counters.inbound,
            outbound: counters.outbound,
            organic: counters.organic(),
            contacts: reaches.iter().map(|reach| contacts(reach, outbound)).collect(),
        }
    }
}

fn contacts(reach: &Reach, outbound: &[Outbound]) -> Contacts {
    let on_its_channels = |o: &&Outbound| reach.channels.is_empty() || reach.channels.contains(&o.channel);
    let within: Vec<&Outbound> =
        outbound.iter().filter(|o| o.boundary == reach.boundary).filter(on_its_channels).collect();
    // One decision may have gone out on several channels.
    let mut decisions: BTreeMap<DecisionId, i64> = BTreeMap::new();
    for one in &within {
        if let Some(decision) = one.decision {
            *decisions.entry(decision).or_default() += one.count;
        }
    }
    Contacts {
        boundary: reach.boundary,
        count: within.iter().map(|o| o.count).sum(),
        decisions: decisions.into_iter().rev().take(DECISIONS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_channel_that_is_not_named_is_out_of_reach() {
        let id = |n| BoundaryId::from_uuid(Uuid::from_u128(n));
        let decision = |n| Some(DecisionId::from_uuid(Uuid::from_u128(n)));
        let reach = |n, channels: &[&str]| Reach {
            boundary: id(n),
            since: Timestamp(0),
            channels: channels.iter().map(|c| (*c).to_owned()).collect(),
        };
        let out = |n, channel: &str, decision, count| Outbound {
            boundary: id(n),
            channel: channel.to_owned(),
            decision,
            count,
        };
        let counted = [
            out(1, "email", decision(7), 1),
            out(1, "sms", decision(7), 2),
            out(1, "sms", decision(8), 1),
            out(1, "post", None, 4),
            out(2, "email", None, 5),
            out(2, "sms", decision(7), 6),
        ];
        let counters = Counters { inbound: 3, outbound: 9, ..Counters::default() };
        let dialogue = Dialogue::new(&counters, &[reach(1, &[]), reach(2, &["sms"]), reach(3, &[])], &counted);
        assert_eq!((dialogue.inbound, dialogue.outbound), (3, 9));
        let found: Vec<_> = dialogue.contacts.iter().map(|c| (c.count, c.decisions.as_slice())).collect();
        let (seven, eight) = (decision(7).unwrap(), decision(8).unwrap());
        assert_eq!(found, [(8, [(eight, 1), (seven, 3)].as_slice()), (6, [(seven, 6)].as_slice()), (0, [].as_slice())]);
    }
}
