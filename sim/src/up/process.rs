//! A role or a server as a process of its own: its log goes to a file, what it tells is heard, and nothing of it
//! outlives this program.

use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::clock::AN_HOUR_PASSES;
use super::lookout::Lookout;
use super::story::{Story, Told};

/// How long a process may take to end after its stdin was closed.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A running process. Whatever is left of it when this is dropped is killed.
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    told: mpsc::UnboundedReceiver<Told>,
    ended: watch::Receiver<()>,
    account: Arc<Account>,
    lines: JoinHandle<()>,
}

/// What the process has told, and whom its end is told to.
struct Account {
    story: Story,
    lookout: OnceLock<Lookout>,
    /// Its end is our doing.
    is_killed: AtomicBool,
}

impl Process {
    /// Starts a command with its output in `log`. It gets a process group of its own, so that Ctrl-C reaches only
    /// this program, and a stdin that closes when this program ends.
    pub(super) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let program = command.as_std().get_program().to_owned();
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{} cannot be written", log.display()))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be started", Path::new(&program).display()))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let stdin = child.stdin.take();
        let account = Arc::new(Account {
            story: Story::new(name, log),
            lookout: OnceLock::new(),
            is_killed: AtomicBool::new(false),
        });
        let (sender, told) = mpsc::unbounded_channel();
        let (running, ended) = watch::channel(());
        let heard = Arc::clone(&account);
        let lines = tokio::spawn(async move {
            listen(stdout, stderr, file, &heard.story, sender).await;
            drop(running);
            if let Some(lookout) = heard.lookout.get()
                && !heard.is_killed.load(Ordering::Relaxed)
            {
                lookout.alarm(heard.story.end());
            }
        });
        Ok(Self { child, stdin, told, ended, account, lines })
    }

    /// Waits until it has told facts of all these names, in any order; everything it tells meanwhile goes to `hear`.
    pub(super) async fn until<const N: usize>(
        &mut self,
        messages: [&str; N],
        within: Duration,
        mut hear: impl FnMut(&Told),
    ) -> Result<[Told; N]> {
        let mut found = [const { None }; N];
        let story = &self.account.story;
        let complete = tokio::time::timeout(within, async {
            while found.iter().any(Option::is_none) {
                let Some(told) = self.told.recv().await else { return false };
                hear(&told);
                if story.has_stopped() {
                    return false;
                }
                for (found, message) in found.iter_mut().zip(messages) {
                    if told.message == message {
                        *found = Some(told.clone());
                    }
                }
            }
            true
        });
        match complete.await {
            Ok(true) => Ok(found.map(|told| told.expect("the loop ends when all are found"))),
            Ok(false) => bail!(story.end()),
            Err(_) => bail!(story.late(&format!("say {}", messages.join(" and ")), within)),
        }
    }

    /// Waits until it ends by itself; everything it tells meanwhile goes to `hear`.
    pub(super) async fn finished(&mut self, within: Duration, mut hear: impl FnMut(&Told)) -> Result<()> {
        let story = &self.account.story;
        let ended = tokio::time::timeout(within, async {
            // It tells nothing more once both its outputs are closed.
            while let Some(told) = self.told.recv().await {
                hear(&told);
            }
            self.child.wait().await
        });
        let status: ExitStatus = ended.await.map_err(|_| anyhow!(story.late("finish", within)))??;
        if !status.success() {
            bail!(story.end());
        }
        Ok(())
    }

    /// Becomes ready when it has ended, and says why.
    pub(super) fn end(&self) -> impl Future<Output = String> + use<> {
        let (mut ended, account) = (self.ended.clone(), Arc::clone(&self.account));
        async move {
            while ended.changed().await.is_ok() {}
            account.story.end()
        }
    }

    /// From now on its end is an alarm.
    pub(super) fn keep_watch(&self, lookout: &Lookout) {
        // Watching it twice would be watching it once.
        let _ = self.account.lookout.set(lookout.clone());
        if self.ended.has_changed().is_err() {
            lookout.alarm(self.account.story.end());
        }
    }

    /// What it had to say for itself when it did not do something in time.
    #[must_use]
    pub(super) fn late(&self, did_not: &str, within: Duration) -> String {
        self.account.story.late(did_not, within)
    }

    /// SIGKILLs its whole group, and returns when all that the group held is closed: files, locks, ports. Its end is no
    /// alarm.
    pub(super) async fn kill(mut self) {
        self.account.is_killed.store(true, Ordering::Relaxed);
        self.kill_group();
        // Its outputs are closed when the last of the group that holds them is gone.
        while self.ended.changed().await.is_ok() {}
        // It was killed: how it ended is known.
        let _ = self.child.wait().await;
    }

    /// Closes its stdin, which asks it to end.
    pub(super) fn ask_to_end(&mut self) {
        self.stdin = None;
    }

    /// SIGHUP: a broker renews what it holds.
    pub(super) fn hang_up(&self) -> Result<()> {
        kill_process(self.id().context("it runs")?, Signal::HUP).context("it cannot be told to renew")
    }

    /// What it has told so far is not waited for any more.
    pub(super) fn forget_what_was_told(&mut self) {
        while self.told.try_recv().is_ok() {}
    }

    /// Lets an hour pass for it: its clock is [`Ahead`](super::clock::Ahead).
    pub(super) fn an_hour_passes(&self) -> Result<()> {
        kill_process(self.id().context("it runs")?, AN_HOUR_PASSES)
            .context("it cannot be told that an hour has passed")
    }

    /// What it tells next; `None` when it has ended.
    pub(super) async fn tells(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// Why it is not there any more, or what it stopped with.
    #[must_use]
    pub(super) fn farewell(&self) -> String {
        self.account.story.end()
    }

    /// There is none any more once the process was waited for.
    fn id(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    fn kill_group(&self) {
        // A server that was started through another program is in it.
        if let Some(group) = self.id() {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Closes its stdin, which asks it to end, and waits; what does not end is killed.
    pub(super) async fn stop(mut self) {
        drop(self.stdin.take());
        // Too late, or not to be waited for: dropping it is what remains.
        let _ = tokio::time::timeout(END_WITHIN, self.child.wait()).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.lines.abort();
        self.kill_group();
    }
}

/// Everything a process prints goes to its log; what it tells is passed on.
async fn listen(
    stdout: ChildStdout,
    stderr: ChildStderr,
    mut log: File,
    story: &Story,
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
        // A full disk costs the log, never the run. A line is written at once: handing it to another thread would cost
        // more than the write, and what is measured while a role logs shares the processor with this.
        let _ = log.write_all(format!("{line}\n").as_bytes());
        if let Some(told) = story.hear(&line) {
            // Nobody has to listen.
            let _ = sender.send(told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lookout;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_a_process_tells_is_heard_and_its_log_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let log = folder.path().join("echo.log");
        let mut command = Command::new("echo");
        command.arg(r#"{"level":"INFO","message":"Serving","facts":"{\"address\":\"127.0.0.1:1\"}"}"#);
        let mut process = Process::start("echo", command, &log).expect("echo is everywhere");

        let [told] = process.until(["Serving"], PATIENCE, |_| {}).await.expect("it told");

        assert_eq!(told.facts, serde_json::json!({"address": "127.0.0.1:1"}));
        process.finished(PATIENCE, |_| {}).await.expect("it ends well");
        assert!(std::fs::read_to_string(&log).expect("a log").contains("Serving"));
    }

    #[tokio::test]
    async fn facts_may_come_in_any_order() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut process = shell(folder.path(), r#"echo '{"message":"B"}'; echo '{"message":"A"}'; sleep 60"#);

        let told = process.until(["A", "B"], PATIENCE, |_| {}).await.expect("both were told");

        assert_eq!(told.map(|told| told.message), ["A", "B"]);
    }

    #[tokio::test]
    async fn a_process_that_ends_without_a_word_is_an_error_with_its_last_words() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut process = shell(folder.path(), "echo disk on fire >&2; exit 3");

        let error = process.until(["Serving"], PATIENCE, |_| {}).await.expect_err("it never tells");

        assert!(format!("{error:#}").contains("disk on fire"), "{error:#}");
    }

    #[tokio::test]
    async fn a_stop_is_an_error_before_the_process_is_gone() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let stopped = r#"{"message":"Stopped","fatal":"GaveUp","cause":"Nobody came.","remedy":"Look."}"#;
        let mut process = shell(folder.path(), &format!("echo '{stopped}'; sleep 60"));

        let error = process.until(["Serving"], PATIENCE, |_| {}).await.expect_err("it never tells");

        assert!(error.to_string().starts_with("sh stopped: GaveUp\n  cause   Nobody came."), "{error:#}");
    }

    #[tokio::test]
    async fn the_end_of_a_watched_process_is_an_alarm() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (lookout, mut alarms) = lookout::new();
        let process = shell(folder.path(), "read line; echo farewell");
        process.keep_watch(&lookout);

        process.stop().await;

        // Stopping ends the task that would have told, so a second one is left to end by itself.
        let another = shell(folder.path(), "echo farewell");
        another.keep_watch(&lookout);
        let alarm = tokio::time::timeout(PATIENCE, alarms.next()).await.expect("an alarm");
        assert!(alarm.starts_with("sh has ended") && alarm.contains("farewell"), "{alarm}");
    }

    #[tokio::test]
    async fn a_killed_process_is_gone_with_its_group_and_is_no_alarm() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (lookout, mut alarms) = lookout::new();
        let mut process = shell(folder.path(), r#"trap '' TERM; sleep 62 & echo "READY pid=$!"; wait"#);
        let [ready] = process.until(["READY"], PATIENCE, |_| {}).await.expect("it is ready");
        let grandchild = ready.facts["pid"].as_str().expect("its id").parse().ok().and_then(Pid::from_raw);
        let grandchild = grandchild.expect("a process id");
        process.keep_watch(&lookout);

        tokio::time::timeout(PATIENCE, process.kill()).await.expect("SIGKILL is not refused");

        tokio::time::timeout(PATIENCE, gone(grandchild)).await.expect("the grandchild is killed");
        drop(lookout);
        assert_eq!(tokio::time::timeout(PATIENCE / 100, alarms.next()).await.ok(), None);
    }

    #[tokio::test]
    async fn a_dropped_process_takes_its_whole_group_with_it() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut process = shell(folder.path(), r#"sleep 61 & echo "READY pid=$!"; wait"#);
        let [ready] = process.until(["READY"], PATIENCE, |_| {}).await.expect("it is ready");
        let grandchild = ready.facts["pid"].as_str().expect("its id").parse().ok().and_then(Pid::from_raw);
        let grandchild = grandchild.expect("a process id");

        drop(process);

        tokio::time::timeout(PATIENCE, gone(grandchild)).await.expect("the grandchild is killed");
    }

    fn shell(folder: &Path, script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("sh", command, &folder.join("sh.log")).expect("sh is everywhere")
    }

    /// A process closes what it holds some time before the system calls it dead.
    async fn gone(process: Pid) {
        while rustix::process::test_kill_process(process).is_ok() && !is_zombie(process) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where nobody reaps orphans, a killed one stays as a zombie.
    fn is_zombie(process: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
        stat.map_or(true, |stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
    }
}
