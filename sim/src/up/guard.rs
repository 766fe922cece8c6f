//! Runs a server that does not watch its stdin, and ends it when stdin closes: however `up` ends, its servers do too.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kubefox_io::shell::signals::{stdin_closed, terminated};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// How long a server may take to end after SIGTERM; less than `up` gives its guard.
const GRACE: Duration = Duration::from_secs(5);

/// A program and its arguments.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Runs until the program ends, which is an error, or stdin closes.
pub(super) async fn run(Arguments { command }: Arguments) -> Result<()> {
    let [program, arguments @ ..] = command.as_slice() else { bail!("there is no program to run") };
    let program = Path::new(program);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    tokio::select! {
        biased;
        status = child.wait() => bail!("{} ended by itself: {}", program.display(), status?),
        () = terminated() => {}
        () = stdin_closed() => {}
    }
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // It may have ended by itself just now.
        let _ = kill_process(id, Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}
