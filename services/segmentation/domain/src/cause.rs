//! What became known of a customer, and which of it made them enter or leave.

use std::{collections::BTreeSet, sync::Arc};

use terms::{CustomerId, Timestamp};

use crate::{
    membership::Reason,
    news::{InteractionId, StatementId},
    ruleset::Ruleset,
    segment::SegmentId,
};

/// Why and when a customer entered or left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) reason: Reason,
    /// The interaction, statement, customer or segment behind it; empty if none.
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    /// Whether the segment itself reads what changed.
    direct: bool,
}

impl Cause {
    /// Only the clock moved.
    pub(crate) fn clock(at: Timestamp) -> Self {
        Self { reason: Reason::Clock, id: String::new(), at, direct: false }
    }

    /// The same by way of a segment that is used, unless it is direct.
    pub(crate) fn through(self, used: SegmentId) -> Self {
        if self.direct { self } else { Self { reason: Reason::Segment, id: used.to_string(), ..self } }
    }
}

/// One thing that became known.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    Event {
        kind: Arc<str>,
        id: InteractionId,
        at: Timestamp,
    },
    Attributes {
        names: Vec<Arc<str>>,
        at: Timestamp,
    },
    Statement {
        topic: Arc<str>,
        id: StatementId,
        at: Timestamp,
    },
    Merged {
        with: CustomerId,
        at: Timestamp,
    },
    Split {
        with: CustomerId,
        at: Timestamp,
    },
    /// Lists were edited.
    Lists {
        segments: Arc<BTreeSet<SegmentId>>,
        at: Timestamp,
    },
    /// Definitions are new, changed or gone.
    Definitions {
        segments: Arc<BTreeSet<SegmentId>>,
        at: Timestamp,
    },
}

/// What became known, in the order in which it did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Causes(Vec<Known>);

impl Causes {
    pub(crate) fn one(known: Known) -> Self {
        Self(vec![known])
    }

    pub(crate) fn add(&mut self, known: Known) {
        self.0.push(known);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The instant of the last.
    pub(crate) fn last_at(&self) -> Option<Timestamp> {
        self.0.last().map(Known::at)
    }

    /// What made the segment at `place` change: the last thing that it reads, else the last at all.
    ///
    /// It took effect when it happened, if that was after `floor`, the last instant for which memberships are known;
    /// what is heard of later takes effect now.
    pub(crate) fn of(&self, ruleset: &Ruleset, place: usize, floor: Timestamp, now: Timestamp) -> Cause {
        let direct = self.0.iter().rev().find(|known| known.concerns(ruleset, place));
        let Some(known) = direct.or(self.0.last()) else { return Cause::clock(now) };
        let at = known.at();
        let at = if at > floor && at <= now { at } else { now };
        Cause { reason: known.reason(), id: known.id(), at, direct: direct.is_some() }
    }
}

impl Known {
    fn at(&self) -> Timestamp {
        match self {
            Self::Event { at, .. }
            | Self::Attributes { at, .. }
            | Self::Statement { at, .. }
            | Self::Merged { at, .. }
            | Self::Split { at, .. }
            | Self::Lists { at, .. }
            | Self::Definitions { at, .. } => *at,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Event { .. } => Reason::Event,
            Self::Attributes { .. } => Reason::Trait,
            Self::Statement { .. } => Reason::Statement,
            Self::Merged { .. } => Reason::Merge,
            Self::Split { .. } => Reason::Split,
            Self::Lists { .. } => Reason::Manual,
            Self::Definitions { .. } => Reason::Definition,
        }
    }

    fn id(&self) -> String {
        match self {
            Self::Event { id, .. } => id.to_string(),
            Self::Statement { id, .. } => id.to_string(),
            Self::Merged { with, .. } | Self::Split { with, .. } => with.to_string(),
            Self::Attributes { .. } | Self::Lists { .. } | Self::Definitions { .. } => String::new(),
        }
    }

    /// Whether the segment at `place` itself reads what changed.
    fn concerns(&self, ruleset: &Ruleset, place: usize) -> bool {
        let Some(entry) = ruleset.entry(place) else { return false };
        match self {
            Self::Event { kind, .. } => entry.reads_event(kind),
            Self::Attributes { names, .. } => entry.reads_any_attribute(names),
            Self::Statement { topic, .. } => entry.reads_topic(topic),
            Self::Merged { .. } | Self::Split { .. } => true,
            Self::Lists { segments, .. } | Self::Definitions { segments, .. } => segments.contains(&entry.id),
        }
    }
}
