//! Operators.

use cel::common::ast::{IdedExpr, operators as op};

use super::{Checked, Checker, Node, is_constant};
use crate::{
    program::{Against, Arithmetic, Comparison, Constants, Reading, Term, Test},
    schema::Type,
    value::Value,
};

impl Checker<'_> {
    /// An operator of the grammar; `None` if `name` is the name of a function.
    pub(super) fn operator(&mut self, expression: &IdedExpr, name: &str, args: &[IdedExpr]) -> Option<Checked> {
        let id = expression.id;
        Some(match (name, args) {
            (op::LOGICAL_AND, args) => {
                let mut tests = Vec::new();
                for arg in args {
                    match self.test_of(arg) {
                        Test::All(inner) => tests.extend(inner),
                        test => tests.push(test),
                    }
                }
                Checked::test(Test::All(tests.into()))
            }
            (op::LOGICAL_OR, args) => {
                let mut tests = Vec::new();
                for arg in args {
                    match self.test_of(arg) {
                        Test::Any(inner) => tests.extend(inner),
                        test => tests.push(test),
                    }
                }
                Checked::test(Test::Any(tests.into()))
            }
            (op::LOGICAL_NOT, [arg]) => match self.test_of(arg) {
                Test::Not(inner) => Checked::test(*inner),
                test => Checked::test(Test::Not(Box::new(test))),
            },
            (op::CONDITIONAL, [test, yes, no]) => self.conditional(id, test, yes, no),
            (op::INDEX, [all, at]) => self.index(expression, all, at),
            (op::IN, [item, all]) => self.membership(id, item, all),
            (op::NEGATE, [arg]) => self.negation(id, arg),
            (name, [left, right]) => match (comparison(name), arithmetic(name)) {
                (Some(comparison), _) => self.comparison(id, comparison, left, right),
                (_, Some(arithmetic)) => self.arithmetic(id, arithmetic, left, right),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn conditional(&mut self, id: u64, test: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Checked {
        let test = self.test_of(test);
        let (yes_id, no_id) = (yes.id, no.id);
        let (yes, no) = (self.check(yes), self.check(no));
        let boolean = |checked: &Checked| matches!(checked.node, Node::Test(_)) || checked.of == Type::Bool;
        if boolean(&yes) && boolean(&no) {
            let branches = [test, self.as_test(yes_id, yes), self.as_test(no_id, no)];
            return Checked::test(Test::Choose(Box::new(branches)));
        }
        let of = match (&yes.of, &no.of) {
            (Type::Null, other) | (other, Type::Null) => other.clone(),
            (yes, no) if yes.meets(no) => yes.join(no),
            (yes, no) => {
                let message = format!("the two outcomes have to be of one type, but this is {yes} or {no}");
                return self.fail(id, message);
            }
        };
        let moving = yes.moving || no.moving;
        let branches = (test, self.as_term(yes_id, yes), self.as_term(no_id, no));
        Checked { node: Node::Term(Term::Choose(Box::new(branches))), of, moving }
    }

    fn comparison(&mut self, id: u64, comparison: Comparison, left: &IdedExpr, right: &IdedExpr) -> Checked {
        let (left_id, right_id) = (left.id, right.id);
        let (left, right) = (self.check(left), self.check(right));
        let equality = matches!(comparison, Comparison::Equal | Comparison::Unequal);
        if equality && (left.is_null() || right.is_null()) {
            let (value, value_id) = if left.is_null() { (right, right_id) } else { (left, left_id) };
            let term = self.as_still_term(value_id, value);
            let present = Test::Present(Box::new(term));
            let equal = comparison == Comparison::Equal;
            return Checked::test(if equal { Test::Not(Box::new(present)) } else { present });
        }
        if !left.of.meets(&right.of) {
            let message = format!(
                "this compares {} with {}: they are never equal, and none comes before the other{}",
                left.of,
                right.of,
                hint(&left, &right)
            );
            return self.fail(id, message);
        }
        let ordered = |of: &Type| of.is_number() || matches!(of, Type::String | Type::Timestamp | Type::Duration);
        if let Some(side) = [&left, &right].into_iter().find(|side| !equality && !ordered(&side.of)) {
            let message = format!("this is {}, which has no order; use `==` or `!=`", side.of);
            return self.fail(id, message);
        }
        let left = self.as_term(left_id, left);
        let right = self.as_term(right_id, right);
        Checked::test(match (left, right) {
            (left @ Term::Const(_), right) => compared(comparison.flipped(), right, left),
            (left, right) => compared(comparison, left, right),
        })
    }

    fn membership(&mut self, id: u64, item: &IdedExpr, all: &IdedExpr) -> Checked {
        if let Some(checked) = self.in_group(item, all) {
            return checked;
        }
        let (item_id, all_id) = (item.id, all.id);
        let (item, all) = (self.check(item), self.check(all));
        match &all.of {
            Type::List(of) if !of.meets(&item.of) => {
                let message = format!("this looks for {} in {}; it is never there", item.of, all.of);
                return self.fail(id, message);
            }
            Type::List(_) | Type::Dynamic => {}
            Type::Map if matches!(item.of, Type::String | Type::Dynamic) => {}
            other => {
                let message =
                    format!("after `in` has to come a list, a map, `segments` or `statements`, but this is {other}");
                return self.fail(all_id, message);
            }
        }
        let item = self.as_still_term(item_id, item);
        Checked::test(match all.node {
            Node::List(items) => {
                let items = items.into_iter().map(|item| self.as_term(all_id, item)).collect();
                Test::Among(Box::new(item), items)
            }
            Node::Term(Term::Const(Value::List(values))) => {
                Test::OneOf(Box::new(item), Box::new(Constants::new(&values)))
            }
            _ => Test::Within(Box::new([item, self.as_still_term(all_id, all)])),
        })
    }

    fn negation(&mut self, id: u64, arg: &IdedExpr) -> Checked {
        let checked = self.check(arg);
        if !checked.of.is_number() && checked.of != Type::Duration {
            return self.fail(id, format!("only numbers and durations can be negative, but this is {}", checked.of));
        }
        let (of, moving) = (checked.of.clone(), checked.moving);
        let inner = self.as_term(arg.id, checked);
        let constant = is_constant(&inner);
        let term = Term::Negate(Box::new(inner));
        if constant {
            return self.fold(id, term, of);
        }
        Checked { node: Node::Term(term), of, moving }
    }

    fn arithmetic(&mut self, id: u64, operation: Arithmetic, left: &IdedExpr, right: &IdedExpr) -> Checked {
        let (left_id, right_id) = (left.id, right.id);
        let (left, right) = (self.check(left), self.check(right));
        let Some(of) = result(operation, &left.of, &right.of) else {
            let message = format!("{} and {} cannot be combined by `{}`", left.of, right.of, symbol(operation));
            return self.fail(id, message);
        };
        let moving = left.moving || right.moving;
        if moving && !matches!(operation, Arithmetic::Add | Arithmetic::Subtract) {
            return self.fail(id, "what is computed from `now` can only be compared, added to and subtracted from");
        }
        let sides = [self.as_term(left_id, left), self.as_term(right_id, right)];
        let constant = sides.iter().all(is_constant);
        let term = Term::Arithmetic(operation, Box::new(sides));
        if constant {
            return self.fold(id, term, of);
        }
        // Two that move alike stand still to each other, but whether they do is seen only when evaluated.
        Checked { node: Node::Term(term), of, moving }
    }
}

/// The cheapest test for a comparison.
fn compared(comparison: Comparison, left: Term, right: Term) -> Test {
    match (left, right) {
        (Term::Count(tally), Term::Const(Value::Int(limit))) => Test::CountIs(comparison, tally, limit),
        (Term::Attribute(path, reading), Term::Const(constant)) => {
            let constant = match (reading, constant) {
                // Most numbers are not whole by type; this one loses nothing by being alike.
                (Reading::Double | Reading::Any, Value::Int(number)) if number.unsigned_abs() <= 1 << 53 => {
                    Value::Double(number as f64)
                }
                (_, constant) => constant,
            };
            Test::Against(Box::new(Against { path, reading, comparison, constant }))
        }
        (left, right) => Test::Compare(comparison, Box::new([left, right])),
    }
}

/// What to do about two sides that cannot be equal.
fn hint(left: &Checked, right: &Checked) -> &'static str {
    let text = |checked: &Checked| checked.of == Type::String && checked.constant().is_some();
    let number = |checked: &Checked| matches!(checked.of, Type::Int | Type::Double) && checked.constant().is_some();
    match (&left.of, &right.of) {
        (Type::Timestamp, _) if text(right) => "; write `timestamp(\"2026-01-31T00:00:00Z\")`",
        (_, Type::Timestamp) if text(left) => "; write `timestamp(\"2026-01-31T00:00:00Z\")`",
        (Type::Duration, _) if text(right) => "; write `duration(\"720h\")`",
        (_, Type::Duration) if text(left) => "; write `duration(\"720h\")`",
        (Type::String, _) if number(right) => "; to compare with text, put the number in quotes",
        (_, Type::String) if number(left) => "; to compare with text, put the number in quotes",
        (Type::Int | Type::Double, _) if text(right) => "; to compare with a number, leave out the quotes",
        (_, Type::Int | Type::Double) if text(left) => "; to compare with a number, leave out the quotes",
        (Type::List(_), _) | (_, Type::List(_)) => "; to look into a list, use `in`",
        _ => "",
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        op::EQUALS => Comparison::Equal,
        op::NOT_EQUALS => Comparison::Unequal,
        op::LESS => Comparison::Less,
        op::LESS_EQUALS => Comparison::LessOrEqual,
        op::GREATER => Comparison::Greater,
        op::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        op::ADD => Arithmetic::Add,
        op::SUBSTRACT => Arithmetic::Subtract,
        op::MULTIPLY => Arithmetic::Multiply,
        op::DIVIDE => Arithmetic::Divide,
        op::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

const fn symbol(operation: Arithmetic) -> &'static str {
    match operation {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::Remainder => "%",
    }
}

/// The type of a combination; `None` if there is none.
fn result(operation: Arithmetic, left: &Type, right: &Type) -> Option<Type> {
    use Type::{Double, Duration, Dynamic, Int, String, Timestamp};
    Some(match (operation, left, right) {
        (_, Int, Int) => Int,
        (_, Int | Double, Int | Double | Dynamic) | (_, Dynamic, Int | Double) => Double,
        (Arithmetic::Add, String, String | Dynamic) | (Arithmetic::Add, Dynamic, String) => String,
        (Arithmetic::Add, Timestamp, Duration | Dynamic)
        | (Arithmetic::Add, Duration | Dynamic, Timestamp)
        | (Arithmetic::Subtract, Timestamp, Duration) => Timestamp,
        (Arithmetic::Subtract, Timestamp | Dynamic, Timestamp)
        | (Arithmetic::Add | Arithmetic::Subtract, Duration, Duration)
        | (Arithmetic::Subtract, Duration, Dynamic) => Duration,
        (Arithmetic::Add, Duration, Dynamic)
        | (Arithmetic::Add | Arithmetic::Subtract, Dynamic, Duration | Dynamic)
        | (Arithmetic::Subtract, Timestamp, Dynamic) => Dynamic,
        (_, Dynamic, Dynamic) => Double,
        _ => return None,
    })
}
