//! What is wrong with a rule, and where.

use std::fmt;

use terms::{Fault, Reason, Violations};

/// One mistake in the text of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong, and what to do.
    pub message: String,
}

impl RuleError {
    /// A mistake at a byte offset of `source`.
    pub(crate) fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let mut end = offset.min(source.len());
        while !source.is_char_boundary(end) {
            end -= 1;
        }
        let before = source.get(..end).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line: line as u32, column: column as u32, message: message.into() }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for RuleError {}

/// The fault for a request whose `field` holds a rule with these mistakes: `RULE_INVALID`, one violation for each.
pub fn fault(field: &str, errors: &[RuleError]) -> Fault {
    let mut wrong = Violations::new();
    for error in errors {
        wrong.absorb(Fault::invalid(field, Reason::RuleInvalid, format!("is wrong at {error}")));
    }
    match wrong.done() {
        Err(fault) => fault,
        Ok(()) => Fault::invalid(field, Reason::RuleInvalid, "is not a rule"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = "\"æøå\" == a &&\n 😀b";
        let error = RuleError::at(source, source.find('a').unwrap(), "x");
        assert_eq!((error.line, error.column), (1, 10));
        let error = RuleError::at(source, source.find('b').unwrap(), "x");
        assert_eq!((error.line, error.column), (2, 3));
        let error = RuleError::at(source, 999, "x");
        assert_eq!((error.line, error.column), (2, 4));
    }

    #[test]
    fn every_mistake_is_a_violation() {
        let errors = [RuleError::at("ab", 0, "one"), RuleError::at("ab", 1, "two")];
        let fault = fault("definition", &errors);
        assert_eq!(fault.reason(), Reason::RuleInvalid);
        assert_eq!(fault.violations().len(), 2);
        assert_eq!(fault.violations()[1].description, "is wrong at line 1, column 2: two");
    }
}
