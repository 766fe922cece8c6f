//! What NATS starts on: documents of the product signed by keys of the test, and certificates of its own authority.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signer as _, SigningKey};
use kubefox_core::documents::jwt::{self, Unsigned};
use kubefox_core::documents::nats_conf::nats_conf;
use kubefox_core::documents::nkey::{Prefix, PublicKey};
use kubefox_core::names::Pem;
use kubefox_core::signature::Signature;
use kubefox_core::time::Unix;
use kubefox_io::exchange::Presentation;
use kubefox_io::shell::tls::Expected;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use crate::masks::Masks;
use crate::stage::{TENANT, identity};

const SERVER_DNS: &str = "nats.kubefox.svc";
const SERVER_URI: &str = "spiffe://cluster.local/ns/kubefox/sa/nats";
const CLIENT_URI: &str = "spiffe://cluster.local/ns/team0/sa/component-a";

/// The two users of the stories.
pub(super) const ALICE: u8 = 10;
pub(super) const BOB: u8 = 11;
const OPERATOR: u8 = 1;
const SYSTEM: u8 = 2;
/// The platform's account, which signs no user.
pub(super) const PLATFORM: u8 = 3;
/// The scoped key that signs them.
pub(super) const SIGNER: u8 = 4;

/// Documents and certificates.
pub(super) struct World {
    issuer: Issuer<'static, KeyPair>,
    pub(super) ca: Pem,
}

impl World {
    /// Writes what the initializer would write.
    pub(super) fn lay_out(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "root of the test");
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root");
        let ca = Pem::parse(&root.pem()).expect("PEM");
        let world = Self { issuer: Issuer::new(params, key), ca };
        let server = world.issue(&[SERVER_DNS], SERVER_URI, ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::create_dir(folder.join("ports")).expect("an existing directory");
        std::fs::write(folder.join("ca.crt"), world.ca.as_str()).expect("an existing directory");
        std::fs::write(folder.join("tls.crt"), server.leaf.as_str()).expect("an existing directory");
        std::fs::write(folder.join("tls.key"), &*server.key).expect("an existing directory");
        std::fs::write(folder.join("nats.conf"), configuration()).expect("an existing directory");
        world
    }

    /// Who the server must be.
    pub(super) fn server() -> Expected {
        Expected { dns: SERVER_DNS.to_owned(), spiffe: SERVER_URI.to_owned() }
    }

    /// A broker's certificate.
    pub(super) fn broker(&self) -> Presentation {
        self.issue(&["broker.kubefox.internal"], CLIENT_URI, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, dns: &[&str], uri: &str, usage: ExtendedKeyUsagePurpose) -> Presentation {
        let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(dns).expect("DNS names");
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("it signs");
        Presentation {
            leaf: Pem::parse(&leaf.pem()).expect("PEM"),
            ca: self.ca.clone(),
            key: Zeroizing::new(key.serialize_pem().into_bytes()),
        }
    }
}

/// A user's JWT by `signer`, which ends in so many seconds.
pub(super) fn user_jwt(user: u8, signer: (Prefix, u8), ends_in_s: i64) -> String {
    let now = now();
    let expires = Unix(now.0.checked_add_signed(ends_in_s).expect("a moment of this century"));
    let (name, seed) = signer;
    let unsigned = jwt::user(
        &public(Prefix::User, user),
        &public(name, seed),
        &public(Prefix::Account, PLATFORM),
        &identity(TENANT, "component-a"),
        Unix(now.0 - 60),
        expires,
    );
    sign(&unsigned, seed)
}

/// The product's way: the scoped key signs, and it lasts an hour.
pub(super) fn genuine_jwt(user: u8) -> String {
    user_jwt(user, (Prefix::Account, SIGNER), 3_600)
}

/// A key pair whose seed is one repeated byte.
pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(super) fn public(prefix: Prefix, seed: u8) -> PublicKey {
    PublicKey::encode(prefix, key(seed).verifying_key().as_bytes())
}

/// The users by their names in the stories.
pub(super) fn masks() -> Masks {
    let mut masks = Masks::default();
    masks.mask(public(Prefix::User, ALICE).as_str(), "ALICE");
    masks.mask(public(Prefix::User, BOB).as_str(), "BOB");
    masks
}

pub(super) fn sign(unsigned: &Unsigned, seed: u8) -> String {
    unsigned.signed(&Signature(key(seed).sign(unsigned.signing_input()).to_bytes()))
}

fn configuration() -> String {
    let (operator, system) = (public(Prefix::Operator, OPERATOR), public(Prefix::Account, SYSTEM));
    let (platform, signer) = (public(Prefix::Account, PLATFORM), public(Prefix::Account, SIGNER));
    let issued = Unix(now().0 - 60);
    let operator_jwt = sign(&jwt::operator(&operator, &system, "contract", issued), OPERATOR);
    let system_jwt = sign(&jwt::system_account(&system, &operator, issued), OPERATOR);
    let platform_jwt = sign(&jwt::platform_account(&platform, &operator, &signer, issued), OPERATOR);
    let (system, platform) = ((&system, system_jwt.as_str()), (&platform, platform_jwt.as_str()));
    nats_conf(&operator_jwt, system, platform, "127.0.0.1:-1", ".", Some("ports"))
}

fn now() -> Unix {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    Unix(since.as_secs())
}
