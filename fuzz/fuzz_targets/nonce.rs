//! A nonce is 15 characters of base64url and nothing else, however it arrives; what is accepted says itself again.

#![no_main]

use kubefox_core::names::Nonce;
use libfuzzer_sys::fuzz_target;

/// What NATS sends (`server/nkey.go`: 11 random bytes in base64url without padding).
const CHARACTERS: usize = 15;

fuzz_target!(|bytes: &[u8]| {
    let is_nonce = bytes.len() == CHARACTERS
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let Ok(text) = core::str::from_utf8(bytes) else { return };

    let parsed = Nonce::parse(text);

    assert_eq!(parsed.is_ok(), is_nonce);
    // The same rule holds for what a recording or a stored machine says.
    let written = serde_json::to_string(text).expect("text is JSON");
    let read = serde_json::from_str::<Nonce>(&written);
    assert_eq!(read.is_ok(), is_nonce);
    if let Ok(nonce) = parsed {
        assert_eq!((nonce.as_str(), nonce.to_string().as_str()), (text, text));
        assert_eq!(serde_json::to_string(&nonce).expect("a name is JSON"), written);
        assert_eq!(read.expect("it was read"), nonce);
    }
});
