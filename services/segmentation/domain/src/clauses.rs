//! A definition taken apart: the clauses that are joined by `&&` at its top.

/// The clauses of a rule: `a && (b || c)` has two. A rule whose top is something else is one clause.
///
/// The source must be a rule that compiles; texts, comments and brackets are stepped over.
pub fn clauses(source: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = 0;
    let mut depth = 0usize;
    let mut at = 0;
    let bytes = source.as_bytes();
    while let Some(byte) = bytes.get(at) {
        let rest = source.get(at..).unwrap_or_default();
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' | b'\'' => {
                let raw = at > 0 && matches!(bytes.get(at - 1), Some(b'r' | b'R'));
                at += text(rest, raw);
                continue;
            }
            b'/' if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            b'&' if depth == 0 && rest.starts_with("&&") => {
                parts.extend(source.get(begin..at));
                at += 2;
                begin = at;
                continue;
            }
            // Weaker than `&&`: what stands on one side of it is not a clause of the whole.
            b'|' if depth == 0 && rest.starts_with("||") => return vec![source.trim()],
            b'?' if depth == 0 => return vec![source.trim()],
            _ => {}
        }
        at += 1;
    }
    parts.extend(source.get(begin..));
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The length of the text literal at the beginning of `rest`, quotes included.
fn text(rest: &str, raw: bool) -> usize {
    let quote = rest.get(..3).filter(|q| *q == "\"\"\"" || *q == "'''").or(rest.get(..1)).unwrap_or_default();
    let mut at = quote.len();
    while let Some(inside) = rest.get(at..).filter(|inside| !inside.is_empty()) {
        if inside.starts_with(quote) {
            return at + quote.len();
        }
        let escape = inside.starts_with('\\') && !raw;
        at += inside.chars().take(if escape { 2 } else { 1 }).map(char::len_utf8).sum::<usize>();
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_top_is_taken_apart() {
        assert_eq!(clauses("a && (b || c) && d"), ["a", "(b || c)", "d"]);
        assert_eq!(clauses("a && b || c"), ["a && b || c"]);
        assert_eq!(clauses("x ? a && b : c"), ["x ? a && b : c"]);
        assert_eq!(clauses("f(a && b)"), ["f(a && b)"]);
        assert_eq!(clauses("a == \"x && \\\" y\" && b == 'é && '"), ["a == \"x && \\\" y\"", "b == 'é && '"]);
        assert_eq!(clauses("a == r\"\\\" && b"), ["a == r\"\\\"", "b"]);
        assert_eq!(clauses("a // b && c\n && d"), ["a // b && c", "d"]);
        assert_eq!(clauses("a == \"\"\"x \" && \"\"\" && b"), ["a == \"\"\"x \" && \"\"\"", "b"]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_panic(source in "[a-z\"'\\\\()&|? é\n/r]*") {
            let _ = clauses(&source);
        }
    }
}
