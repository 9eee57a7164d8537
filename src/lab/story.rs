//! What a group of rows comes to, in one sentence: computed from its figures, or it is said that they decide nothing.

use super::models;
use super::plan::Offer;
use super::row::{Row, Summary};
use super::text::{figure, thousands, time};

/// Ratios nearer to 1 than this are no difference: rounds on one machine vary by as much.
pub const SAME: f64 = 1.15;

/// How a sentence ends that decides nothing.
pub const NO_VERDICT: &str = "no verdict.";

/// From here on it matters that other programs ran too.
pub const DISTURBED_PERCENT: f64 = 5.0;

/// From here on latencies are the other programs' more than the server's.
const TAKEN_PERCENT: f64 = 20.0;

/// The sentence.
pub fn sentence(group: &[Summary<'_>]) -> String {
    let sound: Vec<&Summary<'_>> = group.iter().filter(|one| one.is_good()).collect();
    if sound.len() < 2 {
        return "There is nothing to compare.".into();
    }
    if sound[0].rows[0].model.is_some() {
        return models::sentence(&sound);
    }
    match sound[0].cell.offer {
        Offer::Closed => by_cpu(&sound),
        Offer::PerSecond(_) | Offer::Share(_) => by_latency(&sound),
    }
}

fn by_cpu(sound: &[&Summary<'_>]) -> String {
    let busy: Vec<&Summary<'_>> = sound.iter().copied().filter(|one| !one.is_generators()).collect();
    let Some(reference) = busy.iter().find(|one| one.strategy == "epoll").or(busy.first()).filter(|_| busy.len() > 1)
    else {
        return format!("The generator was the bottleneck, and the servers had time to spare: {NO_VERDICT}");
    };
    let dear = most(&busy, Row::cpu);
    let cheap = least(&busy, Row::cpu);
    let ratio = dear.median(Row::cpu) / cheap.median(Row::cpu);
    let beside = match reference.cell.idle {
        0 => "Without idle connections".to_string(),
        idle => format!("With {} idle", thousands(idle as u64)),
    };
    let (low, high) = (figure(cheap.median(Row::cpu)), figure(dear.median(Row::cpu)));
    if ratio < SAME {
        // Not all may have a verdict.
        let who = if busy.len() == sound.len() { "the strategies".into() } else { names(&busy) };
        return format!("{beside} {who} cost the same: {low} to {high} µs of CPU a request.");
    }
    if overlap(dear, cheap, Row::cpu) {
        return format!("{beside} rounds differ as much as strategies do: {low} to {high} µs of CPU a request.");
    }
    let times = |other: &Summary<'_>| dear.median(Row::cpu) / other.median(Row::cpu);
    let against = if reference.strategy == dear.strategy { cheap } else { reference };
    let verdict = format!("{}× {}'s cost per request", figure(times(against)), against.strategy);
    match (dear.strategy.starts_with("epoll"), reference.cell.idle > 0) {
        (false, true) => {
            let scanned = thousands(dear.median(Row::scanned_a_wait).round() as u64);
            let own = figure(against.median(Row::scanned_a_wait));
            format!(
                "{beside}, {} scans {scanned} descriptors a call where {} looks at {own}: {verdict}.",
                dear.strategy, against.strategy
            )
        }
        (true, _) if dear.median(Row::changes) > 0.5 => {
            let changes = figure(dear.median(Row::changes));
            format!("{beside}, {} pays for {changes} changes of interest a request: {verdict}.", dear.strategy)
        }
        (..) => format!("{beside}, {} comes to {verdict}.", dear.strategy),
    }
}

/// `select and poll`
fn names(of: &[&Summary<'_>]) -> String {
    let names: Vec<&str> = of.iter().map(|one| one.strategy).collect();
    match names.split_last() {
        Some((last, others @ [_, ..])) => format!("{} and {last}", others.join(", ")),
        Some((last, [])) => (*last).into(),
        None => String::new(),
    }
}

fn by_latency(sound: &[&Summary<'_>]) -> String {
    let slow = most(sound, |row| row.p99);
    let quick = least(sound, |row| row.p99);
    let rate = quick.rows[0].offered_per_second.map_or(0, |rate| rate as u64);
    let (worst, best) = (slow.median(|row| row.p99), quick.median(|row| row.p99));
    let at = format!("At {} requests/s, counted from when each was due,", thousands(rate));
    let disturbed = disturbed_percent(sound);
    let is_noise = overlap(slow, quick, |row| row.p99);
    match sound.iter().find(|one| one.is_generators()) {
        Some(_) if disturbed >= DISTURBED_PERCENT => {
            format!(
                "{at} requests were sent late, as other programs took {disturbed:.0} % of the time of these cores: {NO_VERDICT}"
            )
        }
        Some(_) => format!("{at} the generator itself was late: {NO_VERDICT}"),
        None if disturbed >= TAKEN_PERCENT => {
            format!("{at} other programs took {disturbed:.0} % of the time of these cores: {NO_VERDICT}")
        }
        None if is_noise => {
            let (best, worst) = (time(best), time(worst));
            format!("{at} 99 % are answered within {best} to {worst}, and rounds differ as much as strategies do.")
        }
        None if worst / best < SAME => format!("{at} 99 % are answered within {} by each.", time(worst)),
        None => format!(
            "{at} 99 % are answered within {} by {}, within {} by {}.",
            time(best),
            quick.strategy,
            time(worst),
            slow.strategy
        ),
    }
}

/// Whether a round of the one that has more was as low as a round of the one that has less.
pub fn overlap(more: &Summary<'_>, less: &Summary<'_>, value: fn(&Row) -> f64) -> bool {
    more.rows.len() > 1 && more.spread(value).least <= less.spread(value).greatest
}

/// The percentage of the time that other programs took, where it was so much that requests a second and latencies are theirs.
pub fn taken(sound: &[&Summary<'_>]) -> Option<f64> {
    let disturbed = disturbed_percent(sound);
    (disturbed >= TAKEN_PERCENT).then_some(disturbed)
}

fn disturbed_percent(sound: &[&Summary<'_>]) -> f64 {
    sound.iter().map(|one| one.median(Row::disturbed)).fold(0.0, f64::max) * 100.0
}

/// The one with the most of it.
pub fn most<'a, 'b>(of: &[&'a Summary<'b>], value: fn(&Row) -> f64) -> &'a Summary<'b> {
    of.iter().max_by(|a, b| a.median(value).total_cmp(&b.median(value))).expect("there are two")
}

/// The one with the least of it.
pub fn least<'a, 'b>(of: &[&'a Summary<'b>], value: fn(&Row) -> f64) -> &'a Summary<'b> {
    of.iter().min_by(|a, b| a.median(value).total_cmp(&b.median(value))).expect("there are two")
}
