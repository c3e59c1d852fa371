//! `RelateCustomers`: records, changes or ends a relation between two customers, such as membership of a household.
//!
//! A relation joins customers, not records: nobody is merged by it. The same pair and type is one relation. It names
//! the customers of the time; readers resolve them through aliases, so it follows a merge, and a split gives it back.

use serde::{Deserialize, Serialize};
use terms::{CustomerId, CustomerRef, Fault, Id, IdKind, Reason, Timestamp, Violations};

use crate::{
    customer::Kind,
    history::{Detail, HistoryEntry, HistoryKind},
    view::Moment,
};

/// The longest role, in bytes.
pub const MAX_ROLE: usize = 63;

/// Marks relations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Related {}

impl IdKind for Related {
    const PREFIX: &'static str = "rel";
}

/// The id of a relation, `rel_…`.
pub type RelationId = Id<Related>;

/// What joins two customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationType {
    /// A person belongs to a household.
    HouseholdMember,
    /// A person works for an organisation.
    Employee,
    /// A person or an organisation owns an organisation.
    Owner,
    /// An organisation belongs to another.
    Subsidiary,
    /// A person acts for another.
    Guardian,
    /// Anything else; the role says what.
    Other,
}

impl RelationType {
    /// Every type.
    pub const ALL: [Self; 6] =
        [Self::HouseholdMember, Self::Employee, Self::Owner, Self::Subsidiary, Self::Guardian, Self::Other];

    /// The name in feeds and histories.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HouseholdMember => "household_member",
            Self::Employee => "employee",
            Self::Owner => "owner",
            Self::Subsidiary => "subsidiary",
            Self::Guardian => "guardian",
            Self::Other => "other",
        }
    }

    /// Whether it can join parties of these kinds.
    pub const fn joins(self, from: Kind, to: Kind) -> bool {
        use Kind::{Household, Organization, Person};
        match self {
            Self::HouseholdMember => matches!((from, to), (Person, Household)),
            Self::Employee => matches!((from, to), (Person, Organization)),
            Self::Owner => matches!((from, to), (Person | Organization, Organization)),
            Self::Subsidiary => matches!((from, to), (Organization, Organization)),
            Self::Guardian => matches!((from, to), (Person, Person)),
            Self::Other => true,
        }
    }

    /// What it joins, in words.
    const fn expects(self) -> &'static str {
        match self {
            Self::HouseholdMember => "a person to a household",
            Self::Employee => "a person to an organization",
            Self::Owner => "a person or an organization to an organization",
            Self::Subsidiary => "an organization to an organization",
            Self::Guardian => "a person to a person",
            Self::Other => "any two customers",
        }
    }
}

/// A relation between two customers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Its id.
    pub id: RelationId,
    /// The member, employee or owner.
    pub from: CustomerId,
    /// The household, employer or thing owned.
    pub to: CustomerId,
    /// What joins them.
    pub kind: RelationType,
    /// The role of the first within it; may be empty.
    pub role: String,
    /// From when it holds; `None`: always.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds; `None`: open.
    pub valid_until: Option<Timestamp>,
    /// When it was recorded (record time).
    pub created_at: Timestamp,
    /// When it last changed (record time).
    pub updated_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
}

impl Relation {
    /// The etag of this state.
    pub fn etag(&self) -> String {
        format!("{:x}-{:x}", self.version, self.updated_at.micros())
    }

    /// Whether it holds at a time.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= at) && self.valid_until.is_none_or(|until| at < until)
    }
}

/// A relation as it came.
#[derive(Debug, Clone)]
pub struct RelateInput {
    /// The member, employee or owner; an identifier is normalised.
    pub from: CustomerRef,
    /// The household, employer or thing owned; an identifier is normalised.
    pub to: CustomerRef,
    /// What joins them.
    pub kind: RelationType,
    /// The role of the first within it.
    pub role: String,
    /// From when it holds.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds.
    pub valid_until: Option<Timestamp>,
    /// The etag that was read; empty: no check.
    pub etag: String,
    /// Whether to try it only.
    pub validate_only: bool,
}

/// A checked command.
#[derive(Debug, Clone)]
pub struct Relate(RelateInput);

impl std::ops::Deref for Relate {
    type Target = RelateInput;
    fn deref(&self) -> &RelateInput {
        &self.0
    }
}

impl Relate {
    /// Checks a command.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] with every wrong field.
    pub fn check(input: RelateInput) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        wrong.add_if(input.from == input.to, "to_customer", SAME);
        wrong.add_if(input.role.len() > MAX_ROLE, "role", "is too long; give at most 63 bytes");
        wrong.add_if(input.role.chars().any(char::is_control), "role", "holds a control character; remove it");
        let nameless = input.kind == RelationType::Other && input.role.trim().is_empty();
        wrong.add_if(nameless, "role", "is required for a relation of another type: it says which");
        let backwards = input.valid_from.zip(input.valid_until).is_some_and(|(from, until)| until <= from);
        wrong.add_if(backwards, "valid_until", "is not after `valid_from`; give a later time");
        wrong.done().map(|()| Self(input))
    }
}

const SAME: &str = "is the same customer as `from_customer`; name two";

/// One of the two, as it is when the command is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party {
    /// Who, resolved.
    pub id: CustomerId,
    /// What sort of party.
    pub kind: Kind,
}

/// Decides. `known` is the relation of the pair and type that holds the last word, if there is one, resolved. Gives the
/// relation as it is afterwards and, if that is a change, the entry that tells of it in the history of both.
///
/// # Errors
/// [`Reason::InvalidFields`] when both are one customer, [`Reason::KindMismatch`], [`Reason::EtagStale`].
pub fn relate_customers(
    command: &Relate,
    from: Party,
    to: Party,
    known: Option<&Relation>,
    moment: Moment<'_>,
) -> Result<(Relation, Option<HistoryEntry>), Fault> {
    if from.id == to.id {
        return Err(Fault::invalid("to_customer", Reason::InvalidFields, SAME));
    }
    if !command.kind.joins(from.kind, to.kind) {
        let message = format!(
            "a relation of type {} joins {}; these are of the kinds {} and {}",
            command.kind.as_str(),
            command.kind.expects(),
            from.kind.as_str(),
            to.kind.as_str()
        );
        return Err(Fault::new(Reason::KindMismatch, message)
            .with("kind", from.kind.as_str())
            .with("other_kind", to.kind.as_str()));
    }
    if !command.etag.is_empty() && known.is_none_or(|known| known.etag() != command.etag) {
        let mut fault = Fault::etag_stale("the relation").with("resource", "relation");
        if let Some(known) = known {
            fault = fault.with("etag", known.etag());
        }
        return Err(fault);
    }
    let said = |relation: &Relation| {
        (relation.role.as_str(), relation.valid_from, relation.valid_until)
            == (command.role.as_str(), command.valid_from, command.valid_until)
    };
    if let Some(known) = known.filter(|known| said(known)) {
        return Ok((known.clone(), None));
    }
    let relation = Relation {
        id: known.map_or_else(|| moment.ids.next(), |known| known.id),
        from: from.id,
        to: to.id,
        kind: command.kind,
        role: command.role.clone(),
        valid_from: command.valid_from,
        valid_until: command.valid_until,
        created_at: known.map_or(moment.now, |known| known.created_at),
        updated_at: moment.now,
        version: known.map_or(0, |known| known.version) + 1,
    };
    let what = match known {
        None => "recorded",
        Some(_) if relation.holds(moment.now) => "changed",
        Some(_) => "ended",
    };
    let entry = HistoryEntry {
        id: moment.ids.next(),
        kind: HistoryKind::Relate,
        customer: from.id,
        other: Some(to.id),
        record: None,
        detail: Detail::default(),
        actor: moment.actor.to_owned(),
        reason: format!("relation {} {what}", command.kind.as_str()),
        at: moment.now,
    };
    Ok((relation, Some(entry)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use terms::{FixedClock, Ids};
    use uuid::Uuid;

    use super::*;

    fn customer(n: u128) -> CustomerId {
        CustomerId::from_uuid(Uuid::from_u128(n))
    }

    fn input(kind: RelationType) -> RelateInput {
        RelateInput {
            from: CustomerRef::Id(customer(1)),
            to: CustomerRef::Id(customer(2)),
            kind,
            role: "parent".to_owned(),
            valid_from: None,
            valid_until: None,
            etag: String::new(),
            validate_only: false,
        }
    }

    fn decide(
        command: RelateInput,
        kinds: (Kind, Kind),
        known: Option<&Relation>,
    ) -> Result<(Relation, Option<String>), Fault> {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_000)));
        let ids = Ids::seeded(clock, 1);
        let moment = Moment { now: Timestamp::from_seconds(1_000), ids: &ids, actor: "ann" };
        let party = |n, kind| Party { id: customer(n), kind };
        let decided = relate_customers(&Relate::check(command)?, party(1, kinds.0), party(2, kinds.1), known, moment);
        decided.map(|(relation, entry)| (relation, entry.map(|entry| entry.reason)))
    }

    #[test]
    fn kinds_fit_the_type() {
        use Kind::{Household, Organization, Person};
        use RelationType::{Employee, Guardian, HouseholdMember, Other, Owner, Subsidiary};
        let all = [Person, Household, Organization];
        for (kind, fits) in [
            (HouseholdMember, vec![(Person, Household)]),
            (Employee, vec![(Person, Organization)]),
            (Owner, vec![(Person, Organization), (Organization, Organization)]),
            (Subsidiary, vec![(Organization, Organization)]),
            (Guardian, vec![(Person, Person)]),
            (Other, all.into_iter().flat_map(|a| all.map(|b| (a, b))).collect()),
        ] {
            for pair in all.into_iter().flat_map(|a| all.map(|b| (a, b))) {
                match decide(input(kind), pair, None) {
                    Ok((relation, Some(_))) => {
                        assert!(fits.contains(&pair) && relation.version == 1, "{kind:?} {pair:?}")
                    }
                    Ok(same) => panic!("{same:?}"),
                    Err(fault) => {
                        assert_eq!(fault.reason(), Reason::KindMismatch);
                        assert!(!fits.contains(&pair), "{kind:?} {pair:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_wrong_field_is_told() {
        let at = |seconds| Some(Timestamp::from_seconds(seconds));
        let wrong = RelateInput {
            to: CustomerRef::Id(customer(1)),
            role: "x".repeat(64),
            valid_from: at(5),
            valid_until: at(5),
            ..input(RelationType::Guardian)
        };
        let fault = Relate::check(wrong).unwrap_err();
        let fields: Vec<_> = fault.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["to_customer", "role", "valid_until"]);
        let nameless = RelateInput { role: " ".to_owned(), ..input(RelationType::Other) };
        assert!(Relate::check(nameless).is_err());
    }

    #[test]
    fn saying_it_again_changes_nothing_and_an_old_etag_is_refused() {
        let pair = (Kind::Person, Kind::Person);
        let (first, _) = decide(input(RelationType::Guardian), pair, None).unwrap();
        let again = decide(input(RelationType::Guardian), pair, Some(&first)).unwrap();
        assert_eq!(again, (first.clone(), None));
        let ended = RelateInput {
            valid_until: Some(Timestamp::from_seconds(9)),
            etag: first.etag(),
            ..input(RelationType::Guardian)
        };
        let (second, why) = decide(ended.clone(), pair, Some(&first)).unwrap();
        assert_eq!(why.as_deref(), Some("relation guardian ended"));
        assert!(second.id == first.id && second.version == 2);
        assert!(first.holds(Timestamp::from_seconds(9)) && !second.holds(Timestamp::from_seconds(9)));
        for known in [Some(&second), None] {
            assert_eq!(decide(ended.clone(), pair, known).unwrap_err().reason(), Reason::EtagStale);
        }
    }
}
