//! Reads a NATS JWT: structure, header, version and kinds of keys. **The signature is not checked**: whoever calls
//! this has the text from a peer it has verified.

use alloc::string::String;
use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::claims::VERSION;
use crate::documents::nkey::{Prefix, PublicKey};
use crate::time::Unix;

/// The longest JWT that is read. Ours are below 2 KiB; the server takes up to 1 MiB.
pub const MAX_JWT_BYTES: usize = 16 << 10;

/// What a JWT says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claims {
    /// Whom it is about; of the kind that `kind` needs.
    pub subject: PublicKey,
    /// Who says it: an operator, or for a user an account or its signing key.
    pub issuer: PublicKey,
    /// What the subject is.
    pub kind: Kind,
    /// When it was issued.
    pub issued: Unix,
    /// When it ends, if it does. Whether that has passed is not checked.
    pub expires: Option<Unix>,
}

/// What a JWT is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// An operator.
    Operator {
        /// The system account it names.
        system_account: PublicKey,
    },
    /// An account.
    Account,
    /// A user.
    User,
}

/// Why a text is not a NATS JWT that the platform would write. It never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Malformed {
    /// Longer than [`MAX_JWT_BYTES`].
    TooLong,
    /// Not three parts of base64url without padding, the last of 64 bytes.
    Structure,
    /// Not the header of version 2.
    Header,
    /// The payload is not JSON of the claims' shape.
    Payload,
    /// Another version than 2.
    Version,
    /// Neither operator nor account nor user.
    Kind,
    /// Subject, issuer or system account is no key, or the key of another kind.
    Key,
    /// An operator that names no system account.
    NoSystemAccount,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a NATS JWT: ")?;
        match self {
            Self::TooLong => write!(f, "at most {MAX_JWT_BYTES} bytes"),
            Self::Structure => f.write_str("three parts of base64url without padding, the last of 64 bytes"),
            Self::Header => f.write_str("the header must be that of ed25519-nkey"),
            Self::Payload => f.write_str("the payload must be JSON with iat, iss, sub and nats"),
            Self::Version => write!(f, "the claims must be of version {VERSION}"),
            Self::Kind => f.write_str("it must be about an operator, an account or a user"),
            Self::Key => f.write_str("subject, issuer and system account must be keys of the right kind"),
            Self::NoSystemAccount => f.write_str("the operator must name a system account"),
        }
    }
}

impl core::error::Error for Malformed {}

/// Reads what a JWT says. The signature is not checked, nor whether the JWT is still alive.
///
/// # Errors
/// [`Malformed`] names the rule that is broken.
pub fn decode(text: &str) -> Result<Claims, Malformed> {
    if text.len() > MAX_JWT_BYTES {
        return Err(Malformed::TooLong);
    }
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed::Structure);
    };
    let bytes = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Malformed::Structure);
    let (header, payload, signature) = (bytes(header)?, bytes(payload)?, bytes(signature)?);
    if signature.len() != 64 {
        return Err(Malformed::Structure);
    }
    let header: Header = serde_json::from_slice(&header).map_err(|_| Malformed::Header)?;
    if header != (Header { typ: "JWT".into(), alg: "ed25519-nkey".into() }) {
        return Err(Malformed::Header);
    }
    read_payload(serde_json::from_slice(&payload).map_err(|_| Malformed::Payload)?)
}

fn read_payload(payload: Payload) -> Result<Claims, Malformed> {
    let Nats { kind, version, system_account } = payload.nats;
    if version != u64::from(VERSION) {
        return Err(Malformed::Version);
    }
    let key = |prefix, text: &str| PublicKey::parse_as(prefix, text).map_err(|_| Malformed::Key);
    let (subject, issuer, kind) = match kind.as_str() {
        "operator" => {
            let system_account = system_account.ok_or(Malformed::NoSystemAccount)?;
            let system_account = key(Prefix::Account, &system_account)?;
            (Prefix::Operator, Prefix::Operator, Kind::Operator { system_account })
        }
        "account" => (Prefix::Account, Prefix::Operator, Kind::Account),
        "user" => (Prefix::User, Prefix::Account, Kind::User),
        _ => return Err(Malformed::Kind),
    };
    Ok(Claims {
        subject: key(subject, &payload.sub)?,
        issuer: key(issuer, &payload.iss)?,
        kind,
        issued: Unix(payload.iat),
        expires: payload.exp.filter(|exp| *exp != 0).map(Unix),
    })
}

#[derive(PartialEq, Deserialize)]
struct Header {
    typ: String,
    alg: String,
}

#[derive(Deserialize)]
struct Payload {
    /// Zero is how the library says "never", if it says it at all.
    exp: Option<u64>,
    iat: u64,
    iss: String,
    sub: String,
    nats: Nats,
}

#[derive(Deserialize)]
struct Nats {
    #[serde(rename = "type")]
    kind: String,
    version: u64,
    system_account: Option<String>,
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::documents::jwt;
    use crate::names::Identity;
    use crate::signature::Signature;

    const ISSUED: Unix = Unix(1_767_225_600);
    const HEADER: &str = jwt::HEADER;

    #[test]
    fn what_is_written_is_read_back() {
        let (o, s, p, u) = (key(Prefix::Operator), key(Prefix::Account), account(3), key(Prefix::User));
        let identity = Identity::parse_username("system:serviceaccount:team0:app").expect("an identity");
        let expires = Unix(ISSUED.0 + 3_600);
        let claims = |subject: &PublicKey, issuer: &PublicKey, kind| Claims {
            subject: subject.clone(),
            issuer: issuer.clone(),
            kind,
            issued: ISSUED,
            expires: None,
        };
        let read = |unsigned: jwt::Unsigned| decode(&unsigned.signed(&Signature([0; 64])));

        assert_eq!(
            read(jwt::operator(&o, &s, "kubefox", ISSUED)),
            Ok(claims(&o, &o, Kind::Operator { system_account: s.clone() }))
        );
        assert_eq!(read(jwt::system_account(&s, &o, ISSUED)), Ok(claims(&s, &o, Kind::Account)));
        assert_eq!(
            read(jwt::platform_account(&p, &o, &account(4), ISSUED)),
            Ok(claims(&p, &o, Kind::Account))
        );
        assert_eq!(
            read(jwt::user(&u, &account(4), &p, &identity, ISSUED, expires)),
            Ok(Claims { expires: Some(expires), ..claims(&u, &account(4), Kind::User) })
        );
    }

    #[test]
    fn a_broken_structure_is_refused() {
        let good = text(HEADER, &operator());
        let (signed, signature) = good.rsplit_once('.').expect("three parts");
        assert!(decode(&good).is_ok());

        for bad in [
            String::new(),
            "..".into(),
            signed.to_string(),
            format!("{good}.x"),
            format!("{good}="),
            format!("{signed}.{}", &signature[4..]),
            format!("{good}\n"),
            format!("+{good}"),
        ] {
            assert_eq!(decode(&bad), Err(Malformed::Structure), "{bad}");
        }
        assert_eq!(decode(&"a".repeat(MAX_JWT_BYTES + 1)), Err(Malformed::TooLong));
    }

    #[test]
    fn another_header_is_refused() {
        for bad in [
            "",
            "{}",
            r#"{"typ":"JWT","alg":"none"}"#,
            r#"{"typ":"JWT","alg":"ed25519"}"#,
            r#"{"typ":"x","alg":"ed25519-nkey"}"#,
            r#"{"typ":"JWT","alg":"none","alg":"ed25519-nkey"}"#,
        ] {
            assert_eq!(decode(&text(bad, &operator())), Err(Malformed::Header), "{bad}");
        }
    }

    #[test]
    fn other_claims_are_refused() {
        let changed = |member: &str, value: Value| {
            let mut claims = operator();
            *claims.pointer_mut(member).expect("it is there") = value;
            decode(&text(HEADER, &claims))
        };

        assert_eq!(changed("/nats/version", json!(1)), Err(Malformed::Version));
        assert_eq!(changed("/nats/version", json!(3)), Err(Malformed::Version));
        assert_eq!(changed("/nats/version", json!("2")), Err(Malformed::Payload));
        assert_eq!(changed("/nats/type", json!("activation")), Err(Malformed::Kind));
        assert_eq!(changed("/nats/type", json!("account")), Err(Malformed::Key));
        assert_eq!(changed("/nats/type", json!("user")), Err(Malformed::Key));
        assert_eq!(changed("/nats/system_account", Value::Null), Err(Malformed::NoSystemAccount));
        assert_eq!(changed("/nats/system_account", json!(key(Prefix::User))), Err(Malformed::Key));
        assert_eq!(changed("/sub", json!(account(2))), Err(Malformed::Key));
        assert_eq!(changed("/iss", json!(account(2))), Err(Malformed::Key));
        assert_eq!(changed("/iss", json!("O")), Err(Malformed::Key));
        assert_eq!(changed("/iat", json!(-1)), Err(Malformed::Payload));
        assert_eq!(changed("/nats", json!({})), Err(Malformed::Payload));
        assert_eq!(decode(&text(HEADER, &json!([]))), Err(Malformed::Payload));
    }

    #[test]
    fn an_end_of_zero_is_no_end() {
        let mut claims = operator();
        claims["exp"] = json!(0);
        assert_eq!(decode(&text(HEADER, &claims)).map(|claims| claims.expires), Ok(None));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), a in any::<String>(), b in any::<String>()) {
            let shaped = self::text(&a, &Value::String(b));
            prop_assert!(decode(&text).is_err());
            prop_assert!(decode(&shaped).is_err());
        }
    }

    fn operator() -> Value {
        json!({
            "iat": ISSUED, "iss": key(Prefix::Operator), "sub": key(Prefix::Operator),
            "nats": {"type": "operator", "version": 2, "system_account": account(2)},
        })
    }

    fn text(header: &str, payload: &Value) -> String {
        let parts = [header.as_bytes().to_vec(), payload.to_string().into_bytes(), vec![0; 64]];
        parts.map(|part| BASE64URL_NOPAD.encode(&part)).join(".")
    }

    fn account(seed: u8) -> PublicKey {
        PublicKey::encode(Prefix::Account, &[seed; 32])
    }

    fn key(prefix: Prefix) -> PublicKey {
        PublicKey::encode(prefix, &[2; 32])
    }
}
