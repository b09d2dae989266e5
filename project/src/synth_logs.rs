//! Realistic S3 server access logs for the demo. A seed and a time flow in, log text flows out: the same text for the
//! same arguments. Field shapes follow the page *Amazon S3 server access log format* of the S3 user guide. Nothing here
//! touches a disk or a clock.

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};

/// Operation, verb, weight in percent.
const OPERATIONS: [(&str, &str, u64); 8] = [
    ("REST.GET.OBJECT", "GET", 60),
    ("REST.HEAD.OBJECT", "HEAD", 14),
    ("REST.PUT.OBJECT", "PUT", 10),
    ("REST.GET.BUCKET", "GET", 8),
    ("REST.DELETE.OBJECT", "DELETE", 3),
    ("REST.COPY.OBJECT_GET", "PUT", 2),
    ("BATCH.DELETE.OBJECT", "POST", 2),
    ("S3.EXPIRE.OBJECT", "-", 1),
];
/// Status, error code, weight in percent.
const ERRORS: [(u16, &str, u64); 4] = [(404, "NoSuchKey", 55), (403, "AccessDenied", 30), (503, "SlowDown", 10), (500, "InternalError", 5)];
const BUCKETS: [&str; 3] = ["shop-images", "shop-exports", "shop-backup"];
const FOLDERS: [&str; 5] = ["orders", "thumbnails", "invoices", "sessions", "catalogue%2520de"];
const AGENTS: [&str; 5] = [
    "aws-cli/2.22.7 md/awscrt#0.23 ua/2.0 os/linux#6.1 lang/python#3.12",
    "Boto3/1.35.71 md/Botocore#1.35.71 ua/2.0 os/linux#6.8",
    "aws-sdk-rust/1.3.3 os/linux lang/rust/1.82.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.780",
];
const SUITES: [&str; 3] = ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"];
const OWNER: &str = "5f1c0d7be31a94c2866f0e9ad2b7c4415be8d3a06f97121c4be05d83a9f7e260";
/// One line in so many has a shape that trips up regular expressions.
const ODD_ONE_IN: u64 = 200;
/// One request in so many ends in an error.
const ERROR_ONE_IN: u64 = 30;
/// One line in so many cannot be read at all.
const BROKEN_ONE_IN: u64 = 4_000;

/// SplitMix64: small, and good enough for a demo.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    fn weighted<'a, T>(&mut self, from: &'a [T], weight: impl Fn(&T) -> u64) -> &'a T {
        let mut at = self.below(from.iter().map(&weight).sum());
        let found = from.iter().find(|entry| {
            let here = at < weight(entry);
            at = at.saturating_sub(weight(entry));
            here
        });
        found.unwrap_or(&from[0])
    }

    /// Few small, many large: sizes and times look like this.
    fn skewed(&mut self, least: u64, doublings: u64) -> u64 {
        let doublings = self.below(doublings + 1);
        least + self.below(least << doublings)
    }
}

/// The text of one log object: `lines` requests spread evenly over `span` from `start` on.
pub fn log_text(random: &mut Random, start: DateTime<Utc>, span: TimeDelta, lines: u32) -> String {
    let mut text = String::with_capacity(lines as usize * 640);
    for number in 0..lines {
        let at = start + span * i32::try_from(number).unwrap_or(i32::MAX) / i32::try_from(lines.max(1)).unwrap_or(i32::MAX);
        match random.one_in(BROKEN_ONE_IN) {
            true => text.push_str(broken(random)),
            false => request(random, at, &mut text),
        }
        text.push('\n');
    }
    text
}

/// The name S3 gives a log object that it delivers at `at`.
pub fn log_name(random: &mut Random, at: DateTime<Utc>) -> String {
    format!("{}-{:016X}", at.format("%Y-%m-%d-%H-%M-%S"), random.next())
}

fn broken(random: &mut Random) -> &'static str {
    const BROKEN: [&str; 3] =
        ["", "5f1c0d7be31a94c2866f0e9a shop-images [21/No", "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code></Error>"];
    random.pick::<&str>(&BROKEN)
}

/// What makes a request's line odd.
#[derive(Clone, Copy, PartialEq)]
enum Odd {
    No,
    QuotedAgent,
    QuotedReferrer,
    BareDash,
    SpacesInUri,
    Ipv6,
    Short,
    Newer,
}

fn oddity(random: &mut Random) -> Odd {
    const ODD: [Odd; 7] = [Odd::QuotedAgent, Odd::QuotedReferrer, Odd::BareDash, Odd::SpacesInUri, Odd::Ipv6, Odd::Short, Odd::Newer];
    if random.one_in(ODD_ONE_IN) { *random.pick(&ODD) } else { Odd::No }
}

fn request(random: &mut Random, at: DateTime<Utc>, text: &mut String) {
    let odd = oddity(random);
    let (operation, verb, _) = *random.weighted(&OPERATIONS, |entry| entry.2);
    let bucket = *random.pick(&BUCKETS);
    let key = key(random, operation);
    let (status, error) = outcome(random, verb);
    let address = match odd {
        Odd::Ipv6 => format!("2001:db8:{:x}::{:x}", random.below(0xffff), random.below(0xffff)),
        _ if verb == "-" => "-".to_owned(),
        _ => format!("198.51.100.{}", random.below(250)),
    };
    let requester = if random.one_in(4) { "-" } else { "arn:aws:sts::123456789012:assumed-role/web/i-0a1b2c3d4e5f" };
    let time = at.format("%d/%b/%Y:%H:%M:%S +0000");
    let request_id = random.next();
    let uri = uri(odd, verb, bucket, &key);
    let _ = write!(text, "{OWNER} {bucket} [{time}] {address} {requester} {request_id:016X} {operation} {key} {uri} {status} {error} ");
    sizes_and_times(random, error, verb, text);
    tail(random, odd, bucket, text);
}

fn key(random: &mut Random, operation: &str) -> String {
    match operation {
        "REST.GET.BUCKET" => "-".to_owned(),
        _ => {
            format!("{}/{:02}/part-{:05}-{:08x}.parquet", random.pick(&FOLDERS), random.below(28), random.below(400), random.below(1 << 32))
        }
    }
}

fn outcome(random: &mut Random, verb: &str) -> (u16, &'static str) {
    if verb != "-" && random.one_in(ERROR_ONE_IN) {
        let (status, error, _) = *random.weighted(&ERRORS, |entry| entry.2);
        return (status, error);
    }
    let status = match verb {
        "DELETE" => 204,
        "GET" if random.one_in(4) => 206,
        _ => 200,
    };
    (status, "-")
}

fn uri(odd: Odd, verb: &str, bucket: &str, key: &str) -> String {
    match (odd, key) {
        (_, _) if verb == "-" => "\"-\"".to_owned(),
        (Odd::BareDash, _) => "-".to_owned(),
        (Odd::SpacesInUri, _) => format!("\"{verb} /{bucket}/{key}?note=two words here\""),
        (_, "-") => format!("\"{verb} /{bucket}?list-type=2&prefix=orders%2F HTTP/1.1\""),
        _ => format!("\"{verb} /{bucket}/{key} HTTP/1.1\""),
    }
}

fn sizes_and_times(random: &mut Random, error: &str, verb: &str, text: &mut String) {
    let size = random.skewed(700, 12);
    let sent = match verb {
        _ if error != "-" => (250 + random.below(90)).to_string(),
        "GET" => size.to_string(),
        _ => "-".to_owned(),
    };
    let slow = if error == "SlowDown" { 40 } else { 4 };
    let total = random.skewed(slow, 6);
    let _ = write!(text, "{sent} {size} {total} {} ", random.below(total + 1));
}

fn tail(random: &mut Random, odd: Odd, bucket: &str, text: &mut String) {
    let referrer = if odd == Odd::QuotedReferrer { "https://shop.example/search?q=\"red shoes\"&p=2" } else { "-" };
    let agent = match odd {
        Odd::QuotedAgent => "Mozilla/5.0 (compatible; \"crawler\" 1.0)",
        _ => *random.pick(&AGENTS),
    };
    let (suite, host) = (*random.pick(&SUITES), random.below(40));
    let host_id = format!("q7Jw2{host:02}nXfV0yK3mZ8bQe5tLhR9uGsA1cPdO4iTjE6xWvBzYkN=");
    let _ = write!(text, "\"{referrer}\" \"{agent}\" - {host_id} SigV4 {suite} AuthHeader {bucket}.s3.eu-central-1.amazonaws.com TLSv1.3");
    text.push_str(match odd {
        Odd::Short => "",
        Odd::Newer => " - - eu-central-1 a-field-of-tomorrow",
        _ => " - - eu-central-1",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u64) -> String {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        log_text(&mut Random::new(seed), start, TimeDelta::minutes(5), 20_000)
    }

    #[test]
    fn the_same_seed_gives_the_same_text() {
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn there_is_something_odd_and_something_broken() {
        let text = text(3);
        for part in ["\"crawler\"", "two words", "2001:db8:", "a-field-of-tomorrow", "<?xml", " 503 SlowDown "] {
            assert!(text.contains(part), "{part}");
        }
        assert_eq!(text.lines().count(), 20_000);
        assert!(text.lines().all(|line| line.len() < 1_000));
    }

    #[test]
    fn times_stay_inside_the_span() {
        let text = text(4);
        assert!(text.contains("[14/Nov/2023:22:13:20 +0000]") && text.contains("[14/Nov/2023:22:18:19 +0000]"));
        assert!(!text.contains("22:18:20"));
    }
}
