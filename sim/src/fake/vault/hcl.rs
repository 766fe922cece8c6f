//! A small parser for the HCL 1 that policies are written in: blocks, attributes, strings, numbers, lists, objects.
//!
//! What it does not know is an error with line and column, never a guess.

use serde_json::{Map, Number, Value};

/// How deep lists and objects may be nested.
const MAX_DEPTH: usize = 8;

/// An attribute or a block.
pub(super) struct Item {
    pub(super) key: String,
    /// The quoted words between key and block.
    pub(super) labels: Vec<String>,
    pub(super) content: Content,
    pub(super) line: usize,
}

pub(super) enum Content {
    Attribute(Value),
    Block(Vec<Item>),
}

/// Parses a whole document.
pub(super) fn parse(text: &str) -> Result<Vec<Item>, String> {
    let mut parser = Parser { rest: text, line: 1, column: 1 };
    let items = parser.items(0)?;
    if parser.rest.is_empty() { Ok(items) } else { Err(parser.error("illegal char")) }
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl Parser<'_> {
    /// Items up to the end or a closing brace, which stays.
    fn items(&mut self, depth: usize) -> Result<Vec<Item>, String> {
        let mut items = Vec::new();
        loop {
            self.skip_space()?;
            if self.rest.is_empty() || self.rest.starts_with('}') {
                return Ok(items);
            }
            items.push(self.item(depth)?);
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item, String> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        let line = self.line;
        let stray = self.error("illegal char");
        let key = self.key()?;
        self.skip_space()?;
        let mut labels = Vec::new();
        while self.rest.starts_with('"') {
            labels.push(self.string()?);
            self.skip_space()?;
        }
        let content = if self.take('{') {
            let content = Content::Block(self.items(depth + 1)?);
            self.expect('}')?;
            content
        } else if labels.is_empty() && self.take('=') {
            self.skip_space()?;
            Content::Attribute(self.value(depth)?)
        } else {
            return Err(stray);
        };
        Ok(Item { key, labels, content, line })
    }

    fn key(&mut self) -> Result<String, String> {
        if self.rest.starts_with('"') {
            return self.string();
        }
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.error("illegal char"));
        }
        let key = self.rest[..end].to_owned();
        self.advance(end);
        Ok(key)
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        match self.rest.chars().next() {
            Some('"') => self.string().map(Value::String),
            Some('[') => self.list(depth),
            Some('{') => self.object(depth),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(),
            Some(_) => self.boolean(),
            None => Err(self.error("a value is missing")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        self.expect('[')?;
        let mut values = Vec::new();
        loop {
            self.skip_space()?;
            if self.take(']') {
                return Ok(Value::Array(values));
            }
            values.push(self.value(depth + 1)?);
            self.skip_space()?;
            if !self.take(',') && !self.rest.starts_with(']') {
                return Err(self.error("a list wants ',' or ']'"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.expect('{')?;
        let mut members = Map::new();
        loop {
            self.skip_space()?;
            if self.take('}') {
                return Ok(Value::Object(members));
            }
            let key = self.key()?;
            self.skip_space()?;
            self.expect('=')?;
            self.skip_space()?;
            let value = self.value(depth + 1)?;
            if members.insert(key, value).is_some() {
                return Err(self.error("the key is there twice"));
            }
            self.skip_space()?;
            self.take(',');
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let end = self.rest.find(|c: char| c != '-' && c != '.' && !c.is_ascii_digit());
        let text = &self.rest[..end.unwrap_or(self.rest.len())];
        let number = text.parse::<i64>().ok().map(Number::from);
        let Some(number) = number.or_else(|| text.parse().ok().and_then(Number::from_f64)) else {
            return Err(self.error("not a number"));
        };
        self.advance(text.len());
        Ok(Value::Number(number))
    }

    fn boolean(&mut self) -> Result<Value, String> {
        for (word, flag) in [("true", true), ("false", false)] {
            if self.rest.starts_with(word) {
                self.advance(word.len());
                return Ok(Value::Bool(flag));
            }
        }
        Err(self.error("Unknown token"))
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            let Some(c) = self.rest.chars().next() else {
                return Err(self.error("literal not terminated"));
            };
            match c {
                '"' => {
                    self.advance(1);
                    return Ok(text);
                }
                '\n' => return Err(self.error("literal not terminated")),
                '\\' => {
                    let escape = self.rest.chars().nth(1);
                    let Some(c) = escape.and_then(unescape) else {
                        return Err(self.error("illegal escape"));
                    };
                    text.push(c);
                    self.advance(2);
                }
                other => {
                    text.push(other);
                    self.advance(other.len_utf8());
                }
            }
        }
    }

    /// Skips white space and the three kinds of comments.
    fn skip_space(&mut self) -> Result<(), String> {
        loop {
            let space = self.rest.len() - self.rest.trim_start().len();
            self.advance(space);
            let length = if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.rest.find('\n').unwrap_or(self.rest.len())
            } else if self.rest.starts_with("/*") {
                self.rest.find("*/").ok_or_else(|| self.error("comment not terminated"))? + 2
            } else {
                return Ok(());
            };
            self.advance(length);
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(self.error(&format!("expected '{wanted}'"))) }
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.rest.starts_with(wanted);
        if found {
            self.advance(wanted.len_utf8());
        }
        found
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        for c in passed.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
    }

    fn error(&self, what: &str) -> String {
        format!("At {}:{}: {what}", self.line, self.column)
    }
}

const fn unescape(c: char) -> Option<char> {
    match c {
        'n' => Some('\n'),
        't' => Some('\t'),
        '"' | '\\' => Some(c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_blocks_and_attributes() {
        let items = parse(
            "# a comment\nlength = 32 // another\npath \"a\\\"b\" { /* and\none */ list = [\"x\", 1,]\n  \
             map = { \"k\" = [], j = [true], }\n}\n",
        )
        .expect("it parses");

        let [length, path] = items.as_slice() else { panic!("two items") };
        let Content::Attribute(length_value) = &length.content else { panic!("an attribute") };
        let Content::Block(members) = &path.content else { panic!("a block") };
        let values: Vec<_> = members
            .iter()
            .map(|item| match &item.content {
                Content::Attribute(value) => (item.key.as_str(), value.clone()),
                Content::Block(_) => panic!("only attributes"),
            })
            .collect();
        assert_eq!((length.key.as_str(), length_value), ("length", &json!(32)));
        assert_eq!(
            (path.key.as_str(), path.labels.as_slice(), path.line),
            ("path", &["a\"b".to_owned()][..], 3)
        );
        assert_eq!(values, [("list", json!(["x", 1])), ("map", json!({"j": [true], "k": []}))]);
    }

    #[test]
    fn what_is_not_hcl_is_an_error_with_its_place() {
        let failures = ["path", "a = ", "a = [1", "a = [1 2]", "a {", "}", "a = \"x", "a = nope", "/* x"];
        let errors = failures.map(|text| parse(text).err().unwrap_or_default());

        assert_eq!(
            errors,
            [
                "At 1:1: illegal char",
                "At 1:5: a value is missing",
                "At 1:7: a list wants ',' or ']'",
                "At 1:8: a list wants ',' or ']'",
                "At 1:4: expected '}'",
                "At 1:1: illegal char",
                "At 1:7: literal not terminated",
                "At 1:5: Unknown token",
                "At 1:1: comment not terminated",
            ]
        );
    }

    #[test]
    fn nesting_has_a_limit() {
        let deep = format!("a = {}{}", "[".repeat(MAX_DEPTH + 2), "]".repeat(MAX_DEPTH + 2));

        assert!(parse(&deep).err().is_some_and(|error| error.contains("nested too deeply")));
    }
}
