//! The compiled rule.

use std::{fmt, sync::Arc};

use terms::Timestamp;

use crate::{
    check,
    error::RuleError,
    eval::Env,
    facts::{EventView, Facts, NoFacts},
    parse,
    program::Test,
    references::{Reference, References},
    schema::Schema,
};

/// A rule, checked and compiled. Cheap to clone.
#[derive(Clone)]
pub struct Rule(Arc<Inner>);

struct Inner {
    source: Arc<str>,
    test: Test,
    references: Arc<References>,
}

/// The outcome of a rule, and until when it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the rule holds.
    pub holds: bool,
    /// See [`Rule::next_due`].
    pub next_due: Option<Timestamp>,
}

impl Rule {
    /// Parses, type-checks and bounds a rule, and compiles it. Takes tens of microseconds.
    ///
    /// # Errors
    /// Every mistake that was found, with its line and column; [`fault`](crate::fault) makes a fault of them.
    pub fn compile(source: &str, schema: &Schema) -> Result<Self, Vec<RuleError>> {
        let program = parse::parse(source).map_err(|error| vec![error])?;
        let compiled = check::compile(source, program.expression(), program.source_info(), schema)?;
        let (test, references) = (compiled.test, Arc::new(compiled.references));
        Ok(Self(Arc::new(Inner { source: source.into(), test, references })))
    }

    /// Whether the rule holds at the instant `now`. Never fails; takes tens of nanoseconds, and no memory unless the
    /// rule makes text.
    #[inline]
    pub fn eval<F: Facts + ?Sized>(&self, facts: &F, now: Timestamp) -> bool {
        self.0.test.holds(Env::new(facts, now))
    }

    /// The earliest instant after `now` at which the outcome may be another although only the clock moved: an event
    /// leaves a window or comes to be present, a statement expires, a comparison with `now` turns. At every instant
    /// before it the outcome is that of `now`; at it, it need not be another. `None`: never.
    ///
    /// Memberships of other segments count as constant: whoever computes them evaluates again when they change.
    pub fn next_due<F: Facts + ?Sized>(&self, facts: &F, now: Timestamp) -> Option<Timestamp> {
        self.evaluate(facts, now).next_due
    }

    /// [`Rule::eval`] and [`Rule::next_due`] at once.
    pub fn evaluate<F: Facts + ?Sized>(&self, facts: &F, now: Timestamp) -> Outcome {
        let env = Env::new(facts, now);
        if !self.0.references.clock {
            return Outcome { holds: self.0.test.holds(env), next_due: None };
        }
        let (holds, next_due) = self.0.test.holds_until(env);
        Outcome { holds, next_due }
    }

    /// Whether one event passes a filter that was compiled with [`Schema::event`].
    pub fn matches_event(&self, event: &dyn EventView) -> bool {
        self.0.test.holds(Env { event: Some(event), ..Env::new(&NoFacts, Timestamp::EPOCH) })
    }

    /// What the rule depends on.
    pub fn references(&self) -> &References {
        &self.0.references
    }

    /// The text from which it was compiled.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The same rule with numbers for its names, which facts find again as [`Path::slot`](crate::Path::slot) and
    /// [`Name::slot`](crate::Name::slot): for facts that are held in columns.
    #[must_use]
    pub fn bind(&self, mut slots: impl FnMut(Reference<'_>) -> Option<u32>) -> Self {
        let mut test = self.0.test.clone();
        test.bind(&mut slots);
        Self(Arc::new(Inner { source: self.0.source.clone(), test, references: self.0.references.clone() }))
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.0.source).finish()
    }
}

impl PartialEq for Rule {
    /// By their text.
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}
