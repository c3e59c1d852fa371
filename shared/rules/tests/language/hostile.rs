//! Any text at all: no panic, no overflow, no long wait.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rules::{Event, FactSheet, Rule, Schema};
use terms::Timestamp;

/// Far above what any text takes, far below what a runaway takes.
const LIMIT: Duration = Duration::from_secs(5);

/// Compiles, and evaluates if it compiles, on a stack as small as that of a server's thread.
fn survives(source: String) {
    let shown: String = source.chars().take(60).collect();
    let work = move || {
        let begin = Instant::now();
        if let Ok(rule) = Rule::compile(&source, &Schema::eligibility()) {
            let mut facts = FactSheet::new().with("customer.a", 1.0).with("customer.l", vec![1.0; 1_000]);
            facts.record(Event::new("a", Timestamp(5)));
            rule.evaluate(&facts, Timestamp(10));
        }
        begin.elapsed()
    };
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work).unwrap();
    let elapsed = thread.join().unwrap_or_else(|_| panic!("panics: {shown}"));
    assert!(elapsed < LIMIT, "{elapsed:?}: {shown}");
}

#[test]
fn deep_long_and_wide() {
    let pieces = [
        ("", "(", "1", ")"),
        ("", "[", "1", "]"),
        ("", "{1:", "1", "}"),
        ("", "f(", "1", ")"),
        ("", "has(", "a.b", ")"),
        ("", "!", "true", ""),
        ("", "-", "1", ""),
        ("", "- -", "1", ""),
        ("", "true ? true : ", "true", ""),
        ("", "(true ? true : ", "true", ")"),
        ("", "true && (true || ", "true", ")"),
        ("", "customer.l.exists(x, ", "true", ")"),
        ("", "customer.l.all(x, x > 0) && ", "true", ""),
        ("a", ".b", "", ""),
        ("a", "[0]", "", ""),
        ("a", ".f()", "", ""),
        ("customer.a", ".size()", "", ""),
        ("1", " + 1", " == 1", ""),
        ("1", " < 1", "", ""),
        ("1", " in [1]", "", ""),
        ("1 in [1", ", 1", "]", ""),
        ("customer.a in [1", ", 1.5", "]", ""),
        ("true", " && customer.a == 1", "", ""),
        ("true", " || customer.a == 1", "", ""),
        ("true", " && count(\"a\", duration(\"1h\")) > 1", "", ""),
        ("true", " && customer.a.matches(\"(a|b)*c\")", "", ""),
        ("\"", "(", "\" == \"\"", ""),
        ("1r\"\\\"", "(", "", "\""),
        ("'", "(", "", ""),
        ("\"\\q", "(", "\"", ""),
        ("//", "(", "", ""),
        ("\"\"\"", "\"(", "", ""),
        ("r'\\'", "(", "'", ""),
    ];
    for count in [1, 10, 31, 33, 100, 500, 999, 2_000, 5_000] {
        for (begin, repeated, middle, end) in pieces {
            survives(format!("{begin}{}{middle}{}", repeated.repeat(count), end.repeat(count)));
        }
    }
}

#[test]
fn huge_texts_are_refused_at_once() {
    let errors = Rule::compile(&"a".repeat(1 << 20), &Schema::new()).unwrap_err();
    assert!(errors[0].message.contains("16384"), "{}", errors[0]);
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "customer",
        "statements",
        "segments",
        "event",
        "now",
        "context",
        ".a",
        ".l",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "\"a\"",
        "'",
        "\"",
        "r\"",
        "\\",
        "1",
        "0",
        "1.5",
        "5u",
        "0x1",
        "null",
        "true",
        "false",
        "&&",
        "||",
        "!",
        "!=",
        "==",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "?",
        ":",
        ",",
        " in ",
        " ",
        "\n",
        "//",
        "has(",
        ".exists(x, ",
        ".all(x, ",
        "x",
        "size(",
        "count(\"a\"",
        "sum(",
        "last(",
        "did(\"a\")",
        ".then_not(\"b\", ",
        "duration(\"1h\")",
        "timestamp(\"2026-01-01T00:00:00Z\")",
        ".matches(\"",
        ".getMonth()",
        "b'",
        "`",
        "é",
        "\u{0}",
        "=",
        "&",
        "|",
        ".",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_text(source in ".*") {
        survives(source);
    }

    #[test]
    fn any_tokens(tokens in prop::collection::vec(token(), 0..40)) {
        survives(tokens.concat());
    }

    /// A rule that is right but for one change.
    #[test]
    fn nearly_a_rule(at in 0usize..220, cut in 0usize..6, put in token()) {
        let rule = "customer.a == 1 && count(\"a\", duration(\"1h\"), event.channel == \"web\") >= 2 && \
                    customer.l.exists(x, x > 0) && !(\"b\" in segments) && statements[\"c.d\"] != 'e' && \
                    now - last(\"a\") < duration(\"2h\") ? true : has(customer.z)";
        let mut source = rule.to_owned();
        let (from, to) = (at.min(rule.len()), (at + cut).min(rule.len()));
        source.replace_range(from..to, put);
        survives(source);
    }
}
