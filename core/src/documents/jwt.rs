//! NATS JWTs, version 2, byte for byte as the official library writes them.
//!
//! `base64url(header).base64url(payload).base64url(signature)`, without padding; the Ed25519 signature covers the
//! first two parts. Members stand in the library's order and what is empty is left out, so that the text is the
//! same whoever writes it (<https://github.com/nats-io/jwt>, `v2`). The `nats` members are in `claims`.
//!
//! ```text
//! operator ──signs──▶ system account     nobody ever connects as one of its users
//!          ──signs──▶ platform account ──names──▶ scoped signing key ──signs──▶ user, one per component
//! ```

mod claims;
mod decode;

use alloc::format;
use alloc::string::String;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512_256};

pub use self::claims::{MAX_CONNECTIONS, MAX_PAYLOAD_BYTES, MAX_SUBSCRIPTIONS};
pub use self::decode::{Claims, Kind, MAX_JWT_BYTES, Malformed, decode};
use crate::documents::nkey::PublicKey;
use crate::names::Identity;
use crate::signature::Signature;
use crate::time::Unix;

/// The one header of version 2.
const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// A JWT that lacks its signature: header and payload, encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unsigned(String);

impl Unsigned {
    /// The bytes to sign, with the key of the issuer.
    #[must_use]
    pub fn signing_input(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The JWT with the signature over [`Self::signing_input`]. Whether it fits is not checked.
    #[must_use]
    pub fn signed(&self, signature: &Signature) -> String {
        format!("{}.{}", self.0, BASE64URL_NOPAD.encode(&signature.0))
    }
}

/// The operator, self-signed: the root of trust of NATS, which names the system account.
#[must_use]
pub fn operator(operator: &PublicKey, system_account: &PublicKey, name: &str, issued: Unix) -> Unsigned {
    let standard = Standard { exp: None, jti: None, iat: issued.0, iss: operator, name, sub: operator };
    encode(standard, claims::operator(system_account))
}

/// The system account, signed by the operator. It admits no connection.
#[must_use]
pub fn system_account(account: &PublicKey, operator: &PublicKey, issued: Unix) -> Unsigned {
    let standard = Standard { exp: None, jti: None, iat: issued.0, iss: operator, name: "SYS", sub: account };
    encode(standard, claims::system_account())
}

/// The account of all components, signed by the operator. Only `signer` may sign its users, and whatever it signs
/// may publish and subscribe to what [`crate::documents::subject`] says and to nothing else.
#[must_use]
pub fn platform_account(
    account: &PublicKey,
    operator: &PublicKey,
    signer: &PublicKey,
    issued: Unix,
) -> Unsigned {
    let standard =
        Standard { exp: None, jti: None, iat: issued.0, iss: operator, name: "platform", sub: account };
    encode(standard, claims::platform_account(signer))
}

/// A user of the platform's account, signed by its scoped signing key. It carries no permission of its own: the
/// server refuses it if it did. The name is `<namespace>/<service account>`, for people.
#[must_use]
pub fn user(
    user: &PublicKey,
    signer: &PublicKey,
    platform_account: &PublicKey,
    identity: &Identity,
    issued: Unix,
    expires: Unix,
) -> Unsigned {
    let name = format!("{identity}");
    let standard =
        Standard { exp: Some(expires.0), jti: None, iat: issued.0, iss: signer, name: &name, sub: user };
    encode(standard, claims::user(platform_account))
}

/// The standard claims, in the library's order.
#[derive(Clone, Copy, Serialize)]
struct Standard<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    iat: u64,
    iss: &'a PublicKey,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    sub: &'a PublicKey,
}

#[derive(Serialize)]
struct Payload<'a, N> {
    #[serde(flatten)]
    standard: Standard<'a>,
    nats: N,
}

fn encode<N: Serialize>(standard: Standard<'_>, nats: N) -> Unsigned {
    let jti = identifier(&standard);
    let payload = compact(&Payload { standard: Standard { jti: Some(&jti), ..standard }, nats });
    Unsigned(format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(HEADER.as_bytes()),
        BASE64URL_NOPAD.encode(payload.as_bytes())
    ))
}

/// The `jti`: a digest of the standard claims alone, without itself.
fn identifier(standard: &Standard<'_>) -> String {
    BASE32_NOPAD.encode(&Sha512_256::digest(compact(standard)))
}

/// JSON as Go writes it: compact, and with the characters escaped that mean something to HTML or JavaScript. They
/// occur in JSON only inside of strings.
fn compact(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("texts, numbers and lists are always JSON");
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use nkeys::{KeyPair, KeyPairType};
    use serde_json::Value;

    use super::*;

    const ISSUED: Unix = Unix(1_767_225_600);
    /// In the year 2100, so that the golden text stays alive for whoever checks it.
    const EXPIRES: Unix = Unix(4_102_444_800);

    #[test]
    fn the_operator_is_this_text() {
        let keys = Keys::new();
        let jwt = operator(&keys.public(Who::Operator), &keys.public(Who::System), "kubefox", ISSUED);
        assert_golden(&jwt, keys.pair(Who::Operator), include_str!("../../tests/golden/operator.jwt"));
    }

    #[test]
    fn the_system_account_is_this_text() {
        let keys = Keys::new();
        let jwt = system_account(&keys.public(Who::System), &keys.public(Who::Operator), ISSUED);
        assert_golden(&jwt, keys.pair(Who::Operator), include_str!("../../tests/golden/account-system.jwt"));
    }

    #[test]
    fn the_platform_account_is_this_text() {
        let keys = Keys::new();
        let [account, operator, signer] =
            [Who::Platform, Who::Operator, Who::Signer].map(|who| keys.public(who));
        let jwt = platform_account(&account, &operator, &signer, ISSUED);
        assert_golden(
            &jwt,
            keys.pair(Who::Operator),
            include_str!("../../tests/golden/account-platform.jwt"),
        );
    }

    #[test]
    fn a_user_is_this_text() {
        let keys = Keys::new();
        let jwt = user_of(&keys);
        assert_golden(&jwt, keys.pair(Who::Signer), include_str!("../../tests/golden/user.jwt"));
    }

    #[test]
    fn the_platform_account_says_this() {
        let keys = Keys::new();
        let [account, operator, signer] =
            [Who::Platform, Who::Operator, Who::Signer].map(|who| keys.public(who));

        let payload = payload_of(&platform_account(&account, &operator, &signer, ISSUED));

        let (_, nats) = payload.split_once(r#","nats":"#).expect("the last member");
        assert_eq!(
            nats,
            format!(
                concat!(
                    r#"{{"limits":{{"subs":1000,"data":-1,"payload":1048576,"disallow_bearer":true,"conn":2048}},"#,
                    r#""signing_keys":[{{"kind":"user_scope","key":"{signer}","role":"component","#,
                    r#""template":{{"#,
                    r#""pub":{{"allow":["kf.*.in.{{{{subject()}}}}.\u003e","kf.*.in._inbox.\u003e"]}},"#,
                    r#""sub":{{"allow":["kf.{{{{subject()}}}}.\u003e"]}},"#,
                    r#""subs":1000,"data":-1,"payload":1048576,"allowed_connection_types":["STANDARD"]}},"#,
                    r#""description":"components"}}],"#,
                    r#""default_permissions":{{"pub":{{"deny":["\u003e"]}},"sub":{{"deny":["\u003e"]}}}},"#,
                    r#""authorization":{{}},"type":"account","version":2}}}}"#
                ),
                signer = signer
            )
        );
    }

    #[test]
    fn a_user_says_this() {
        let keys = Keys::new();
        let payload = payload_of(&user_of(&keys));
        let jti = json(&payload)["jti"].as_str().map(String::from).expect("a text");
        assert_eq!(
            payload,
            format!(
                concat!(
                    r#"{{"exp":4102444800,"jti":"{jti}","iat":1767225600,"iss":"{signer}","#,
                    r#""name":"team0/app","sub":"{user}","nats":{{"pub":{{}},"sub":{{}},"#,
                    r#""issuer_account":"{platform}","type":"user","version":2}}}}"#
                ),
                jti = jti,
                signer = keys.public(Who::Signer),
                user = keys.public(Who::User),
                platform = keys.public(Who::Platform)
            )
        );
    }

    #[test]
    fn a_name_cannot_leave_its_string() {
        let keys = Keys::new();
        let name = "\",\"sub\":\"x</b>&\u{2028}\u{2029}\n\u{1}";
        let jwt = operator(&keys.public(Who::Operator), &keys.public(Who::System), name, ISSUED);

        let payload = payload_of(&jwt);

        assert!(
            payload.contains(r#""name":"\",\"sub\":\"x\u003c/b\u003e\u0026\u2028\u2029\n\u0001","sub":"O"#)
        );
        assert_eq!(json(&payload)["name"], name);
    }

    #[derive(Clone, Copy)]
    enum Who {
        Operator,
        System,
        Platform,
        Signer,
        User,
    }

    /// Fixed keys: the golden texts are signed with them.
    struct Keys([KeyPair; 5]);

    impl Keys {
        fn new() -> Self {
            let pair = |kind, seed| KeyPair::new_from_raw(kind, [seed; 32]).expect("32 bytes");
            Self([
                pair(KeyPairType::Operator, 1),
                pair(KeyPairType::Account, 2),
                pair(KeyPairType::Account, 3),
                pair(KeyPairType::Account, 4),
                pair(KeyPairType::User, 5),
            ])
        }

        fn pair(&self, who: Who) -> &KeyPair {
            &self.0[who as usize]
        }

        fn public(&self, who: Who) -> PublicKey {
            PublicKey::parse(&self.pair(who).public_key()).expect("the library wrote it")
        }
    }

    fn user_of(keys: &Keys) -> Unsigned {
        let identity = Identity::parse_username("system:serviceaccount:team0:app").expect("an identity");
        let [own, signer, platform] = [Who::User, Who::Signer, Who::Platform].map(|who| keys.public(who));
        user(&own, &signer, &platform, &identity, ISSUED, EXPIRES)
    }

    /// The signed text is `golden`, its signature verifies, and its `jti` is the digest of what it should be.
    fn assert_golden(jwt: &Unsigned, issuer: &KeyPair, golden: &str) {
        let signature = issuer.sign(jwt.signing_input()).expect("it has a seed");
        let text = jwt.signed(&signature.try_into().expect("64 bytes"));
        assert_eq!(text, golden.trim_end());

        let (signed, signature) = golden.trim_end().rsplit_once('.').expect("three parts");
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url");
        let public = KeyPair::from_public_key(&issuer.public_key()).expect("a key");
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());

        let payload = payload_of(jwt);
        let jti = json(&payload)["jti"].as_str().map(String::from).expect("a text");
        let (standard, _) = payload.split_once(r#","nats":"#).expect("the last member");
        let standard = standard.replace(&format!(r#""jti":"{jti}","#), "") + "}";
        assert_eq!(jti, BASE32_NOPAD.encode(&Sha512_256::digest(standard)));
    }

    fn payload_of(jwt: &Unsigned) -> String {
        let (header, payload) = jwt.0.split_once('.').expect("two parts");
        assert_eq!(BASE64URL_NOPAD.decode(header.as_bytes()).expect("base64url"), HEADER.as_bytes());
        String::from_utf8(BASE64URL_NOPAD.decode(payload.as_bytes()).expect("base64url")).expect("UTF-8")
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }
}
