//! The configuration file of nats-server: operator mode, accounts in memory, mutual TLS.
//!
//! <https://docs.nats.io/running-a-nats-service/configuration>

use alloc::format;
use alloc::string::String;

use crate::documents::jwt::MAX_PAYLOAD_BYTES;
use crate::documents::nkey::PublicKey;

/// How long a client may take for its TLS handshake, in seconds. The server's own 2 s are short for a cold node.
pub const TLS_TIMEOUT_S: u64 = 5;
/// How long a client may take to authenticate, in seconds: the handshake, and a nonce signed by the controller.
pub const AUTHORIZATION_TIMEOUT_S: u64 = 6;

/// Authors `nats.conf`.
///
/// `operator` is a JWT, `system` and `platform` are an account's key with its JWT. `listen` is `<host>:<port>` (port
/// -1: any free one). `directory` holds `tls.crt`, `tls.key` and `ca.crt`. With a `ports_file_dir` the server
/// writes there what it listens on. Every text is quoted: whatever it is, it stays one value.
#[must_use]
pub fn nats_conf(
    operator: &str,
    system: (&PublicKey, &str),
    platform: (&PublicKey, &str),
    listen: &str,
    directory: &str,
    ports_file_dir: Option<&str>,
) -> String {
    let ports_file =
        ports_file_dir.map(|path| format!("ports_file_dir: {}\n", quoted(path))).unwrap_or_default();
    let file = |name| quoted(&format!("{}/{name}", directory.trim_end_matches('/')));
    format!(
        r#"listen: {listen}
{ports_file}server_name: "nats-0"
operator: {operator}
system_account: {system_key}
resolver: MEMORY
resolver_preload: {{
  {system_key}: {system_jwt}
  {platform_key}: {platform_jwt}
}}
resolver_pinned_accounts: [ {platform_key} ]
authorization {{ timeout: {AUTHORIZATION_TIMEOUT_S} }}
max_payload: {MAX_PAYLOAD_BYTES}
max_control_line: 4096
tls {{
  cert_file: {cert_file}
  key_file: {key_file}
  ca_file: {ca_file}
  verify: true
  timeout: {TLS_TIMEOUT_S}
  min_version: "1.3"
}}
"#,
        listen = quoted(listen),
        operator = quoted(operator),
        system_key = system.0,
        system_jwt = quoted(system.1),
        platform_key = platform.0,
        platform_jwt = quoted(platform.1),
        cert_file = file("tls.crt"),
        key_file = file("tls.key"),
        ca_file = file("ca.crt"),
    )
}

/// A double-quoted string. The server's lexer knows `\\`, `\"` and `\xHH` among others, and takes a NUL for the
/// end of the file; control characters are therefore never written as they are.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(control))),
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::iter::Peekable;
    use core::str::Chars;

    use proptest::prelude::*;

    use super::*;
    use crate::documents::jwt::decode;

    const GOLDEN_OPERATOR: &str = include_str!("../../tests/golden/operator.jwt");
    const GOLDEN_SYSTEM: &str = include_str!("../../tests/golden/account-system.jwt");
    const GOLDEN_PLATFORM: &str = include_str!("../../tests/golden/account-platform.jwt");

    #[test]
    fn the_configuration_is_this_text() {
        let [system, platform] = accounts();
        let text = nats_conf(
            GOLDEN_OPERATOR.trim_end(),
            (&system, GOLDEN_SYSTEM.trim_end()),
            (&platform, GOLDEN_PLATFORM.trim_end()),
            "0.0.0.0:4222",
            "/etc/nats",
            None,
        );

        assert_eq!(text, include_str!("../../tests/golden/nats.conf"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_quotes(texts in prop::array::uniform6(hostile())) {
            let [operator, system_jwt, platform_jwt, listen, directory, ports] = &texts;
            let [system, platform] = accounts();

            let text = nats_conf(
                operator,
                (&system, system_jwt),
                (&platform, platform_jwt),
                listen,
                directory,
                Some(ports),
            );

            prop_assert_eq!(tokens(&text), expected(&texts, system.as_str(), platform.as_str()));
        }
    }

    /// Anything, and more often than chance would have it what means something to the server's lexer.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), r#"[\\"'\n\r\t\x00{}()\[\]#;:=, $x0a/-]{0,20}"#]
    }

    /// Every token of the file, whatever the six texts are.
    fn expected(texts: &[String; 6], system: &str, platform: &str) -> Vec<Token> {
        let [operator, system_jwt, platform_jwt, listen, directory, ports] = texts;
        let word = |text: &str| Token::Word(text.to_string());
        let value = |text: &str| Token::Quoted(text.to_string());
        let file = |name| value(&format!("{}/{name}", directory.trim_end_matches('/')));
        let mut tokens = Vec::new();
        tokens.extend([word("listen:"), value(listen), word("ports_file_dir:"), value(ports)]);
        tokens.extend([word("server_name:"), value("nats-0"), word("operator:"), value(operator)]);
        tokens.extend([word("system_account:"), word(system), word("resolver:"), word("MEMORY")]);
        tokens.extend([word("resolver_preload:"), word("{")]);
        tokens.extend([word(&format!("{system}:")), value(system_jwt)]);
        tokens.extend([word(&format!("{platform}:")), value(platform_jwt), word("}")]);
        tokens.extend(["resolver_pinned_accounts:", "[", platform, "]"].map(word));
        tokens.extend(["authorization", "{", "timeout:", "6", "}"].map(word));
        tokens.extend(["max_payload:", "1048576", "max_control_line:", "4096", "tls", "{"].map(word));
        tokens.extend([word("cert_file:"), file("tls.crt"), word("key_file:"), file("tls.key")]);
        tokens.extend([word("ca_file:"), file("ca.crt"), word("verify:"), word("true")]);
        tokens.extend([word("timeout:"), word("5"), word("min_version:"), value("1.3"), word("}")]);
        tokens
    }

    #[derive(Debug, PartialEq)]
    enum Token {
        Word(String),
        Quoted(String),
    }

    /// Reads the file as the server's lexer does, as far as strings and white space go.
    fn tokens(text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(next) = rest.peek().copied() {
            if next.is_ascii_whitespace() {
                rest.next();
            } else if next == '"' {
                rest.next();
                tokens.push(Token::Quoted(quoted_string(&mut rest)));
            } else {
                let mut word = String::new();
                while let Some(character) = rest.next_if(|c| !c.is_ascii_whitespace() && *c != '"') {
                    word.push(character);
                }
                tokens.push(Token::Word(word));
            }
        }
        tokens
    }

    fn quoted_string(rest: &mut Peekable<Chars<'_>>) -> String {
        let mut value = String::new();
        loop {
            match rest.next().expect("the string ends before the file does") {
                '"' => return value,
                '\\' => value.push(escaped(rest)),
                '\0' => panic!("the server takes a NUL for the end of the file"),
                plain => value.push(plain),
            }
        }
    }

    fn escaped(rest: &mut Peekable<Chars<'_>>) -> char {
        match rest.next().expect("an escape has a letter") {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'x' => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).expect("two hexadecimal digits").into()
            }
            itself @ ('"' | '\\') => itself,
            other => panic!("the server knows no escape {other:?}"),
        }
    }

    /// The accounts of the golden JWTs.
    fn accounts() -> [PublicKey; 2] {
        [GOLDEN_SYSTEM, GOLDEN_PLATFORM].map(|text| decode(text.trim_end()).expect("it is golden").subject)
    }
}
