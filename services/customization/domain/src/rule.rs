//! The rules of a treatment, compiled.

use rules::{Rule, Schema, Vocabulary};
use terms::{Fault, Reason, Violations};

/// The longest rule, in bytes.
const RULE_MAX: usize = 16 << 10;

/// The compiled rules of a treatment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// For whom it is; `None`: everyone.
    pub eligibility: Option<Rule>,
}

impl Rules {
    /// Compiles what a treatment says; an empty text is no rule.
    ///
    /// # Errors
    /// [`Reason::RuleInvalid`] with every mistake, by field, line and column; [`Reason::NotYetServed`] for a rule that
    /// yields a number.
    pub fn compile(eligibility: &str, relevance: &str) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        let eligibility = compile(&mut wrong, "eligibility", eligibility);
        wrong.done()?;
        if !relevance.trim().is_empty() {
            let message =
                "`statement_relevance` comes with a later release; say it by `needs_served` and `eligibility`";
            return Err(Fault::new(Reason::NotYetServed, message));
        }
        Ok(Self { eligibility })
    }
}

fn compile(wrong: &mut Violations, field: &str, source: &str) -> Option<Rule> {
    if source.trim().is_empty() {
        return None;
    }
    if source.len() > RULE_MAX {
        wrong.add(field, format!("has {} bytes; at most {RULE_MAX} are taken", source.len()));
        return None;
    }
    match Rule::compile(source, &schema()) {
        Ok(rule) => Some(rule),
        Err(errors) => {
            wrong.absorb(rules::fault(field, &errors));
            None
        }
    }
}

/// What eligibility may speak of: what stands in the hot profile, and the context of the request. Events do not: a
/// rule that counts them belongs into a segment or a computed trait.
fn schema() -> Schema {
    let mut schema = Schema::new().statements(Vocabulary::Open).segments(Vocabulary::Open).clock();
    for root in ["customer", "traits", "value", "needs", "context"] {
        schema = schema.open(root);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_their_place() {
        let fault = Rules::compile("customer.country == \"NO\" &&", "").unwrap_err();
        assert_eq!(fault.reason(), Reason::RuleInvalid);
        assert_eq!(fault.violations()[0].field, "eligibility");
        assert!(Rules::compile("", " ").unwrap().eligibility.is_none());
    }

    #[test]
    fn events_are_for_segments() {
        let fault = Rules::compile("count(\"purchase\", duration(\"720h\")) > 2", "").unwrap_err();
        assert_eq!(fault.reason(), Reason::RuleInvalid);
    }

    #[test]
    fn rules_that_yield_numbers_come_later() {
        assert_eq!(Rules::compile("", "2.0").unwrap_err().reason(), Reason::NotYetServed);
    }
}
