//! What is sealed opens to the same keys, and nothing else ever opens: neither a changed envelope nor a changed file.

#![no_main]

use kubefox_core::machine::Outcome;
use kubefox_core::names::{Installation, KeyId, LifeId};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::{Call, Opened, Reply};
use kubefox_io::adapter::envelope::{self, Envelope, Keys, SEAL_KEY_BYTES};
use kubefox_io::adapter::state::{Context, decode, encode};
use kubefox_io::adapter::{Entropy, Slots as _};
use kubefox_io::disk::{Request, Response};
use kubefox_io::keyring::Keyring;
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

const SEAL_KEY: [u8; SEAL_KEY_BYTES] = [7; SEAL_KEY_BYTES];
const NAMED: Secret = Secret::Own(Own::SealKey);
const UNSEAL_KEY: Secret = Secret::Own(Own::UnsealKey);
const ROOT_TOKEN: Secret = Secret::Own(Own::RootToken);

fuzz_target!(|bytes: &[u8]| {
    any_file_says_one_thing(bytes);
    let Some(([which, generation, seed, root], rest)) = bytes.split_first_chunk::<4>() else { return };
    let (secret, changes) = rest.split_at(rest.len() / 2);
    let keys = Keys {
        unseal_key: Zeroizing::new(secret.to_vec()),
        root_token: (root % 2 == 1).then(|| Zeroizing::new(secret.iter().rev().copied().collect())),
    };
    let life = LifeId::parse(&format!("{:016x}", u64::from(*generation))).expect("sixteen digits");
    let sealed =
        envelope::seal(&keys, &SEAL_KEY, &installation(), &life, u64::from(*generation), &mut Counter(*seed));
    let is_sound = !secret.is_empty() && secret.len() <= envelope::SECRET_BYTES_MAX;
    assert_eq!(sealed.is_ok(), is_sound);
    let Ok(sealed) = sealed else { return };

    let opened = sealed.open(&SEAL_KEY).unwrap_or_else(|error| panic!("it is the right key: {error}"));
    assert!(opened.unseal_key == keys.unseal_key && opened.root_token == keys.root_token);

    let changed = changed(sealed.clone(), *which, changes);
    assert_eq!(changed.open(&SEAL_KEY).is_ok(), changed == sealed, "only what was sealed opens");
    a_changed_file_opens_nothing(&keys, &life, u64::from(*generation), *seed, changes);
});

/// Whatever lies on the disk: reading and opening agree on whether there is an envelope, and no secret comes of a refusal.
fn any_file_says_one_thing(bytes: &[u8]) {
    use kubefox_core::state::State;
    let read = decode(&Call::Read, &context(), Response::Bytes(file(bytes)), &mut Keyring::default());
    let Outcome::Ok(Reply::State(state)) = read else { panic!("a file that was read says something") };
    let mut slots = keyring();
    let opened = open(bytes, &mut slots);
    assert_eq!(matches!(state, State::Envelope { .. }), opened != Opened::NoEnvelope, "{state:?}");
    assert_eq!(slots.expose(UNSEAL_KEY).is_ok(), matches!(opened, Opened::Keys { .. }));
    assert_eq!(slots.expose(ROOT_TOKEN).is_ok(), opened == Opened::Keys { root: true });
}

/// The same through `boot.state`: the file of these keys opens, and any other of them opens to nothing.
fn a_changed_file_opens_nothing(keys: &Keys, life: &LifeId, generation: u64, seed: u8, changes: &[u8]) {
    let mut slots = keyring();
    slots.fill(UNSEAL_KEY, keys.unseal_key.clone());
    let root = keys.root_token.is_some();
    keys.root_token.iter().for_each(|token| slots.fill(ROOT_TOKEN, token.clone()));
    let call = Call::WriteEnvelope { life: life.clone(), generation, key: NAMED, root };
    let request = encode(&call, &context(), &slots, &mut Counter(seed));
    let Ok(Request::Replace { bytes, .. }) = request else { panic!("all lengths are sound") };

    let mut slots = keyring();
    assert_eq!(open(&bytes, &mut slots), Opened::Keys { root });
    assert!(slots.expose(UNSEAL_KEY).is_ok_and(|key| key == keys.unseal_key.as_slice()));
    let mut other = bytes.to_vec();
    change(&mut other, changes);
    let mut slots = keyring();
    let opened = open(&other, &mut slots);
    assert_eq!(matches!(opened, Opened::Keys { .. }), other == *bytes, "{opened:?}");
    assert_eq!(slots.expose(UNSEAL_KEY).is_ok(), other == *bytes);
}

fn open(bytes: &[u8], slots: &mut Keyring) -> Opened {
    match decode(&Call::Open { key: NAMED }, &context(), Response::Bytes(file(bytes)), slots) {
        Outcome::Ok(Reply::Opened(opened)) => opened,
        other @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
            panic!("a file that was read opens or not: {other:?}")
        }
    }
}

/// One member of the envelope, changed by the bytes.
fn changed(mut envelope: Envelope, which: u8, changes: &[u8]) -> Envelope {
    match which % 8 {
        0 => change(&mut envelope.ciphertext, changes),
        1 => change(&mut envelope.nonce, changes),
        2 => change(&mut envelope.header.salt, changes),
        3 => envelope.header.generation ^= changes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        4 => envelope.ciphertext.extend_from_slice(changes),
        5 => envelope.ciphertext.truncate(changes.len()),
        6 => {
            let text = core::str::from_utf8(changes).unwrap_or_default();
            envelope.header.life = LifeId::parse(text).unwrap_or(envelope.header.life);
            envelope.header.key = KeyId::parse(text).unwrap_or(envelope.header.key);
        }
        _ => {
            let text = core::str::from_utf8(changes).unwrap_or_default();
            envelope.header.installation = Installation::parse(text).unwrap_or(envelope.header.installation);
        }
    }
    envelope
}

/// Pairs of a place and a difference.
fn change(bytes: &mut [u8], changes: &[u8]) {
    for change in changes.chunks_exact(3).take(4) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
}

fn file(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

fn keyring() -> Keyring {
    let mut slots = Keyring::default();
    slots.fill(NAMED, Zeroizing::new(SEAL_KEY.to_vec()));
    slots
}

fn context() -> Context {
    Context { installation: installation() }
}

fn installation() -> Installation {
    Installation::parse("kubefox").expect("a name")
}

/// Counts, so that a finding repeats itself.
struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
    }
}
