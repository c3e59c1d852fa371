//! What rules mean.

use std::time::Duration;

use rules::{Event, FactSheet, Reference, Rule, Schema, Type, Value, Vocabulary};
use terms::Timestamp;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HOUR: i64 = 3_600;

fn before(hours: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 - hours * HOUR)
}

fn schema() -> Schema {
    Schema::eligibility()
        .declare("customer.country", Type::String)
        .declare("customer.age", Type::Int)
        .declare("customer.score", Type::Double)
        .declare("customer.subscribed", Type::Bool)
        .declare("customer.signup", Type::Timestamp)
        .declare("customer.tags", Type::list(Type::String))
        .declare("customer.address", Type::Map)
}

fn facts() -> FactSheet {
    let mut facts = FactSheet::new()
        .with("customer.country", "NO")
        .with("customer.age", 42.0)
        .with("customer.score", 7)
        .with("customer.subscribed", true)
        .with("customer.signup", "2026-01-31T12:00:00Z")
        .with("customer.tags", vec!["vip", "beta"])
        .with("customer.address.city", "Oslo")
        .with("customer.odd name", "x")
        .with("customer.numbers", vec![1.0, 2.5])
        .with("customer.nothing", Value::Null)
        .with("customer.wide", 1e300)
        .with("context.page", "checkout");
    facts
        .tell("diet.style", "vegan", None)
        .tell("alcohol", false, Some(before(-1)))
        .tell("expired", true, Some(NOW))
        .tell("family", Value::from_iter([("children", Value::Int(2))]), None)
        .join("big-spenders")
        .record(Event::new("purchase", before(1)).with("value", 100.0).with("channel", "web"))
        .record(Event::new("purchase.online", before(48)).with("value", 50.0).with("properties.items", 3.0))
        .record(Event::new("purchase", before(-1)).with("value", 1.0))
        .record(Event::new("login", before(24)));
    facts
}

fn compile(source: &str) -> Rule {
    Rule::compile(source, &schema()).unwrap_or_else(|errors| panic!("{source}: {}", errors[0]))
}

fn check(cases: &[(&str, bool)]) {
    let facts = facts();
    for (source, expected) in cases {
        let rule = compile(source);
        assert_eq!(rule.eval(&facts, NOW), *expected, "{source}");
        assert_eq!(rule.evaluate(&facts, NOW).holds, *expected, "{source}, with its due time");
    }
}

#[test]
fn attributes_and_operators() {
    check(&[
        ("customer.country == \"NO\"", true),
        ("customer.country != 'NO'", false),
        ("customer.country < \"P\"", true),
        ("\"P\" > customer.country", true),
        ("customer.age >= 42 && customer.age < 42.5", true),
        ("customer.age == 42", true),
        ("customer.score == 7.0", true),
        ("customer.score / 2 == 3.5", true),
        ("customer.age / 5 == 8 && customer.age % 5 == 2", true),
        ("customer.age * 2 - 4 == 80", true),
        ("-customer.age == -42", true),
        ("customer.subscribed", true),
        ("!customer.subscribed", false),
        ("customer.subscribed == true", true),
        ("customer.address.city == \"Oslo\"", true),
        ("customer.address[\"city\"] == \"Oslo\"", true),
        ("customer[\"odd name\"] == \"x\"", true),
        ("customer.tags[1] == \"beta\"", true),
        ("customer.tags[customer.age - 42] == \"vip\"", true),
        ("customer.tags[9] == \"beta\"", false),
        ("context.page == \"checkout\"", true),
        ("customer.age > 40 ? customer.country == \"NO\" : false", true),
        ("(customer.age > 40 ? customer.country : \"x\") == \"NO\"", true),
        ("customer.country + \"-\" + context.page == \"NO-checkout\"", true),
        ("true || customer.subscribed && false", true),
        ("// a comment\ntrue", true),
        ("customer.signup < timestamp(\"2026-02-01T00:00:00Z\")", true),
        ("customer.signup.getFullYear() == 2026 && customer.signup.getMonth() == 0", true),
        ("customer.signup.getDate() == 31 && customer.signup.getDayOfMonth() == 30", true),
        ("customer.signup.getDayOfWeek() == 6 && customer.signup.getDayOfYear() == 30", true),
        ("customer.signup.getHours() == 12 && customer.signup.getMinutes() == 0", true),
        ("customer.signup - duration(\"12h\") == timestamp(\"2026-01-31T00:00:00Z\")", true),
    ]);
}

#[test]
fn lists_and_text() {
    check(&[
        ("customer.country in [\"SE\", \"NO\"]", true),
        ("customer.country in [\"SE\"]", false),
        ("customer.age in [41, 42.0]", true),
        ("customer.score in [1, 7]", true),
        ("\"vip\" in customer.tags", true),
        ("customer.country in [customer.address.city, \"NO\"]", true),
        ("2.5 in customer.numbers && 1 in customer.numbers", true),
        ("\"city\" in customer.address", true),
        ("\"street\" in customer.address", false),
        ("\"country\" in customer && !(\"email\" in customer)", true),
        ("customer.tags.exists(t, t.startsWith(\"v\"))", true),
        ("customer.tags.all(t, size(t) > 3)", false),
        ("customer.numbers.exists(n, n > 2)", true),
        ("customer.address.exists(k, k == \"city\")", true),
        ("[customer.age, 5].exists(n, n == 42)", true),
        ("[\"NO\", \"SE\"].exists(c, c == customer.country)", true),
        ("size(customer.tags) == 2 && customer.tags.size() == 2", true),
        ("size(\"æøå\") == 3", true),
        ("customer.tags == [\"vip\", \"beta\"]", true),
        ("customer.country.startsWith(\"N\") && customer.country.endsWith(\"O\")", true),
        ("customer.address.city.contains(\"sl\")", true),
        ("customer.address.city.matches(\"^O.*o$\")", true),
        ("customer.address.city.lowerAscii() == \"oslo\"", true),
        ("lower(\"ÆØÅ\") == \"æøå\" && upper(\"å\") == \"Å\" && trim(\" a \") == \"a\"", true),
        ("int(\"7\") == 7 && double(\"7.5\") == 7.5 && string(7) == \"7\" && int(7.9) == 7", true),
    ]);
}

#[test]
fn statements_and_segments() {
    check(&[
        ("statements[\"diet.style\"] == \"vegan\"", true),
        ("statements.diet.style == \"vegan\"", true),
        ("has(statements.diet.style)", true),
        ("\"diet.style\" in statements", true),
        ("\"alcohol\" in statements", true),
        ("statements.alcohol", false),
        ("\"expired\" in statements", false),
        ("has(statements.expired)", false),
        ("statements.expired == true", false),
        ("statements[\"family\"].children == 2", true),
        ("has(statements[\"family\"].pets)", false),
        ("\"big-spenders\" in segments", true),
        ("segments[\"big-spenders\"]", true),
        ("\"others\" in segments", false),
        ("segments.others", false),
    ]);
}

#[test]
fn events() {
    check(&[
        ("count(\"purchase\") == 2", true),
        ("count(\"purchase\", duration(\"24h\")) == 1", true),
        ("count(\"purchase\", duration(\"48h\")) == 1", true),
        ("count(\"purchase\", duration(\"48h1s\")) == 2", true),
        ("2 <= count(\"purchase\")", true),
        ("count(\"purchase.online\") == 1", true),
        ("count(\"nothing\") == 0", true),
        ("sum(\"purchase\", \"value\") == 150", true),
        ("sum(\"purchase\", \"value\", duration(\"24h\")) > 99.5", true),
        ("sum(\"purchase\", \"properties.items\") == 3", true),
        ("sum(\"nothing\", \"value\") == 0", true),
        ("count(\"purchase\", event.channel == \"web\") == 1", true),
        ("count(\"purchase\", duration(\"72h\"), event.value > 10 && customer.age > 40) == 2", true),
        ("sum(\"purchase\", \"value\", event.properties.items > 2) == 50", true),
        ("count(\"purchase\", event.occurred_at < timestamp(\"2001-01-01T00:00:00Z\")) == 0", true),
        ("did(\"login\") && !did(\"logout\")", true),
        ("did(\"login\", duration(\"24h\"))", false),
        ("last(\"login\") < now - duration(\"23h\")", true),
        ("now - last(\"login\") == duration(\"24h\")", true),
        ("last(\"logout\") == null", true),
        ("last(\"logout\") < now", false),
        ("first(\"purchase\") < last(\"purchase\")", true),
        ("count(\"purchase\") + count(\"login\") == 3", true),
        ("customer.signup < now ? did(\"login\") : false", true),
    ]);
}

#[test]
fn what_is_missing() {
    check(&[
        // 1
        ("customer.email == \"a\"", false),
        ("customer.email < \"a\" || customer.email >= \"a\"", false),
        ("customer.email in [\"a\"]", false),
        ("\"a\" in customer.email", false),
        ("customer.email.startsWith(\"\")", false),
        ("customer.email == customer.email", false),
        ("customer.nothing == customer.nothing", false),
        // 2
        ("customer.email != \"a\"", true),
        ("!(customer.email == \"a\")", true),
        ("has(customer.email) && customer.email != \"a\"", false),
        // 3
        ("customer.email == null && null == customer.nothing", true),
        ("customer.country != null", true),
        ("has(customer.nothing)", false),
        // 4
        ("customer.unknown", false),
        ("!customer.unknown", true),
        ("customer.unknown ? true : false", false),
        // 5
        ("customer.unknown + 1 == 1", false),
        ("size(customer.unknown) == 0", false),
        ("customer.unknown.exists(x, true)", false),
        ("customer.unknown.all(x, false)", true),
        // What does not work out.
        ("1 / (customer.age - 42) == 0", false),
        ("1.0 / (customer.score - 7) > 0", false),
        ("customer.wide * customer.wide > 0", false),
        ("9223372036854775807 + customer.age > 0", false),
        ("customer.page.x.y == 1", false),
        ("int(customer.address.city) == 0", false),
        ("timestamp(customer.address.city) < now", false),
        ("context.page > 5", false),
        ("context.page != 5", true),
    ]);
}

#[test]
fn a_value_of_another_type_than_declared_is_missing() {
    let facts = FactSheet::new()
        .with("customer.country", 47.0)
        .with("customer.age", 42.5)
        .with("customer.subscribed", "yes")
        .with("customer.signup", "yesterday")
        .with("customer.tags", "vip");
    for name in ["country", "age", "subscribed", "signup", "tags"] {
        let rule = compile(&format!("has(customer.{name})"));
        assert!(!rule.eval(&facts, NOW), "{name}");
    }
}

#[test]
fn list_filters() {
    let schema = Schema::new()
        .declare("state", Type::String)
        .declare("confidence", Type::Double)
        .declare("create_time", Type::Timestamp)
        .open("properties");
    let rule = Rule::compile(
        "state == \"OPEN\" && confidence >= 0.5 && create_time > timestamp(\"2026-01-01T00:00:00Z\") \
         && properties.a.b == 1",
        &schema,
    )
    .unwrap();
    let mut item = FactSheet::new().with("state", "OPEN").with("confidence", 0.5).with("properties.a.b", 1.0);
    assert!(!rule.eval(&item, NOW));
    item.set("create_time", Timestamp::from_seconds(1_790_000_000));
    assert!(rule.eval(&item, NOW));
    assert_eq!(rule.next_due(&item, NOW), None);
}

#[test]
fn filters_over_one_event() {
    let rule = Rule::compile("event.channel == \"web\" && event.properties.items > 2", &Schema::event()).unwrap();
    let event = Event::new("purchase", NOW).with("channel", "web").with("properties.items", 3.0);
    assert!(rule.matches_event(&event));
    assert!(!rule.matches_event(&event.with("channel", "shop")));
    let fields: Vec<&str> = rule.references().event_fields.iter().map(String::as_str).collect();
    assert_eq!(fields, ["channel", "properties.items"]);
}

#[test]
fn references_are_complete() {
    let rule = compile(
        "customer.country == \"NO\" && context.page == \"x\" && statements.diet.style == \"vegan\" \
         && \"a\" in segments && (segments.b || count(\"purchase\", duration(\"24h\"), event.channel == \"web\") > 1) \
         && sum(\"purchase\", \"value\", duration(\"48h\")) > 5 && count(\"login\") > 0 \
         && did(\"quote\", duration(\"72h\")).then_not(\"order\", duration(\"1h\"))",
    );
    let references = rule.references();
    let texts = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
    assert_eq!(texts(&references.attributes), ["context.page", "customer.country"]);
    assert_eq!(references.of_root("context").collect::<Vec<_>>(), ["page"]);
    assert_eq!(texts(&references.topics), ["diet.style"]);
    assert_eq!(texts(&references.segments), ["a", "b"]);
    assert!(references.clock);
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3_600));
    assert_eq!(references.events["purchase"].window, hours(48));
    assert_eq!(texts(&references.events["purchase"].fields), ["channel", "value"]);
    assert_eq!(references.events["login"].window, None);
    assert_eq!(references.events["quote"].window, hours(72));
    assert_eq!(references.events["order"].window, hours(72));
    assert!(!compile("customer.country == \"NO\"").references().clock);
}

#[test]
fn an_unbounded_use_wins() {
    for source in [
        "count(\"x\") > 0 && count(\"x\", duration(\"1h\")) > 0",
        "count(\"x\", duration(\"1h\")) > 0 && count(\"x\") > 0",
    ] {
        assert_eq!(compile(source).references().events["x"].window, None);
    }
}

#[test]
fn names_get_slots() {
    let mut seen = Vec::new();
    let rule = compile(
        "customer.country == \"NO\" && \"a\" in segments && statements.b == 1 \
         && sum(\"e\", \"value\", event.channel == \"c\") > 0",
    )
    .bind(|reference| {
        seen.push(match reference {
            Reference::Attribute(path) => format!("attribute {}", path.as_str()),
            Reference::Field(path) => format!("field {}", path.as_str()),
            Reference::Topic(name) => format!("topic {}", name.as_str()),
            Reference::Segment(name) => format!("segment {}", name.as_str()),
            Reference::Event(name) => format!("event {}", name.as_str()),
        });
        Some(seen.len() as u32)
    });
    let expected = ["attribute customer.country", "segment a", "topic b", "event e", "field channel", "field value"];
    assert_eq!(seen, expected);
    assert!(!rule.eval(&facts(), NOW));
}

#[test]
fn closed_vocabularies_cover_what_lies_below() {
    let schema = Schema::segmentation().events(Vocabulary::closed(["purchase", "page.view"]));
    for source in ["did(\"purchase\")", "did(\"purchase.online\")", "did(\"page\")"] {
        assert!(Rule::compile(source, &schema).is_ok(), "{source}");
    }
    assert!(Rule::compile("did(\"purchases\")", &schema).is_err());
}

#[test]
fn rules_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + std::fmt::Debug>(_: &T) {}
    let rule = compile("true");
    shared(&rule);
    assert_eq!(rule.source(), "true");
    assert_eq!(format!("{rule:?}"), "Rule(\"true\")");
}
