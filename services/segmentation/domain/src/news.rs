//! What the feeds of identity and interaction say, in the words of this domain.

use std::{collections::BTreeMap, sync::Arc};

use rules::Value;
use terms::{CustomerId, Id, Position, Timestamp, id};

/// The id of an interaction, `int_…`.
pub type InteractionId = Id<id::Interaction>;
/// The id of a statement, `stmt_…`.
pub type StatementId = Id<id::Statement>;

/// One entry of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// Its place in its own feed: later entries of one feed have greater ones.
    pub position: Position,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A customer is new, or what is known of it changed; from identity.
    Changed {
        /// Whose.
        customer: CustomerId,
        /// The attributes that changed; [`Value::Null`] for those that went.
        attributes: BTreeMap<Arc<str>, Value>,
    },
    /// One id leads to another from now on; from identity.
    Merged {
        /// The id that was merged away.
        loser: CustomerId,
        /// Who remains.
        survivor: CustomerId,
    },
    /// Ids that led to one customer lead to another from now on; from identity.
    Split {
        /// Who was taken from.
        from: CustomerId,
        /// Who was taken out.
        to: CustomerId,
        /// The former ids that lead to `to`.
        ids: Vec<CustomerId>,
    },
    /// A customer is to be forgotten; from identity.
    Erased {
        /// Every id that led to it.
        ids: Vec<CustomerId>,
    },
    /// Something happened; from interaction.
    Interaction {
        /// To whom, as it was addressed.
        customer: CustomerId,
        /// What.
        event: Event,
    },
    /// After a split: what had arrived for one customer is as if it had arrived for another; from interaction.
    Moved {
        /// Whose it was.
        from: CustomerId,
        /// The new address.
        to: CustomerId,
        /// Which interactions.
        interactions: Vec<InteractionId>,
        /// Which statements.
        statements: Vec<StatementId>,
    },
    /// A statement was recorded or retracted; from interaction.
    Statement {
        /// By whom, as it was addressed.
        customer: CustomerId,
        /// What.
        statement: Statement,
    },
}

/// An interaction, as far as rules read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id; the same id is the same event.
    pub id: InteractionId,
    /// Dotted.
    pub kind: Arc<str>,
    /// When it happened.
    pub at: Timestamp,
    /// What it was worth, in millionths of a unit of `currency`.
    pub micros: Option<i64>,
    /// ISO 4217; empty without a value.
    pub currency: Arc<str>,
    /// Whether the customer engaged in return for something.
    pub incentivised: bool,
    /// The rest; empty where no rule reads it.
    pub details: Details,
    /// The rest as a store keeps it, which need not be read to be kept.
    pub raw: Arc<[u8]>,
    /// Whoever it leads to has the event.
    pub address: Address,
}

/// The id to which something was addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The id. Whoever it leads to has what was addressed to it.
    pub id: CustomerId,
    /// The entry of interaction's feed that changed the address; [`Position::START`]: it is the first.
    pub at: Position,
}

impl Address {
    /// As it arrived.
    pub fn first(id: CustomerId) -> Self {
        Self { id, at: Position::START }
    }
}

/// The less read fields of an interaction: text by name, and `properties`.
pub type Details = Arc<BTreeMap<Arc<str>, Value>>;

/// What a customer told.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its id.
    pub id: StatementId,
    /// Dotted.
    pub topic: Arc<str>,
    /// What was said.
    pub value: Value,
    /// When it was said.
    pub at: Timestamp,
    /// When it stops holding.
    pub valid_until: Option<Timestamp>,
    /// Whether it was taken back.
    pub retracted: bool,
    /// The place in the feed of what is known of it.
    pub told_at: Position,
    /// Whoever it leads to has the statement.
    pub address: Address,
}

impl What {
    /// Every id that it names.
    pub fn ids(&self) -> Vec<CustomerId> {
        match self {
            Self::Changed { customer, .. } | Self::Interaction { customer, .. } | Self::Statement { customer, .. } => {
                vec![*customer]
            }
            Self::Merged { loser, survivor } => vec![*loser, *survivor],
            Self::Split { from, to, ids } => [*from, *to].iter().chain(ids).copied().collect(),
            Self::Erased { ids } => ids.clone(),
            Self::Moved { from, to, .. } => vec![*from, *to],
        }
    }
}
