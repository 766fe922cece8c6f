//! UUIDs as text (RFC 9562, section 4).

use data_encoding::HEXLOWER;

/// Groups of 8, 4, 4, 4 and 12 hexadecimal digits. Version and variant are the caller's.
pub(super) fn hyphenated(bytes: &[u8; 16]) -> String {
    let hex = HEXLOWER.encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes_are_five_groups() {
        let text = hyphenated(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);

        assert_eq!(text, "00010203-0405-0607-0809-0a0b0c0d0eff");
    }
}
