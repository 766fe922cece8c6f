//! `kubefox broker`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::{StreamExt, stream};
use kubefox_core::broker::{Config, Notice, Signal, Wait};
use kubefox_core::initializer;
use kubefox_core::machine::Standing;
use kubefox_core::vault::{AuthRole, PkiRole};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::Level;

use super::caller::{Caller, host_and_port};
use super::run::{Wiring, run_role};
use super::{Telemetry, Unusable};
use crate::adapter::role::BrokerAdapter;
use crate::driver::Clock;
use crate::shell::broker_server::{self, BrokerDoor};
use crate::shell::carrier::Shells;
use crate::shell::files::{Directories, Files};
use crate::shell::host::Real;
use crate::shell::listener::{Clients, Listener};
use crate::shell::nats::{Nats, Server};
use crate::shell::signals::hang_ups;

/// Changes of the connection to NATS that wait for the driver.
const LINKS_WAITING_MAX: usize = 16;

/// What the operator chooses for a broker.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    caller: Caller,
    /// Where NATS is, as HOST:PORT. Whatever is dialled, its certificate must be that of NATS.
    #[arg(long, env = "KUBEFOX_NATS_ADDRESS", default_value = "nats.kubefox.svc:4222")]
    nats_address: String,
    /// The volume shared with the component's runtime.
    #[arg(long, env = "KUBEFOX_SHARED_DIR", default_value = "/var/run/kubefox/runtime")]
    shared_dir: PathBuf,
    /// Where the runtime dials; the pod's loopback.
    #[arg(long, env = "KUBEFOX_LISTEN", default_value = "127.0.0.1:8444")]
    listen: SocketAddr,
    #[command(flatten)]
    telemetry: Telemetry,
}

pub(super) fn run(arguments: Arguments, clock: Arc<dyn Clock>) -> Result<Standing, Unusable> {
    let host = Arc::new(Real);
    let bootstrap = arguments.caller.client(host.clone())?;
    host_and_port("--nats-address", &arguments.nats_address)?;
    let server = Server {
        url: format!("nats://{}", arguments.nats_address),
        expected: arguments.caller.expected(PkiRole::Nats, AuthRole::Nats),
    };
    let config = Config {
        key_origin: arguments.caller.key_origin(),
        mount_grace_ms: arguments.caller.mount_grace_ms(),
        give_up_ms: arguments.caller.give_up_ms(),
    };
    let adapter = BrokerAdapter { bootstrap: arguments.caller.context() };
    let directories = Directories {
        tokens: Some(arguments.caller.service_account_dir),
        trust: Some(arguments.caller.trust_dir),
        shared: Some(arguments.shared_dir),
        ..Directories::default()
    };
    run_role(
        "broker",
        arguments.telemetry,
        clock,
        config,
        adapter,
        |log| log.notice_level(level),
        async move |door, _snapshots| {
            let door: Arc<dyn BrokerDoor> = Arc::new(door);
            let (links, changes) = mpsc::channel(LINKS_WAITING_MAX);
            let nats = Nats::new(server, Arc::clone(&door), links);
            let routes = broker_server::routes(door, Arc::new(nats.clone()));
            let limits = broker_server::LIMITS;
            let listener = Listener::new(host, arguments.listen, Clients::OwnRuntime, limits, routes);
            let links = ReceiverStream::new(changes).map(Signal::Link);
            let signals = stream::select(links, hang_ups().map(|()| Signal::Renew)).boxed();
            let shells = Shells {
                files: Some(Files::new(directories)),
                bootstrap: Some(bootstrap),
                listener: Some(Arc::new(listener)),
                nats: Some(nats),
                ..Shells::default()
            };
            Wiring { shells, signals, stop: Signal::Stop }
        },
    )
}

/// ERROR is what somebody must act on; WARN heals by itself.
const fn level(notice: &Notice) -> Level {
    match notice {
        Notice::Waiting(Wait::Remedy(_)) => Level::ERROR,
        Notice::Waiting(Wait::Bootstrap(initializer::Wait::Controller(why))) if why.deserves_a_look() => {
            Level::WARN
        }
        Notice::Lapsed | Notice::Waiting(Wait::Unsigned(_) | Wait::Succession) => Level::WARN,
        Notice::Waiting(Wait::Bootstrap(_) | Wait::Listener | Wait::Nats)
        | Notice::Bootstrapped { .. }
        | Notice::Written
        | Notice::Serving { .. }
        | Notice::Connected
        | Notice::Succeeded => Level::INFO,
    }
}
