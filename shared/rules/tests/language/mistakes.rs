//! What is refused, where, and with which advice.

use rules::{Rule, Schema, Type, Vocabulary, fault};
use terms::Reason;

fn schema() -> Schema {
    Schema::segmentation()
        .declare("customer.country", Type::String)
        .declare("customer.age", Type::Int)
        .declare("customer.signup", Type::Timestamp)
        .declare("customer.tags", Type::list(Type::String))
        .declare("known.name", Type::String)
        .segments(Vocabulary::closed(["big-spenders"]))
        .statements(Vocabulary::closed(["diet.style"]))
        .events(Vocabulary::closed(["purchase"]))
}

/// The rule, where the first mistake is, and a part of its message.
fn refused(cases: &[(&str, (u32, u32), &str)]) {
    for (source, place, part) in cases {
        let errors = match Rule::compile(source, &schema()) {
            Ok(_) => panic!("accepted: {source}"),
            Err(errors) => errors,
        };
        let error = &errors[0];
        assert!(error.message.contains(part), "{source}: {error}");
        assert_eq!((error.line, error.column), *place, "{source}: {error}");
    }
}

#[test]
fn types() {
    refused(&[
        ("customer.country == 5", (1, 18), "put the number in quotes"),
        ("true &&\n  customer.country == 5", (2, 20), "a string with a number"),
        ("\"æøå\" == customer.country && customer.age == \"5\"", (1, 43), "leave out the quotes"),
        ("customer.country", (1, 9), "has to be true or false, but it is a string"),
        ("count(\"purchase\")", (1, 6), "has to be true or false, but it is a number"),
        ("customer.country && true", (1, 9), "true or false"),
        ("customer.age + customer.country == 5", (1, 14), "cannot be combined by `+`"),
        ("customer.signup > \"2026\"", (1, 17), "timestamp("),
        ("customer.tags == \"vip\"", (1, 15), "use `in`"),
        ("customer.age in customer.tags", (1, 14), "never there"),
        ("customer.age in \"abc\"", (1, 17), "after `in` has to come a list"),
        ("customer.country.getMonth() == 1", (1, 26), "works on a timestamp"),
        ("customer.country.city == \"x\"", (1, 17), "is a string"),
        ("(customer.age > 5) > true", (1, 20), "has no order"),
        ("customer.age.startsWith(\"a\")", (1, 9), "works on a string"),
        ("-customer.country == 1", (1, 1), "only numbers"),
        ("(true ? customer.age : customer.country) == 1", (1, 7), "one type"),
        ("customer.tags[\"x\"] == \"a\"", (1, 14), "is a list"),
        ("[1, 2]", (1, 1), "true or false"),
        ("size(5) == 1", (1, 5), "works on a string, list or map"),
        ("1 / 0 == 1", (1, 3), "no value"),
        ("{\"a\": 1} == {}", (1, 1), "maps cannot be written"),
        ("b\"abc\" == customer.country", (1, 1), "bytes"),
    ]);
}

#[test]
fn names() {
    refused(&[
        ("costumer.age > 5", (1, 9), "did you mean `customer`"),
        ("known.nam == \"x\"", (1, 6), "did you mean `name`"),
        ("known == \"x\"", (1, 1), "group of attributes"),
        ("customer == 5", (1, 1), "group of attributes"),
        ("\"big-spender\" in segments", (1, 1), "did you mean `big-spenders`"),
        ("segments[\"x\"]", (1, 9), "there is no segment `x`"),
        ("customer.country in segments", (1, 9), "in quotes"),
        ("segments == 5", (1, 1), "ask for one segment"),
        ("statements.diet == 1", (1, 11), "there is no topic `diet`"),
        ("statements == 5", (1, 1), "name a topic"),
        ("statements[customer.country] == 1", (1, 20), "in quotes"),
        ("did(\"purchas\")", (1, 5), "did you mean `purchase`"),
        ("event.channel == \"web\"", (1, 6), "only in the filter"),
        ("context.page == 1", (1, 8), "there is no `context`"),
        ("customer.country.startWith(\"a\")", (1, 27), "did you mean `startsWith`"),
        ("foo(1)", (1, 4), "there is no function `foo`"),
        ("now() > customer.signup", (1, 4), "leave out the brackets"),
        ("size() == 1", (1, 5), "1 value(s), but 0"),
        ("customer.tags.map(t, t) == []", (1, 18), "only `exists` and `all`"),
        ("customer.tags.exists(t, customer.tags.exists(u, u == t))", (1, 45), "cannot be nested"),
    ]);
}

#[test]
fn events_and_time() {
    refused(&[
        ("count() > 1", (1, 6), "name the type of event"),
        ("count(customer.country) > 1", (1, 15), "in quotes"),
        ("count(\"purchase\", \"30d\") > 1", (1, 19), "true or false"),
        ("count(\"purchase\", duration(\"x\")) > 1", (1, 28), "not a duration"),
        ("count(\"purchase\", duration(\"-1h\")) > 1", (1, 27), "longer than nothing"),
        ("count(\"purchase\", duration(\"1h\"), duration(\"2h\")) > 1", (1, 27), "one window"),
        ("count(\"purchase\", timestamp(\"2026-01-01T00:00:00Z\")) > 1", (1, 28), "both ends"),
        (
            "count(\"purchase\", timestamp(\"2026-01-02T00:00:00Z\"), timestamp(\"2026-01-01T00:00:00Z\")) > 1",
            (1, 63),
            "before the beginning",
        ),
        ("count(\"purchase\", now - duration(\"1h\"), now) > 1", (1, 19), "a filter cannot use `now`"),
        ("count(\"purchase\", customer.signup, customer.signup) > 1", (1, 27), "has to be constant"),
        ("count(\"purchase\", event.channel == 5) > 1", (1, 33), "a string with a number"),
        ("count(\"purchase\", event.chanel == \"web\") > 1", (1, 24), "did you mean `channel`"),
        ("count(\"purchase\", did(\"purchase\")) > 1", (1, 22), "cannot be used in the filter"),
        ("count(\"purchase\", \"diet.style\" in statements) > 1", (1, 19), "cannot use `statements`"),
        ("count(\"purchase\", true, false) > 1", (1, 25), "join the two"),
        ("sum(\"purchase\") > 1", (1, 4), "name what is summed"),
        ("sum(\"purchase\", \"amount\") > 1", (1, 17), "`properties.…`"),
        ("sum(\"purchase\", \"channel\") > 1", (1, 17), "only numbers"),
        ("sum(\"purchase\", duration(\"1h\")) > 1", (1, 25), "in quotes"),
        ("customer.tags.exists(t, did(\"purchase\"))", (1, 28), "move it out"),
        ("did(\"purchase\").then_not(\"purchase\")", (1, 25), "within which time"),
        ("did(\"purchase\").then(\"purchase\", duration(\"1h\"))", (1, 21), "not served yet"),
        ("customer.country.then_not(\"purchase\", duration(\"1h\"))", (1, 26), "goes with `did`"),
        ("string(now) == \"x\"", (1, 8), "only be compared"),
        ("now.getSeconds() == 1", (1, 15), "change all the time"),
        ("now in [now]", (1, 1), "only be compared"),
        ("timestamp(\"yesterday\") < now", (1, 11), "not an instant"),
    ]);
}

#[test]
fn syntax() {
    refused(&[
        ("", (1, 1), "empty"),
        ("  \n ", (1, 1), "empty"),
        ("customer.age >", (1, 15), "something is still missing"),
        ("customer.age > 5 customer", (1, 18), "join conditions"),
        ("(true", (1, 6), "')' is missing at the end"),
        ("true)", (1, 5), "`)` is not expected"),
        ("customer.age = 5", (1, 14), "write `==`"),
        ("true & false", (1, 6), "write `&&`"),
        ("true and\nfalse", (1, 6), "`and` is not expected"),
        ("customer.country == \"NO", (1, 21), "not closed"),
        ("customer.country == \"\\q\"", (1, 22), "escape"),
        ("customer.`x` == 1", (1, 10), "backquotes"),
        ("customer.é == 1", (1, 10), "cannot be part of a name"),
        ("customer.age == 99999999999999999999", (1, 17), "invalid int literal"),
        ("has(customer)", (1, 5), "has"),
        ("customer.country.matches(\"(\")", (1, 26), "not a regular expression"),
        ("customer.country.matches(\"(a{1000}){1000}\")", (1, 26), "too costly"),
        ("customer.country.matches(customer.country)", (1, 34), "in quotes"),
        ("let == 1", (1, 1), "reserved"),
    ]);
}

#[test]
fn every_mistake_is_told_once_and_in_order() {
    let source = "customer.country == 5 &&\ncostumer.x == 1 && foo() &&\n\"y\" in segments";
    let errors = Rule::compile(source, &schema()).unwrap_err();
    let places: Vec<_> = errors.iter().map(|error| (error.line, error.column)).collect();
    assert_eq!(places, [(1, 18), (2, 9), (2, 23), (3, 1)]);
    let fault = fault("definition", &errors);
    assert_eq!(fault.reason(), Reason::RuleInvalid);
    assert_eq!(fault.violations().len(), 4);
}
