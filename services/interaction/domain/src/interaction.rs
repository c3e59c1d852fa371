//! What happened between a customer and the enterprise.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terms::{CustomerId, Id, IdKind, Timestamp, id};

use crate::{arrival::Arrival, statement::StatementId};

/// The id of an interaction, `int_…`.
pub type InteractionId = Id<id::Interaction>;

/// Marks the id of a contact reservation, `rsv_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reservation {}
impl IdKind for Reservation {
    const PREFIX: &'static str = "rsv";
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant = $code,)* }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number in the API and in the store.
            pub const fn code(self) -> i16 {
                self as i16
            }

            /// The one with this number.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The name in filters and texts.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}
pub(crate) use codes;

codes! {
    /// Who spoke.
    Direction {
        /// The customer addressed the enterprise.
        Inbound = 1 "inbound",
        /// The enterprise addressed the customer.
        Outbound = 2 "outbound",
    }
}

codes! {
    /// Whether the enterprise itself was at the touchpoint.
    Directness {
        /// Shop, site, app, service desk.
        Direct = 1 "direct",
        /// A review site, a reseller, word of mouth.
        Indirect = 2 "indirect",
    }
}

codes! {
    /// Why the customer engaged; the two are never mixed in one figure.
    Motivation {
        /// Of their own accord.
        Organic = 1 "organic",
        /// In return for something; the interaction names the inducement.
        Incentivised = 2 "incentivised",
    }
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// ISO 4217 code.
    pub currency: String,
    /// Millionths of the currency's unit.
    pub micros: i64,
}

/// An interaction as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interaction {
    /// Its id.
    pub id: InteractionId,
    /// The customer to whom it belongs now.
    pub customer: CustomerId,
    /// How it came in.
    pub arrival: Arrival,
    /// What happened: a dotted key.
    pub kind: String,
    /// Where it was carried; may be empty.
    pub channel: String,
    /// The touchpoint's name; may be empty.
    pub touchpoint: String,
    /// Who spoke.
    pub direction: Direction,
    /// At a touchpoint of the enterprise or not.
    pub directness: Directness,
    /// Organic or incentivised.
    pub motivation: Motivation,
    /// What brought it about; empty if organic.
    pub inducement: String,
    /// Event time.
    pub occurred_at: Timestamp,
    /// Record time.
    pub recorded_at: Timestamp,
    /// Whatever else is known.
    pub properties: Option<Map<String, Value>>,
    /// What it was worth.
    pub value: Option<Money>,
    /// The conversation to which it belongs.
    pub conversation: Option<Id<id::Conversation>>,
    /// The system that reported it; may be empty.
    pub source: String,
    /// The decision that it carried out or answered.
    pub decision: Option<Id<id::Decision>>,
    /// The contact reservation under which it was sent.
    pub reservation: Option<Id<Reservation>>,
    /// Statements made in it, in the order given.
    pub statements: Vec<StatementId>,
    /// What the caller gave under an id of its own: the same id with other content is refused.
    pub fingerprint: Option<[u8; 32]>,
}
