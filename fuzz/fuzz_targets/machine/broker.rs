//! The pod of a component, and NATS.

use kubefox_core::broker::{Ask, Broker, Call, Config, Reply, Signal};
use kubefox_core::documents::nkey::{Prefix, PublicKey};
use kubefox_core::machine::Outcome;
use kubefox_core::names::{Nonce, SubjectTail};
use kubefox_core::signature::Signature;
use kubefox_core::time::Now;
use kubefox_core::{bootstrap, listener, nats};

use crate::{World, caller};

#[derive(Default)]
pub(crate) struct Pod {
    /// Nothing tells of a link before anybody dialled.
    dialled: bool,
}

pub(crate) fn config(choice: u8) -> Config {
    let give_up_ms = u64::from(choice % 4) * 200_000;
    Config { mount_grace_ms: 5_200, give_up_ms, key_origin: caller::key_origin(choice) }
}

impl World<Broker> for Pod {
    fn well(&mut self, call: &Call, now: Now) -> Outcome<Reply> {
        Outcome::Ok(match call {
            Call::Volume(call) => Reply::Volume(caller::mounts(call, now)),
            Call::Keys(call) => Reply::Keys(caller::keys(call)),
            Call::Bootstrap(bootstrap::Call::SignNonce { .. }) => {
                Reply::Bootstrap(bootstrap::Reply::Signature(Signature([1; 64])))
            }
            Call::Bootstrap(_) => {
                Reply::Bootstrap(bootstrap::Reply::Component(caller::component(now, 3_600)))
            }
            Call::Listener(_) => {
                Reply::Listener(listener::Reply::Presented { address: "127.0.0.1:8444".into() })
            }
            Call::Nats(nats::Call::Connect { .. }) => {
                self.dialled = true;
                Reply::Nats(nats::Reply::Connected)
            }
            Call::Nats(nats::Call::Publish { .. }) => Reply::Nats(nats::Reply::Published),
        })
    }

    fn other(&self, call: &Call, pick: u8, now: Now) -> Option<Outcome<Reply>> {
        let reply = match call {
            Call::Volume(call) => Reply::Volume(caller::other_mounts(call, pick, now)?),
            Call::Bootstrap(bootstrap::Call::Component { .. }) if pick % 4 == 3 => {
                let mut sent = caller::component(now, u64::from(pick / 16));
                if pick & 8 != 0 {
                    sent.user = PublicKey::encode(Prefix::User, &[6; 32]);
                }
                Reply::Bootstrap(bootstrap::Reply::Component(sent))
            }
            Call::Bootstrap(bootstrap::Call::Component { .. }) if pick % 4 == 2 => {
                Reply::Bootstrap(bootstrap::Reply::Unfit(caller::unfit(pick / 4)))
            }
            Call::Bootstrap(_) => Reply::Bootstrap(caller::no(pick / 4)),
            Call::Keys(_) | Call::Listener(_) | Call::Nats(_) => return None,
        };
        Some(Outcome::Ok(reply))
    }

    fn ask(&self, pick: u8) -> Option<Ask> {
        Some(match pick % 3 {
            0 => Ask::SignNonce { nonce: Nonce::parse("abcDEF012345-_x").expect("a nonce") },
            1 => Ask::Publish {
                to: PublicKey::encode(Prefix::User, &[6; 32]),
                tail: SubjectTail::parse("orders.created").expect("two tokens"),
            },
            _ => Ask::Subscribe,
        })
    }

    fn signal(&self, pick: u8) -> Option<Signal> {
        match pick % 8 {
            0 => Some(Signal::Stop),
            1 => Some(Signal::Renew),
            2..=4 => self.dialled.then_some(Signal::Link(nats::Link::Up)),
            _ => self.dialled.then_some(Signal::Link(nats::Link::Down)),
        }
    }

    fn restarted(&mut self) {
        self.dialled = false;
    }
}
