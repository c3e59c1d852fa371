//! Filters of lists, in the rule language (CEL).

use rules::{FactSheet, Rule, Schema, Type, Value};
use terms::{Fault, Timestamp};

use crate::{interaction::Interaction, statement::Standing};

/// A filter over interactions: `type`, `channel`, `touchpoint`, `direction`, `directness`, `motivation`,
/// `occurred_at`, `value` (in units of its currency) and `properties`.
#[derive(Clone)]
pub struct InteractionFilter(Rule);

/// A filter over statements: `topic`, `value`, `kind`, `state`, `confidence` and `occurred_at`.
#[derive(Clone)]
pub struct StatementFilter(Rule);

fn compile(field: &str, text: &str, schema: &Schema) -> Result<Option<Rule>, Fault> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    Rule::compile(text, schema).map(Some).map_err(|errors| rules::fault(field, &errors))
}

impl InteractionFilter {
    /// Reads the request field `field`; an empty text filters nothing.
    ///
    /// # Errors
    /// [`terms::Reason::RuleInvalid`] with line and column.
    pub fn compile(field: &str, text: &str) -> Result<Option<Self>, Fault> {
        let schema = ["type", "channel", "touchpoint", "direction", "directness", "motivation"]
            .into_iter()
            .fold(Schema::new(), |schema, name| schema.declare(name, Type::String))
            .declare("occurred_at", Type::Timestamp)
            .declare("value", Type::Double)
            .open("properties");
        Ok(compile(field, text, &schema)?.map(Self))
    }

    /// Whether the interaction passes.
    pub fn passes(&self, i: &Interaction, now: Timestamp) -> bool {
        let properties = i.properties.clone().map(|p| Value::from(serde_json::Value::Object(p)));
        let facts = FactSheet::new()
            .with("type", i.kind.as_str())
            .with("channel", i.channel.as_str())
            .with("touchpoint", i.touchpoint.as_str())
            .with("direction", i.direction.as_str())
            .with("directness", i.directness.as_str())
            .with("motivation", i.motivation.as_str())
            .with("occurred_at", i.occurred_at)
            .with("value", i.value.as_ref().map(|value| value.micros as f64 / 1e6))
            .with("properties", properties);
        self.0.eval(&facts, now)
    }
}

impl StatementFilter {
    /// Reads the request field `field`; an empty text filters nothing.
    ///
    /// # Errors
    /// [`terms::Reason::RuleInvalid`] with line and column.
    pub fn compile(field: &str, text: &str) -> Result<Option<Self>, Fault> {
        let schema = ["topic", "kind", "state"]
            .into_iter()
            .fold(Schema::new(), |schema, name| schema.declare(name, Type::String))
            .declare("occurred_at", Type::Timestamp)
            .declare("confidence", Type::Double)
            .declare("value", Type::Dynamic);
        Ok(compile(field, text, &schema)?.map(Self))
    }

    /// Whether the statement passes.
    pub fn passes(&self, s: &Standing, now: Timestamp) -> bool {
        let facts = FactSheet::new()
            .with("topic", s.statement.topic.as_str())
            .with("kind", s.statement.kind.as_str())
            .with("state", s.state.as_str())
            .with("occurred_at", s.statement.occurred_at)
            .with("confidence", s.statement.confidence)
            .with("value", Value::from(s.statement.value.clone()));
        self.0.eval(&facts, now)
    }
}
