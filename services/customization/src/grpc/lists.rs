//! Lists of definitions: filter, order, page. All of them are in memory.

use std::cmp::Ordering;

use rules::{FactSheet, Rule, Schema};
use terms::{Fault, PageRequest, Reason, Timestamp, Violations};

/// By what a definition is sorted, and where a page ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl Key {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.created_at.micros().to_be_bytes().to_vec();
        bytes.extend(self.updated_at.micros().to_be_bytes());
        bytes.extend(self.name.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (created_at, rest) = bytes.split_first_chunk::<8>()?;
        let (updated_at, name) = rest.split_first_chunk::<8>()?;
        let time = |bytes: &[u8; 8]| Timestamp(i64::from_be_bytes(*bytes));
        let name = std::str::from_utf8(name).ok()?.to_owned();
        Some(Self { name, created_at: time(created_at), updated_at: time(updated_at) })
    }
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    Created,
    Updated,
}

/// Which definitions are asked for.
pub(super) struct Wanted {
    scope: String,
    size: usize,
    after: Option<Key>,
    order: Vec<(Field, bool)>,
    filter: Option<Rule>,
}

impl Wanted {
    /// Reads the fields that lists have in common; `list` names the RPC.
    pub(super) fn parse(
        wrong: &mut Violations,
        list: &str,
        page: (i32, &str),
        filter: &str,
        order_by: &str,
        schema: Schema,
    ) -> Self {
        let scope = format!("{list}\0{filter}\0{order_by}");
        let page = wrong.take(PageRequest::parse(page.0, page.1, &scope));
        let size = page.as_ref().map_or(PageRequest::DEFAULT_SIZE, |page| page.size) as usize;
        let after = page.filter(|page| !page.after.is_empty()).and_then(|page| {
            let key = Key::from_bytes(&page.after);
            wrong.add_if(
                key.is_none(),
                "page_token",
                "is not a token that this list gave out; leave it empty to start",
            );
            key
        });
        let order = wrong.take(order(order_by)).unwrap_or_default();
        let filter = match filter.trim() {
            "" => None,
            text => wrong.take(Rule::compile(text, &schema).map_err(|errors| rules::fault("filter", &errors))),
        };
        Self { scope, size, after, order, filter }
    }

    /// The page, and the token of the next one.
    pub(super) fn page<T>(
        &self,
        items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> Key,
        facts: impl Fn(&T) -> FactSheet,
        now: Timestamp,
    ) -> (Vec<T>, String) {
        let passes = |item: &T| self.filter.as_ref().is_none_or(|rule| rule.eval(&facts(item), now));
        let later = |key: &Key| self.after.as_ref().is_none_or(|after| self.compare(key, after).is_gt());
        let mut keyed: Vec<(Key, T)> =
            items.map(|item| (key(&item), item)).filter(|(key, item)| later(key) && passes(item)).collect();
        keyed.sort_by(|(a, _), (b, _)| self.compare(a, b));
        let more = keyed.len() > self.size;
        keyed.truncate(self.size);
        let next = match keyed.last() {
            Some((last, _)) if more => PageRequest::token(&self.scope, &last.to_bytes()),
            _ => String::new(),
        };
        (keyed.into_iter().map(|(_, item)| item).collect(), next)
    }

    fn compare(&self, a: &Key, b: &Key) -> Ordering {
        for (field, descending) in &self.order {
            let order = match field {
                Field::Name => a.name.cmp(&b.name),
                Field::Created => a.created_at.cmp(&b.created_at),
                Field::Updated => a.updated_at.cmp(&b.updated_at),
            };
            if order.is_ne() {
                return if *descending { order.reverse() } else { order };
            }
        }
        a.name.cmp(&b.name)
    }
}

fn order(text: &str) -> Result<Vec<(Field, bool)>, Fault> {
    let mut order = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let mut words = part.split_whitespace();
        let field = match words.next() {
            Some("name") => Some(Field::Name),
            Some("create_time") => Some(Field::Created),
            Some("update_time") => Some(Field::Updated),
            _ => None,
        };
        match (field, words.next(), words.next()) {
            (Some(field), None, None) => order.push((field, false)),
            (Some(field), Some("desc"), None) => order.push((field, true)),
            _ => {
                let wrong = "must be `name`, `create_time` or `update_time`, each perhaps followed by ` desc`";
                return Err(Fault::invalid("order_by", Reason::InvalidFields, wrong));
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { name: name.to_owned(), created_at: Timestamp(name.len() as i64), updated_at: Timestamp(0) }
    }

    fn wanted(size: i32, token: &str, order_by: &str) -> Result<Wanted, Fault> {
        let mut wrong = Violations::new();
        let wanted = Wanted::parse(&mut wrong, "List", (size, token), "", order_by, Schema::new());
        wrong.done().map(|()| wanted)
    }

    fn all(size: i32, order_by: &str) -> Vec<String> {
        let (mut token, mut names) = (String::new(), Vec::new());
        loop {
            let items = ["b", "aa", "c", "ddd"].into_iter().map(str::to_owned);
            let wanted = wanted(size, &token, order_by).unwrap();
            let (page, next) = wanted.page(items, |name| key(name), |_| FactSheet::new(), Timestamp(0));
            names.extend(page);
            if next.is_empty() {
                return names;
            }
            token = next;
        }
    }

    #[test]
    fn pages_join_in_any_order() {
        for size in 1..6 {
            assert_eq!(all(size, ""), ["aa", "b", "c", "ddd"]);
            assert_eq!(all(size, "create_time desc, name"), ["ddd", "aa", "b", "c"]);
            assert_eq!(all(size, "name desc"), ["ddd", "c", "b", "aa"]);
        }
    }

    #[test]
    fn mistakes_are_told() {
        for order_by in ["size", "name up", "name desc twice"] {
            assert!(wanted(1, "", order_by).is_err(), "{order_by}");
        }
        assert!(wanted(-1, "", "").is_err() && wanted(1, "x", "").is_err());
    }
}
