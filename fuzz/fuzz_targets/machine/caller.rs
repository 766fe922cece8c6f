//! What a pod of the platform finds on its mounts and hears from the controller.

use kubefox_core::bootstrap::{self, ComponentDocuments, KeyOrigin, NatsDocuments, Rejection, Unfit};
use kubefox_core::documents::jwt;
use kubefox_core::documents::nkey::{Prefix, PublicKey};
use kubefox_core::keys;
use kubefox_core::kubernetes::Trust;
use kubefox_core::names::{Csr, Identity, Pem};
use kubefox_core::signature::Signature;
use kubefox_core::time::{Now, Unix};
use kubefox_core::vault::Certificate;
use kubefox_core::volume::{Call, MountedTrust, Reply, TokenFile, TrustFile, TrustFiles};

/// What the mounts and the shared volume answer.
pub(crate) fn mounts(call: &Call, now: Now) -> Reply {
    match call {
        Call::ReadTrust => Reply::Trust(TrustFiles::Read(trust(now.unix.0 - 60, now.unix.0 + 86_400))),
        Call::ReadToken { .. } => Reply::Token(TokenFile::Read),
        Call::WriteBundle { .. } => Reply::Written,
        Call::ReadSealKey { .. } => panic!("not a caller's call: {call:?}"),
    }
}

/// What the keyring answers a caller, who has it make the keys of its certificates.
pub(crate) fn keys(call: &keys::Call) -> keys::Reply {
    match call {
        keys::Call::MintCertificateKey { .. } => keys::Reply::CertificateKey(csr()),
        keys::Call::MintSealKey { .. } | keys::Call::Forget { .. } | keys::Call::Examine { .. } => {
            panic!("not a caller's call: {call:?}")
        }
    }
}

/// A request for a certificate, as far as a machine looks at one.
pub(crate) fn csr() -> Csr {
    Csr::parse("-----BEGIN CERTIFICATE REQUEST-----").expect("it begins so")
}

/// Where the keys are made.
pub(crate) const fn key_origin(choice: u8) -> KeyOrigin {
    if choice & 4 == 0 { KeyOrigin::Vault } else { KeyOrigin::Pod }
}

/// Why a certificate is not what was asked for.
pub(crate) fn unfit(pick: u8) -> Unfit {
    [Unfit::Chain, Unfit::Key, Unfit::Names, Unfit::Use][usize::from(pick) % 4]
}

/// What else they may answer.
pub(crate) fn other_mounts(call: &Call, pick: u8, now: Now) -> Option<Reply> {
    let expired = TrustFiles::Read(trust(now.unix.0 - 60, now.unix.0 - 1));
    let trusts = [
        TrustFiles::Missing(TrustFile::Certificate),
        TrustFiles::Missing(TrustFile::Authority),
        TrustFiles::NotPem(TrustFile::Authority),
        TrustFiles::OtherAuthority,
        expired,
    ];
    let tokens = [TokenFile::Missing, TokenFile::Empty, TokenFile::Malformed];
    match call {
        Call::ReadTrust => Some(Reply::Trust(trusts[usize::from(pick) % trusts.len()].clone())),
        Call::ReadToken { .. } => Some(Reply::Token(tokens[usize::from(pick) % tokens.len()])),
        Call::WriteBundle { .. } | Call::ReadSealKey { .. } => None,
    }
}

/// Documents that fit together and end after so many seconds.
pub(crate) fn component(now: Now, life_s: u64) -> ComponentDocuments {
    let user_jwt_expires = Unix(now.unix.0 + life_s);
    let identity = Identity::parse_username("system:serviceaccount:team0:app").expect("an identity");
    let [signer, account] = [4, 3].map(|byte| PublicKey::encode(Prefix::Account, &[byte; 32]));
    let jwt = jwt::user(&user(), &signer, &account, &identity, now.unix, user_jwt_expires);
    ComponentDocuments {
        user: user(),
        user_jwt: jwt.signed(&Signature([0; 64])),
        user_jwt_expires,
        certificate: certificate("component", now.unix.0 + life_s),
        runtime: certificate("runtime", now.unix.0 + life_s),
    }
}

/// The same for NATS.
pub(crate) fn nats(now: Now, life_s: u64) -> NatsDocuments {
    let operator = PublicKey::encode(Prefix::Operator, &[1; 32]);
    let [system, platform, signer] = [2, 3, 4].map(|byte| PublicKey::encode(Prefix::Account, &[byte; 32]));
    NatsDocuments {
        operator: jwt::operator(&operator, &system, "kubefox", now.unix).signed(&Signature([0; 64])),
        system_account: jwt::system_account(&system, &operator, now.unix).signed(&Signature([0; 64])),
        platform_account: jwt::platform_account(&platform, &operator, &signer, now.unix)
            .signed(&Signature([0; 64])),
        certificate: certificate("nats", now.unix.0 + life_s),
    }
}

/// A no for one of the controller's reasons, or for none.
pub(crate) fn no(pick: u8) -> bootstrap::Reply {
    let rejection = Rejection::ALL.get(usize::from(pick) % (Rejection::ALL.len() + 1));
    rejection.map_or(bootstrap::Reply::Unexplained, |rejection| bootstrap::Reply::Rejected(*rejection))
}

pub(crate) fn user() -> PublicKey {
    PublicKey::encode(Prefix::User, &[5; 32])
}

pub(crate) fn pem(name: &str) -> Pem {
    let text = format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
    Pem::parse(&text).expect("it begins as PEM does")
}

fn trust(not_before: u64, not_after: u64) -> MountedTrust {
    let trust = Trust { certificate: pem("controller"), ca: pem("root") };
    MountedTrust { trust, not_before: Unix(not_before), not_after: Unix(not_after) }
}

fn certificate(name: &str, not_after: u64) -> Certificate {
    Certificate { leaf: pem(name), ca: pem("root"), not_after: Unix(not_after) }
}
