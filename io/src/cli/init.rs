//! `kubefox init …`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use futures::{StreamExt, stream};
use kubefox_core::initializer::{Config, Notice, Signal, Wait};
use kubefox_core::machine::Standing;
use tracing::Level;

use super::caller::Caller;
use super::run::{Wiring, run_role};
use super::{Telemetry, Unusable, quarantine};
use crate::adapter::role::InitializerAdapter;
use crate::driver::Clock;
use crate::shell::carrier::Shells;
use crate::shell::files::{Directories, Files};
use crate::shell::host::Real;

/// Before which server.
#[derive(Subcommand)]
pub(super) enum Kind {
    /// Writes nats.conf, certificate, key and authority for NATS.
    Nats(Arguments),
    /// Moves aside what an interrupted initialization left in Vault's data directory, if the controller marked it.
    Vault(quarantine::Arguments),
}

/// What the operator chooses for the NATS initializer.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    caller: Caller,
    /// The volume shared with NATS, as it is mounted here.
    #[arg(long, env = "KUBEFOX_OUTPUT_DIR", default_value = "/var/run/kubefox/nats")]
    output_dir: PathBuf,
    /// The same volume as NATS sees it.
    #[arg(long, env = "KUBEFOX_NATS_DIRECTORY", default_value = "/var/run/kubefox/nats")]
    nats_directory: String,
    /// Where NATS listens.
    #[arg(long, env = "KUBEFOX_NATS_LISTEN", default_value = "0.0.0.0:4222")]
    nats_listen: String,
    /// Where NATS writes which ports it got.
    #[arg(long, env = "KUBEFOX_NATS_PORTS_DIR")]
    nats_ports_dir: Option<String>,
    #[command(flatten)]
    telemetry: Telemetry,
}

pub(super) fn run(kind: Kind, clock: Arc<dyn Clock>) -> Result<Standing, Unusable> {
    match kind {
        Kind::Nats(arguments) => nats(arguments, clock),
        Kind::Vault(arguments) => quarantine::run(arguments, clock),
    }
}

fn nats(arguments: Arguments, clock: Arc<dyn Clock>) -> Result<Standing, Unusable> {
    let bootstrap = arguments.caller.client(Arc::new(Real))?;
    let config = Config {
        listen: arguments.nats_listen,
        directory: arguments.nats_directory,
        ports_file_dir: arguments.nats_ports_dir,
        key_origin: arguments.caller.key_origin(),
        mount_grace_ms: arguments.caller.mount_grace_ms(),
        give_up_ms: arguments.caller.give_up_ms(),
    };
    let adapter = InitializerAdapter { bootstrap: arguments.caller.context() };
    let directories = Directories {
        tokens: Some(arguments.caller.service_account_dir),
        trust: Some(arguments.caller.trust_dir),
        shared: Some(arguments.output_dir),
        ..Directories::default()
    };
    run_role(
        "init nats",
        arguments.telemetry,
        clock,
        config,
        adapter,
        |log| log.notice_level(level),
        async move |_door, _snapshots| {
            let shells = Shells {
                files: Some(Files::new(directories)),
                bootstrap: Some(bootstrap),
                ..Shells::default()
            };
            Wiring { shells, signals: stream::empty().boxed(), stop: Signal::Stop }
        },
    )
}

const fn level(notice: &Notice) -> Level {
    match notice {
        Notice::Waiting(Wait::Controller(why)) if why.deserves_a_look() => Level::WARN,
        Notice::Waiting(_) | Notice::Bootstrapped { .. } | Notice::Written => Level::INFO,
    }
}
