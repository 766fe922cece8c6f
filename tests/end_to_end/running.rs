//! An `up` that stays.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::run::up;

/// An `up` that stays until it is told to end.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// With `temporary` for whatever it makes, by which its processes are found.
    pub(crate) fn start(temporary: &Path, flags: &[&str]) -> Self {
        let mut command = up();
        command.args(flags).env("TMPDIR", temporary).env("KUBEFOX_TEST_MARK", temporary);
        Self::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().expect("the program was built with the tests");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, lines }
    }

    pub(crate) fn is_there(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Answers the line with these words.
    pub(crate) fn read_until(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let read = self.lines.read_line(&mut line).expect("up prints text");
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
