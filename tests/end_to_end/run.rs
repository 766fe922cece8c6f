//! Runs `up` and reads what it says.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What one run of `up --once --json` said.
pub(crate) struct Run(Value);

impl Run {
    /// Runs `up --once --json` with its disks in `state`, and demands that it succeeds.
    pub(crate) fn of(state: &Path, flags: &[&str]) -> Self {
        let mut command = up();
        command.args(["--once", "--json", "--state"]).arg(state).args(flags);
        let output = finish(&mut command);
        assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
        Self(serde_json::from_slice(&output.stdout).expect("--json prints JSON"))
    }

    /// A member of the report by its JSON pointer.
    pub(crate) fn get(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or_else(|| panic!("the report has {pointer}: {}", self.0))
    }
}

/// The program of `cargo up`.
pub(crate) fn up() -> Command {
    Command::new(env!("CARGO_BIN_EXE_up-under-test"))
}

/// The program `kubefox`.
pub(crate) fn kubefox() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubefox-under-test"));
    // A developer's own settings would answer for what a test leaves out.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KUBEFOX_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the program was built with the tests")
}

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
