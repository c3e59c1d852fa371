//! Names: attributes, statements, segments, fields of events, the clock.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators as op};

use super::{Checked, Checker, Node};
use crate::{
    facts::{Name, Path},
    program::{Reading, Term, Test},
    schema::{Type, Vocabulary, unknown},
};

/// One step below a root.
enum Step<'e> {
    /// `.name`
    Field(&'e str),
    /// `["name"]`
    Key(&'e str),
}

impl<'e> Step<'e> {
    const fn name(&self) -> &'e str {
        match self {
            Self::Field(name) | Self::Key(name) => name,
        }
    }
}

impl Checker<'_> {
    /// An identifier, or a selection from something.
    pub(super) fn name(&mut self, expression: &IdedExpr) -> Checked {
        if let Some((root, steps)) = self.dotted(expression) {
            return self.resolve(expression.id, root, &steps);
        }
        match &expression.expr {
            Expr::Ident(_) => {
                let of = self.item.as_ref().map_or(Type::Dynamic, |(_, of)| of.clone());
                Checked::term(Term::Item, of)
            }
            Expr::Select(select) => self.member(expression.id, &select.operand, &select.field),
            _ => self.fail(expression.id, "this is not a name"),
        }
    }

    /// `all[at]`
    pub(super) fn index(&mut self, expression: &IdedExpr, all: &IdedExpr, at: &IdedExpr) -> Checked {
        if let Some((root, steps)) = self.dotted(expression) {
            return self.resolve(expression.id, root, &steps);
        }
        if let Some((root @ ("statements" | "segments"), _)) = self.dotted(all) {
            return self.fail(at.id, format!("name what you mean in quotes, as in `{root}[\"name\"]`"));
        }
        if let Some(key) = constant_text(at) {
            return self.member(expression.id, all, key);
        }
        let checked = self.check(all);
        let of = match &checked.of {
            Type::List(item) => (**item).clone(),
            Type::Map | Type::Dynamic => Type::Dynamic,
            other => {
                let message = format!("only lists and maps have items, but this is {other}");
                return self.fail(expression.id, message);
            }
        };
        let listed = matches!(checked.of, Type::List(_));
        let all = self.as_still_term(all.id, checked);
        let index = self.check(at);
        if listed && !index.of.is_number() {
            return self.fail(at.id, format!("items of a list are numbered from 0, but this is {}", index.of));
        }
        let at = self.as_still_term(at.id, index);
        Checked::term(Term::Index(Box::new([all, at])), of)
    }

    fn member(&mut self, id: u64, of: &IdedExpr, name: &str) -> Checked {
        let checked = self.check(of);
        if !matches!(checked.of, Type::Dynamic | Type::Map) {
            return self.fail(id, format!("this is {}; it has no `{name}`", checked.of));
        }
        let term = self.as_still_term(of.id, checked);
        Checked::term(Term::Member(Box::new(term), name.into()), Type::Dynamic)
    }

    /// `has(operand.field)`
    pub(super) fn presence(&mut self, expression: &IdedExpr, operand: &IdedExpr, field: &str) -> Checked {
        let checked = match self.dotted(operand) {
            Some((root, mut steps)) => {
                steps.push(Step::Field(field));
                if root == "statements" && self.schema.statements.is_some() && steps.len() == topic_steps(&steps) {
                    return self.told(expression.id, &steps);
                }
                self.resolve(expression.id, root, &steps)
            }
            None => self.member(expression.id, operand, field),
        };
        match checked.node {
            Node::Term(term) => Checked::test(Test::Present(Box::new(term))),
            // A membership is always known: to have it is to be a member.
            Node::Test(_) | Node::List(_) => checked,
        }
    }

    /// The root and the steps of `root.a["b"].c`; none for the variable of a list, or anything else.
    fn dotted<'e>(&self, expression: &'e IdedExpr) -> Option<(&'e str, Vec<Step<'e>>)> {
        let mut steps = Vec::new();
        let mut at = expression;
        loop {
            match &at.expr {
                Expr::Ident(root) => {
                    let is_item = self.item.as_ref().is_some_and(|(item, _)| item == root);
                    steps.reverse();
                    return (!is_item).then_some((root.strip_prefix('.').unwrap_or(root), steps));
                }
                Expr::Select(select) if !select.test => {
                    steps.push(Step::Field(&select.field));
                    at = &select.operand;
                }
                Expr::Call(call) if call.func_name == op::INDEX => {
                    let [all, key] = call.args.as_slice() else { return None };
                    steps.push(Step::Key(constant_text(key)?));
                    at = all;
                }
                _ => return None,
            }
        }
    }

    fn resolve(&mut self, id: u64, root: &str, steps: &[Step<'_>]) -> Checked {
        match root {
            "now" if steps.is_empty() && self.schema.clock => {
                if self.in_filter {
                    return self.fail(id, "a filter cannot use `now`; give the event function a window instead");
                }
                self.references.clock = true;
                Checked { node: Node::Term(Term::Now), of: Type::Timestamp, moving: true }
            }
            "statements" if self.schema.statements.is_some() => self.statement(id, steps),
            "segments" if self.schema.segments.is_some() => match steps {
                [step] => self.segment(id, step.name()),
                _ => self.fail(id, "ask for one segment, as in `\"big-spenders\" in segments`"),
            },
            "event" if self.in_filter => self.field(id, steps),
            "event" if self.schema.events.is_some() => {
                let example = "count(\"purchase\", event.channel == \"web\")";
                self.fail(id, format!("`event` can be used only in the filter of an event function, as in `{example}`"))
            }
            _ => self.attribute(id, root, steps),
        }
    }

    fn attribute(&mut self, id: u64, root: &str, steps: &[Step<'_>]) -> Checked {
        let parts: Vec<&str> = std::iter::once(root).chain(steps.iter().map(Step::name)).collect();
        let path = Path::new(&parts);
        match self.schema.type_of(path.as_str()) {
            Ok(of) => {
                self.references.attributes.insert(path.as_str().to_owned());
                Checked::term(Term::Attribute(path, reading(&of)), of)
            }
            Err(why) => self.fail(id, why),
        }
    }

    fn field(&mut self, id: u64, steps: &[Step<'_>]) -> Checked {
        let parts: Vec<&str> = steps.iter().map(Step::name).collect();
        match self.event_field(&parts) {
            Ok((_, Type::Timestamp)) => Checked::term(Term::OccurredAt, Type::Timestamp),
            Ok((path, of)) => Checked::term(Term::Field(path, reading(&of)), of),
            Err(why) => self.fail(id, why),
        }
    }

    /// The field of an event, noted as used.
    pub(super) fn event_field(&mut self, parts: &[&str]) -> Result<(Path, Type), String> {
        let path = Path::new(parts);
        let of = self.schema.type_of(&format!("event.{}", path.as_str()))?;
        if of != Type::Timestamp {
            self.fields.insert(path.as_str().to_owned());
        }
        Ok((path, of))
    }

    fn statement(&mut self, id: u64, steps: &[Step<'_>]) -> Checked {
        let (topic, rest) = steps.split_at(topic_steps(steps));
        let Some(topic) = self.topic(id, topic) else {
            return Checked::term(Term::Const(crate::Value::Null), Type::Dynamic);
        };
        let value = Term::Statement(topic, Reading::Any);
        let term = rest.iter().fold(value, |term, step| Term::Member(Box::new(term), step.name().into()));
        Checked::term(term, Type::Dynamic)
    }

    fn told(&mut self, id: u64, steps: &[Step<'_>]) -> Checked {
        match self.topic(id, steps) {
            Some(topic) => Checked::test(Test::Told(topic)),
            None => Checked::test(Test::Const(false)),
        }
    }

    fn topic(&mut self, id: u64, steps: &[Step<'_>]) -> Option<Name> {
        if self.in_filter {
            self.fail(id, "a filter cannot use `statements`; it reads the event and the customer's attributes");
            return None;
        }
        let topic = steps.iter().map(Step::name).collect::<Vec<_>>().join(".");
        if topic.is_empty() {
            self.fail(id, "name a topic, as in `statements[\"diet.style\"]` or `\"diet.style\" in statements`");
            return None;
        }
        if let Some(Vocabulary::Closed(known)) = &self.schema.statements
            && !known.contains(&topic)
        {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            self.fail(id, unknown(&format!("there is no topic `{topic}`"), &topic, &known));
            return None;
        }
        self.references.topics.insert(topic.clone());
        self.references.clock = true;
        Some(Name::new(&topic))
    }

    fn segment(&mut self, id: u64, name: &str) -> Checked {
        if self.in_filter {
            return self.fail(id, "a filter cannot use `segments`; it reads the event and the customer's attributes");
        }
        if let Some(Vocabulary::Closed(known)) = &self.schema.segments
            && !known.contains(name)
        {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return self.fail(id, unknown(&format!("there is no segment `{name}`"), name, &known));
        }
        self.references.segments.insert(name.to_owned());
        Checked::test(Test::InSegment(Name::new(name)))
    }

    /// `item in group`, where the group is `segments`, `statements` or a group of attributes.
    pub(super) fn in_group(&mut self, item: &IdedExpr, group: &IdedExpr) -> Option<Checked> {
        let (root, steps) = self.dotted(group)?;
        let Some(key) = constant_text(item) else {
            let named = matches!(root, "segments" | "statements") && steps.is_empty();
            return named.then(|| self.fail(item.id, format!("name it in quotes, as in `\"name\" in {root}`")));
        };
        match root {
            "segments" if steps.is_empty() && self.schema.segments.is_some() => Some(self.segment(item.id, key)),
            "statements" if steps.is_empty() && self.schema.statements.is_some() => {
                Some(self.told(item.id, &[Step::Key(key)]))
            }
            "segments" | "statements" | "now" | "event" => None,
            _ => {
                let path = std::iter::once(root).chain(steps.iter().map(Step::name)).collect::<Vec<_>>().join(".");
                // An attribute that has a value of its own is looked into when evaluated.
                if self.schema.type_of(&path).is_ok() {
                    return None;
                }
                let mut steps = steps;
                steps.push(Step::Key(key));
                let attribute = self.attribute(item.id, root, &steps);
                let term = self.as_term(item.id, attribute);
                Some(Checked::test(Test::Present(Box::new(term))))
            }
        }
    }
}

/// How many steps make the topic: one key, `["diet.style"]`, or the names up to the first key, `.diet.style`.
fn topic_steps(steps: &[Step<'_>]) -> usize {
    match steps {
        [Step::Key(_), ..] => 1,
        steps => steps.iter().take_while(|step| matches!(step, Step::Field(_))).count(),
    }
}

/// The text of a string literal.
pub(super) fn constant_text(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn reading(of: &Type) -> Reading {
    match of {
        Type::Bool => Reading::Bool,
        Type::Int => Reading::Int,
        Type::Double => Reading::Double,
        Type::String => Reading::String,
        Type::Timestamp => Reading::Timestamp,
        Type::List(_) => Reading::List,
        Type::Map => Reading::Map,
        Type::Dynamic | Type::Duration | Type::Null => Reading::Any,
    }
}
