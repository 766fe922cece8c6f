//! Service-account tokens: ES256-signed JWTs with the claims of a bound token, and the key set they verify with.
//!
//! Source: RFC 7515 and 7518, Kubernetes documentation "Managing Service Accounts", "Schema for service account
//! private claims". Signatures are deterministic (RFC 6979): the same world signs the same bytes.

use std::cell::RefCell;
use std::collections::HashSet;

use data_encoding::BASE64URL_NOPAD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::EncodePublicKey as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::mint::Mint;

/// Who issues the tokens, and the one audience the API server takes for itself.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

const ALGORITHM: &str = "ES256";

/// Tokens whose good signature is remembered, at most.
const CHECKED_MAX: usize = 1_024;

thread_local! {
    /// Key id and token of signatures that were found good.
    static CHECKED: RefCell<HashSet<(String, String)>> = RefCell::default();
}

/// The claims of a token, in the order in which Go writes them.
#[derive(Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) aud: Vec<String>,
    pub(super) exp: u64,
    pub(super) iat: u64,
    pub(super) iss: String,
    pub(super) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(super) kubernetes: Bound,
    pub(super) nbf: u64,
    pub(super) sub: String,
}

/// What a token is bound to: it dies with each of these.
#[derive(Serialize, Deserialize)]
pub(super) struct Bound {
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) pod: Option<Reference>,
    pub(super) serviceaccount: Reference,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) uid: String,
}

/// Why a token is not accepted.
pub(super) enum Unacceptable {
    /// It does not even claim to be one of ours.
    Foreign,
    /// It claims to be ours; the words say what is wrong.
    Because(String),
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
}

/// The cluster's signing key. It is stored as its 32 bytes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "[u8; 32]", try_from = "[u8; 32]")]
pub(super) struct Signer {
    key: SigningKey,
    key_id: String,
}

impl Signer {
    pub(super) fn new(mint: &mut Mint) -> Self {
        loop {
            // All but one in 2³² draws are below the order of the curve.
            if let Ok(signer) = Self::try_from(mint.draw::<32>()) {
                return signer;
            }
        }
    }

    pub(super) fn sign(&self, claims: &Claims) -> String {
        let header = Header { alg: ALGORITHM.to_owned(), kid: Some(self.key_id.clone()) };
        let text = format!("{}.{}", segment(&header), segment(claims));
        let signature: Signature = self.key.sign(text.as_bytes());
        format!("{text}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
    }

    /// Checks form, issuer and signature, in the API server's order; neither times nor audiences.
    pub(super) fn verify(&self, token: &str) -> Result<Claims, Unacceptable> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(Unacceptable::Foreign);
        };
        let issuer: Issuer = decoded(payload).ok_or(Unacceptable::Foreign)?;
        let header: Header = decoded(header).ok_or(Unacceptable::Foreign)?;
        if issuer.iss != ISSUER {
            return Err(Unacceptable::Foreign);
        }
        if header.kid.is_some_and(|kid| kid != self.key_id) {
            return Err(Unacceptable::Because("invalid signature, no keys found".to_owned()));
        }
        let unsigned =
            || Unacceptable::Because("go-jose/go-jose: error in cryptographic primitive".to_owned());
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| Unacceptable::Foreign)?;
        if header.alg != ALGORITHM {
            return Err(unsigned());
        }
        let signature = Signature::from_slice(&signature).map_err(|_| unsigned())?;
        let signed = token.rsplit_once('.').map_or("", |(signed, _)| signed);
        if !self.has_seen(token) {
            self.key.verifying_key().verify(signed.as_bytes(), &signature).map_err(|_| unsigned())?;
            self.remember(token);
        }
        decoded(payload).ok_or_else(unsigned)
    }

    /// Whether this signer's signature of exactly this token was checked before: worlds fork, and show it again.
    fn has_seen(&self, token: &str) -> bool {
        CHECKED.with_borrow(|checked| checked.contains(&(self.key_id.clone(), token.to_owned())))
    }

    fn remember(&self, token: &str) {
        CHECKED.with_borrow_mut(|checked| {
            if checked.len() == CHECKED_MAX {
                checked.clear();
            }
            checked.insert((self.key_id.clone(), token.to_owned()));
        });
    }

    /// The JSON Web Key Set (RFC 7517) with this one key.
    pub(super) fn key_set(&self) -> Value {
        let point = self.key.verifying_key().to_encoded_point(false);
        let coordinate = |bytes: Option<_>| {
            let bytes: &p256::FieldBytes = bytes.expect("an uncompressed public key has both coordinates");
            BASE64URL_NOPAD.encode(bytes)
        };
        json!({ "keys": [{
            "use": "sig", "kty": "EC", "crv": "P-256", "alg": ALGORITHM, "kid": self.key_id,
            "x": coordinate(point.x()), "y": coordinate(point.y()),
        }] })
    }
}

impl TryFrom<[u8; 32]> for Signer {
    type Error = p256::ecdsa::Error;

    fn try_from(bytes: [u8; 32]) -> Result<Self, Self::Error> {
        let key = SigningKey::from_slice(&bytes)?;
        let key_id = key_id(key.verifying_key());
        Ok(Self { key, key_id })
    }
}

impl From<Signer> for [u8; 32] {
    fn from(signer: Signer) -> Self {
        signer.key.to_bytes().into()
    }
}

/// The SHA-256 of the public key's DER form, as the API server names its keys.
fn key_id(key: &VerifyingKey) -> String {
    let der = key.to_public_key_der().expect("a point on the curve can be written");
    BASE64URL_NOPAD.encode(&Sha256::digest(der.as_bytes()))
}

fn segment(content: &impl Serialize) -> String {
    let json = serde_json::to_vec(content).expect("strings and numbers can be written");
    BASE64URL_NOPAD.encode(&json)
}

fn decoded<T: for<'de> Deserialize<'de>>(segment: &str) -> Option<T> {
    let json = BASE64URL_NOPAD.decode(segment.as_bytes()).ok()?;
    serde_json::from_slice(&json).ok()
}
