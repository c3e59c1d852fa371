//! When only the clock moves.

use proptest::prelude::*;
use rules::{Datum, Event, EventView, FactSheet, Facts, Name, Path, Rule, Schema, Told, Type, Value};
use terms::Timestamp;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn compile(source: &str) -> Rule {
    let schema = Schema::segmentation()
        .declare("customer.signup", Type::Timestamp)
        .declare("customer.dates", Type::list(Type::Timestamp));
    Rule::compile(source, &schema).unwrap_or_else(|errors| panic!("{source}: {}", errors[0]))
}

const DAY: i64 = 86_400;

/// Hard case 7: at least one in seven days, and none in seven days.
#[test]
fn exit_and_entry_at_the_right_second() {
    let (some, none) =
        (compile("count(\"x\", duration(\"168h\")) >= 1"), compile("count(\"x\", duration(\"168h\")) == 0"));
    let mut facts = FactSheet::new();
    assert_eq!(some.next_due(&facts, at(0)), None);
    facts.record(Event::new("x", at(100)));
    let due = at(100 + 7 * DAY);
    for rule in [&some, &none] {
        assert_eq!(rule.next_due(&facts, at(200)), Some(due));
        assert_eq!(rule.next_due(&facts, due), None);
    }
    let just_before = Timestamp(due.0 - 1);
    assert!(some.eval(&facts, just_before) && !none.eval(&facts, just_before));
    assert!(!some.eval(&facts, due) && none.eval(&facts, due));
    // A repeat keeps the customer in, until it leaves itself: there is nothing to do when the first one leaves.
    facts.record(Event::new("x", at(100 + DAY)));
    assert_eq!(some.next_due(&facts, at(200 + DAY)), Some(at(100 + 8 * DAY)));
}

/// Hard case 8: one to two events within two dates.
#[test]
fn between_two_dates() {
    let window = "timestamp(\"1970-01-02T00:00:00Z\"), timestamp(\"1970-01-03T00:00:00Z\")";
    let rule = compile(&format!("count(\"x\", {window}) >= 1 && count(\"x\", {window}) <= 2"));
    let mut facts = FactSheet::new();
    facts.record(Event::new("x", Timestamp(at(DAY).0 - 1))).record(Event::new("x", Timestamp(at(2 * DAY).0 + 1)));
    let now = at(9 * DAY);
    assert!(!rule.eval(&facts, now));
    facts.record(Event::new("x", at(DAY)));
    assert!(rule.eval(&facts, now));
    facts.record(Event::new("x", at(2 * DAY)));
    assert!(rule.eval(&facts, now));
    assert_eq!(rule.next_due(&facts, now), None);
    facts.record(Event::new("x", at(DAY + 5)));
    assert!(!rule.eval(&facts, now));
    // Before the third, the first two alone counted.
    assert!(rule.eval(&facts, at(DAY + 4)));
    assert_eq!(rule.next_due(&facts, at(DAY + 4)), Some(at(2 * DAY)));
}

#[test]
fn what_does_not_decide_does_not_wake() {
    let facts = {
        let mut facts = FactSheet::new().with("customer.country", "NO");
        facts.record(Event::new("x", at(10))).record(Event::new("x", at(20))).record(Event::new("x", at(30)));
        facts
    };
    let due = |source: &str| compile(source).next_due(&facts, at(40));
    assert_eq!(due("customer.country == \"SE\" && did(\"x\", duration(\"100s\"))"), None);
    assert_eq!(due("customer.country == \"NO\" || did(\"x\", duration(\"100s\"))"), None);
    assert_eq!(due("count(\"x\", duration(\"100s\")) >= 2"), Some(at(120)));
    assert_eq!(due("count(\"x\", duration(\"100s\")) > 5"), None);
    assert_eq!(due("count(\"x\", duration(\"100s\")) == 3"), Some(at(110)));
    assert_eq!(due("count(\"x\", duration(\"100s\")) != 1"), Some(at(120)));
    assert_eq!(due("count(\"x\") >= 1"), None);
}

#[test]
fn instants_and_statements() {
    let mut facts = FactSheet::new().with("customer.signup", at(1_000));
    facts.tell("promise", true, Some(at(2_000))).record(Event::new("login", at(500)));
    let due = |source: &str, now: i64| compile(source).next_due(&facts, at(now));
    assert_eq!(due("now > customer.signup", 10), Some(Timestamp(at(1_000).0 + 1)));
    assert_eq!(due("now >= customer.signup", 10), Some(at(1_000)));
    assert_eq!(due("now == customer.signup", 10), Some(at(1_000)));
    assert_eq!(due("now == customer.signup", 1_000), Some(Timestamp(at(1_000).0 + 1)));
    assert_eq!(due("now > customer.signup", 5_000), None);
    assert_eq!(due("now - customer.signup > duration(\"100s\")", 10), Some(Timestamp(at(1_100).0 + 1)));
    assert_eq!(due("customer.signup - now < duration(\"100s\")", 10), Some(Timestamp(at(900).0 + 1)));
    assert_eq!(due("last(\"login\") < now - duration(\"60s\")", 510), Some(Timestamp(at(560).0 + 1)));
    assert_eq!(due("now > customer.unknown", 10), None);
    assert_eq!(due("\"promise\" in statements", 10), Some(at(2_000)));
    assert_eq!(due("statements.promise == true", 2_000), None);
    assert_eq!(due("now.getHours() == 5", 10), Some(at(3_600)));
    assert_eq!(due("now.getMonth() == 5", 10), Some(at(DAY)));
    assert_eq!(due("did(\"login\")", 10), Some(at(500)));
}

#[test]
fn then_not() {
    let any = compile("did(\"quote\").then_not(\"order\", duration(\"10s\"))");
    let last = compile("did(\"quote\").last_then_not(\"order\", duration(\"10s\"))");
    let recent = compile("did(\"quote\", duration(\"100s\")).then_not(\"order\", duration(\"10s\"))");
    let mut facts = FactSheet::new();
    facts.record(Event::new("quote", at(0)));
    for rule in [&any, &last, &recent] {
        assert!(!rule.eval(&facts, at(9)));
        assert_eq!(rule.next_due(&facts, at(9)), Some(at(10)));
        assert!(rule.eval(&facts, at(10)));
    }
    assert_eq!(any.next_due(&facts, at(10)), None);
    assert_eq!(recent.next_due(&facts, at(10)), Some(at(100)));
    assert!(!recent.eval(&facts, at(100)));
    // A second quote that is answered: some quote was not, the last one was.
    facts.record(Event::new("quote", at(20))).record(Event::new("order", at(30)));
    assert!(any.eval(&facts, at(50)) && !last.eval(&facts, at(50)));
    // An answer that comes late, by its event time: the first quote was answered after all.
    facts.record(Event::new("order", at(5)));
    assert!(!any.eval(&facts, at(50)));
}

/// A term and a test that the clock may move, of any kind.
fn clocked() -> impl Strategy<Value = String> {
    let seconds = || (1i64..40).prop_map(|s| format!("duration(\"{s}s\")"));
    let stamp = || (0i64..60).prop_map(|s| format!("timestamp(\"1970-01-01T00:00:{s:02}Z\")"));
    let between = (0i64..60, 0i64..60).prop_map(|(a, b)| {
        let (a, b) = (a.min(b), a.max(b));
        format!(", timestamp(\"1970-01-01T00:00:{a:02}Z\"), timestamp(\"1970-01-01T00:00:{b:02}Z\")")
    });
    let window = prop_oneof![
        1 => Just(String::new()),
        4 => seconds().prop_map(|d| format!(", {d}")),
        1 => between,
    ];
    let filter = prop_oneof![3 => Just(""), 1 => Just(", event.channel == \"web\"")];
    let span = (window, filter).prop_map(|(window, filter)| format!("{window}{filter}")).boxed();
    let comparison = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let kind = || prop::sample::select(vec!["x", "y"]);
    let instant = prop_oneof![
        3 => Just("now".to_owned()),
        1 => Just("customer.signup".to_owned()),
        1 => Just("customer.unknown".to_owned()),
        1 => stamp(),
        1 => (kind(), span.clone()).prop_map(|(k, s)| format!("last(\"{k}\"{s})")),
        1 => (kind(), span.clone()).prop_map(|(k, s)| format!("first(\"{k}\"{s})")),
    ]
    .boxed();
    let instant = prop_oneof![
        2 => instant.clone(),
        1 => (instant.clone(), prop::sample::select(vec!["+", "-"]), seconds())
            .prop_map(|(a, op, d)| format!("({a} {op} {d})")),
        1 => (instant.clone(), instant.clone(), instant.clone()).prop_map(|(a, b, c)| format!("({a} + ({b} - {c}))")),
        1 => (stamp(), instant.clone()).prop_map(|(a, b)| format!("({a} - (now - {b}))")),
    ]
    .boxed();
    let leaf = prop_oneof![
        4 => (kind(), span.clone(), comparison(), 0i64..4)
            .prop_map(|(k, s, op, n)| format!("count(\"{k}\"{s}) {op} {n}")),
        1 => (kind(), span.clone(), comparison(), 0i64..4)
            .prop_map(|(k, s, op, n)| format!("{n} {op} count(\"{k}\"{s})")),
        1 => (kind(), span.clone(), comparison(), kind(), span.clone())
            .prop_map(|(k, s, op, l, t)| format!("count(\"{k}\"{s}) {op} count(\"{l}\"{t})")),
        2 => (kind(), span.clone(), comparison(), 0i64..8)
            .prop_map(|(k, s, op, n)| format!("sum(\"{k}\", \"value\"{s}) {op} {n}")),
        1 => (kind(), span.clone()).prop_map(|(k, s)| format!("did(\"{k}\"{s})")),
        4 => (instant.clone(), comparison(), instant.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (instant.clone(), instant.clone(), comparison(), seconds())
            .prop_map(|(a, b, op, d)| format!("{a} - {b} {op} {d}")),
        2 => (kind(), span.clone(), prop::sample::select(vec!["then_not", "last_then_not"]), kind(), seconds())
            .prop_map(|(k, s, f, l, d)| format!("did(\"{k}\"{s}).{f}(\"{l}\", {d})")),
        1 => (kind(), span).prop_map(|(k, s)| format!("last(\"{k}\"{s}) == null")),
        1 => prop::sample::select(vec!["\"a\" in statements", "statements.b == true", "statements.a", "customer.flag"])
            .prop_map(str::to_owned),
        1 => (instant.clone(), 0i64..4).prop_map(|(a, n)| format!("{a}.getMinutes() == {n}")),
        1 => (comparison(), instant).prop_map(|(op, a)| format!("customer.dates.exists(d, d {op} {a})"))
            .prop_filter("event functions stay out of lists", |t| !t.contains("first(") && !t.contains("last(")),
    ]
    .prop_map(|test| format!("({test})"));
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!{a}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} == {b})")),
        ]
    })
}

/// Times are whole seconds, at times with a microsecond more or less.
fn moment() -> impl Strategy<Value = Timestamp> {
    (0i64..80, -1i64..2).prop_map(|(seconds, off)| Timestamp(seconds * 1_000_000 + off))
}

fn facts() -> impl Strategy<Value = FactSheet> {
    let event = (prop::sample::select(vec!["x", "y", "x.z"]), moment(), any::<bool>(), 0i32..4).prop_map(
        |(kind, at, web, value)| {
            let event = Event::new(kind, at).with("channel", if web { "web" } else { "shop" });
            if value == 0 { event } else { event.with("value", f64::from(value)) }
        },
    );
    let end = || prop::option::of(moment());
    (
        prop::collection::vec(event, 0..8),
        prop::option::of(moment()),
        end(),
        end(),
        any::<bool>(),
        prop::collection::vec(moment(), 0..3),
    )
        .prop_map(|(events, signup, a, b, flag, dates)| {
            let mut sheet = FactSheet::new().with("customer.signup", signup).with("customer.flag", flag);
            sheet.set("customer.dates", dates.into_iter().map(Value::Timestamp).collect::<Vec<_>>());
            sheet.tell("a", true, a).tell("b", true, b);
            for event in events {
                sheet.record(event);
            }
            sheet
        })
}

/// Every instant at which anything could change within the times of these tests, and its neighbours.
fn grid(from: i64, to: i64) -> impl Iterator<Item = i64> {
    let to = to.min(from + 140_000_000);
    let seconds = (from.div_euclid(1_000_000)..=to.div_euclid(1_000_000))
        .flat_map(|second| [-3, -2, -1, 0, 1, 2, 3, 500_000].map(|off| second * 1_000_000 + off));
    seconds.chain([from + 1, to - 1]).filter(move |instant| (from..to).contains(instant))
}

/// The same facts by nothing but the methods that have to be written.
struct Plain<'a>(&'a FactSheet);

impl Facts for Plain<'_> {
    fn attribute(&self, path: &Path) -> Datum<'_> {
        self.0.attribute(path)
    }

    fn statement(&self, topic: &Name) -> Option<Told<'_>> {
        self.0.statement(topic)
    }

    fn visit_events(
        &self,
        of: &Name,
        after: Timestamp,
        until: Timestamp,
        visit: &mut dyn FnMut(&dyn EventView) -> bool,
    ) {
        self.0.visit_events(of, after, until, visit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nothing_changes_before_it_is_due(source in clocked(), facts in facts(), now in moment()) {
        let rule = compile(&source);
        let mut now = now;
        let mut steps = 0;
        // From due time to due time, until nothing is due any more.
        loop {
            let outcome = rule.evaluate(&facts, now);
            prop_assert_eq!(outcome.holds, rule.eval(&facts, now), "{} at {:?}", &source, now);
            prop_assert_eq!(outcome, rule.evaluate(&Plain(&facts), now), "{} without overrides", &source);
            let end = outcome.next_due.map_or(i64::MAX, |due| due.0);
            prop_assert!(end > now.0, "{} at {:?} is due at {:?}", &source, now, outcome.next_due);
            for instant in grid(now.0, end) {
                let there = rule.eval(&facts, Timestamp(instant));
                prop_assert_eq!(there, outcome.holds, "{} at {:?} changes at {}: {:?}", &source, now, instant, outcome);
            }
            let Some(due) = outcome.next_due.filter(|due| due.0 < 600_000_000) else { break };
            now = due;
            steps += 1;
            prop_assert!(steps < 400, "{} wakes all the time", &source);
        }
    }
}
