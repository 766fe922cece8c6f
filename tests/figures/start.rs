//! (c): one start of an init container, `kubefox init nats` against OpenBao's own agent.
//!
//! Each start has a fresh token, so that both log in; the controller has nothing from before. The agent renders one
//! certificate with its key; `kubefox init nats` also gets the three JWTs and writes nats.conf.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::json;

use super::callers::AUDIENCE;
use super::load::median;
use super::report::{Goal, Pair};
use super::stage::{Stage, kubefox};

/// Starts of each whose time is taken.
const STARTS: usize = 15;
/// Starts of each whose memory is looked at: looking takes time from it.
const LOOKS: usize = 5;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_micros(200);
pub(crate) const NAME: &str = "(c) one start: kubefox init nats, bao agent";
const MB: f64 = 1_000_000.0;

/// The median of the starts.
#[derive(Serialize)]
struct Figures {
    wall_ms: f64,
    cpu_ms: f64,
    /// `VmHWM`.
    peak_mib: f64,
    /// Without symbols.
    binary_mb: f64,
}

/// One of the two programs, with where it reads its token.
struct Program {
    command: Vec<String>,
    token: PathBuf,
    output: PathBuf,
    samples: [Vec<f64>; 3],
}

pub(crate) async fn start(stage: &Stage) -> Result<Pair> {
    let mut programs = [initializer(stage)?, agent(stage)?];
    for round in 0..STARTS + LOOKS {
        for program in &mut programs {
            program.prepare(stage).await?;
            let command = program.command.clone();
            if round < STARTS {
                let [wall, cpu] = tokio::task::spawn_blocking(move || timed(&command)).await??;
                program.samples[0].push(wall);
                program.samples[1].push(cpu);
            } else {
                let peak = tokio::task::spawn_blocking(move || looked_at(&command)).await??;
                program.samples[2].push(peak);
            }
            program.check()?;
        }
    }
    let [initializer, agent] = programs;
    let initializer = initializer.figures(stripped(kubefox(), stage.folder.path())?);
    let agent = agent.figures(stripped(&stage.bao, stage.folder.path())?);
    let goals = vec![
        Goal::at_most("wall, kubefox / agent", 0.2, initializer.wall_ms / agent.wall_ms),
        Goal::at_most("CPU, kubefox / agent", 0.1, initializer.cpu_ms / agent.cpu_ms),
        Goal::at_most("peak memory, kubefox / agent", 0.1, initializer.peak_mib / agent.peak_mib),
        Goal::below("binary without symbols, MB", 15.0, initializer.binary_mb),
    ];
    let lines = [("kubefox", &initializer), ("agent", &agent)].map(|(who, of)| {
        format!(
            "{who:<8} wall {:>6.1} ms   CPU {:>6.1} ms   peak {:>6.1} MiB   binary {:>6.1} MB",
            of.wall_ms, of.cpu_ms, of.peak_mib, of.binary_mb
        )
    });
    let figures =
        json!({"kubefox": serde_json::to_value(initializer)?, "agent": serde_json::to_value(agent)?});
    Ok(Pair { name: NAME.to_owned(), lines: lines.into(), figures, goals, failures: Vec::new() })
}

fn initializer(stage: &Stage) -> Result<Program> {
    let folder = stage.folder.path().join("init-nats");
    let (tokens, trust, output) = (folder.join("tokens"), folder.join("trust"), folder.join("output"));
    for folder in [&tokens, &trust, &output] {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(trust.join("ca.crt"), stage.ca.as_str())?;
    std::fs::write(trust.join("tls.crt"), stage.leaf.as_str())?;
    let mut command = vec![text(kubefox())?, "init".to_owned(), "nats".to_owned()];
    let paths = [
        ("--service-account-dir", &tokens),
        ("--trust-dir", &trust),
        ("--output-dir", &output),
        ("--nats-directory", &output),
    ];
    for (flag, path) in paths {
        command.extend([flag.to_owned(), text(path)?]);
    }
    let rest = ["--status-listen", "127.0.0.1:0", "--log-format", "json", "--controller-address"];
    command.extend(rest.map(ToOwned::to_owned));
    command.push(stage.controller.to_string());
    command.push("--termination-log".to_owned());
    command.push(text(&folder.join("termination"))?);
    let token = tokens.join("kubefox");
    Ok(Program { command, token, output: output.join("tls.crt"), samples: Default::default() })
}

fn agent(stage: &Stage) -> Result<Program> {
    let folder = stage.folder.path().join("agent");
    std::fs::create_dir_all(&folder)?;
    let (token, output, configured) =
        (folder.join("token"), folder.join("out.pem"), folder.join("agent.hcl"));
    let (vault, token_text, output_text) = (&stage.vault, text(&token)?, text(&output)?);
    std::fs::write(
        &configured,
        format!(
            r#"exit_after_auth = true
vault {{ address = "{vault}" }}
auto_auth {{
  method "kubernetes" {{
    mount_path = "auth/kubernetes"
    config     = {{ role = "nats", token_path = "{token_text}" }}
  }}
}}
template_config {{ exit_on_retry_failure = true }}
template {{
  destination          = "{output_text}"
  error_on_missing_key = true
  contents             = <<EOT
{{{{ with pkiCert "pki/issue/nats" "common_name=nats.kubefox.svc" "uri_sans=spiffe://cluster.local/ns/kubefox/sa/nats" "ttl=2592000s" "format=pem" "private_key_format=pkcs8" }}}}{{{{ .Data.Cert }}}}{{{{ .Data.CA }}}}{{{{ .Data.Key }}}}{{{{ end }}}}
EOT
}}
"#
        ),
    )?;
    let command = vec![text(&stage.bao)?, "agent".to_owned(), "-config".to_owned(), text(&configured)?];
    Ok(Program { command, token, output, samples: Default::default() })
}

impl Program {
    /// A token that nobody has seen yet, and nothing of the start before.
    async fn prepare(&self, stage: &Stage) -> Result<()> {
        let token = stage.cluster.token(&stage.nats().await?, AUDIENCE).await?;
        std::fs::write(&self.token, token)?;
        if self.output.exists() {
            std::fs::remove_file(&self.output)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let written = std::fs::read_to_string(&self.output).unwrap_or_default();
        if !written.contains("BEGIN CERTIFICATE") {
            bail!("{} wrote no certificate", self.command.join(" "));
        }
        Ok(())
    }

    fn figures(self, binary: u64) -> Figures {
        let [wall_ms, cpu_ms, peak_mib] = self.samples.map(|mut samples| median(&mut samples));
        Figures { wall_ms, cpu_ms, peak_mib, binary_mb: size(binary) / MB }
    }
}

/// Wall and CPU time in milliseconds, as the shell takes them.
fn timed(command: &[String]) -> Result<[f64; 2]> {
    let script = r#"TIMEFORMAT='%3R %3U %3S'; time "$0" "$@" >/dev/null 2>&1"#;
    let output = Command::new("bash").arg("-c").arg(script).args(command).output();
    let output = output.context("the time is taken with bash")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} ended with {}: {said}", command.join(" "), output.status);
    }
    let seconds: Vec<f64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall, user, system] = seconds[..] else { bail!("bash said: {said}") };
    Ok([wall * 1_000.0, (user + system) * 1_000.0])
}

/// The most memory it had, in MiB. What it takes in the last moment before it ends is not seen.
#[expect(
    clippy::disallowed_methods,
    reason = "on a thread of its own, and a timer of the runtime is coarser"
)]
fn looked_at(command: &[String]) -> Result<f64> {
    let (program, arguments) = command.split_first().context("a program")?;
    let mut child =
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0.0;
    loop {
        let now = std::fs::read_to_string(&status).unwrap_or_default();
        if let Some(kib) = now.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            peak_kib = kib.trim_end_matches("kB").trim().parse()?;
        }
        if let Some(ended) = child.try_wait()? {
            if !ended.success() {
                bail!("{} ended with {ended}", command.join(" "));
            }
            return Ok(peak_kib / 1_024.0);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Bytes of a copy without symbols.
fn stripped(program: &Path, folder: &Path) -> Result<u64> {
    let copy = folder.join("stripped");
    let status = Command::new("strip").arg("-o").arg(&copy).arg(program).status();
    if !status.context("the size is that of a copy that `strip` made; install binutils")?.success() {
        bail!("strip does not take {}", program.display());
    }
    Ok(std::fs::metadata(copy)?.len())
}

fn size(bytes: u64) -> f64 {
    // Exact below 2^53.
    bytes as f64
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("the path is text")?.to_owned())
}
