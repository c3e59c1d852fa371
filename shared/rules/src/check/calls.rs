//! Functions, but for those over events.

use cel::common::ast::{CallExpr, IdedExpr};
use regex::{Regex, RegexBuilder};

use super::{Checked, Checker, Node, is_constant, names::constant_text};
use crate::{
    program::{Convert, Letters, Part, Term, Test, TextTest},
    schema::{Type, unknown},
};

/// Most bytes of a regular expression.
const MAX_PATTERN: usize = 512;
/// Most regular expressions in a rule.
const MAX_PATTERNS: usize = 8;
/// Most bytes that a regular expression may take up compiled.
const MAX_PATTERN_MEMORY: usize = 256 * 1024;

/// Every function, for "did you mean".
const FUNCTIONS: [&str; 35] = [
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "lowerAscii",
    "upperAscii",
    "lower",
    "upper",
    "trim",
    "int",
    "double",
    "string",
    "timestamp",
    "duration",
    "has",
    "exists",
    "all",
    "count",
    "sum",
    "first",
    "last",
    "did",
    "then_not",
    "last_then_not",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

impl Checker<'_> {
    pub(super) fn call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Checked {
        let id = expression.id;
        let name = call.func_name.as_str();
        if call.target.is_none()
            && let Some(checked) = self.operator(expression, name, &call.args)
        {
            return checked;
        }
        if let Some(checked) = self.event_call(id, name, call) {
            return checked;
        }
        // `size(x)` and `x.size()` are the same.
        let args: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        if let Some(letters) = letters(name) {
            return self.text_function(id, name, &args, |term| Term::Letters(letters, Box::new(term)));
        }
        if let Some(test) = text_test(name) {
            return self.text_test(id, name, test, &args);
        }
        if let Some(part) = part(name) {
            return self.part(id, name, part, &args);
        }
        match name {
            "size" => self.size(id, &args),
            "matches" => self.matches(id, &args),
            "int" => self.convert(id, name, Convert::Int, &args),
            "double" => self.convert(id, name, Convert::Double, &args),
            "string" => self.convert(id, name, Convert::String, &args),
            "timestamp" => self.convert(id, name, Convert::Timestamp, &args),
            "duration" => self.convert(id, name, Convert::Duration, &args),
            "now" => self.fail(id, "`now` is not a function; leave out the brackets"),
            "exists" | "all" => self.fail(id, format!("write `list.{name}(x, condition on x)`")),
            "has" => self.fail(id, "`has` takes one attribute, as in `has(customer.email)`"),
            "exists_one" | "existsOne" | "map" | "filter" => {
                self.fail(id, format!("`{name}` is not part of the language; `exists` and `all` are"))
            }
            _ => self.fail(id, unknown(&format!("there is no function `{name}`"), name, &FUNCTIONS)),
        }
    }

    /// The arguments, if there are as many as there have to be.
    pub(super) fn exactly<'e, const N: usize>(
        &mut self,
        id: u64,
        name: &str,
        args: &[&'e IdedExpr],
    ) -> Option<[&'e IdedExpr; N]> {
        let exact = args.try_into().ok();
        if exact.is_none() {
            self.fail(id, format!("`{name}` works on {N} value(s), but {} are given", args.len()));
        }
        exact
    }

    fn poison() -> Checked {
        Checked::term(Term::Const(crate::Value::Null), Type::Dynamic)
    }

    /// An argument that has to be text.
    fn text(&mut self, name: &str, arg: &IdedExpr) -> Option<Term> {
        let checked = self.check(arg);
        if !matches!(checked.of, Type::String | Type::Dynamic) {
            self.fail(arg.id, format!("`{name}` works on a string, but this is {}", checked.of));
            return None;
        }
        Some(self.as_still_term(arg.id, checked))
    }

    fn text_function(&mut self, id: u64, name: &str, args: &[&IdedExpr], make: impl Fn(Term) -> Term) -> Checked {
        let Some([arg]) = self.exactly(id, name, args) else { return Self::poison() };
        let Some(term) = self.text(name, arg) else { return Self::poison() };
        if is_constant(&term) {
            return self.fold(id, make(term), Type::String);
        }
        Checked::term(make(term), Type::String)
    }

    fn text_test(&mut self, id: u64, name: &str, test: TextTest, args: &[&IdedExpr]) -> Checked {
        let Some([text, part]) = self.exactly(id, name, args) else { return Self::poison() };
        match (self.text(name, text), self.text(name, part)) {
            (Some(text), Some(part)) => Checked::test(Test::Text(test, Box::new([text, part]))),
            _ => Self::poison(),
        }
    }

    fn matches(&mut self, id: u64, args: &[&IdedExpr]) -> Checked {
        let Some([text, pattern]) = self.exactly(id, "matches", args) else { return Self::poison() };
        let term = self.text("matches", text);
        let Some(written) = constant_text(pattern) else {
            return self.fail(pattern.id, "the pattern has to be written in quotes: it cannot be computed");
        };
        match (self.pattern(written), term) {
            (Ok(regex), Some(term)) => Checked::test(Test::Matches(Box::new(term), regex)),
            (Ok(_), None) => Self::poison(),
            (Err(why), _) => self.fail(pattern.id, why),
        }
    }

    fn pattern(&mut self, written: &str) -> Result<Regex, String> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(format!("this is more than {MAX_PATTERNS} patterns; combine them, or split the rule"));
        }
        if written.len() > MAX_PATTERN {
            return Err(format!("this pattern has {} bytes; at most {MAX_PATTERN} are allowed", written.len()));
        }
        let mut builder = RegexBuilder::new(written);
        builder.size_limit(MAX_PATTERN_MEMORY).dfa_size_limit(MAX_PATTERN_MEMORY).nest_limit(32);
        builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "this pattern is too costly; repeat less in it".to_owned(),
            other => {
                let reason = other.to_string();
                let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                format!("this is not a regular expression: {last}")
            }
        })
    }

    fn part(&mut self, id: u64, name: &str, part: Part, args: &[&IdedExpr]) -> Checked {
        if args.len() == 2 {
            return self.fail(id, format!("`{name}` takes no time zone; instants are read in UTC"));
        }
        let Some([arg]) = self.exactly(id, name, args) else { return Self::poison() };
        let checked = self.check(arg);
        if !matches!(checked.of, Type::Timestamp | Type::Dynamic) {
            return self.fail(id, format!("`{name}` works on a timestamp, but this is {}", checked.of));
        }
        if checked.moving && matches!(part, Part::Seconds | Part::Milliseconds) {
            return self.fail(id, format!("`{name}` of `now` would change all the time; minutes are the finest"));
        }
        let term = self.as_term(arg.id, checked);
        Checked::term(Term::Part(part, Box::new(term)), Type::Int)
    }

    fn size(&mut self, id: u64, args: &[&IdedExpr]) -> Checked {
        let Some([arg]) = self.exactly(id, "size", args) else { return Self::poison() };
        let checked = self.check(arg);
        if let Node::List(items) = &checked.node {
            let size = items.len() as i64;
            return Checked::term(Term::Const(crate::Value::Int(size)), Type::Int);
        }
        if !matches!(checked.of, Type::String | Type::List(_) | Type::Map | Type::Dynamic) {
            return self.fail(id, format!("`size` works on a string, list or map, but this is {}", checked.of));
        }
        let term = self.as_still_term(arg.id, checked);
        Checked::term(Term::Size(Box::new(term)), Type::Int)
    }

    fn convert(&mut self, id: u64, name: &str, convert: Convert, args: &[&IdedExpr]) -> Checked {
        let Some([arg]) = self.exactly(id, name, args) else { return Self::poison() };
        let checked = self.check(arg);
        let from = |allowed: &[Type]| checked.of == Type::Dynamic || allowed.contains(&checked.of);
        let (of, fits) = match convert {
            Convert::Int => (Type::Int, from(&[Type::Int, Type::Double, Type::String, Type::Timestamp])),
            Convert::Double => (Type::Double, from(&[Type::Int, Type::Double, Type::String])),
            Convert::String => (Type::String, !matches!(checked.of, Type::List(_) | Type::Map | Type::Null)),
            Convert::Timestamp => (Type::Timestamp, from(&[Type::Timestamp, Type::String, Type::Int])),
            Convert::Duration => (Type::Duration, from(&[Type::Duration, Type::String])),
        };
        if !fits {
            return self.fail(id, format!("this is {}; it cannot become {of}", checked.of));
        }
        let moving = checked.moving;
        if moving && checked.of == of {
            return checked;
        }
        let term = self.as_still_term(arg.id, checked);
        if !is_constant(&term) {
            return Checked::term(Term::Convert(convert, Box::new(term)), of);
        }
        let value = convert.of(term.value(crate::eval::Env::new(&crate::NoFacts, terms::Timestamp::EPOCH)));
        if value.is_null() {
            return self.fail(
                arg.id,
                match convert {
                    Convert::Timestamp => "this is not an instant; write it as in \"2026-01-31T12:00:00Z\"",
                    Convert::Duration => "this is not a duration; write it as in \"720h\", \"30d\" or \"1h30m\"",
                    _ => "this is not a number",
                },
            );
        }
        self.fold(id, Term::Convert(convert, Box::new(term)), of)
    }
}

fn letters(name: &str) -> Option<Letters> {
    Some(match name {
        "lowerAscii" => Letters::LowerAscii,
        "upperAscii" => Letters::UpperAscii,
        "lower" => Letters::Lower,
        "upper" => Letters::Upper,
        "trim" => Letters::Trim,
        _ => return None,
    })
}

fn text_test(name: &str) -> Option<TextTest> {
    Some(match name {
        "startsWith" => TextTest::StartsWith,
        "endsWith" => TextTest::EndsWith,
        "contains" => TextTest::Contains,
        _ => return None,
    })
}

fn part(name: &str) -> Option<Part> {
    Some(match name {
        "getFullYear" => Part::FullYear,
        "getMonth" => Part::Month,
        "getDate" => Part::Date,
        "getDayOfMonth" => Part::DayOfMonth,
        "getDayOfWeek" => Part::DayOfWeek,
        "getDayOfYear" => Part::DayOfYear,
        "getHours" => Part::Hours,
        "getMinutes" => Part::Minutes,
        "getSeconds" => Part::Seconds,
        "getMilliseconds" => Part::Milliseconds,
        _ => return None,
    })
}
