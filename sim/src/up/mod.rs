//! `up`: the whole platform on one machine, from empty disks to a message between two components.
//!
//! Every role is a process of its own; the servers are the embedded fakes or, with `--real`, the real ones. This
//! module plays what a cluster would: the administrator who applies `deploy/`, the kubelet who projects volumes, the
//! order in which pods start, and who puts a new pod in the place of a deleted one.

mod clock;
pub mod cluster;
mod embedded;
mod guard;
mod kill;
mod kubelet;
pub mod lookout;
mod platform;
mod process;
pub mod real;
mod renewal;
mod report;
mod runtime;
mod sentence;
pub mod stand;
mod state;
mod storm;
mod story;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::platform::Platform;
use self::report::Report;
use self::state::State;

/// Exit code of a run that was interrupted before its proof: the shell's for SIGINT.
const INTERRUPTED: u8 = 130;

/// Brings the whole platform up on this machine, sends a message from one component to another and back, and stays
/// until Ctrl-C.
#[derive(Parser)]
#[command(name = "up", version)]
pub struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// End after the proof: exit code 0 if everything is there, else the reason.
    #[arg(long)]
    once: bool,
    /// Keep the disks in this directory, so that the next start finds them. Default: a new one, removed at the end.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Say what happened as JSON at the end, also if it failed.
    ///
    /// One object: `ok`, `error`, `servers` (embedded or real), `versions` by server, `boot` (`rows` of the boot table
    /// in order, `path`: initialize or unseal, `writes` to Vault's settings), `roots_found` (living tokens with the
    /// policy root), `ca` (SHA-256 of the root certificate), `operator` (of NATS), `proof` (`from`, `to`, `payload`,
    /// `delivered`, `returned`, `round_trip_us`), `storm` (of `--storm`: `brokers`, `connected_ms`, `restarts`), `renewal`
    /// (of `--renew`: `times`, `messages`), `killed`
    /// (of `--kill`: `killed`, `total`, `not_reachable_here`, `kills`), `holders` (`who`, `identity`, `holds`,
    /// `until_unix_s`), `ready_ms`, `timeline` (`at_ms`, `who`, `what`).
    #[arg(long, requires = "once")]
    json: bool,
    /// Before the proof, kill the controller where it awaits an answer, and see it come back: `controller@STATE` after the
    /// answer and before it is heard, `controller@STATE:unsent` before the call leaves, `controller@all` at every moment.
    /// A state is written as in `controller@Sweep::Listing`; one that is none is refused with all that there are. The roles
    /// are this program, which can also let an hour pass for them, and not that of `--kubefox`.
    #[arg(long, value_name = "CONTROLLER@STATE", requires = "once", conflicts_with = "kubefox")]
    kill: Option<kill::Aim>,
    /// Before the proof, kill Vault itself, the controller or both so often, at random moments of first starts and while
    /// everything serves, and see them come back.
    #[arg(long, value_name = "TIMES", requires = "once", conflicts_with = "kill")]
    kill_random: Option<u32>,
    /// What the random moments of `--kill-random` are drawn from.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "kill_random")]
    seed: u64,
    /// Let the controller recover an initialization of Vault that was interrupted in an earlier run on the same `--state`:
    /// it deletes its pod, and the next one's `kubefox init vault` moves Vault's data aside. What is killed on purpose is
    /// recovered without being told.
    #[arg(long, requires = "state", conflicts_with_all = ["kill", "kill_random"])]
    recover_interrupted_init: bool,
    /// Before the proof, connect so many brokers more, each with a pod and an identity of its own, restart NATS under them,
    /// and see every one of them connected again.
    #[arg(long, value_name = "BROKERS", requires_all = ["real", "once"], value_parser = clap::value_parser!(u16).range(1..=900))]
    storm: Option<u16>,
    /// After the proof, renew so many times whatever both brokers and their runtimes hold, while messages pass between the
    /// two components, each of which must come back once and in order.
    #[arg(long, value_name = "TIMES", requires = "once", value_parser = clap::value_parser!(u16).range(1..))]
    renew: Option<u16>,
    /// Where initializers and brokers have the private keys of their certificates made.
    #[arg(long, value_enum, value_name = "ORIGIN", default_value_t = KeyOrigin::Vault)]
    key_origin: KeyOrigin,
    /// Use the real OpenBao, kube-apiserver and nats-server. One that is missing is an error.
    #[arg(long)]
    real: bool,
    /// Where the real servers are. Default: where tests/peers/build puts them.
    #[arg(long, value_name = "DIR", requires = "real")]
    peers: Option<PathBuf>,
    /// Run the roles with this program instead of this one: the production binary.
    #[arg(long, value_name = "PATH")]
    kubefox: Option<PathBuf>,
}

/// Where private keys are made.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyOrigin {
    /// In Vault, which sends them.
    Vault,
    /// In the pod, which they never leave.
    Pod,
}

impl KeyOrigin {
    /// As `kubefox` takes it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Pod => "pod",
        }
    }

    /// What a role has of a certificate.
    const fn certificate(self) -> &'static str {
        match self {
            Self::Vault => "certificate",
            Self::Pod => "certificate on its own key",
        }
    }
}

#[derive(Subcommand)]
enum Role {
    /// Be one of the platform's processes; `up` starts itself this way.
    #[command(subcommand)]
    Role(Part),
}

#[derive(Subcommand)]
enum Part {
    /// A component's runtime.
    Runtime(runtime::Arguments),
    /// A real server that is to end with `up`.
    Guard(guard::Arguments),
    /// A role of `kubefox`.
    #[command(external_subcommand)]
    Kubefox(Vec<OsString>),
}

/// Runs what the arguments say and gives the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // `cargo up -- --once` and `cargo up --once` mean the same.
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|argument| argument == "--") {
        arguments.remove(1);
    }
    let arguments = Arguments::parse_from(arguments);
    if let Some(Role::Role(Part::Kubefox(rest))) = arguments.role {
        return match clock::Ahead::start() {
            Ok(clock) => {
                kubefox_io::cli::main_with(Arc::new(clock), std::iter::once("kubefox".into()).chain(rest))
            }
            Err(error) => {
                complain(&format!("error: {error:#}"));
                ExitCode::FAILURE
            }
        };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs nothing that a process lacks");
    let ended = runtime.block_on(async {
        match arguments.role {
            Some(Role::Role(Part::Runtime(part))) => runtime::run(part).await.map(|()| ExitCode::SUCCESS),
            Some(Role::Role(Part::Guard(part))) => guard::run(part).await.map(|()| ExitCode::SUCCESS),
            Some(Role::Role(Part::Kubefox(_))) => unreachable!("it was answered above, without this runtime"),
            None => up(arguments).await,
        }
    });
    ended.unwrap_or_else(|error| {
        complain(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn up(arguments: Arguments) -> Result<ExitCode> {
    // From here on nothing ends this process in the middle of something.
    let mut interrupts = Interrupts::watch()?;
    let state = State::open(arguments.state.as_deref(), if arguments.real { "real" } else { "embedded" })?;
    let mut report = Report::begin(arguments.json, arguments.real);
    let (lookout, mut alarms) = lookout::new();
    let mut platform = None;
    let ended = tokio::select! {
        biased;
        () = interrupts.next() => Ok(Ended::Interrupted),
        failed = alarms.next() => Err(anyhow!(failed)),
        ended = async {
            let platform = platform.insert(Platform::start(&arguments, state.path(), lookout, &mut report).await?);
            let vault = platform.prepare(&mut report).await?;
            if let Some(aim) = arguments.kill {
                kill::walk(platform, &vault, aim, &mut report).await?;
            }
            if let Some(times) = arguments.kill_random {
                let (seed, real) = (arguments.seed, if arguments.real { " --real" } else { "" });
                let repeat = format!("cargo up --once{real} --kill-random {times} --seed {seed}");
                kill::strike(platform, &vault, times, seed, &repeat, &mut report).await?;
            }
            platform.bring_up(&vault, &mut report).await?;
            report.finish()?;
            if arguments.once {
                return Ok(Ended::Proved);
            }
            report.moment("up", format!("Ctrl-C ends it; until then the logs are in {}", state.logs().display()));
            std::future::pending().await
        } => ended,
    };
    if let Some(platform) = platform {
        tokio::select! {
            biased;
            () = platform.stop() => {}
            // Whoever asks twice does not want to wait: what is dropped is killed.
            () = interrupts.next() => {}
        }
    }
    match ended {
        Ok(Ended::Proved) => Ok(ExitCode::SUCCESS),
        Ok(Ended::Interrupted) if report.is_proved() => Ok(ExitCode::SUCCESS),
        Ok(Ended::Interrupted) => {
            complain("interrupted");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(error) => {
            report.fail(&error);
            Err(anyhow!("{error:#}\n  disks   {}", state.keep().display()))
        }
    }
}

/// How a run ended that did not fail.
enum Ended {
    Proved,
    Interrupted,
}

/// SIGINT, SIGTERM and SIGHUP; from the moment this is made none of them ends the process by itself.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupts {
    fn watch() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Words to whoever ran the command; nothing is lost if nobody listens.
fn complain(words: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}
