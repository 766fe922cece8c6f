//! JWTs that nobody signed, made of what others did.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

/// With a signature that is none, as long as one of RSA.
pub(crate) fn forged(header: &Value, claims: &Value) -> String {
    format!("{}.{}.{}", part(header), part(claims), BASE64URL_NOPAD.encode(&[7; 256]))
}

/// The claims of one with the signature of another.
pub(crate) fn swapped(claims: &str, signature: &str) -> String {
    let (claims, _) = claims.rsplit_once('.').expect("a JWT");
    let (_, signature) = signature.rsplit_once('.').expect("a JWT");
    format!("{claims}.{signature}")
}

/// The same under another header.
pub(crate) fn headed(jwt: &str, header: &Value) -> String {
    let (_, rest) = jwt.split_once('.').expect("a JWT");
    format!("{}.{rest}", part(header))
}

/// The same with one bit of its signature turned.
pub(crate) fn corrupted(jwt: &str) -> String {
    let (signed, signature) = jwt.rsplit_once('.').expect("a JWT");
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url");
    bytes[0] ^= 1;
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&bytes))
}

/// Its claims changed, and signed again by whoever can.
pub(crate) fn resigned(
    jwt: &str,
    change: impl FnOnce(&mut Value),
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> String {
    let (header, rest) = jwt.split_once('.').expect("a JWT");
    let (claims, _) = rest.split_once('.').expect("a JWT");
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).expect("base64url");
    let mut claims: Value = serde_json::from_slice(&claims).expect("JSON");
    change(&mut claims);
    let signed = format!("{header}.{}", part(&claims));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn part(json: &Value) -> String {
    BASE64URL_NOPAD.encode(json.to_string().as_bytes())
}
