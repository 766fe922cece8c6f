//! What `boot.state` is worth: read and opened by the adapter of production, with the key that the cluster stores.

use std::cell::RefCell;
use std::collections::HashMap;

use kubefox_core::machine::Outcome;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::{Call, Opened, Reply, State};
use kubefox_io::adapter::state::{Context, decode, encode};
use kubefox_io::adapter::{Entropy, Slots as _};
use kubefox_io::disk::Folder;

use super::keyring::Keyring;
use super::world::World;
use crate::fake::disk::Holder;

/// What a file says, and the secrets in its envelope if the stored key opens it.
type Worth = (State, Option<Keyring>);

/// The file and the stored key.
type Stored = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A search asks for few files again and again, and opening an envelope is dear: so many are remembered.
const REMEMBERED_MAX: usize = 1_024;

thread_local! {
    static REMEMBERED: RefCell<HashMap<Stored, Worth>> = RefCell::default();
}

/// What the file says, and the secrets in its envelope if the stored key opens it.
pub(super) fn boot_state(world: &World) -> Worth {
    let file = world.disk.file(Folder::State, "boot.state").map(<[u8]>::to_vec);
    let stored = (file, world.stored_seal_key());
    REMEMBERED.with_borrow_mut(|remembered| {
        if remembered.len() == REMEMBERED_MAX && !remembered.contains_key(&stored) {
            remembered.clear();
        }
        remembered.entry(stored).or_insert_with(|| read(world)).clone()
    })
}

fn read(world: &World) -> Worth {
    let context = Context { installation: world.installation().clone() };
    let mut keys = Keyring::default();
    let ask = |call: Call, keys: &mut Keyring| {
        let request =
            encode(&call, &context, keys, &mut NoEntropy).expect("a read needs nothing but the key");
        decode(&call, &context, world.disk.clone().perform(Holder::NONE, request), keys)
    };
    let Outcome::Ok(Reply::State(state)) = ask(Call::Read, &mut keys) else {
        panic!("the disk of the model answers every read")
    };
    let (Some(stored), State::Envelope { .. }) = (world.stored_seal_key(), &state) else {
        return (state, None);
    };
    let key = Secret::Own(Own::SealKey);
    keys.fill(key, stored.into());
    let opened = ask(Call::Open { key }, &mut keys);
    keys.forget(key);
    let opens = matches!(opened, Outcome::Ok(Reply::Opened(Opened::Keys { .. })));
    (state, Some(keys).filter(|_| opens))
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) {
        unreachable!("reading needs no randomness")
    }
}
