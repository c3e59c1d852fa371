//! The rule language: CEL over what is known of one customer. Segment definitions, the eligibility of treatments and
//! questions, filters of computed traits and of lists are written in it.
//!
//! ```
//! use rules::{Event, FactSheet, Rule, Schema, Type};
//! use terms::Timestamp;
//!
//! let schema = Schema::segmentation().declare("customer.country", Type::String);
//! let rule = Rule::compile(
//!     r#"customer.country == "NO" && count("purchase", duration("720h")) >= 2 && !("alcohol" in statements)"#,
//!     &schema,
//! )?;
//! let day = |n: i64| Timestamp::from_seconds(n * 86_400);
//! let mut facts = FactSheet::new().with("customer.country", "NO");
//! facts.record(Event::new("purchase", day(1))).record(Event::new("purchase.online", day(2)));
//! assert!(rule.eval(&facts, day(3)));
//! // The first purchase leaves its window exactly 30 days after it.
//! assert_eq!(rule.next_due(&facts, day(3)), Some(day(31)));
//! assert!(!rule.eval(&facts, day(31)));
//! # Ok::<(), Vec<rules::RuleError>>(())
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`Schema`] | what rules may speak of, with types; presets for each use |
//! | [`Rule`] | compile, evaluate, ask when the clock will change the outcome, ask what it depends on |
//! | [`Facts`], [`EventView`] | what evaluation reads; [`FactSheet`], [`Event`]: both in maps |
//! | [`Value`], [`Datum`] | values, owned and as read |
//! | [`References`] | attributes, topics, segments, event types with the longest window |
//! | [`RuleError`], [`fault`] | mistakes with line and column, as a fault |
//! | [`topological_order`] | in which order rules that use each other are computed |
//!
//! Inside: `parse` (text to syntax tree, bounded) → `check` (names, types, cost) → `program` → `eval` and
//! `operate` (one instant), `due` (until when the outcome stands).
//!
//! # The language
//!
//! [CEL](https://cel.dev), less what has no use here, with functions over events.
//!
//! | | |
//! |---|---|
//! | attributes | `customer.country`, `traits.orders`, `value.tier`, `needs.group`, `context.page`, `customer["odd name"]`; inside of maps and lists: `customer.address.city`, `customer.tags[0]` |
//! | presence | `has(customer.email)`, `"email" in customer`, `customer.email != null` |
//! | statements | `statements["diet.style"] == "vegan"`, the same as `statements.diet.style`; `"alcohol" in statements` |
//! | segments | `"big-spenders" in segments`, the same as `segments["big-spenders"]` |
//! | events | `count("purchase")`, `sum("purchase", "value")`, `sum("purchase", "properties.items")`, `first("login")`, `last("login")`, `did("login")` |
//! | … in a window | `count("purchase", duration("720h"))`; between instants, both included: `count("purchase", timestamp("2026-01-01T00:00:00Z"), timestamp("2026-01-31T23:59:59Z"))` |
//! | … filtered | `count("purchase", duration("720h"), event.channel == "web" && event.value > 100)`; `event` has `type`, `channel`, `touchpoint`, `direction`, `directness`, `motivation`, `inducement`, `currency`, `conversation_id`, `value`, `occurred_at` and `properties` |
//! | X then not Y | `did("quote").then_not("purchase", duration("72h"))`: **some** quote was not followed by a purchase within 72 hours, and these hours are over; `did("quote").last_then_not(…)`: the same of the **last** quote alone; `did("quote", duration("720h")).then_not(…)`: of those of the last 30 days |
//! | the clock | `now`; `now - customer.signup > duration("30d")`, `last("login") < now - duration("168h")`, `customer.birthday.getMonth() == now.getMonth()` (UTC) |
//! | operators | `&&` `\|\|` `!` `==` `!=` `<` `<=` `>` `>=` `in` `+` `-` `*` `/` `%` `? :` |
//! | lists | `customer.country in ["NO", "SE"]`, `customer.tags.exists(t, t.startsWith("vip"))`, `.all(…)`, `size(customer.tags)` |
//! | text | `startsWith`, `endsWith`, `contains`, `matches` (RE2 syntax), `size`, `lowerAscii`, `upperAscii`, `lower`, `upper` (Unicode), `trim`, `+` |
//! | conversion | `int`, `double`, `string`, `timestamp` (RFC 3339), `duration` (`720h`, `30d`, `1h30m`, `10s`) |
//! | instants | `getFullYear`, `getMonth` (from 0), `getDate` (from 1), `getDayOfMonth` (from 0), `getDayOfWeek` (from 0, Sunday), `getDayOfYear` (from 0), `getHours`, `getMinutes`, `getSeconds`, `getMilliseconds` |
//!
//! A type of event covers those below it: `count("purchase")` counts `purchase.online`, too.
//!
//! Numbers are numbers: whole ones and others compare and compute with each other, exactly when comparing. Two whole
//! ones divide as such, so `7 / 2 == 3`; attributes that came as JSON are never whole in this sense.
//!
//! # What is missing
//!
//! Evaluation never fails. What has no value is *missing*: an absent attribute, one that is null or not of its
//! declared type, a statement that was not made or has expired, the `last` of no events, an item beyond the end of a
//! list, a result that overflows or divides by zero, an operation on values that do not fit together.
//!
//! 1. **A missing value equals nothing and has no order**: `==`, `<`, `<=`, `>`, `>=`, `in`, `startsWith` and the like
//!    are false of it.
//! 2. **`!=` is the opposite of `==`, always**; so it is true of a missing value: `customer.country != "NO"` holds for
//!    those whose country is unknown. Write `has(customer.country) && customer.country != "NO"` to leave them out.
//! 3. **Compared with the literal `null`**, missing is what is asked for: `x == null` is `!has(x)`.
//! 4. **Where truth is asked for, missing is not true**: `customer.subscribed` is false if unknown, and so
//!    `!customer.subscribed` is true.
//! 5. What is **computed from a missing value** is missing; `size`, too. `exists` finds nothing in a missing list, `all`
//!    finds no exception.
//! 6. **Numbers over events are never missing**: `count` and `sum` of no events are 0.
//! 7. Whether something was said (`"alcohol" in statements`) and memberships are never missing.
//!
//! Logic therefore has two values, and the segment `!(rule)` is exactly everybody else. Values of types that do not
//! meet, which only dynamic attributes can bring together, are treated alike: they are not equal, and have no order.
//! Where CEL's own evaluation ends without an error, the outcome is the same; where it ends with one, the above holds.
//!
//! # Time
//!
//! An event at `t` lies within `duration(d)` at `now` if `now - d < t <= now`: it leaves exactly at `t + d`. Events
//! after `now` do not count yet. A statement that is valid until `u` holds at `now` if `now < u`.
//!
//! # Bounds
//!
//! A rule is at most 16 KiB long, with 1,000 operators, 4,000 parts, 64 event functions, lists of 1,000 items, and 8
//! regular expressions of 512 bytes (which run in linear time). `exists` and `all` do not nest, and hold no event
//! functions. So evaluation takes time in proportion to the rule times the longest list, plus the events it counts.

#![forbid(unsafe_code)]

mod bind;
mod check;
mod due;
mod error;
mod eval;
mod facts;
mod operate;
mod order;
mod parse;
mod program;
mod references;
mod rule;
mod schema;
mod sheet;
mod text;
mod value;

pub use error::{RuleError, fault};
pub use facts::{EventView, Facts, Name, NoFacts, Path, Told};
pub use order::{Cycle, topological_order};
pub use references::{EventUse, Reference, References};
pub use rule::{Outcome, Rule};
pub use schema::{Schema, Type, Vocabulary};
pub use sheet::{Event, FactSheet};
pub use value::{Datum, Value};
