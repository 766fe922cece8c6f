//! Service-account tokens: is the signature by one of the cluster's keys, and what do the claims say? No decision is
//! made here, and nothing of a token but its claims and its digest comes out.
//!
//! | token | examined |
//! |---|---|
//! | header that is no JSON, or without `alg` | `Malformed` |
//! | `alg` other than RS256, ES256, ES384; among them `none` and HS256 | `Unsigned` |
//! | no `kid`, or one that none of the keys has | `UnknownKey` |
//! | `alg` or signature that does not fit the key | `Forged` |
//! | claims that are not those of a service account's token | `Malformed` |
//! | otherwise | `Genuine` |
//!
//! The algorithm is the key's own: what the header says is only compared with it.
//!
//! Source: RFC 7515, 7517, 7518.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use kubefox_core::caller::{Claims, Examined, SIGNERS_MAX, Signer, SignerKey};
use kubefox_core::kubernetes::Pod;
use kubefox_core::names::{Identity, PodName, TokenDigest, Uid};
use kubefox_core::time::Unix;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Bytes of a coordinate of P-256 and of P-384.
const P256_BYTES: usize = 32;
const P384_BYTES: usize = 48;
/// The first byte of a point that is written with both coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The controller's own token is not one, so nobody else's can be compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnTokenMalformed;

/// Looks at `token`, which must be of the issuer of `like`.
///
/// # Errors
/// [`OwnTokenMalformed`] if `like` names no issuer.
pub fn examine(token: &[u8], like: &[u8], signers: &[Signer]) -> Result<Examined, OwnTokenMalformed> {
    let own: Issuer = Parts::of(like).and_then(|parts| decoded(parts.claims)).ok_or(OwnTokenMalformed)?;
    Ok(match look(token, &own.iss, signers) {
        Ok(claims) => Examined::Genuine(claims),
        Err(Flaw::Malformed) => Examined::Malformed,
        Err(Flaw::Unsigned) => Examined::Unsigned,
        Err(Flaw::UnknownKey) => Examined::UnknownKey,
        Err(Flaw::Forged) => Examined::Forged,
    })
}

/// Why a token is not genuine: a row of the module's table.
enum Flaw {
    Malformed,
    Unsigned,
    UnknownKey,
    Forged,
}

fn look(token: &[u8], issuer: &str, signers: &[Signer]) -> Result<Claims, Flaw> {
    let parts = Parts::of(token).ok_or(Flaw::Malformed)?;
    let header: Header = decoded(parts.header).ok_or(Flaw::Malformed)?;
    if !SignerKey::is_algorithm(&header.alg) {
        return Err(Flaw::Unsigned);
    }
    let signer = signers.iter().find(|signer| header.kid.as_deref() == Some(signer.id.as_str()));
    let signer = signer.ok_or(Flaw::UnknownKey)?;
    let signature = BASE64URL_NOPAD.decode(parts.signature).map_err(|_| Flaw::Malformed)?;
    if header.alg != signer.key.algorithm() || !fits(&signer.key, parts.signed, &signature) {
        return Err(Flaw::Forged);
    }
    let said: Said = decoded(parts.claims).ok_or(Flaw::Malformed)?;
    let digest = HEXLOWER.encode(&Sha256::digest(token));
    Ok(Claims {
        own_issuer: said.iss == issuer,
        audiences: said.aud,
        issued: Unix(said.iat),
        not_before: Unix(said.nbf),
        expires: Unix(said.exp),
        identity: Identity::parse_username(&said.sub).ok().filter(|identity| {
            identity.namespace.as_str() == said.kubernetes.namespace
                && identity.service_account.as_str() == said.kubernetes.serviceaccount.name
        }),
        pod: said.kubernetes.pod.and_then(|pod| {
            Some(Pod { name: PodName::parse(&pod.name).ok()?, uid: Uid::parse(&pod.uid).ok()? })
        }),
        digest: TokenDigest::parse(&digest).expect("SHA-256 is 64 digits"),
    })
}

fn fits(key: &SignerKey, signed: &[u8], signature: &[u8]) -> bool {
    let verified =
        match key {
            SignerKey::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
            SignerKey::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            SignerKey::P384(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(signed, signature)
            }
        };
    verified.is_ok()
}

/// Who a token says it is of. Whoever calls this believes its own token only.
pub(super) fn said_identity(token: &[u8]) -> Option<Identity> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let Subject { sub } = decoded(Parts::of(token)?.claims)?;
    Identity::parse_username(&sub).ok()
}

/// The keys of a key set that can be used, at most [`SIGNERS_MAX`]; others are left out. `None` if it is none.
pub fn signers(key_set: &[u8]) -> Option<Vec<Signer>> {
    let KeySet { keys } = serde_json::from_slice(key_set).ok()?;
    Some(keys.into_iter().filter_map(signer).take(SIGNERS_MAX).collect())
}

fn signer(key: Key) -> Option<Signer> {
    let bytes = |member: &Option<String>| BASE64URL_NOPAD.decode(member.as_deref()?.as_bytes()).ok();
    let point = |length: usize| {
        let coordinates = [bytes(&key.x)?, bytes(&key.y)?];
        let fits = coordinates.iter().all(|coordinate| coordinate.len() == length);
        fits.then(|| [&[UNCOMPRESSED], coordinates[0].as_slice(), &coordinates[1]].concat())
    };
    if key.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let found = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", None) => SignerKey::Rsa { modulus: bytes(&key.n)?, exponent: bytes(&key.e)? },
        ("EC", Some("P-256")) => SignerKey::P256(point(P256_BYTES)?),
        ("EC", Some("P-384")) => SignerKey::P384(point(P384_BYTES)?),
        (_, _) => return None,
    };
    // An RSA key may be meant for another algorithm of its kind.
    let meant = key.alg.as_deref().is_none_or(|algorithm| algorithm == found.algorithm());
    meant.then_some(Signer { id: key.kid?, key: found })
}

/// The parts of a token, and what its signature covers.
struct Parts<'a> {
    header: &'a [u8],
    claims: &'a [u8],
    signature: &'a [u8],
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(token: &'a [u8]) -> Option<Self> {
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        let (first, second, None) = (dots.next()?, dots.next()?, dots.next()) else { return None };
        Some(Self {
            header: &token[..first],
            claims: &token[first + 1..second],
            signature: &token[second + 1..],
            signed: &token[..second],
        })
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

#[derive(Deserialize)]
struct Said {
    iss: String,
    sub: String,
    aud: Vec<String>,
    exp: u64,
    iat: u64,
    nbf: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Bound,
}

#[derive(Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Reference,
    pod: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    uid: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A part as JSON. What serde has to say is dropped: it quotes values.
fn decoded<T: DeserializeOwned>(part: &[u8]) -> Option<T> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests;
