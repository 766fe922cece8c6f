//! What every service-account token looks like. Whether one is genuine, the API server says.

/// Longest token; those of Kubernetes have 1 to 2 KiB.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Three parts of base64url joined by dots (RFC 7515, section 3.1), and not too long.
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut parts = bytes.split(|byte| *byte == b'.');
    bytes.len() <= TOKEN_BYTES_MAX
        && parts.clone().count() == 3
        && parts.all(|part| !part.is_empty() && part.iter().all(is_base64url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_three_parts_of_base64url_and_not_too_long() {
        let longest = format!("a.b.{}", "c".repeat(TOKEN_BYTES_MAX - 4));
        for token in ["a.b.c", "aA0.b-B._c", &longest] {
            assert!(is_token(token.as_bytes()), "{token}");
        }
        let too_long = format!("{longest}c");
        for bad in
            ["", "a.b", "a.b.c.d", "a..c", ".b.c", "a.b.", "a.b.c ", "a.b.c=", "a.b\n.c", "ä.b.c", &too_long]
        {
            assert!(!is_token(bad.as_bytes()), "{bad}");
        }
    }
}
