//! An `up` that stays.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::run::up;

/// An `up` that stays until it is told to end.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// What it prints, if that is read.
    lines: Option<BufReader<std::process::ChildStdout>>,
}

impl Running {
    /// With `temporary` for whatever it makes, by which its processes are found.
    pub(crate) fn start(temporary: &Path, flags: &[&str]) -> Self {
        let mut command = up();
        command.args(flags).env("TMPDIR", temporary).env("KUBEFOX_TEST_MARK", temporary);
        Self::of(command.stdout(Stdio::piped()))
    }

    /// Whose stdout is for the caller to say.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program was built with the tests");
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    pub(crate) fn is_there(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Answers the line with these words.
    pub(crate) fn read_until(&mut self, words: &str) -> String {
        let (lines, mut line) = (self.lines.as_mut().expect("its stdout is piped"), String::new());
        while !line.contains(words) {
            line.clear();
            let read = lines.read_line(&mut line).expect("up prints text");
            assert!(read > 0, "up ended before it said `{words}`");
        }
        line
    }

    pub(crate) fn interrupt(mut self) -> ExitStatus {
        signal("-INT", self.child.id());
        self.end()
    }

    pub(crate) fn end(&mut self) -> ExitStatus {
        self.child.wait().expect("it is a child of this test")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing either; one that ended has been waited for.
        if self.is_there() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub(crate) fn signal(signal: &str, process: u32) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(status.expect("kill is everywhere").success());
}
