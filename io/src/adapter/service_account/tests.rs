use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

#[test]
fn a_token_of_the_cluster_is_genuine_and_says_whose_it_is() {
    let key = Key256::new("one");
    let token = key.sign(&claims());

    let Ok(Examined::Genuine(said)) = examine(&token, &token, &[key.signer()]) else {
        panic!("it is genuine");
    };

    let pod = Pod { name: PodName::parse("app-1").expect("a name"), uid: Uid::parse("b-2").expect("a uid") };
    let digest = HEXLOWER.encode(&Sha256::digest(&token));
    let expected = Claims {
        own_issuer: true,
        audiences: vec!["kubefox.blue".to_owned()],
        issued: Unix(1_000),
        not_before: Unix(1_000),
        expires: Unix(1_600),
        identity: Identity::parse_username("system:serviceaccount:team0:app").ok(),
        pod: Some(pod),
        digest: TokenDigest::parse(&digest).expect("64 digits"),
    };
    assert_eq!(said, expected);
}

#[test]
fn a_token_that_proves_nothing_is_told_apart_from_a_forged_one() {
    let (key, other) = (Key256::new("one"), Key256::new("one"));
    let good = key.sign(&claims());
    let header = |header: Value| [part(&header), tail(&good)].concat();
    let cases: [(&str, Vec<u8>, Examined); 12] = [
        ("no algorithm", header(json!({"alg": "none", "kid": "one"})), Examined::Unsigned),
        ("a shared secret", header(json!({"alg": "HS256", "kid": "one"})), Examined::Unsigned),
        ("PSS", header(json!({"alg": "PS256", "kid": "one"})), Examined::Unsigned),
        ("written otherwise", header(json!({"alg": "es256", "kid": "one"})), Examined::Unsigned),
        ("another's algorithm", header(json!({"alg": "RS256", "kid": "one"})), Examined::Forged),
        ("another header", header(json!({"alg": "ES256", "kid": "one", "typ": "JWT"})), Examined::Forged),
        ("no key", header(json!({"alg": "ES256"})), Examined::UnknownKey),
        ("another key's name", header(json!({"alg": "ES256", "kid": "two"})), Examined::UnknownKey),
        ("no header", header(json!("ES256")), Examined::Malformed),
        ("another key", other.sign(&claims()), Examined::Forged),
        ("changed", changed(&good), Examined::Forged),
        ("cut short", good[..good.len() - 2].to_vec(), Examined::Forged),
    ];
    for (case, token, expected) in cases {
        assert_eq!(examine(&token, &good, &[key.signer()]), Ok(expected), "{case}");
    }
}

#[test]
fn what_is_signed_and_no_service_accounts_token_is_malformed_or_nobodys() {
    let key = Key256::new("one");
    let like = key.sign(&claims());
    let with = |member: &str, value: Value| {
        let mut claims = claims();
        claims[member] = value;
        examine(&key.sign(&claims), &like, &[key.signer()])
    };
    let malformed = [
        ("exp", json!("soon")),
        ("exp", json!(-1)),
        ("aud", json!("kubefox.blue")),
        ("kubernetes.io", Value::Null),
        ("iat", Value::Null),
    ];
    for (member, value) in malformed {
        assert_eq!(with(member, value), Ok(Examined::Malformed), "{member}");
    }
    let Ok(Examined::Genuine(foreign)) = with("iss", json!("https://elsewhere.example")) else { panic!() };
    assert!(!foreign.own_issuer);
    for sub in ["system:node:n1", "system:serviceaccount:team0:other", "system:serviceaccount:team1:app"] {
        let Ok(Examined::Genuine(nobody)) = with("sub", json!(sub)) else { panic!("{sub}") };
        assert_eq!(nobody.identity, None, "{sub}");
    }
    let unbound = json!({"namespace": "team0", "serviceaccount": {"name": "app", "uid": "a-1"}});
    let Ok(Examined::Genuine(unbound)) = with("kubernetes.io", unbound) else { panic!() };
    assert_eq!(unbound.pod, None);
}

#[test]
fn without_an_own_token_to_compare_with_nothing_is_said_of_anybodys() {
    let key = Key256::new("one");
    let good = key.sign(&claims());
    for own in [&b""[..], b"a.b.c", b"a.b"] {
        assert_eq!(examine(&good, own, &[key.signer()]), Err(OwnTokenMalformed));
    }
}

/// Made with another implementation (openssl dgst -sha256 -sign) of the bytes `header.claims`.
#[test]
fn a_signature_with_rsa_as_kube_apiserver_makes_them_fits() {
    let set = include_bytes!("rs256.jwks.json");
    let token = include_bytes!("rs256.jwt").trim_ascii();
    let keys = signers(set).expect("a key set");

    assert_eq!(keys.iter().map(|key| key.key.algorithm()).collect::<Vec<_>>(), ["RS256"]);
    assert!(matches!(examine(token, token, &keys), Ok(Examined::Genuine(_))));
    assert_eq!(examine(&changed(token), token, &keys), Ok(Examined::Forged));
}

#[test]
fn of_a_key_set_those_keys_are_taken_that_can_be_used() {
    let key = Key256::new("one");
    let Signer { key: SignerKey::P256(point), .. } = key.signer() else { panic!("it is P-256") };
    let (x, y) = (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..]));
    let good =
        json!({"use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "one", "x": x, "y": y});
    let with = |member: &str, value: Value| {
        let mut key = good.clone();
        key[member] = value;
        key
    };
    let set = |keys: Vec<Value>| signers(json!({"keys": keys}).to_string().as_bytes());

    let useless = vec![
        with("use", json!("enc")),
        with("kty", json!("oct")),
        with("crv", json!("P-521")),
        with("alg", json!("ES512")),
        with("kid", Value::Null),
        with("x", json!("AA")),
        with("y", json!("!")),
    ];
    assert_eq!(set(useless), Some(vec![]));
    let bare = json!({"kty": "EC", "crv": "P-256", "kid": "one", "x": x, "y": y});
    assert_eq!(set(vec![with("crv", json!("P-521")), bare]), Some(vec![key.signer()]));
    assert_eq!(set(vec![good; SIGNERS_MAX + 1]).map(|keys| keys.len()), Some(SIGNERS_MAX));
    for none in ["", "[]", "{}", r#"{"keys": 1}"#] {
        assert_eq!(signers(none.as_bytes()), None, "{none}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_or_is_genuine(token in "[A-Za-z0-9_.-]{0,200}", set in any::<Vec<u8>>()) {
        let key = Key256::new("one");
        let like = key.sign(&claims());
        let _ = signers(&set);
        let examined = examine(token.as_bytes(), &like, &[key.signer()]);
        prop_assert!(!matches!(examined, Ok(Examined::Genuine(_))));
    }
}

struct Key256 {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key256 {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("it is one");
        Self { id, pair }
    }

    fn signer(&self) -> Signer {
        Signer { id: self.id.to_owned(), key: SignerKey::P256(self.pair.public_key().as_ref().to_vec()) }
    }

    fn sign(&self, claims: &Value) -> Vec<u8> {
        let mut token = part(&json!({"alg": "ES256", "kid": self.id}));
        token.push(b'.');
        token.extend(part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), &token).expect("it signs");
        token.push(b'.');
        token.extend(BASE64URL_NOPAD.encode(signature.as_ref()).into_bytes());
        token
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "system:serviceaccount:team0:app", "aud": ["kubefox.blue"],
        "iat": 1_000, "nbf": 1_000, "exp": 1_600, "jti": "0b5f",
        "kubernetes.io": {
            "namespace": "team0", "node": {"name": "n1", "uid": "c-3"},
            "pod": {"name": "app-1", "uid": "b-2"}, "serviceaccount": {"name": "app", "uid": "a-1"},
        },
    })
}

fn part(json: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.encode(json.to_string().as_bytes()).into_bytes()
}

/// What follows the header, with its dot.
fn tail(token: &[u8]) -> Vec<u8> {
    let dot = token.iter().position(|byte| *byte == b'.').expect("a token has dots");
    token[dot..].to_vec()
}

/// The same with one character of the claims changed.
fn changed(token: &[u8]) -> Vec<u8> {
    let mut token = token.to_vec();
    let dot = token.iter().position(|byte| *byte == b'.').expect("a token has dots");
    token[dot + 10] = if token[dot + 10] == b'A' { b'B' } else { b'A' };
    token
}
