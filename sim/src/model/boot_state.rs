//! What `boot.state` is worth: read and opened by the adapter of production, with the key that the cluster stores.

use kubefox_core::machine::Outcome;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::{Call, Opened, Reply, State};
use kubefox_io::adapter::state::{Context, decode, encode};
use kubefox_io::adapter::{Entropy, Slots as _};

use super::keyring::Keyring;
use super::world::World;

/// What the file says, and the secrets in its envelope if the stored key opens it.
pub(super) fn boot_state(world: &World) -> (State, Option<Keyring>) {
    let context = Context { installation: world.installation().clone() };
    let mut keys = Keyring::default();
    let ask = |call: Call, keys: &mut Keyring| {
        let request =
            encode(&call, &context, keys, &mut NoEntropy).expect("a read needs nothing but the key");
        decode(&call, &context, world.disk.clone().perform(request), keys)
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
