//! Functions over events.

use std::{collections::BTreeSet, mem, time::Duration};

use cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::{Checked, Checker, Node, names::constant_text};
use crate::{
    facts::Name,
    program::{Comparison, Span, Tally, Term, Test, Unanswered},
    schema::{Type, Vocabulary, unknown},
    value::Value,
};

/// Most event functions in a rule.
const MAX_TALLIES: usize = 64;

impl Checker<'_> {
    /// A function over events; `None` if `name` is another.
    pub(super) fn event_call(&mut self, id: u64, name: &str, call: &CallExpr) -> Option<Checked> {
        let checked = match (name, &call.target) {
            ("count" | "sum" | "first" | "last" | "did", None) => self.tallied(id, name, &call.args),
            ("then_not" | "last_then_not", Some(target)) => self.unanswered(id, name, target, &call.args),
            ("then" | "not" | "never" | "last_then", Some(target)) if is_did(target) => {
                let message =
                    format!("`{name}` is not served yet after `did(...)`; `then_not` and `last_then_not` are");
                Some(self.fail(id, message))
            }
            _ => return None,
        };
        // What was wrong has been noted.
        Some(checked.unwrap_or_else(|| Checked::term(Term::Const(Value::Null), Type::Dynamic)))
    }

    fn tallied(&mut self, id: u64, name: &str, args: &[IdedExpr]) -> Option<Checked> {
        let (event, mut rest) = self.event_type(id, name, args)?;
        let outer = mem::take(&mut self.fields);
        let mut field = None;
        if name == "sum" {
            let Some((property, others)) = rest.split_first() else {
                self.fields = outer;
                self.fail(id, "name what is summed, as in `sum(\"purchase\", \"value\", duration(\"720h\"))`");
                return None;
            };
            field = self.summed(property);
            rest = others;
        }
        let tally = self.tally(event, rest);
        let fields = mem::replace(&mut self.fields, outer);
        let tally = tally?;
        self.note(&tally.event, window(tally.span), fields);
        let tally = Box::new(tally);
        Some(match name {
            "count" => Checked::term(Term::Count(tally), Type::Int),
            "first" => Checked::term(Term::First(tally), Type::Timestamp),
            "last" => Checked::term(Term::Last(tally), Type::Timestamp),
            "sum" => Checked::term(Term::Sum(tally, field?), Type::Double),
            _ => Checked::test(Test::CountIs(Comparison::GreaterOrEqual, tally, 1)),
        })
    }

    fn note(&mut self, event: &Name, window: Option<Duration>, fields: BTreeSet<String>) {
        self.references.note_event(event.as_str(), window, fields);
        self.references.clock = true;
    }

    /// The event type, which comes first, and the other arguments.
    fn event_type<'e>(&mut self, id: u64, name: &str, args: &'e [IdedExpr]) -> Option<(Name, &'e [IdedExpr])> {
        let Some(vocabulary) = &self.schema.events else {
            self.fail(id, format!("`{name}` asks for events, which are not known here"));
            return None;
        };
        if self.in_filter {
            self.fail(id, format!("`{name}` cannot be used in the filter of another event function"));
            return None;
        }
        if self.item.is_some() {
            self.fail(id, format!("`{name}` cannot be used within `exists` and `all`; move it out of them"));
            return None;
        }
        self.tallies += 1;
        if self.tallies > MAX_TALLIES {
            self.fail(id, format!("this is more than {MAX_TALLIES} event functions; split the rule into segments"));
            return None;
        }
        let Some((first, rest)) = args.split_first() else {
            self.fail(id, format!("name the type of event, as in `{name}(\"purchase\")`"));
            return None;
        };
        let Some(event) = constant_text(first).filter(|text| !text.is_empty()) else {
            self.fail(first.id, format!("the type of event has to be written in quotes, as in `{name}(\"purchase\")`"));
            return None;
        };
        if let Vocabulary::Closed(known) = vocabulary
            && !known.iter().any(|known| covers(known, event) || covers(event, known))
        {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let message = unknown(&format!("there is no event type `{event}`"), event, &known);
            self.fail(first.id, message);
            return None;
        }
        Some((Name::new(event), rest))
    }

    fn summed(&mut self, property: &IdedExpr) -> Option<crate::facts::Path> {
        let Some(written) = constant_text(property) else {
            self.fail(property.id, "what is summed has to be written in quotes: `\"value\"` or `\"properties.name\"`");
            return None;
        };
        let parts: Vec<&str> = written.split('.').collect();
        match self.event_field(&parts) {
            Ok((path, of)) if of.is_number() => Some(path),
            Ok((_, of)) => {
                self.fail(property.id, format!("only numbers can be summed, but `{written}` is {of}"));
                None
            }
            Err(why) => {
                let advice = format!("{why}; an event has `value` and `properties.…` that can be summed");
                self.fail(property.id, advice);
                None
            }
        }
    }

    /// The window and the filter.
    fn tally(&mut self, event: Name, args: &[IdedExpr]) -> Option<Tally> {
        let (mut windows, mut ends, mut filter) = (Vec::new(), Vec::new(), None);
        let mistakes = self.errors.len();
        for arg in args {
            self.in_filter = true;
            let checked = self.check(arg);
            self.in_filter = false;
            match checked.node {
                Node::Term(Term::Duration(length)) => windows.push((arg.id, length)),
                Node::Term(Term::Const(Value::Timestamp(at))) => ends.push((arg.id, at)),
                _ if checked.of == Type::Duration || checked.of == Type::Timestamp => {
                    self.fail(arg.id, "a window has to be constant, as in `duration(\"720h\")`");
                }
                _ if filter.is_some() => {
                    self.fail(arg.id, "there is a filter already; join the two by `&&`");
                }
                _ => filter = Some(self.as_test(arg.id, checked)),
            }
        }
        let span = match (windows.as_slice(), ends.as_slice()) {
            ([], []) => Span::Always,
            ([(_, length)], []) if *length > 0 => Span::Within(*length),
            ([], [(_, from), (_, to)]) if from <= to => Span::Between(*from, *to),
            ([(id, _)], []) => {
                self.fail(*id, "a window has to be longer than nothing");
                return None;
            }
            ([], [_, (id, _)]) => {
                self.fail(*id, "the end comes before the beginning");
                return None;
            }
            ([], [(id, _)]) => {
                self.fail(*id, "give both ends of the time, or a duration back from now");
                return None;
            }
            ([(id, _), ..], _) | (_, [(id, _), ..]) => {
                self.fail(*id, "give one window: a duration back from now, or two timestamps");
                return None;
            }
        };
        (self.errors.len() == mistakes).then_some(Tally { event, span, filter })
    }

    /// `did("x").then_not("y", duration("72h"))`
    fn unanswered(&mut self, id: u64, name: &str, target: &IdedExpr, args: &[IdedExpr]) -> Option<Checked> {
        let did = match &target.expr {
            Expr::Call(did) if is_did(target) => did,
            _ => {
                self.fail(
                    id,
                    format!("`{name}` goes with `did`, as in `did(\"quote\").{name}(\"purchase\", duration(\"72h\"))`"),
                );
                return None;
            }
        };
        let (event, rest) = self.event_type(target.id, "did", &did.args)?;
        let outer = mem::take(&mut self.fields);
        let asked = self.tally(event, rest);
        let fields = mem::replace(&mut self.fields, outer);
        let asked = asked?;
        let (answer, rest) = self.event_type(id, name, args)?;
        let within = match rest {
            [within] => {
                let checked = self.check(within);
                match checked.node {
                    Node::Term(Term::Duration(length)) if length > 0 => length,
                    _ => {
                        self.fail(within.id, "say within which time, as in `duration(\"72h\")`");
                        return None;
                    }
                }
            }
            _ => {
                self.fail(id, format!("say within which time, as in `.{name}(\"purchase\", duration(\"72h\"))`"));
                return None;
            }
        };
        let back = window(asked.span);
        self.note(&asked.event, back, fields);
        // An answer to the oldest that counts came after it.
        self.note(&answer, back, BTreeSet::new());
        let last_only = name == "last_then_not";
        let unanswered = Unanswered { asked, answer, within, last_only };
        Some(Checked::test(Test::Unanswered(Box::new(unanswered))))
    }
}

fn is_did(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Call(call) if call.target.is_none() && call.func_name == "did")
}

/// Whether an event type is another, or lies below it.
fn covers(above: &str, below: &str) -> bool {
    below.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn window(span: Span) -> Option<Duration> {
    match span {
        Span::Within(length) => u64::try_from(length).ok().map(Duration::from_micros),
        Span::Always | Span::Between(..) => None,
    }
}
