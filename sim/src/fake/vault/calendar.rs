//! Moments as JSON writes them.

use std::time::Duration;

use kubefox_core::time::Unix;

/// RFC 3339 in UTC, whole seconds.
pub(super) fn rfc3339(moment: Unix) -> String {
    let date = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(moment.0);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc3339() {
        let printed = [0, 951_782_400, 1_795_466_813].map(|second| rfc3339(Unix(second)));

        assert_eq!(printed, ["1970-01-01T00:00:00Z", "2000-02-29T00:00:00Z", "2026-11-23T20:46:53Z"]);
    }
}
