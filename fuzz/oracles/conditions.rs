//! Conditional requests: the status is one that RFC 9110 §13.2.2 lets the fields have.
//!
//! Input: lines, of which each is a field: a letter that names it, and its value. In a value these bytes stand for what no fuzzer would guess:
//!
//! ```text
//!   h  the method is HEAD     n  If-None-Match          \x01  the file's tag          \x04  a second later
//!   m  If-Match               s  If-Modified-Since      \x02  the same, weak          \x05  a second earlier
//!   u  If-Unmodified-Since    r  If-Range, with Range   \x03  when it was changed     \x06  a year from now
//! ```

use super::site::{self, changed, field_value};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tripoll::http::format_date;

const SIZE: usize = 100;

pub fn judge(data: &[u8]) {
    site::with(|site| {
        let tag = site.ask("HEAD", SIZE, b"").field("etag").expect("a file has a tag").to_string();
        assert!(tag.starts_with('"'), "a file that is old has a strong tag, not {tag}");
        let asked = Asked::read(data, &tag, site.now);
        if asked.wire.len() > 8_000 || asked.lines > 50 {
            return;
        }
        let answer = site.ask(if asked.is_head { "HEAD" } else { "GET" }, SIZE, &asked.wire);
        let allowed = asked.allowed(&tag, site.now);
        let about = asked.wire.escape_ascii();
        assert!(allowed.contains(&answer.status), "{} and not {allowed:?}: {about}", answer.status);
        if [200, 206, 304].contains(&answer.status) {
            // RFC 9110 §15.4.5, §15.3.7.
            assert_eq!(answer.field("etag"), Some(tag.as_str()), "{about}");
        }
        if answer.status == 206 {
            assert_eq!(answer.field("content-range"), Some("bytes 0-0/100"), "{about}");
        }
    });
}

#[derive(Default)]
struct Asked {
    is_head: bool,
    lines: usize,
    wire: Vec<u8>,
    if_match: Vec<Vec<u8>>,
    if_unmodified_since: Vec<Vec<u8>>,
    if_none_match: Vec<Vec<u8>>,
    if_modified_since: Vec<Vec<u8>>,
    if_range: Vec<Vec<u8>>,
}

impl Asked {
    fn read(data: &[u8], tag: &str, now: SystemTime) -> Asked {
        let mut asked = Asked::default();
        let second = Duration::from_secs(1);
        for line in data.split(|byte| *byte == b'\n') {
            let Some((letter, value)) = line.split_first() else { continue };
            let mut written = Vec::new();
            for byte in value {
                match byte {
                    1 => written.extend(tag.as_bytes()),
                    2 => written.extend([b"W/", tag.as_bytes()].concat()),
                    3 => written.extend(format_date(changed()).as_bytes()),
                    4 => written.extend(format_date(changed() + second).as_bytes()),
                    5 => written.extend(format_date(changed() - second).as_bytes()),
                    6 => written.extend(format_date(now + 365 * 86_400 * second).as_bytes()),
                    byte => written.push(*byte),
                }
            }
            let value = field_value(&written);
            let (name, values) = match letter {
                b'h' => {
                    asked.is_head = true;
                    continue;
                }
                b'm' => ("If-Match", &mut asked.if_match),
                b'u' => ("If-Unmodified-Since", &mut asked.if_unmodified_since),
                b'n' => ("If-None-Match", &mut asked.if_none_match),
                b's' => ("If-Modified-Since", &mut asked.if_modified_since),
                b'r' => ("If-Range", &mut asked.if_range),
                _ => continue,
            };
            asked.lines += 1;
            asked.wire.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
            values.push(value);
        }
        if !asked.if_range.is_empty() {
            asked.wire.extend(b"Range: bytes=0-0\r\n");
        }
        asked
    }

    /// Every status that one reading or another gives.
    fn allowed(&self, tag: &str, now: SystemTime) -> Vec<u16> {
        let mut allowed = Vec::new();
        // Steps 1 and 2.
        let is_met = match (self.if_match.is_empty(), self.if_unmodified_since.as_slice()) {
            (false, _) => tags(&self.if_match, |candidate| candidate == tag),
            // What is no date is ignored.
            (true, [date]) => date_of(date).ask(Verdict::TRUE, |date| changed() <= date),
            // §13.1.4: and so are several.
            (true, [] | [_, _, ..]) => Verdict::TRUE,
        };
        if is_met.may_be_false {
            allowed.push(412);
        }
        if !is_met.may_be_true {
            return allowed;
        }
        // Steps 3 and 4.
        let is_had = match (self.if_none_match.is_empty(), self.if_modified_since.as_slice()) {
            (false, _) => tags(&self.if_none_match, |candidate| candidate.trim_start_matches("W/") == tag),
            (true, [date]) => {
                // A date in the future is of another clock, and says nothing.
                date_of(date).ask(Verdict::FALSE, |date| date <= now && changed() <= date)
            }
            // §13.1.3.
            (true, [] | [_, _, ..]) => Verdict::FALSE,
        };
        if is_had.may_be_true {
            allowed.push(304);
        }
        if !is_had.may_be_false {
            return allowed;
        }
        // Step 5, and RFC 9110 §14.2: ranges are of GET.
        let is_same = match self.if_range.as_slice() {
            [] => Verdict::FALSE,
            _ if self.is_head => Verdict::FALSE,
            // §13.1.5: a server that has a tag may send it and look at no date.
            [value] if value.contains(&b'"') => Verdict::of(value == tag.as_bytes()),
            [value] => match date_of(value).ask(Verdict::FALSE, |date| date == changed()).may_be_true {
                true => Verdict::UNSURE,
                false => Verdict::FALSE,
            },
            [_, _, ..] => Verdict::UNSURE,
        };
        if is_same.may_be_true {
            allowed.push(206);
        }
        if is_same.may_be_false {
            allowed.push(200);
        }
        allowed
    }
}

/// Of a question that the RFC may leave open.
#[derive(Clone, Copy)]
struct Verdict {
    may_be_true: bool,
    may_be_false: bool,
}

impl Verdict {
    const TRUE: Verdict = Verdict { may_be_true: true, may_be_false: false };
    const FALSE: Verdict = Verdict { may_be_true: false, may_be_false: true };
    const UNSURE: Verdict = Verdict { may_be_true: true, may_be_false: true };

    fn of(is: bool) -> Verdict {
        if is { Verdict::TRUE } else { Verdict::FALSE }
    }
}

/// Whether one of these tags is the file's. `*` is any (§13.1.1). What is no list of tags may be read as far as it is one, or not at all; but what
/// does not hold the file's tag anywhere names it in no reading.
fn tags(lines: &[Vec<u8>], is_it: impl Fn(&str) -> bool) -> Verdict {
    if let [line] = lines
        && line == b"*"
    {
        return Verdict::TRUE;
    }
    let mut found = false;
    for line in lines {
        match read_tags(line) {
            Some(tags) => found |= tags.iter().any(|tag| is_it(tag)),
            None => return Verdict::UNSURE,
        }
    }
    Verdict::of(found)
}

/// 1#entity-tag (§8.8.3).
fn read_tags(line: &[u8]) -> Option<Vec<String>> {
    let text: String = line.iter().map(|byte| char::from(*byte)).collect();
    let (mut rest, mut tags) = (text.as_str(), Vec::new());
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(tags);
        }
        let weak = if rest.starts_with("W/") { "W/" } else { "" };
        let opaque = rest[weak.len()..].strip_prefix('"')?;
        let (opaque, after) = opaque.split_once('"')?;
        let is_tag = opaque.chars().all(|c| c == '!' || ('#'..='~').contains(&c) || c >= '\u{80}');
        let after = after.trim_start_matches([' ', '\t']);
        if !is_tag || !(after.is_empty() || after.starts_with(',')) {
            return None;
        }
        tags.push(format!("{weak}\"{opaque}\""));
        rest = after;
    }
}

/// What a value may be read as: dates, since a year of two digits has two readings; or none.
struct Date {
    dates: Vec<SystemTime>,
    /// It may be ignored as what is no date.
    may_be_none: bool,
}

impl Date {
    const NONE: Date = Date { dates: Vec::new(), may_be_none: true };

    /// What `is_so` says of it, or `of_none` does where it is no date.
    fn ask(&self, of_none: Verdict, is_so: impl Fn(SystemTime) -> bool) -> Verdict {
        let said: Vec<_> = self.dates.iter().map(|date| is_so(*date)).collect();
        Verdict {
            may_be_true: said.contains(&true) || (self.may_be_none && of_none.may_be_true),
            may_be_false: said.contains(&false) || (self.may_be_none && of_none.may_be_false),
        }
    }
}

fn date_of(value: &[u8]) -> Date {
    read_date(value).unwrap_or(Date::NONE)
}

/// RFC 9110 §5.6.7: the three forms, to the letter. `None` is what none of them is.
fn read_date(value: &[u8]) -> Option<Date> {
    let text = std::str::from_utf8(value).ok()?;
    let words: Vec<_> = text.split(' ').collect();
    let two =
        |text: &str| (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?;
    let four = |text: &str| {
        (text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u64>().ok())?
    };
    let (day_name, day, month, years, time) = match words.as_slice() {
        [name, day, month, year, time, "GMT"] => (name.strip_suffix(',')?, two(day)?, *month, vec![four(year)?], *time),
        [name, date, time, "GMT"] => {
            let [day, month, year] = date.split('-').collect::<Vec<_>>()[..] else { return None };
            let year: u64 = two(year)?;
            let name = name.strip_suffix(',')?.strip_suffix("day")?;
            let short = match name {
                "Mon" | "Fri" | "Sun" => name,
                "Tues" => "Tue",
                "Wednes" => "Wed",
                "Thurs" => "Thu",
                "Satur" => "Sat",
                _ => return None,
            };
            // More than fifty years ahead is the past.
            let years = match year {
                ..70 => vec![2000 + year],
                70..80 => vec![1900 + year, 2000 + year],
                80.. => vec![1900 + year],
            };
            (short, two(day)?, month, years, *time)
        }
        [name, month, "", day, time, year] if day.len() == 1 => {
            (*name, two(&format!("0{day}"))?, *month, vec![four(year)?], *time)
        }
        [name, month, day, time, year] => (*name, two(day)?, *month, vec![four(year)?], *time),
        _ => return None,
    };
    let day_of_week = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"].iter().position(|name| *name == day_name)?;
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let (hour, minute, second): (u64, u64, u64) = (two(hour)?, two(minute)?, two(second)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days: Vec<_> = years.iter().filter_map(|year| days(*year, month, day)).collect();
    let is_odd = |days: &u64| days % 7 != day_of_week as u64;
    // A wrong day of the week, a leap second, and what is older than the clock's zero may be refused.
    let may_be_none =
        second == 60 || days.is_empty() || days.iter().any(is_odd) || years.iter().any(|year| *year < 1970);
    let seconds = hour * 3_600 + minute * 60 + second;
    let dates = days.iter().map(|days| UNIX_EPOCH + Duration::from_secs(days * 86_400 + seconds)).collect();
    Some(Date { dates, may_be_none })
}

/// Days from 1970 to a date, counted one year and one month at a time.
fn days(year: u64, month: usize, day: u64) -> Option<u64> {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |year: u64, month: usize| match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day == 0 || day > length(year, month) {
        return None;
    }
    if year < 1970 {
        return Some(0); // As good as any other time long before the files.
    }
    let of_years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let of_months: u64 = (1..month).map(|month| length(year, month)).sum();
    Some(of_years + of_months + day - 1)
}
