//! From the syntax tree to the program: names resolved, types checked, cost bounded.

mod calls;
mod events;
mod names;
mod operators;

use std::collections::BTreeSet;

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators as op};

use crate::{
    error::RuleError,
    eval::Env,
    facts::NoFacts,
    program::{Over, Quantified, Term, Test},
    references::References,
    schema::{Schema, Type},
    value::{Datum, Value},
};

/// Deepest nesting of expressions.
const MAX_DEPTH: usize = 64;
/// Most expressions in a rule; each constant of a list is one.
const MAX_NODES: usize = 4_000;
/// Most items of a list.
const MAX_ITEMS: usize = 1_000;
/// Most mistakes that are told at once.
const MAX_ERRORS: usize = 20;

/// What a rule became.
pub(crate) struct Compiled {
    pub(crate) test: Test,
    pub(crate) references: References,
}

/// Checks and compiles.
pub(crate) fn compile(
    source: &str,
    tree: &IdedExpr,
    info: &SourceInfo,
    schema: &Schema,
) -> Result<Compiled, Vec<RuleError>> {
    let mut checker = Checker {
        source,
        info,
        schema,
        errors: Vec::new(),
        references: References::default(),
        item: None,
        fields: BTreeSet::new(),
        in_filter: schema.of_event,
        depth: 0,
        nodes: 0,
        patterns: 0,
        tallies: 0,
    };
    let test = checker.test_of(tree);
    if checker.errors.is_empty() {
        checker.references.event_fields = checker.fields;
        return Ok(Compiled { test, references: checker.references });
    }
    checker.errors.sort();
    checker.errors.dedup();
    checker.errors.truncate(MAX_ERRORS);
    Err(checker.errors)
}

struct Checker<'s> {
    source: &'s str,
    info: &'s SourceInfo,
    schema: &'s Schema,
    errors: Vec<RuleError>,
    references: References,
    /// The variable of the `exists` or `all` that is being checked.
    item: Option<(String, Type)>,
    /// The fields of the event that the filter being checked reads.
    fields: BTreeSet<String>,
    in_filter: bool,
    depth: usize,
    nodes: usize,
    patterns: usize,
    tallies: usize,
}

/// An expression that was checked.
struct Checked {
    node: Node,
    of: Type,
    /// Whether the value moves with the clock all the time, as `now` does.
    moving: bool,
}

enum Node {
    Test(Test),
    Term(Term),
    /// A list literal whose items are not all constant.
    List(Vec<Checked>),
}

impl Checked {
    fn test(test: Test) -> Self {
        Self { node: Node::Test(test), of: Type::Bool, moving: false }
    }

    fn term(term: Term, of: Type) -> Self {
        Self { node: Node::Term(term), of, moving: false }
    }

    /// The constant that it is.
    fn constant(&self) -> Option<&Value> {
        match &self.node {
            Node::Term(Term::Const(value)) => Some(value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        self.of == Type::Null
    }
}

impl<'s> Checker<'s> {
    /// Notes a mistake; what stands for the expression from here on fits everywhere.
    fn fail(&mut self, id: u64, message: impl Into<String>) -> Checked {
        let at = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        self.errors.push(RuleError::at(self.source, at, message));
        Checked::term(Term::Const(Value::Null), Type::Dynamic)
    }

    fn check(&mut self, expression: &IdedExpr) -> Checked {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            if self.nodes == MAX_NODES + 1 {
                return self
                    .fail(expression.id, format!("the rule has more than {MAX_NODES} parts; split it into segments"));
            }
            return Checked::term(Term::Const(Value::Null), Type::Dynamic);
        }
        if self.depth >= MAX_DEPTH {
            return self.fail(expression.id, format!("this nests deeper than {MAX_DEPTH} operations; split the rule"));
        }
        self.depth += 1;
        let checked = self.check_here(expression);
        self.depth -= 1;
        checked
    }

    fn check_here(&mut self, expression: &IdedExpr) -> Checked {
        let id = expression.id;
        match &expression.expr {
            Expr::Literal(literal) => self.literal(id, literal),
            Expr::Ident(_) => self.name(expression),
            Expr::Select(select) if select.test => self.presence(expression, &select.operand, &select.field),
            Expr::Select(_) => self.name(expression),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => self.list(id, &list.elements),
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension),
            Expr::Map(_) => self.fail(id, "maps cannot be written in a rule; compare one attribute at a time"),
            Expr::Struct(_) => self.fail(id, "messages cannot be written in a rule; compare one attribute at a time"),
            Expr::Unspecified => self.fail(id, "an expression is missing here"),
        }
    }

    /// An expression that has to be true or false.
    fn test_of(&mut self, expression: &IdedExpr) -> Test {
        let checked = self.check(expression);
        self.as_test(expression.id, checked)
    }

    fn as_test(&mut self, id: u64, checked: Checked) -> Test {
        match checked.node {
            Node::Test(test) => test,
            Node::Term(Term::Const(Value::Bool(value))) => Test::Const(value),
            Node::Term(term) if matches!(checked.of, Type::Bool | Type::Dynamic) && !checked.moving => {
                Test::Truth(Box::new(term))
            }
            _ => {
                let of =
                    if matches!(checked.node, Node::List(_)) { "a list".to_owned() } else { checked.of.to_string() };
                self.fail(id, format!("this has to be true or false, but it is {of}; compare it with something"));
                Test::Const(false)
            }
        }
    }

    /// The value of an expression, which may move with the clock.
    fn as_term(&mut self, id: u64, checked: Checked) -> Term {
        match checked.node {
            Node::Term(term) => term,
            Node::Test(Test::Truth(term)) => *term,
            Node::Test(test) => Term::Test(Box::new(test)),
            Node::List(_) => {
                self.fail(id, "a list of expressions can stand only after `in`, or before `.exists` and `.all`");
                Term::Const(Value::Null)
            }
        }
    }

    /// The value of an expression, which may not move with the clock.
    fn as_still_term(&mut self, id: u64, checked: Checked) -> Term {
        if checked.moving {
            self.fail(id, "what is computed from `now` can only be compared, added to and subtracted from");
        }
        self.as_term(id, checked)
    }

    fn literal(&mut self, id: u64, literal: &LiteralValue) -> Checked {
        let (value, of) = match literal {
            LiteralValue::Boolean(value) => (Value::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(value) => (Value::Int(*value.inner()), Type::Int),
            LiteralValue::UInt(value) => match i64::try_from(*value.inner()) {
                Ok(value) => (Value::Int(value), Type::Int),
                Err(_) => return self.fail(id, "this number is too large; whole numbers go up to 9223372036854775807"),
            },
            LiteralValue::Double(value) => (Value::Double(*value.inner()), Type::Double),
            LiteralValue::String(value) => (Value::from(value.inner()), Type::String),
            LiteralValue::Null => (Value::Null, Type::Null),
            LiteralValue::Bytes(_) => return self.fail(id, "bytes are not part of the language; write a string"),
        };
        Checked::term(Term::Const(value), of)
    }

    fn list(&mut self, id: u64, elements: &[IdedExpr]) -> Checked {
        if elements.len() > MAX_ITEMS {
            let message = format!(
                "this list has {} items; at most {MAX_ITEMS} are allowed: use a static segment",
                elements.len()
            );
            return self.fail(id, message);
        }
        let items: Vec<Checked> = elements.iter().map(|element| self.check(element)).collect();
        if let Some((element, _)) = elements.iter().zip(&items).find(|(_, item)| item.moving) {
            return self.fail(element.id, "what is computed from `now` cannot be in a list; compare it directly");
        }
        let of = items
            .iter()
            .skip(1)
            .fold(items.first().map_or(Type::Dynamic, |item| item.of.clone()), |of, item| of.join(&item.of));
        let constants: Option<Vec<Value>> = items.iter().map(|item| item.constant().cloned()).collect();
        let node = match constants {
            Some(values) => Node::Term(Term::Const(Value::from(values))),
            None => Node::List(items),
        };
        Checked { node, of: Type::list(of), moving: false }
    }

    /// `list.exists(x, test)` and `list.all(x, test)`, as the parser unfolds them.
    fn comprehension(&mut self, id: u64, unfolded: &ComprehensionExpr) -> Checked {
        let (some, body) = match &unfolded.loop_step.expr {
            Expr::Call(step) if step.func_name == op::LOGICAL_OR => (true, step.args.get(1)),
            Expr::Call(step) if step.func_name == op::LOGICAL_AND => (false, step.args.get(1)),
            _ => (true, None),
        };
        let Some(body) = body else {
            return self.fail(id, "only `exists` and `all` can go through a list");
        };
        if self.item.is_some() {
            return self.fail(id, "`exists` and `all` cannot be nested");
        }
        let range = self.check(&unfolded.iter_range);
        let of = match &range.of {
            Type::List(item) => (**item).clone(),
            Type::Map => Type::String,
            Type::Dynamic => Type::Dynamic,
            other => {
                let message = format!("`exists` and `all` go through a list, but this is {other}");
                return self.fail(unfolded.iter_range.id, message);
            }
        };
        let over = match range.node {
            Node::List(items) => {
                Over::Terms(items.into_iter().map(|item| self.as_term(unfolded.iter_range.id, item)).collect())
            }
            _ => Over::Term(self.as_still_term(unfolded.iter_range.id, range)),
        };
        self.item = Some((unfolded.iter_var.clone(), of));
        let test = self.test_of(body);
        self.item = None;
        Checked::test(Test::Quantified(Box::new(Quantified { some, over, test })))
    }

    /// Computes what is constant, once and for all.
    fn fold(&mut self, id: u64, term: Term, of: Type) -> Checked {
        let datum = term.value(Env::new(&NoFacts, terms::Timestamp::EPOCH));
        let folded = match datum {
            Datum::Null => {
                return self.fail(id, "this has no value: it overflows, divides by zero, or does not fit together");
            }
            Datum::Duration(length) => Term::Duration(length),
            other => Term::Const(other.to_value()),
        };
        Checked::term(folded, of)
    }
}

/// Whether the value of a term is known before evaluation.
fn is_constant(term: &Term) -> bool {
    matches!(term, Term::Const(value) if *value != Value::Null) || matches!(term, Term::Duration(_))
}
