//! Tokens: what a NATS JWT is accepted for is what it says, what we author reads back, and no service-account token that
//! its key did not sign is genuine.

#![no_main]

use kubefox_core::caller::Examined;
use kubefox_core::documents::jwt::{self, Kind};
use kubefox_core::documents::nkey::{Prefix, PublicKey};
use kubefox_core::names::Identity;
use kubefox_core::signature::Signature;
use kubefox_core::time::Unix;
use kubefox_io::adapter::service_account::{examine, signers};
use kubefox_io::token::{TOKEN_BYTES_MAX, is_token};
use libfuzzer_sys::fuzz_target;

/// A token that an API server signed, and the keys that it publishes.
const SIGNED: &[u8] = include_bytes!("../../io/src/adapter/service_account/rs256.jwt");
const KEY_SET: &[u8] = include_bytes!("../../io/src/adapter/service_account/rs256.jwks.json");

fuzz_target!(|bytes: &[u8]| {
    reads_what_it_says(bytes);
    authors_what_is_read(bytes);
    proves_nothing_unsigned(bytes);
    takes_keys_that_can_sign(bytes);
});

fn reads_what_it_says(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let Ok(claims) = jwt::decode(text) else { return };
    assert!(text.len() <= jwt::MAX_JWT_BYTES);
    assert_eq!(text.split('.').count(), 3);
    let (subject, issuers): (Prefix, &[Prefix]) = match &claims.kind {
        Kind::Operator { system_account } => {
            assert_eq!(system_account.prefix(), Prefix::Account);
            (Prefix::Operator, &[Prefix::Operator])
        }
        Kind::Account => (Prefix::Account, &[Prefix::Operator]),
        Kind::User => (Prefix::User, &[Prefix::Account]),
    };
    assert_eq!(claims.subject.prefix(), subject);
    assert!(issuers.contains(&claims.issuer.prefix()));
}

/// A user whose keys and times are drawn from the bytes.
fn authors_what_is_read(bytes: &[u8]) {
    let Some((keys, rest)) = bytes.split_first_chunk::<2>() else { return };
    let Some((times, name)) = rest.split_first_chunk::<8>() else { return };
    let Ok(Ok(identity)) = core::str::from_utf8(name).map(Identity::parse_username) else { return };
    let user = PublicKey::encode(Prefix::User, &[keys[0]; 32]);
    let [signer, account] = [keys[0], keys[1]].map(|key| PublicKey::encode(Prefix::Account, &[key; 32]));
    let [issued, life] =
        [&times[..4], &times[4..]].map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    // Zero is how a JWT says "never".
    let expires = Unix(1 + issued + life);

    let unsigned = jwt::user(&user, &signer, &account, &identity, Unix(issued), expires);
    let text = unsigned.signed(&Signature([keys[1]; 64]));

    let claims = jwt::decode(&text).expect("we wrote it");
    assert_eq!((claims.subject, claims.issuer, claims.kind), (user, signer, Kind::User));
    assert_eq!((claims.issued, claims.expires), (Unix(issued), Some(expires)));
}

/// The bytes as a token, and as a change of one that is genuine.
fn proves_nothing_unsigned(bytes: &[u8]) {
    let signed = SIGNED.trim_ascii();
    let signers = signers(KEY_SET).expect("it is a key set");
    let changed = changed(signed, bytes);
    for token in [bytes, changed.as_slice()] {
        let examined = examine(token, signed, &signers).expect("our own token has an issuer");
        let genuine = matches!(examined, Examined::Genuine(_));
        assert_eq!(genuine, token == signed, "{examined:?}");
        assert!(!genuine || is_token(token));
        assert!(!is_token(token) || token.len() <= TOKEN_BYTES_MAX);
    }
}

/// The signed token with some of its bytes replaced: pairs of a place and a difference.
fn changed(signed: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut token = signed.to_vec();
    for change in changes.chunks_exact(3).take(4) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % token.len();
        token[at] ^= change[2];
    }
    token
}

fn takes_keys_that_can_sign(bytes: &[u8]) {
    for signer in signers(bytes).into_iter().flatten() {
        assert!(kubefox_core::caller::SignerKey::is_algorithm(signer.key.algorithm()));
        // A key that nobody holds proves nothing, however odd it is.
        let examined = examine(SIGNED.trim_ascii(), SIGNED.trim_ascii(), &[signer]);
        assert!(examined.is_ok());
    }
}
