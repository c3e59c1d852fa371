//! The permission algebra, as a decision needs it.
//!
//! Withdrawn consent over denied consent over granted consent over another lawful basis over legitimate interest over
//! transactional purpose over nothing; expired consent is no consent. (Boundaries stand above all of it: see `guard`.)
//! The same order as interaction's `GetPermissions`.

use crate::{
    key::covers,
    profile::{About, Basis, ConsentState},
    view::{Factor, View},
};

/// The purpose that needs no consent, and those below it.
pub const TRANSACTIONAL: &str = "transactional";

/// Whether a purpose passes where others need consent.
pub fn is_exempt(purpose: &str) -> bool {
    covers(TRANSACTIONAL, purpose)
}

/// Why something is not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The place of the consent that refuses; `None`: nothing allows it.
    pub(crate) consent: Option<usize>,
    /// Whether the consent had been granted and expired.
    pub(crate) expired: bool,
}

/// Asks for every topic that is touched: the strictest decides.
pub(crate) fn permit(view: &View<'_>, about: &About<'_>) -> Result<(), Refusal> {
    if about.topics.is_empty() {
        return permit_topic(view, about, "");
    }
    about.topics.iter().try_for_each(|topic| permit_topic(view, about, topic))
}

fn permit_topic(view: &View<'_>, about: &About<'_>, topic: &str) -> Result<(), Refusal> {
    let (mut refused, mut granted, mut expired) = (None, None, None);
    for (place, consent) in view.consents().filter(|(_, c)| c.covers(about.purpose, about.channel, topic)) {
        let holds = consent.holds(view.now());
        // What counts is strength, and of equals the latest.
        let rank = match consent.state {
            ConsentState::Withdrawn => 5,
            ConsentState::Denied => 4,
            ConsentState::Granted => match consent.basis {
                Basis::Consent => 3,
                Basis::Other => 2,
                Basis::LegitimateInterest => 1,
            },
        };
        let best = match (consent.state, holds) {
            (ConsentState::Granted, true) => &mut granted,
            (ConsentState::Granted, false) => {
                if consent.valid_until.is_some_and(|until| until <= view.now()) {
                    expired = Some(place);
                }
                continue;
            }
            (_, true) => &mut refused,
            (_, false) => continue,
        };
        if best.is_none_or(|(known, _)| rank >= known) {
            *best = Some((rank, place));
        }
        view.read(Factor::Consent(place));
    }
    match (refused, granted) {
        (Some((_, place)), _) => Err(Refusal { consent: Some(place), expired: false }),
        (None, Some(_)) => Ok(()),
        // No channel: nobody is contacted, so only a refusal counts.
        (None, None) if is_exempt(about.purpose) || about.channel.is_empty() => Ok(()),
        (None, None) => Err(Refusal { consent: expired, expired: expired.is_some() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use terms::{Id, Timestamp};

    use super::*;
    use crate::profile::{Consent, Profile};

    fn consent(n: u128, state: ConsentState, basis: Basis, valid: (i64, i64)) -> Consent {
        Consent {
            id: Id::from_uuid(uuid::Uuid::from_u128(n)),
            purpose: "marketing".into(),
            channel: String::new(),
            topic: String::new(),
            state,
            basis,
            valid_from: Some(Timestamp(valid.0)),
            valid_until: Some(Timestamp(valid.1)),
        }
    }

    fn ask(consents: Vec<Consent>, purpose: &str, channel: &str) -> Result<(), Refusal> {
        let mut profile = Profile::default();
        profile.interaction.consents = consents;
        let context = rules::Value::Null;
        let view = View::new(&profile, &context, Timestamp(50));
        permit(&view, &About { purpose, channel, topics: &[], tags: &[] })
    }

    #[test]
    fn the_order_of_the_algebra() {
        use ConsentState::{Denied, Granted, Withdrawn};
        let now = (0, 100);
        let granted = consent(1, Granted, Basis::Consent, now);
        assert!(ask(vec![granted.clone()], "marketing", "email").is_ok());
        for no in [Withdrawn, Denied] {
            let refusal = ask(vec![granted.clone(), consent(2, no, Basis::Consent, now)], "marketing", "email");
            assert_eq!(refusal, Err(Refusal { consent: Some(1), expired: false }));
        }
        assert!(ask(vec![consent(1, Granted, Basis::LegitimateInterest, now)], "marketing", "email").is_ok());
        let expired = ask(vec![consent(1, Granted, Basis::Consent, (0, 50))], "marketing", "email");
        assert_eq!(expired, Err(Refusal { consent: Some(0), expired: true }));
        assert_eq!(ask(vec![], "marketing", "email"), Err(Refusal { consent: None, expired: false }));
        assert!(ask(vec![], "transactional.receipt", "email").is_ok());
        assert!(ask(vec![], "marketing", "").is_ok(), "without a channel only a refusal counts");
        assert!(ask(vec![consent(2, Withdrawn, Basis::Consent, now)], "marketing", "").is_err());
    }

    proptest! {
        /// Another consent that is a refusal never allows more.
        #[test]
        fn the_strictest_wins(states in prop::collection::vec(0..3u8, 0..6), extra: bool) {
            let make = |(i, state): (usize, &u8)| {
                let state = [ConsentState::Granted, ConsentState::Withdrawn, ConsentState::Denied][usize::from(*state)];
                consent(i as u128, state, Basis::Consent, (0, 100))
            };
            let mut consents: Vec<_> = states.iter().enumerate().map(make).collect();
            let allowed = ask(consents.clone(), "marketing", "email").is_ok();
            prop_assert_eq!(allowed, !states.is_empty() && states.iter().all(|s| *s == 0));
            let no = if extra { ConsentState::Denied } else { ConsentState::Withdrawn };
            consents.insert(0, consent(99, no, Basis::Consent, (0, 100)));
            prop_assert!(ask(consents, "marketing", "email").is_err());
        }
    }
}
