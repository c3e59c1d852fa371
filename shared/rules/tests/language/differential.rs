//! The compiled program against the interpreter of the `cel` crate.

use std::collections::HashMap;

use cel::{Context, Program, objects::Value as CelValue};
use proptest::{prelude::*, test_runner::TestRunner};
use rules::{FactSheet, Outcome, Rule, Schema, Value};
use terms::Timestamp;

/// The attributes: name, and a value for each of a few sheets (null: missing).
fn attributes() -> impl Strategy<Value = HashMap<&'static str, Value>> {
    let ints = || prop_oneof![Just(Value::Null), (-3i64..4).prop_map(Value::Int), Just(Value::Int(i64::MAX))];
    let doubles = || prop_oneof![Just(Value::Null), (-4i32..5).prop_map(|n| Value::Double(f64::from(n) / 2.0))];
    let texts = || prop_oneof![Just(Value::Null), "[abA]{0,3}".prop_map(Value::from)];
    let bools = || prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::Bool)];
    let lists = || {
        prop_oneof![
            Just(Value::Null),
            prop::collection::vec(-3i64..4, 0..4).prop_map(Value::from),
            prop::collection::vec("[ab]{0,2}", 0..4).prop_map(Value::from),
        ]
    };
    (ints(), ints(), doubles(), texts(), texts(), bools(), lists()).prop_map(|(i, j, d, s, t, b, l)| {
        HashMap::from([("i", i), ("j", j), ("d", d), ("s", s), ("t", t), ("b", b), ("l", l)])
    })
}

fn int(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (-3i64..4).prop_map(|n| format!("({n})")),
        prop::sample::select(vec!["customer.i", "customer.j"]).prop_map(str::to_owned)
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let smaller = int(depth - 1);
    prop_oneof![
        3 => leaf,
        2 => (smaller.clone(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), smaller.clone())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (test(depth - 1), smaller.clone(), smaller).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        1 => text(depth - 1).prop_map(|t| format!("size({t})")),
        1 => Just("size(customer.l)".to_owned()),
    ]
    .boxed()
}

fn double(depth: u32) -> BoxedStrategy<String> {
    let leaf =
        prop_oneof![(-4i32..5).prop_map(|n| format!("({:?})", f64::from(n) / 2.0)), Just("customer.d".to_owned())];
    if depth == 0 {
        return leaf.boxed();
    }
    let smaller = double(depth - 1);
    prop_oneof![
        3 => leaf,
        1 => (smaller.clone(), prop::sample::select(vec!["+", "-", "*"]), smaller)
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
    ]
    .boxed()
}

fn text(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        "[abA]{0,2}".prop_map(|t| format!("\"{t}\"")),
        prop::sample::select(vec!["customer.s", "customer.t"]).prop_map(str::to_owned)
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let smaller = text(depth - 1);
    prop_oneof![3 => leaf, 1 => (smaller.clone(), smaller).prop_map(|(a, b)| format!("({a} + {b})"))].boxed()
}

fn test(depth: u32) -> BoxedStrategy<String> {
    let comparison = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let below = depth.saturating_sub(1);
    let compare = |values: BoxedStrategy<String>| {
        (values.clone(), comparison(), values).prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    };
    let leaf = prop_oneof![
        2 => compare(int(below)),
        1 => compare(double(below)),
        2 => compare(text(below)),
        1 => (int(below), comparison(), double(below)).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (text(below), prop::sample::select(vec!["startsWith", "endsWith", "contains"]), text(below))
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        1 => prop::sample::select(vec!["i", "j", "d", "s", "b", "l", "gone"])
            .prop_map(|n| format!("has(customer.{n})")),
        1 => prop::sample::select(vec!["i", "s", "gone"]).prop_map(|n| format!("(\"{n}\" in customer)")),
        1 => (int(below), prop::collection::vec(int(0), 0..4))
            .prop_map(|(a, l)| format!("({a} in [{}])", l.join(", "))),
        1 => (text(below), prop::collection::vec(text(0), 0..4))
            .prop_map(|(a, l)| format!("({a} in [{}])", l.join(", "))),
        1 => int(below).prop_map(|a| format!("({a} in customer.l)")),
        1 => Just("customer.b".to_owned()),
        1 => any::<bool>().prop_map(|b| b.to_string()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let smaller = test(below);
    prop_oneof![
        4 => leaf,
        3 => (smaller.clone(), smaller.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
        3 => (smaller.clone(), smaller.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
        2 => smaller.clone().prop_map(|a| format!("!{a}")),
        1 => (smaller.clone(), smaller.clone(), smaller.clone()).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        1 => (comparison(), int(0), smaller.clone())
            .prop_map(|(op, a, b)| format!("customer.l.exists(x, x {op} {a} || {b})"))
            .prop_filter("`exists` does not nest", |t| t.matches("(x,").count() == 1),
        1 => (comparison(), int(0), smaller.clone())
            .prop_map(|(op, a, b)| format!("customer.l.all(x, x {op} {a} && {b})"))
            .prop_filter("`all` does not nest", |t| t.matches("(x,").count() == 1),
        1 => smaller.prop_map(|a| format!("[1, 2, 3].exists(x, x == customer.i && {a})"))
            .prop_filter("`exists` does not nest", |t| t.matches("(x,").count() == 1),
    ]
    .boxed()
}

fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Int(value) => CelValue::Int(*value),
        Value::Double(value) => CelValue::Float(*value),
        Value::String(value) => CelValue::String(value.to_string().into()),
        Value::List(values) => CelValue::List(values.iter().map(to_cel).collect::<Vec<_>>().into()),
        other => panic!("not in the shared part: {other:?}"),
    }
}

/// Where the interpreter ends without an error, the outcome is the same; and logic has two values everywhere.
#[test]
fn agrees_with_the_interpreter() {
    let (mut agreed, mut cases) = (0, 0);
    let mut runner = TestRunner::new(ProptestConfig { cases: 4_000, failure_persistence: None, ..Default::default() });
    let counts = (&mut agreed, &mut cases);
    let counts = std::cell::RefCell::new(counts);
    let outcome = runner.run(&(test(3), attributes()), |(source, attributes)| {
        let expected = interpret(&source, &attributes);
        let mut counts = counts.borrow_mut();
        *counts.1 += 1;
        let Some(holds) = compiled(&source, &attributes)? else {
            // What is refused is constant and has no value: it may stand where the interpreter does not look.
            prop_assert!(source.contains(" / ") || source.contains(" % "), "refused: {}", source);
            return Ok(());
        };
        if let Ok(expected) = expected {
            *counts.0 += 1;
            prop_assert_eq!(holds, expected, "{} with {:?}", source, attributes);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(agreed * 2 > cases, "only {agreed} of {cases} have an outcome to compare with");
}

/// The outcome here; none if the rule is refused.
fn compiled(source: &str, attributes: &HashMap<&'static str, Value>) -> Result<Option<bool>, TestCaseError> {
    let schema = Schema::new().open("customer");
    let Ok(rule) = Rule::compile(source, &schema) else { return Ok(None) };
    let mut sheet = FactSheet::new();
    for (name, value) in attributes {
        sheet.set(&format!("customer.{name}"), value.clone());
    }
    let holds = rule.eval(&sheet, Timestamp(0));
    prop_assert_eq!(rule.evaluate(&sheet, Timestamp(0)), Outcome { holds, next_due: None });
    let opposite =
        Rule::compile(&format!("!({source})"), &schema).map_err(|e| TestCaseError::fail(e[0].to_string()))?;
    prop_assert_ne!(opposite.eval(&sheet, Timestamp(0)), holds);
    Ok(Some(holds))
}

fn interpret(source: &str, attributes: &HashMap<&'static str, Value>) -> Result<bool, String> {
    let map: HashMap<String, CelValue> = attributes
        .iter()
        .filter(|(_, value)| **value != Value::Null)
        .map(|(name, value)| ((*name).to_owned(), to_cel(value)))
        .collect();
    let mut context = Context::default();
    context.add_variable("customer", CelValue::from(map)).map_err(|error| error.to_string())?;
    match Program::compile(source).map_err(|error| error.to_string())?.execute(&context) {
        Ok(CelValue::Bool(value)) => Ok(value),
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    }
}
