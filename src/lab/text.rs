//! Numbers as people read them.

/// `10,064`
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits that matter, without an exponent: `0.0123`, `4.56`, `78.9`, `1,234`.
pub fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 0.1 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => thousands(value.round() as u64),
    }
}

/// Microseconds in the unit that fits.
pub fn time(microseconds: f64) -> String {
    match microseconds {
        time if time < 1_000.0 => format!("{} µs", figure(time)),
        time if time < 1_000_000.0 => format!("{} ms", figure(time / 1_000.0)),
        time => format!("{} s", figure(time / 1_000_000.0)),
    }
}

/// Bytes in the unit that fits: `160 B`, `84.2 KiB`, `1.20 MiB`.
pub fn amount(bytes: f64) -> String {
    match bytes.max(0.0) {
        bytes if bytes < 1024.0 => format!("{bytes:.0} B"),
        bytes if bytes < 1024.0 * 1024.0 => format!("{} KiB", figure(bytes / 1024.0)),
        bytes => format!("{} MiB", figure(bytes / 1024.0 / 1024.0)),
    }
}

/// `2.4 MiB`
pub fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_people_read_them() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (10_064, "10,064"), (1_234_567, "1,234,567")];
        cases.iter().for_each(|(number, want)| assert_eq!(thousands(*number), *want));
        let cases = [(0.0, "0"), (0.0123, "0.012"), (4.567, "4.57"), (78.91, "78.9"), (1234.4, "1,234")];
        cases.iter().for_each(|(value, want)| assert_eq!(figure(*value), *want));
        let cases = [(12.34, "12.3 µs"), (4_560.0, "4.56 ms"), (2_000_000.0, "2.00 s")];
        cases.iter().for_each(|(value, want)| assert_eq!(time(*value), *want));
        let cases = [(-3.0, "0 B"), (160.4, "160 B"), (2048.0, "2.00 KiB"), (1_572_864.0, "1.50 MiB")];
        cases.iter().for_each(|(value, want)| assert_eq!(amount(*value), *want));
    }
}
