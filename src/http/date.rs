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

/// Reads any of the three forms that a recipient must accept. `now` decides what century two digits mean.
pub fn parse_date(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    let text = std::str::from_utf8(value).ok()?;
    match text.split_once("day, ") {
        Some(_) => parse_two_digit_year(text, now),
        None => httpdate::parse_http_date(text).ok(),
    }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`. RFC 9110 §5.6.7: more than fifty years ahead it is of the century before. (httpdate draws the line at
/// 1970, whatever the time is.)
fn parse_two_digit_year(text: &str, now: SystemTime) -> Option<SystemTime> {
    const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    const FIFTY_YEARS: Duration = Duration::from_secs(18_262 * 24 * 60 * 60 + 12 * 60 * 60);
    let (weekday, rest) = text.split_once(", ")?;
    let (date, time) = rest.split_once(' ')?;
    let (day, month_year) = date.split_once('-')?;
    let (month, year) = month_year.split_once('-')?;
    if !WEEKDAYS.contains(&weekday) || year.len() != 2 {
        return None;
    }
    let in_century = |century: u32| {
        let text = format!("{}, {day} {month} {century}{year} {time}", &weekday[..3]);
        httpdate::parse_http_date(&text).ok().filter(|time| *time <= now + FIFTY_YEARS)
    };
    // The day of the week leaves one century of several; of 1900 to 2099 the last that is not too far ahead.
    in_century(20).or_else(|| in_century(19))
}

/// Whole seconds since 1970: what a date in HTTP can tell.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The Date field, made once a second.
#[derive(Debug, Default)]
pub(super) struct DateLine {
    /// When it was asked for last.
    wall: Option<SystemTime>,
    second: u64,
    line: String,
}

impl DateLine {
    /// The field with its CRLF.
    pub(super) fn at(&mut self, wall: SystemTime) -> &str {
        if self.wall != Some(wall) {
            let second = seconds(wall);
            if self.wall.is_none() || self.second != second {
                self.line = format!("Date: {}\r\n", format_date(wall));
            }
            (self.wall, self.second) = (Some(wall), second);
        }
        &self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_one_date() {
        let want = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse_date(text.as_bytes(), want), Some(want), "{text}");
        }
        assert_eq!(format_date(want), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "yesterday",
            "784111777",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Monday, 06-Nov-94 08:49:37 GMT",
            "Oneday, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(text.as_bytes(), UNIX_EPOCH), None, "{text}");
        }
    }

    #[test]
    fn two_digits_are_of_the_century_that_is_near() {
        let year = |year: u64| UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952);
        let of = |text: &str| parse_date(text.as_bytes(), UNIX_EPOCH + Duration::from_secs(1 << 40)).unwrap();
        let cases = [
            ("Thursday, 31-Dec-99 00:00:00 GMT", year(2026), None),
            ("Friday, 31-Dec-99 00:00:00 GMT", year(2026), Some(of("Fri, 31 Dec 1999 00:00:00 GMT"))),
            ("Tuesday, 01-Jan-75 00:00:00 GMT", year(2026), Some(of("Tue, 01 Jan 2075 00:00:00 GMT"))),
            ("Wednesday, 01-Jan-75 00:00:00 GMT", year(2026), Some(of("Wed, 01 Jan 1975 00:00:00 GMT"))),
            ("Tuesday, 01-Jan-75 00:00:00 GMT", year(2024), None),
        ];
        for (text, now, want) in cases {
            assert_eq!(parse_date(text.as_bytes(), now), want, "{text}");
        }
    }

    #[test]
    fn times_outside_the_calendar_of_http_are_cut() {
        assert_eq!(format_date(UNIX_EPOCH - Duration::from_secs(9)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format_date(UNIX_EPOCH + Duration::from_secs(1 << 40)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_line_follows_the_second() {
        let mut line = DateLine::default();
        let wall = UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        assert_eq!(line.at(wall), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(line.at(wall + Duration::from_millis(100)), "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
        assert_eq!(line.at(wall), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "the clock on the wall may go back");
    }
}
