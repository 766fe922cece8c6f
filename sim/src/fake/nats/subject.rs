//! Subjects and patterns of subjects: dot-separated tokens, `*` for one token, `>` for one or more at the end.

use std::fmt;

/// A subject that may hold wildcards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern(String);

impl Pattern {
    /// `None` if a token is empty or holds white space, or if something follows a `>`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let tokens: Vec<&str> = text.split('.').collect();
        let blank = |token: &&str| token.is_empty() || token.contains(['\t', '\n', '\x0c', '\r', ' ']);
        if tokens.iter().any(blank) {
            return None;
        }
        let (_, before) = tokens.split_last().expect("split yields at least one token");
        if before.contains(&">") {
            return None;
        }

        Some(Self(text.to_owned()))
    }

    /// Whether a message published to `subject` is meant. Wildcards in a *published* subject are ordinary tokens.
    pub(super) fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        if subject.split('.').any(str::is_empty) {
            return false;
        }
        for wanted in self.0.split('.') {
            let Some(token) = tokens.next() else { return false };
            match wanted {
                ">" => return true,
                "*" => {}
                literal if literal == token => {}
                _another_token => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Whether every subject that `other` matches is matched by this one too.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let mut tokens = other.0.split('.');
        for wanted in self.0.split('.') {
            match (wanted, tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                (_, Some(">")) => return false,
                ("*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                (_, Some(_)) => return false,
            }
        }
        tokens.next().is_none()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether `subject` has no wildcard and no empty token: what a pedantic client may publish to.
pub(super) fn is_literal(subject: &str) -> bool {
    subject.split('.').all(|token| !matches!(token, "" | "*" | ">"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_token_by_token() {
        let matches = |pattern: &str, subject: &str| parsed(pattern).matches(subject);

        assert!(matches("kf.*.in.U.>", "kf.A.in.U.hello"));
        assert!(matches("kf.*.in.U.>", "kf.A.in.U.hello.there"));
        assert!(matches(">", "a"));
        assert!(matches("a.*", "a.b"));

        assert!(!matches("kf.*.in.U.>", "kf.A.in.U"));
        assert!(!matches("kf.*.in.U.>", "kf.A.B.in.U.x"));
        assert!(!matches("a.*", "a.b.c"));
        assert!(!matches("a.*", "a"));
        assert!(!matches("a.>", "a..b"));
        assert!(!matches("a.b", "a.*"));
    }

    #[test]
    fn a_pattern_contains_only_what_is_wholly_inside() {
        let contains = |outer: &str, inner: &str| parsed(outer).contains(&parsed(inner));

        assert!(contains("kf.U.>", "kf.U.>"));
        assert!(contains("kf.U.>", "kf.U.in.*"));
        assert!(contains("kf.*", "kf.*"));
        assert!(contains(">", "*.>"));

        assert!(!contains("kf.U.>", "kf.>"));
        assert!(!contains("kf.U.>", "kf.*.in"));
        assert!(!contains("kf.U.>", "kf.U"));
        assert!(!contains("kf.*", "kf.>"));
        assert!(!contains("kf.U.x", "kf.U.*"));
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for text in ["", "a.", ".a", "a..b", "a.>.b", "a b", "a.\t"] {
            assert_eq!(Pattern::parse(text), None, "{text:?}");
        }
        assert!(!is_literal("a.*"));
        assert!(!is_literal("a.>"));
        assert!(is_literal("a.b*"));
    }

    fn parsed(text: &str) -> Pattern {
        Pattern::parse(text).expect("a pattern")
    }
}
