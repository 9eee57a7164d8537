//! Dates as HTTP writes them (RFC 9110 §5.6.7).

use httpdate::HttpDate;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT`: the form that is sent. Years outside 1970 to 9999 are cut to these.
pub fn format_date(time: SystemTime) -> String {
    const YEAR_9999_ENDS: u64 = 253_402_300_799;
    let seconds = seconds(time).min(YEAR_9999_ENDS);
    HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// The date that it is, as [`format_date`] writes it. A handler that is to be tested takes [`Request::now`](super::Request::now) instead.
pub fn now() -> String {
    format_date(SystemTime::now())
}

/// Reads any of the three forms that a recipient must accept.
pub fn parse_date(value: &[u8]) -> Option<SystemTime> {
    std::str::from_utf8(value).ok().and_then(|text| httpdate::parse_http_date(text).ok())
}

/// Whole seconds since 1970: what a date in HTTP can tell.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The text of the Date field, made once a second.
#[derive(Debug, Default)]
pub(super) struct DateText {
    second: Option<u64>,
    text: String,
}

impl DateText {
    pub(super) fn at(&mut self, wall: SystemTime) -> &str {
        let second = Some(seconds(wall));
        if self.second != second {
            self.second = second;
            self.text = format_date(wall);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_one_date() {
        let want = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse_date(text.as_bytes()), Some(want), "{text}");
        }
        assert_eq!(format_date(want), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse_date(b"yesterday"), None);
    }

    #[test]
    fn times_outside_the_calendar_of_http_are_cut() {
        assert_eq!(format_date(UNIX_EPOCH - Duration::from_secs(9)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format_date(UNIX_EPOCH + Duration::from_secs(1 << 40)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_text_follows_the_second() {
        let mut text = DateText::default();
        let wall = UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        assert_eq!(text.at(wall), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text.at(wall + Duration::from_millis(100)), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(text.at(wall), "Sun, 06 Nov 1994 08:49:37 GMT", "the clock on the wall may go back");
    }
}
