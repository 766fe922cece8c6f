//! What a story saw, line by line, and its comparison with what is committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The lines of all stories of one system.
#[derive(Default)]
pub(crate) struct Record {
    story: &'static str,
    cases: Vec<Case>,
}

struct Case {
    story: &'static str,
    row: &'static str,
    title: String,
    outcome: String,
}

impl Record {
    /// What follows belongs to this story.
    pub(crate) const fn begin(&mut self, story: &'static str) {
        self.story = story;
    }

    /// One case: the row of the table of cases it counts for, what was asked in words, and what came of it.
    pub(crate) fn case(&mut self, row: &'static str, title: &str, outcome: String) {
        let (story, title) = (self.story, title.to_owned());
        self.cases.push(Case { story, row, title, outcome });
    }

    /// Demands that the outcomes are those of the file, and the cases as many as in the table.
    pub(crate) fn check(&self, who: &str, committed: &str, file: &str, table: &[(&str, usize)]) {
        let seen = self.text();
        let complaint = differing_lines(committed, &seen) + &self.differing_numbers(table);
        report(&format!("{who}: {} cases of {} kinds", self.cases.len(), table.len()));
        if complaint.is_empty() {
            return;
        }
        // Whoever adds a case compares what was seen with the server's documentation and commits it.
        let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{who}.txt"));
        std::fs::write(&written, seen).expect("cargo made the directory");
        let written = written.display();
        panic!(
            "{who} does not answer as tests/contract/{file} says (-) but so (+), or the cases are not as many as \
             tests/contract/cases.rs says:\n{complaint}What was seen is in {written}."
        );
    }

    /// Each row whose number is not that of its cases, or which has none.
    fn differing_numbers(&self, table: &[(&str, usize)]) -> String {
        let mut counts: BTreeMap<&str, usize> = table.iter().map(|(row, _)| (*row, 0)).collect();
        for case in &self.cases {
            *counts.get_mut(case.row).unwrap_or_else(|| panic!("{} is no row of the table", case.row)) += 1;
        }
        let mut text = String::new();
        for (row, committed) in table {
            let seen = counts[row];
            if seen != *committed || seen == 0 {
                let _ = writeln!(text, "# {row}: {committed} cases are committed, {seen} were seen");
            }
        }
        text
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut story = "";
        for case in &self.cases {
            if case.story != story {
                story = case.story;
                let separator = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{separator}{story}");
            }
            let _ = writeln!(text, "  {}: {} => {}", case.row, case.title, case.outcome);
        }
        text
    }
}

fn differing_lines(committed: &str, seen: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (committed.lines().collect(), seen.lines().collect());
    let mut text = String::new();
    for line in old.iter().filter(|line| !new.contains(line)) {
        let _ = writeln!(text, "- {line}");
    }
    for line in new.iter().filter(|line| !old.contains(line)) {
        let _ = writeln!(text, "+ {line}");
    }
    if text.is_empty() && old != new {
        text.push_str("the same lines in another order or number\n");
    }
    text
}

#[expect(clippy::print_stderr, reason = "the number of cases is a result of the suite")]
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
}
