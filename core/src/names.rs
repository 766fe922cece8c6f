//! Names that come from outside, parsed once at the edge: inside, the type is the proof.
//!
//! Each type states its grammar; none can hold a slash, a space or a control character, so each is safe as a
//! segment of a URL path, of a NATS subject or of a file name.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Serialize};

/// A text that does not keep the grammar of the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Invalid {
    /// What the text should have been.
    pub what: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.what, self.rule)
    }
}

impl core::error::Error for Invalid {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $test:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Parses ", $what, ": ", $rule, ".")]
            ///
            /// # Errors
            /// [`Invalid`] names the rule that is broken; it never quotes the text.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let test: fn(&str) -> bool = $test;
                if !test(text) {
                    return Err(Invalid { what: $what, rule: $rule });
                }
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl core::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name!(
    /// The configured name of an installation; part of the audience `kubefox.<installation>`.
    Installation,
    "an installation name",
    "1 to 63 of a-z, 0-9 and inner hyphens",
    is_label
);
name!(
    /// A Kubernetes namespace (RFC 1123 label).
    Namespace,
    "a Kubernetes namespace",
    "1 to 63 of a-z, 0-9 and inner hyphens",
    is_label
);
name!(
    /// A Kubernetes ServiceAccount (RFC 1123 subdomain: dots are allowed).
    ServiceAccount,
    "a service account name",
    "1 to 253 of a-z, 0-9, inner hyphens and dots between labels",
    is_subdomain
);
name!(
    /// A Kubernetes pod (RFC 1123 subdomain).
    PodName,
    "a pod name",
    "1 to 253 of a-z, 0-9, inner hyphens and dots between labels",
    is_subdomain
);
name!(
    /// A Kubernetes object uid.
    Uid,
    "a uid",
    "1 to 63 of a-z, 0-9 and hyphens",
    |text| (1..=63).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
);
name!(
    /// A SPIFFE trust domain.
    TrustDomain,
    "a trust domain",
    "1 to 253 of a-z, 0-9, inner hyphens and dots between labels",
    is_subdomain
);
name!(
    /// The random id of one life of an installation: one Vault, one seal key, one root of trust.
    LifeId,
    "a life id",
    "16 hexadecimal digits in lower case",
    |text| text.len() == 16 && is_hex(text)
);
name!(
    /// What identifies a seal key without telling anything about it: 16 bytes of HKDF(key, "kid"), in hexadecimal.
    KeyId,
    "a key id",
    "32 hexadecimal digits in lower case",
    |text| text.len() == 32 && is_hex(text)
);
name!(
    /// The SHA-256 of a service-account token, in hexadecimal: tells two tokens apart and opens nothing.
    TokenDigest,
    "the digest of a token",
    "64 hexadecimal digits in lower case",
    |text| text.len() == 64 && is_hex(text)
);
name!(
    /// The resourceVersion of a Kubernetes object: opaque, only ever sent back.
    ResourceVersion,
    "a resource version",
    "1 to 63 letters or digits",
    |text| (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
);
name!(
    /// The accessor of a Vault token or auth mount.
    Accessor,
    "an accessor",
    "1 to 127 of letters, digits, `_`, `.` and `-`",
    |text| (1..=127).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        && text != "."
        && text != ".."
);
name!(
    /// The nonce of one NATS connection: 11 random bytes of the server as base64url.
    Nonce,
    "a NATS nonce",
    "exactly 15 of A-Z, a-z, 0-9, `-` and `_`",
    |text| text.len() == 15 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
);
name!(
    /// The last part of a NATS subject: one or more tokens that name no wildcard.
    SubjectTail,
    "a subject",
    "1 to 200 of A-Z, a-z, 0-9, `-`, `_` and dots between tokens",
    |text| text.len() <= 200
        && text.split('.').all(|token| {
            !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
);
name!(
    /// One or more certificates in PEM, as text. What they say is parsed where they are used.
    Pem,
    "PEM",
    "at most 64 KiB that begin with -----BEGIN CERTIFICATE-----",
    |text| text.len() <= 65_536 && text.starts_with("-----BEGIN CERTIFICATE-----")
);

/// Longest request for a certificate: one for RSA-4096 with names, so that it is told for what it is.
pub const CSR_BYTES_MAX: usize = 4_096;

name!(
    /// A request for a certificate (PKCS#10) in PEM, as text. What it says is parsed where it comes from.
    Csr,
    "a certificate request",
    "at most 4 KiB of ASCII that begin with -----BEGIN CERTIFICATE REQUEST-----",
    |text| text.len() <= CSR_BYTES_MAX
        && text.is_ascii()
        && text.starts_with("-----BEGIN CERTIFICATE REQUEST-----")
);

impl Pem {
    /// Whether both are the same, line breaks at the end aside: servers differ in those, and one server in time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.trim_end() == other.0.trim_end()
    }
}

/// A ServiceAccount in its namespace: the identity of a caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The namespace.
    pub namespace: Namespace,
    /// The ServiceAccount.
    pub service_account: ServiceAccount,
}

impl Identity {
    /// The SPIFFE id of this identity:
    /// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`
    /// (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md>).
    #[must_use]
    pub fn spiffe_id(&self, trust_domain: &TrustDomain) -> String {
        format!("spiffe://{trust_domain}/ns/{}/sa/{}", self.namespace, self.service_account)
    }

    /// Parses the user name that a TokenReview reports: `system:serviceaccount:<namespace>:<name>`.
    ///
    /// # Errors
    /// [`Invalid`] if it is the name of anything but a ServiceAccount.
    pub fn parse_username(username: &str) -> Result<Self, Invalid> {
        const NOT: Invalid = Invalid {
            what: "a service account's user name",
            rule: "system:serviceaccount:<namespace>:<name>",
        };
        let rest = username.strip_prefix("system:serviceaccount:").ok_or(NOT)?;
        let (namespace, service_account) = rest.split_once(':').ok_or(NOT)?;
        Ok(Self {
            namespace: Namespace::parse(namespace)?,
            service_account: ServiceAccount::parse(service_account)?,
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)
    }
}

/// The audience of the tokens that callers show to the controller: `kubefox.<installation>`.
#[must_use]
pub fn caller_audience(installation: &Installation) -> String {
    format!("kubefox.{installation}")
}

/// The ordinal of a StatefulSet pod: the number behind the last hyphen of its name.
#[must_use]
pub fn ordinal(pod: &PodName) -> Option<u32> {
    let (_, digits) = pod.as_str().rsplit_once('-')?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_be_smuggled_into_a_name() {
        for bad in ["", ".", "..", "a/b", "a\n", "a b", "A", "-a", "a-", "a..b", "ä"] {
            assert!(ServiceAccount::parse(bad).is_err(), "{bad:?}");
            assert!(Namespace::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Namespace::parse("a.b").is_err());
        assert_eq!(ServiceAccount::parse("app.x").map(String::from), Ok("app.x".to_owned()));
        assert!(Accessor::parse("..").is_err());
    }

    #[test]
    fn a_nonce_is_fifteen_characters_of_base64url() {
        assert!(Nonce::parse("abcDEF012345-_x").is_ok());
        for bad in ["", "abcDEF012345-_", "abcDEF012345-_xy", "abcDEF012345.-x", "abcDEF012345=-x"] {
            assert_eq!(
                Nonce::parse(bad),
                Err(Invalid { what: "a NATS nonce", rule: "exactly 15 of A-Z, a-z, 0-9, `-` and `_`" }),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_subject_names_no_wildcard() {
        assert!(SubjectTail::parse("orders.created").is_ok());
        for bad in ["", ".", "a.", "*", ">", "a.*", "a.>", "a b", "$SYS"] {
            assert!(SubjectTail::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_username_is_parsed_back_to_its_identity() {
        let identity = Identity::parse_username("system:serviceaccount:team0:app.x").expect("it is one");
        assert_eq!(identity.to_string(), "team0/app.x");
        let trust_domain = TrustDomain::parse("cluster.local").expect("it is one");
        assert_eq!(identity.spiffe_id(&trust_domain), "spiffe://cluster.local/ns/team0/sa/app.x");
        assert!(Identity::parse_username("system:node:n1").is_err());
        assert!(Identity::parse_username("system:serviceaccount:a:b:c").is_err());
    }

    #[test]
    fn only_a_canonical_number_is_an_ordinal() {
        let ordinal_of = |name: &str| ordinal(&PodName::parse(name).expect("a pod name"));
        assert_eq!(ordinal_of("kubefox-0"), Some(0));
        assert_eq!(ordinal_of("kubefox-12"), Some(12));
        assert_eq!(ordinal_of("kubefox-00"), None);
        assert_eq!(ordinal_of("kubefox"), None);
        assert_eq!(ordinal_of("kubefox-x"), None);
    }
}
