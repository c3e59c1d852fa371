//! From text to the syntax tree of the `cel` crate, within bounds.
//!
//! The parser recurses as deep as its input nests or chains, and would overflow the stack on a hostile text. So the
//! text is scanned first, lexically, and refused if it is too large, too deep, or has a lexical mistake (which would
//! make the parser see other tokens than the scan).

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::Program;

use crate::error::RuleError;

/// Most bytes of a rule.
pub(crate) const MAX_SOURCE: usize = 16 * 1024;
/// Deepest nesting of brackets.
const MAX_NESTING: usize = 32;
/// Most operators, brackets and member accesses.
const MAX_OPERATORS: usize = 1_000;

/// The syntax tree.
pub(crate) fn parse(source: &str) -> Result<Program, RuleError> {
    if source.len() > MAX_SOURCE {
        let message = format!(
            "the rule has {} bytes; at most {MAX_SOURCE} are allowed: split it into segments that build on each other",
            source.len()
        );
        return Err(RuleError { line: 1, column: 1, message });
    }
    if source.trim().is_empty() {
        return Err(RuleError::at(source, 0, "the rule is empty; write an expression that is true or false"));
    }
    Scan { source, at: 0, depth: 0, operators: 0 }.run()?;
    // The scan keeps the parser off the paths on which it is known to fail; should it fail all the same, the text is
    // to blame, not the process.
    match catch_unwind(AssertUnwindSafe(|| Program::compile(source))) {
        Ok(Ok(program)) => Ok(program),
        Ok(Err(errors)) => Err(errors.errors.first().map_or_else(
            || RuleError::at(source, 0, "this is not an expression"),
            |error| RuleError {
                line: u32::try_from(error.pos.0).unwrap_or(1).max(1),
                column: u32::try_from(error.pos.1).unwrap_or(1).max(1),
                message: plain(&error.msg),
            },
        )),
        Err(_) => Err(RuleError::at(source, 0, "this cannot be read as an expression; write it in another way")),
    }
}

/// The parser's message in plain words.
fn plain(message: &str) -> String {
    let message = message.trim_start_matches("Syntax error: ");
    let quoted = |prefix: &str| {
        let rest = message.strip_prefix(prefix)?.strip_prefix('\'')?;
        let end = rest.find("' expecting").or_else(|| rest.rfind('\''))?;
        rest.get(..end)
    };
    if let Some((wanted, at)) = message.strip_prefix("missing ").and_then(|rest| rest.split_once(" at ")) {
        let place = if at == "'<EOF>'" { "at the end".to_owned() } else { format!("before {at}") };
        return format!("{wanted} is missing {place}");
    }
    let unexpected = ["mismatched input ", "extraneous input ", "no viable alternative at input "];
    match unexpected.iter().find_map(|prefix| quoted(prefix)) {
        Some("<EOF>") => "the rule ends here, but something is still missing".to_owned(),
        Some(token) if message.ends_with("expecting <EOF>") => {
            format!("`{token}` is not expected here; join conditions by `&&` or `||`")
        }
        Some(token) => format!("`{token}` is not expected here"),
        None if message.starts_with("OtherError") || message.contains("ecursion limit") => {
            "this nests too deeply; split the rule into segments that build on each other".to_owned()
        }
        None if message.starts_with("Incomplete") => "this expression is not complete".to_owned(),
        None => message.lines().next().unwrap_or("this is not an expression").to_owned(),
    }
}

/// Reads tokens only as far as to tell text from operators.
struct Scan<'s> {
    source: &'s str,
    at: usize,
    depth: usize,
    operators: usize,
}

impl Scan<'_> {
    fn run(mut self) -> Result<(), RuleError> {
        while let Some(next) = self.rest().chars().next() {
            match next {
                '"' | '\'' => self.string(0)?,
                '/' if self.rest().starts_with("//") => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                }
                '=' if !self.rest().starts_with("==") => {
                    return Err(self.error("`=` is not an operator; to compare, write `==`"));
                }
                '=' | '!' | '<' | '>' => {
                    let two = self.rest().as_bytes().get(1) == Some(&b'=');
                    self.operator(if two { 2 } else { 1 })?;
                }
                '&' | '|' => {
                    let mut pair = [0; 4];
                    let one: &str = next.encode_utf8(&mut pair);
                    if !self.rest().starts_with(&one.repeat(2)) {
                        let word = if next == '&' { "and" } else { "or" };
                        return Err(
                            self.error(&format!("`{one}` is not an operator; for \"{word}\" write `{one}{one}`"))
                        );
                    }
                    // Joined in balance by the parser: no chain grows deep by them.
                    self.at += 2;
                }
                '(' | '[' | '{' => {
                    self.depth += 1;
                    if self.depth > MAX_NESTING {
                        return Err(self.error(&format!("this nests deeper than {MAX_NESTING} brackets; simplify it")));
                    }
                    self.operator(1)?;
                }
                ')' | ']' | '}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.at += 1;
                }
                '.' | '+' | '-' | '*' | '/' | '%' | '?' => self.operator(1)?,
                ',' | ':' => self.at += 1,
                '_' | 'a'..='z' | 'A'..='Z' | '0'..='9' => self.word()?,
                ' ' | '\t' | '\n' | '\r' | '\u{c}' => self.at += 1,
                '`' => return Err(self.error("backquotes are not part of the language; write `x[\"name\"]`")),
                other if other.is_alphabetic() => {
                    return Err(self.error(&format!("`{other}` cannot be part of a name; write `x[\"name\"]`")));
                }
                other => return Err(self.error(&format!("{other:?} is not part of the language"))),
            }
        }
        Ok(())
    }

    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn error(&self, message: &str) -> RuleError {
        RuleError::at(self.source, self.at, message)
    }

    fn operator(&mut self, length: usize) -> Result<(), RuleError> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            let message = format!(
                "this is more than {MAX_OPERATORS} operators; use `in [...]`, or segments that build on each other"
            );
            return Err(self.error(&message));
        }
        self.at += length;
        Ok(())
    }

    /// A name, a number, or the prefix of a string.
    fn word(&mut self) -> Result<(), RuleError> {
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let (word, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if after.starts_with(['"', '\'']) && ["r", "R", "b", "B"].contains(&word) {
            return self.string(1);
        }
        if after.starts_with(['"', '\'']) && word.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(self.error("a string cannot follow a number directly"));
        }
        if after.starts_with(['"', '\'']) && word.len() == 2 && word.eq_ignore_ascii_case("br") {
            return Err(self.error("bytes are not part of the language; write a string"));
        }
        // `in`, `has` and the like are counted with the brackets that they need; `a in b in c` is bounded here.
        self.operators += usize::from(word == "in");
        self.at += length;
        Ok(())
    }

    /// A string literal that begins `prefix` bytes further.
    fn string(&mut self, prefix: usize) -> Result<(), RuleError> {
        let begin = self.at;
        let raw = prefix > 0 && self.rest().starts_with(['r', 'R']);
        self.at += prefix;
        let quote = self.rest().chars().next().unwrap_or('"').to_string();
        let triple = quote.repeat(3);
        let end = if self.rest().starts_with(&triple) { triple } else { quote };
        self.at += end.len();
        loop {
            let rest = self.rest();
            let Some(next) = rest.chars().next() else {
                return Err(RuleError::at(self.source, begin, "this string is not closed"));
            };
            if rest.starts_with(&end) {
                self.at += end.len();
                return Ok(());
            }
            match next {
                '\n' | '\r' if end.len() == 1 => {
                    return Err(RuleError::at(self.source, begin, "this string is not closed on its line"));
                }
                '\\' if !raw => {
                    let Some(length) = escape(rest) else {
                        return Err(self.error("this escape is not known; for a backslash itself write `\\\\`"));
                    };
                    self.at += length;
                }
                other => self.at += other.len_utf8(),
            }
        }
    }
}

/// The length of the escape sequence at the beginning of `text`.
fn escape(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize, count: usize, allowed: fn(&u8) -> bool| {
        bytes.get(from..from + count).is_some_and(|digits| digits.iter().all(allowed)).then_some(from + count)
    };
    match bytes.get(1)? {
        b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'`' | b'?' | b'\\' => Some(2),
        b'x' | b'X' => digits(2, 2, u8::is_ascii_hexdigit),
        b'u' => digits(2, 4, u8::is_ascii_hexdigit),
        b'U' => digits(2, 8, u8::is_ascii_hexdigit),
        b'0'..=b'3' => digits(2, 2, |byte| (b'0'..=b'7').contains(byte)),
        _ => None,
    }
}
