//! Reads the text of a `nats.conf` into a tree of keys and values; what they mean is `configuration`'s business.
//!
//! The grammar is the part of NATS' configuration language that generated files use: `key: value`, `key = value`
//! and `key value`, quoted and bare words, whole numbers with a unit, booleans, blocks, lists, comments. Variables,
//! includes, raw text blocks, floats and dates are refused.

use std::iter::Peekable;
use std::str::Chars;

/// A file of a generated configuration is a few kilobytes; more than this is no `nats.conf`.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// How deep blocks and lists may nest.
const DEPTH_MAX: usize = 8;

/// What a key is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Boolean(bool),
    List(Vec<Self>),
    Block(Vec<Entry>),
}

/// One `key: value`, with the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nats.conf:{line}: {rule}")]
pub struct SyntaxError {
    /// Where, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub rule: &'static str,
}

/// The entries of a whole file, in its order.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, SyntaxError> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    if text.len() > TEXT_BYTES_MAX {
        return Err(reader.refuse("the file is larger than 1 MiB"));
    }
    let entries = reader.entries(0)?;
    if reader.rest.peek().is_some() {
        return Err(reader.refuse("a '}' closes nothing"));
    }

    Ok(entries)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    /// Entries up to the end of the text or a `}`, which is left for the caller.
    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(self.refuse("blocks nest too deep"));
        }
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            self.skip_separators()?;
            if matches!(self.rest.peek(), None | Some('}')) {
                return Ok(entries);
            }
            let line = self.line;
            let key = self.key()?;
            if entries.iter().any(|entry| entry.key == key) {
                return Err(self.refuse("a key is given twice in one block"));
            }
            self.skip_assignment();
            let value = self.value(depth)?;
            entries.push(Entry { key, line, value });
        }
    }

    fn key(&mut self) -> Result<String, SyntaxError> {
        let key = match self.rest.peek() {
            Some('"' | '\'') => self.quoted()?,
            Some(_) | None => self.word(|character| matches!(character, ':' | '=' | '{' | '[')),
        };
        if key.is_empty() {
            return Err(self.refuse("a key is expected"));
        }

        Ok(key)
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        match self.rest.peek().copied() {
            Some('"' | '\'') => Ok(Value::Text(self.quoted()?)),
            Some('{') => {
                self.advance();
                let entries = self.entries(depth + 1)?;
                self.expect('}', "a block is not closed")?;
                Ok(Value::Block(entries))
            }
            Some('[') => self.list(depth),
            Some('(') => Err(self.refuse("raw text blocks are not implemented by this fake")),
            Some('$') => Err(self.refuse("variables are not implemented by this fake")),
            Some(_) | None => {
                let word = self.word(|character| matches!(character, '}' | ']'));
                self.meaning(&word)
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(self.refuse("lists nest too deep"));
        }
        self.expect('[', "a list is expected")?;
        let mut items = Vec::new();
        loop {
            self.skip_separators()?;
            if self.rest.peek() == Some(&']') {
                self.advance();
                return Ok(Value::List(items));
            }
            if self.rest.peek().is_none() {
                return Err(self.refuse("a list is not closed"));
            }
            items.push(self.value(depth + 1)?);
        }
    }

    /// A bare word is a boolean, a number with or without a unit, or text.
    fn meaning(&self, word: &str) -> Result<Value, SyntaxError> {
        match word.to_ascii_lowercase().as_str() {
            "" => return Err(self.refuse("a value is expected")),
            "true" | "on" | "yes" => return Ok(Value::Boolean(true)),
            "false" | "off" | "no" => return Ok(Value::Boolean(false)),
            _text_or_number => {}
        }
        let digits = word.find(|character: char| !character.is_ascii_digit()).unwrap_or(word.len());
        if digits == 0 {
            return Ok(Value::Text(word.to_owned()));
        }
        let (number, unit) = word.split_at(digits);
        let scale: u64 = match unit.to_ascii_lowercase().as_str() {
            "" => 1,
            "k" => 1_000,
            "kb" | "ki" | "kib" => 1 << 10,
            "m" => 1_000_000,
            "mb" | "mi" | "mib" => 1 << 20,
            "g" => 1_000_000_000,
            "gb" | "gi" | "gib" => 1 << 30,
            _not_a_number => return Ok(Value::Text(word.to_owned())),
        };
        let number: u64 = number.parse().map_err(|_| self.refuse("a number is too large"))?;
        let scaled = number.checked_mul(scale).ok_or_else(|| self.refuse("a number is too large"))?;

        Ok(Value::Number(scaled))
    }

    /// Characters up to white space, `,`, `;`, or what `ends` says.
    fn word(&mut self, ends: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(&character) = self.rest.peek() {
            if character.is_whitespace() || matches!(character, ',' | ';') || ends(character) {
                break;
            }
            word.push(character);
            self.advance();
        }
        word
    }

    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let Some(quote) = self.advance() else {
            return Err(self.refuse("a quoted string is expected"));
        };
        let mut text = String::new();
        loop {
            let Some(character) = self.advance() else {
                return Err(self.refuse("a quoted string is not closed"));
            };
            match character {
                end if end == quote => return Ok(text),
                '\n' => return Err(self.refuse("a quoted string spans lines")),
                '\\' if quote == '"' => text.push(self.escaped()?),
                other => text.push(other),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, SyntaxError> {
        match self.advance() {
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('"') => Ok('"'),
            Some('\\') => Ok('\\'),
            Some(_) | None => Err(self.refuse("an escape other than \\n \\r \\t \\\" \\\\")),
        }
    }

    /// White space, comments, commas and semicolons between entries and items.
    fn skip_separators(&mut self) -> Result<(), SyntaxError> {
        while let Some(&character) = self.rest.peek() {
            match character {
                ',' | ';' => {
                    self.advance();
                }
                '#' => self.skip_line(),
                '/' => {
                    self.advance();
                    if self.rest.peek() != Some(&'/') {
                        return Err(self.refuse("a comment begins with '#' or '//'"));
                    }
                    self.skip_line();
                }
                space if space.is_whitespace() => {
                    self.advance();
                }
                _begins_something => break,
            }
        }
        Ok(())
    }

    fn skip_line(&mut self) {
        while self.rest.peek().is_some_and(|&character| character != '\n') {
            self.advance();
        }
    }

    /// Blanks around at most one `:` or `=`.
    fn skip_assignment(&mut self) {
        self.skip_blanks();
        if matches!(self.rest.peek(), Some(':' | '=')) {
            self.advance();
            self.skip_blanks();
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.rest.peek(), Some(' ' | '\t')) {
            self.advance();
        }
    }

    fn expect(&mut self, wanted: char, rule: &'static str) -> Result<(), SyntaxError> {
        if self.advance() != Some(wanted) {
            return Err(self.refuse(rule));
        }
        Ok(())
    }

    fn advance(&mut self) -> Option<char> {
        let character = self.rest.next()?;
        if character == '\n' {
            self.line += 1;
        }
        Some(character)
    }

    fn refuse(&self, rule: &'static str) -> SyntaxError {
        SyntaxError { line: self.line, rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_grammar_becomes_the_same_tree() {
        let colons = "# comment\nlisten: \"127.0.0.1:-1\"\ntls {\n  verify: true // yes\n  timeout: 5\n}\npinned: [ A, B ]\n";
        let others = "listen '127.0.0.1:-1';tls={verify = yes, timeout 5}\npinned [\n A # one\n B\n]";

        let expected = vec![
            entry("listen", Value::Text("127.0.0.1:-1".into())),
            entry(
                "tls",
                Value::Block(vec![entry("verify", Value::Boolean(true)), entry("timeout", Value::Number(5))]),
            ),
            entry("pinned", Value::List(vec![Value::Text("A".into()), Value::Text("B".into())])),
        ];

        assert_eq!(without_lines(parse(colons).expect("colons")), expected);
        assert_eq!(without_lines(parse(others).expect("others")), expected);
    }

    #[test]
    fn sizes_have_units() {
        let parsed = parse("a: 1MB\nb: 4KB\nc: 2k\nd: 7").expect("sizes");

        let sizes: Vec<Value> = parsed.into_iter().map(|entry| entry.value).collect();
        assert_eq!(sizes, [1 << 20, 4096, 2000, 7].map(Value::Number).to_vec());
    }

    #[test]
    fn what_is_not_the_grammar_is_refused_with_its_line() {
        let refused = [
            ("a: 1\nb: [ 1", 2, "a list is not closed"),
            ("a { b: 1", 1, "a block is not closed"),
            ("a: 1\n}", 2, "a '}' closes nothing"),
            ("a: 1\na: 2", 2, "a key is given twice in one block"),
            ("\n\na: \"x", 3, "a quoted string is not closed"),
            ("a: $B", 1, "variables are not implemented by this fake"),
            ("a:\n", 1, "a value is expected"),
        ];

        for (text, line, rule) in refused {
            assert_eq!(parse(text), Err(SyntaxError { line, rule }), "{text:?}");
        }
    }

    fn entry(key: &str, value: Value) -> Entry {
        Entry { key: key.to_owned(), line: 0, value }
    }

    fn without_lines(entries: Vec<Entry>) -> Vec<Entry> {
        entries
            .into_iter()
            .map(|mut entry| {
                entry.line = 0;
                if let Value::Block(inner) = entry.value {
                    entry.value = Value::Block(without_lines(inner));
                }
                entry
            })
            .collect()
    }
}
