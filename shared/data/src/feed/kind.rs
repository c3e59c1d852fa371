//! The types of events.

use std::borrow::Cow;

use rapport_proto::feed::v1::{Event, event::Event as Change};

/// Every kind that this version knows.
const KINDS: [&str; 27] = [
    "customer.changed",
    "customer.merged",
    "customer.split",
    "customer.erased",
    "customer.related",
    "identity_policy.changed",
    "interaction.recorded",
    "interaction.moved",
    "statement.changed",
    "permissions.changed",
    "promise.changed",
    "question.asked",
    "question.settled",
    "conversation.changed",
    "contact.changed",
    "feedback.recorded",
    "contact_policy.changed",
    "question.defined",
    "membership.changed",
    "segment.defined",
    "trait.defined",
    "differentiation.changed",
    "model.activated",
    "definition.changed",
    "decision.recorded",
    "outcome.reported",
    "section.changed",
];

/// The type of an event, as `FeedEntry.type` says it; empty for an event of a version yet to come.
pub fn kind(event: &Event) -> &'static str {
    let Some(change) = &event.event else { return "" };
    match change {
        Change::CustomerChanged(_) => "customer.changed",
        Change::CustomerMerged(_) => "customer.merged",
        Change::CustomerSplit(_) => "customer.split",
        Change::CustomerErased(_) => "customer.erased",
        Change::CustomersRelated(_) => "customer.related",
        Change::IdentityPolicyChanged(_) => "identity_policy.changed",
        Change::InteractionRecorded(_) => "interaction.recorded",
        Change::InteractionsMoved(_) => "interaction.moved",
        Change::StatementChanged(_) => "statement.changed",
        Change::PermissionsChanged(_) => "permissions.changed",
        Change::PromiseChanged(_) => "promise.changed",
        Change::QuestionAsked(_) => "question.asked",
        Change::QuestionSettled(_) => "question.settled",
        Change::ConversationChanged(_) => "conversation.changed",
        Change::ContactChanged(_) => "contact.changed",
        Change::FeedbackRecorded(_) => "feedback.recorded",
        Change::ContactPolicyChanged(_) => "contact_policy.changed",
        Change::QuestionDefinitionChanged(_) => "question.defined",
        Change::MembershipChanged(_) => "membership.changed",
        Change::SegmentDefinitionChanged(_) => "segment.defined",
        Change::TraitDefinitionChanged(_) => "trait.defined",
        Change::DifferentiationChanged(_) => "differentiation.changed",
        Change::ModelActivated(_) => "model.activated",
        Change::DefinitionChanged(_) => "definition.changed",
        Change::DecisionRecorded(_) => "decision.recorded",
        Change::OutcomeReported(_) => "outcome.reported",
        Change::SectionChanged(_) => "section.changed",
    }
}

/// The kind as stored, without a copy if it is known.
pub(super) fn intern(text: String) -> Cow<'static, str> {
    KINDS.iter().find(|known| **known == text).map_or(Cow::Owned(text), |known| Cow::Borrowed(*known))
}

/// Whether the filter `wanted` lets `kind` through: `customer` covers `customer.merged`.
pub(super) fn covers(wanted: &str, kind: &str) -> bool {
    kind.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_parts() {
        assert!(covers("customer", "customer.merged"));
        assert!(covers("customer.merged", "customer.merged"));
        assert!(!covers("custom", "customer.merged"));
        assert!(!covers("customer.merged.twice", "customer.merged"));
    }

    #[test]
    fn kinds_are_known() {
        let event = Event { event: Some(Change::SectionChanged(Default::default())) };
        assert!(KINDS.contains(&kind(&event)));
        assert!(matches!(intern("customer.split".to_owned()), Cow::Borrowed(_)));
        assert!(matches!(intern("a.b".to_owned()), Cow::Owned(_)));
    }
}
