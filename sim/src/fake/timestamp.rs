//! Seconds since 1970 as the servers' JSON (RFC 3339) and HTTP (RFC 9110) write them.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use kubefox_core::time::Unix;

/// 9999-12-30T22:00:00Z, the last second that every format here can write.
const LAST_S: u64 = 253_402_207_200;

pub(super) fn rfc3339(moment: Unix) -> String {
    timestamp(moment).to_string()
}

pub(super) fn http_date(moment: Unix) -> String {
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&timestamp(moment))
        .expect("years from 1970 to 9999 can be written")
}

fn timestamp(moment: Unix) -> Timestamp {
    let seconds = i64::try_from(moment.0.min(LAST_S)).expect("the last second fits");
    Timestamp::from_second(seconds).expect("the last second is within jiff's range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_json_and_http_write_them() {
        let moment = Unix(1_795_465_234);

        assert_eq!(rfc3339(moment), "2026-11-23T20:20:34Z");
        assert_eq!(http_date(moment), "Mon, 23 Nov 2026 20:20:34 GMT");
        assert_eq!(rfc3339(Unix(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Unix(951_782_400)), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(Unix(u64::MAX)), "9999-12-30T22:00:00Z");
    }
}
