//! The pod of NATS.

use kubefox_core::bootstrap;
use kubefox_core::initializer::{Ask, Call, Config, Initializer, Reply, Signal};
use kubefox_core::machine::Outcome;
use kubefox_core::time::Now;

use crate::{World, caller};

pub(crate) struct Pod;

pub(crate) fn config(choice: u8) -> Config {
    Config {
        listen: "0.0.0.0:4222".into(),
        directory: "/kubefox".into(),
        ports_file_dir: None,
        mount_grace_ms: 5_200,
        give_up_ms: u64::from(choice % 4) * 200_000,
        key_origin: caller::key_origin(choice),
    }
}

impl World<Initializer> for Pod {
    fn well(&mut self, call: &Call, now: Now) -> Outcome<Reply> {
        Outcome::Ok(match call {
            Call::Volume(call) => Reply::Volume(caller::mounts(call, now)),
            Call::Keys(call) => Reply::Keys(caller::keys(call)),
            Call::Bootstrap(_) => Reply::Bootstrap(bootstrap::Reply::Nats(caller::nats(now, 600))),
        })
    }

    fn other(&self, call: &Call, pick: u8, now: Now) -> Option<Outcome<Reply>> {
        let reply = match call {
            Call::Volume(call) => Reply::Volume(caller::other_mounts(call, pick, now)?),
            Call::Keys(_) => return None,
            Call::Bootstrap(_) => Reply::Bootstrap(match pick % 4 {
                0 | 1 => caller::no(pick / 4),
                2 => bootstrap::Reply::Unfit(caller::unfit(pick / 4)),
                _ => {
                    let mut sent = caller::nats(now, u64::from(pick / 16));
                    if pick & 8 != 0 {
                        sent.operator.clone_from(&sent.platform_account);
                    }
                    bootstrap::Reply::Nats(sent)
                }
            }),
        };
        Some(Outcome::Ok(reply))
    }

    fn ask(&self, _: u8) -> Option<Ask> {
        None
    }

    fn signal(&self, _: u8) -> Option<Signal> {
        Some(Signal::Stop)
    }
}
