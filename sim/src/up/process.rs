//! A role or a server as a process of its own: its log goes to a file, and what it tells is heard.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a process may take to end after its stdin was closed.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A line of a process's log that tells a fact.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Its constant name.
    pub(super) message: String,
    /// Its fields.
    pub(super) facts: Value,
}

/// A running process.
pub(super) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    told: mpsc::UnboundedReceiver<Told>,
    lines: JoinHandle<()>,
}

impl Process {
    /// Starts a command with its output in `log`. It gets a process group of its own, so that Ctrl-C reaches only
    /// this program, and a stdin that closes when this program ends.
    pub(super) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let program = command.as_std().get_program().to_owned();
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{} cannot be written", log.display()))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", Path::new(&program).display()))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let stdin = child.stdin.take();
        let (sender, told) = mpsc::unbounded_channel();
        let file = tokio::fs::File::from_std(file);
        let lines = tokio::spawn(listen(stdout, stderr, file, sender));
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child, stdin, told, lines })
    }

    /// Waits until it tells a fact of that name; everything it tells meanwhile goes to `hear`.
    pub(super) async fn until(
        &mut self,
        message: &str,
        within: Duration,
        mut hear: impl FnMut(&Told),
    ) -> Result<Told> {
        let heard = tokio::time::timeout(within, async {
            while let Some(told) = self.told.recv().await {
                hear(&told);
                if told.message == message {
                    return Some(told);
                }
            }
            None
        });
        match heard.await {
            Ok(Some(told)) => Ok(told),
            Ok(None) => bail!("{} ended before it told `{message}`; {}", self.name, self.last_words()),
            Err(_) => {
                bail!("{} did not tell `{message}` within {within:?}; {}", self.name, self.last_words())
            }
        }
    }

    /// Waits until it ends by itself; everything it tells meanwhile goes to `hear`.
    pub(super) async fn wait(&mut self, within: Duration, mut hear: impl FnMut(&Told)) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(within, async {
            // It tells nothing more once both its outputs are closed.
            while let Some(told) = self.told.recv().await {
                hear(&told);
            }
            self.child.wait().await
        });
        match ended.await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} did not end within {within:?}; {}", self.name, self.last_words()),
        }
    }

    /// Closes its stdin, which asks it to end, and waits.
    pub(super) async fn stop(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(END_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        self.lines.abort();
    }

    /// The end of its log, for an error.
    #[must_use]
    pub(super) fn last_words(&self) -> String {
        const LINES: usize = 6;
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
        format!("the end of its log ({}):\n  {tail}", self.log.display())
    }
}

/// Everything a process prints goes to its log; what it tells is passed on.
async fn listen(
    stdout: ChildStdout,
    stderr: ChildStderr,
    mut file: tokio::fs::File,
    sender: mpsc::UnboundedSender<Told>,
) {
    let (mut out, mut err) = (BufReader::new(stdout).lines(), BufReader::new(stderr).lines());
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let line = tokio::select! {
            biased;
            line = err.next_line(), if err_open => match line {
                Ok(Some(line)) => line,
                Ok(None) | Err(_) => { err_open = false; continue }
            },
            line = out.next_line(), if out_open => match line {
                Ok(Some(line)) => line,
                Ok(None) | Err(_) => { out_open = false; continue }
            },
        };
        // A full disk costs the log, never the run.
        let _ = file.write_all(format!("{line}\n").as_bytes()).await;
        let _ = file.flush().await;
        if let Some(told) = parse(&line) {
            let _ = sender.send(told);
        }
    }
}

/// A JSON log line of a role: `message` is the name, `facts` the facts as JSON. Or the one line of `kube up`:
/// `READY name=value …`.
fn parse(line: &str) -> Option<Told> {
    if let Some(words) = line.strip_prefix("READY ") {
        let facts = words.split_whitespace().filter_map(|word| word.split_once('='));
        let facts = facts.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        return Some(Told { message: "READY".to_owned(), facts: Value::Object(facts) });
    }
    let line: Value = serde_json::from_str(line).ok()?;
    let message = line.get("message")?.as_str()?.to_owned();
    let facts = match line.get("facts").and_then(Value::as_str) {
        Some(facts) => serde_json::from_str(facts).ok()?,
        None => line,
    };
    Some(Told { message, facts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_process_tells_is_heard_and_its_log_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let log = folder.path().join("echo.log");
        let mut command = Command::new("echo");
        command.arg(r#"{"level":"INFO","message":"Serving","facts":"{\"address\":\"127.0.0.1:1\"}"}"#);
        let mut process = Process::start("echo", command, &log).expect("echo is everywhere");

        let told = process.until("Serving", Duration::from_secs(10), |_| {}).await.expect("it told");

        assert_eq!(told.facts, serde_json::json!({"address": "127.0.0.1:1"}));
        let status = process.wait(Duration::from_secs(10), |_| {}).await.expect("it ends");
        assert!(status.success());
        assert!(std::fs::read_to_string(&log).expect("a log").contains("Serving"));
    }

    #[tokio::test]
    async fn a_process_that_ends_without_a_word_is_an_error_with_its_last_words() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let log = folder.path().join("sh.log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo disk on fire >&2; exit 3"]);
        let mut process = Process::start("sh", command, &log).expect("sh is everywhere");

        let error =
            process.until("Serving", Duration::from_secs(10), |_| {}).await.expect_err("it never tells");

        assert!(format!("{error:#}").contains("disk on fire"), "{error:#}");
    }
}
