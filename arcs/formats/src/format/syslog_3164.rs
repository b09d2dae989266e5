//! Syslog as RFC 3164 observed it and as files have it: `<34>Oct 11 22:14:15 host tag[pid]: message`. Records flow in; the
//! common columns of applications, with facility and pid, flow out.
//!
//! Times have no year and no zone: the year is the one that brings the time closest to the arrival of the object; where
//! that is not known, the time is null. RFC 3339 times, which newer daemons write in the same place, are read as well.
//! Lines that start with no time continue the record before.

use super::app::{self, Defaults, HOST_OPTION, SERVICE_OPTION, TIMEZONE};
use super::syslog::{COLUMNS, PID, priority, priority_end};
use super::time::{Civil, digit, iso_micros, month};
use super::zone::Known;
use super::{Column, Example, Format, Framing, Grammar, Parsed, Reject, Scope};
use crate::columns::Row;

/// The format.
pub static FORMAT: Format = Format {
    name: "syslog-3164",
    summary: "syslog in the older format, from the network or from files such as /var/log/messages",
    page: "https://datatracker.ietf.org/doc/html/rfc3164",
    options: &[TIMEZONE, SERVICE_OPTION, HOST_OPTION],
    examples: EXAMPLES,
    compile: |options| Ok(Box::new(Syslog { defaults: Defaults::new(options)? })),
};

static EXAMPLES: &[Example] = &[
    Example::plain("<34>Oct 11 22:14:15 web1 su: 'su root' failed for bob on /dev/pts/8\n"),
    Example::plain("Feb  6 01:02:03 web1 sshd[4711]: Accepted publickey for bob from 192.0.2.3 port 4022 ssh2\n"),
    Example::plain("2026-02-06T01:02:03.456789+01:00 web1 systemd[1]: Started shop.service.\n"),
    Example::plain("Feb  6 01:02:03 web1 Shop Helper[7]: two\n\tlines\nFeb  6 01:02:03 --- last message repeated 1 time ---\n"),
    Example::plain("39 <13>Feb  6 01:02:03 web1 shop: sold tea40 <13>Feb  6 01:02:04 web1 shop: sold milk"),
];

/// The longest tag; longer words before a colon are the message.
const TAG_BYTES_MAX: usize = 128;

#[derive(Debug)]
struct Syslog {
    defaults: Defaults,
}

impl Grammar for Syslog {
    fn columns(&self) -> &[Column] {
        &COLUMNS
    }

    fn framing(&self) -> Framing {
        Framing::Octets
    }

    fn is_start(&self, line: &[u8]) -> bool {
        if line.starts_with(b"<") {
            return priority_end(line).is_some();
        }
        time_end(line).is_some()
    }

    fn read(&self, record: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let start = if record.starts_with(b"<") { priority(record, row)? } else { 0 };
        let rest = &record[start..];
        let end = time_end(rest).ok_or_else(|| Reject::new(start, "no time like `Oct 11 22:14:15` or of RFC 3339 stands here"))?;
        let micros = self.micros(&rest[..end], scope.arrived).ok_or_else(|| Reject::new(start, "there is no such date or time"))?;
        if let Some(micros) = micros {
            row.time(app::TIME, micros);
        }
        let rest = &rest[end..];
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let message = tag(host(rest, row), row);
        app::set_body(row, message);
        self.defaults.fill(row);
        Ok(Parsed::Row)
    }

    fn read_orphan(&self, lines: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        app::set_body(row, lines);
        self.defaults.fill(row);
        Ok(Parsed::Cut)
    }
}

impl Syslog {
    /// The outer `None` means that there is no such time, the inner one that its year is not known.
    fn micros(&self, time: &[u8], arrived: i64) -> Option<Option<i64>> {
        let zone = self.defaults.zone;
        if time[0].is_ascii_digit() {
            return zone.iso_micros(time).map(Some);
        }
        let (civil, has_year) = civil(time)?;
        zone.closest_micros(&civil, if has_year { Known::Date } else { Known::MonthAndDay }, arrived)
    }
}

/// Where the time ends that a text starts with: `Oct 11 22:14:15`, `Oct  1 2026 22:14:15` or one of RFC 3339.
fn time_end(text: &[u8]) -> Option<usize> {
    if text.first()?.is_ascii_digit() {
        let is_shaped = text.len() >= 19 && text[4] == b'-' && text[7] == b'-' && matches!(text[10], b'T' | b' ') && text[13] == b':';
        let zone_or_space = |byte: &u8| !(byte.is_ascii_digit() || matches!(byte, b'T' | b':' | b'.' | b',' | b'Z' | b'+' | b'-'));
        let end = text.get(11..)?.iter().position(zone_or_space).map_or(text.len(), |end| end + 11);
        return (is_shaped && iso_micros(&text[..end], 0).is_some()).then_some(end);
    }
    month(text.get(..3)?)?;
    let clock = (4..=12).find(|at| is_clock(text.get(*at..at + 8)))?;
    let end = clock + 8;
    // Fractions are not of the format, but are written.
    let fraction = text[end..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    Some(end + fraction)
}

fn is_clock(text: Option<&[u8]>) -> bool {
    text.is_some_and(|text| {
        text.iter().enumerate().all(|(at, byte)| if matches!(at, 2 | 5) { *byte == b':' } else { byte.is_ascii_digit() })
    })
}

/// The date and the time of day, and whether the year is known.
fn civil(time: &[u8]) -> Option<(Civil, bool)> {
    let mut words = time.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let number = |word: &[u8]| word.iter().try_fold(0, |number, byte| Some(number * 10 + i64::from(digit(*byte)?)));
    let (month, day) = (month(words.next()?)?, number(words.next().filter(|day| day.len() <= 2)?)?);
    let (year, clock) = match (words.next()?, words.next()) {
        (year, Some(clock)) => (number(year).filter(|_| year.len() == 4)?, clock),
        (clock, None) => (0, clock),
    };
    let two = |at: usize| number(clock.get(at..at + 2)?);
    let micros = match clock.get(8..)? {
        [b'.', fraction @ ..] => super::time::fraction_micros(fraction)?,
        _ => 0,
    };
    Some((Civil { year, month, day, hour: two(0)?, minute: two(3)?, second: two(6)?, micros }, year > 0))
}

/// Sets the host, if there is one, and gives what follows it.
fn host<'a>(text: &'a [u8], row: &mut Row<'_>) -> &'a [u8] {
    if let Some(rest) = text.strip_prefix(b" ") {
        return rest;
    }
    let end = memchr::memchr2(b' ', b'\n', text).unwrap_or(text.len());
    let (host, rest) = text.split_at(end);
    if host.is_empty() || host.ends_with(b":") || host == b"---" || !rest.starts_with(b" ") {
        return text;
    }
    row.text(app::HOST, host);
    &rest[1..]
}

/// Sets the service and the process of `tag[pid]: `, if they are there, and gives the message.
fn tag<'a>(text: &'a [u8], row: &mut Row<'_>) -> &'a [u8] {
    let Some(colon) = memchr::memchr(b':', text.get(..TAG_BYTES_MAX).unwrap_or(text)) else { return text };
    // Names of processes may hold colons; the tag's ends its word.
    let colon = colon + text[colon..].windows(2).take(TAG_BYTES_MAX).position(|two| two == b": ").unwrap_or(0);
    let (mut tag, mut message) = (&text[..colon], &text[colon + 1..]);
    // launchd names what it speaks of after itself: `launchd[1] (shop[7]): …`.
    if let (true, Some(end)) = (tag.ends_with(b")"), memchr::memmem::find(tag, b"] (")) {
        (tag, message) = (&text[..=end], &text[end + 1..]);
    }
    let (name, pid) = match tag.strip_suffix(b"]").and_then(|tag| Some((tag, memchr::memrchr(b'[', tag)?))) {
        Some((tag, open)) => (&tag[..open], Some(&tag[open + 1..])),
        None => (tag, None),
    };
    let is_name = !name.is_empty() && name.len() <= TAG_BYTES_MAX && !name.contains(&b'\n');
    let has_spaces = name.contains(&b' ') && !pid.is_some_and(|pid| pid.iter().all(u8::is_ascii_digit));
    if !is_name || has_spaces || !(message.is_empty() || message.starts_with(b" ") || message.starts_with(b"\n")) {
        return text;
    }
    row.text(app::SERVICE, name.trim_ascii());
    if let Some(pid) = pid {
        row.text(PID, pid);
    }
    message.strip_prefix(b" ").unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{differences, grammar, rows, samples, shown};
    use expect_test::{Expect, expect};
    use serde_json::json;

    /// 2026-02-07.
    const ARRIVED: i64 = 1_770_422_400_000_000;

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(&json!({"name": "syslog-3164", "timezone": "Europe/Berlin"})).as_ref(), text, ARRIVED));
    }

    #[test]
    fn records_of_every_shape() {
        for (example, expected) in EXAMPLES.iter().zip([expect![[r#"
            row time="2025-10-11T20:14:15Z" level="FATAL" level_original="crit" message="'su root' failed for bob on /dev/pts/8" host="web1" service="su" facility="auth"
        "#]], expect![[r#"
            row time="2026-02-06T00:02:03Z" message="Accepted publickey for bob from 192.0.2.3 port 4022 ssh2" host="web1" service="sshd" pid="4711"
        "#]], expect![[r#"
            row time="2026-02-06T00:02:03.456789Z" message="Started shop.service." host="web1" service="systemd" pid="1"
        "#]], expect![[r#"
            row time="2026-02-06T00:02:03Z" message="two\n\tlines" host="web1" service="Shop Helper" pid="7"
            row time="2026-02-06T00:02:03Z" message="--- last message repeated 1 time ---"
        "#]], expect![[r#"
            row time="2026-02-06T00:02:03Z" level="INFO" level_original="notice" message="sold tea" host="web1" service="shop" facility="user"
            row time="2026-02-06T00:02:04Z" level="INFO" level_original="notice" message="sold milk" host="web1" service="shop" facility="user"
        "#]]]) {
            check(example.text, expected);
        }
        check(
            "Dec 31 23:59:59 h t: last year\nFeb  7 2025 01:02:03 h t: told\nFeb  7 01:02:03.25 h t: fraction\n",
            expect![[r#"
            row time="2025-12-31T22:59:59Z" message="last year" host="h" service="t"
            row time="2025-02-07T00:02:03Z" message="told" host="h" service="t"
            row time="2026-02-07T00:02:03.250Z" message="fraction" host="h" service="t"
        "#]],
        );
        check(
            "2026-02-06 01:02:03,5 h t[x-1]: local\n2026-02-06T01:02:03Z h t: utc\n",
            expect![[r#"
            row time="2026-02-06T00:02:03.500Z" message="local" host="h" service="t" pid="x-1"
            row time="2026-02-06T01:02:03Z" message="utc" host="h" service="t"
        "#]],
        );
    }

    #[test]
    fn hosts_and_tags_that_are_none() {
        check(
            "Feb  6 01:02:03  sshd[1]: no host\nFeb  6 01:02:03 kernel: no host\nFeb  6 01:02:03 h no tag: here\nFeb  6 01:02:03 h a::b[2]: c: d\nFeb  6 01:02:03 h\nFeb  6 01:02:03 h t:\n",
            expect![[r#"
                row time="2026-02-06T00:02:03Z" message="no host" service="sshd" pid="1"
                row time="2026-02-06T00:02:03Z" message="no host" service="kernel"
                row time="2026-02-06T00:02:03Z" message="no tag: here" host="h"
                row time="2026-02-06T00:02:03Z" message="c: d" host="h" service="a::b" pid="2"
                row time="2026-02-06T00:02:03Z" message="h"
                row time="2026-02-06T00:02:03Z" message="" host="h" service="t"
            "#]],
        );
    }

    #[test]
    fn what_is_wrong() {
        check(
            "<999>Feb  6 01:02:03 h t: m\n<13>no time\nFeb 30 01:02:03 h t: m\n",
            expect![[r#"
            cut message="<999>Feb  6 01:02:03 h t: m"
            reject at 4 "no time": no time like `Oct 11 22:14:15` or of RFC 3339 stands here
            reject at 0 "Feb 30 01:02:03 h t: m": there is no such date or time
        "#]],
        );
    }

    #[test]
    fn a_year_that_nobody_knows_is_none() {
        let grammar = grammar(&json!("syslog-3164"));
        expect![[r#"
            row message="m" host="h" service="t"
        "#]]
        .assert_eq(&shown(grammar.as_ref(), "Feb  6 01:02:03 h t: m\n", 0));
    }

    /// What differs: the other parser takes all before the colon for the program, as in `launchd[1] (shop[7]):`; it reads messages of some programs into fields, and has no message then; it stops
    /// after 100 records; it takes the time to the millisecond.
    #[test]
    fn real_logs_read_as_another_parser_reads_them() {
        let Some(folder) = samples("syslog/elastic-beats") else { return };
        let grammar = grammar(&json!({"name": "syslog-3164", "timezone": "-02:00"}));
        let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        let mut found = String::new();
        for path in files {
            let text = std::fs::read(&path).unwrap();
            let (rows, others) = rows(grammar.as_ref(), &text, 1_487_000_000_000_000);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found += &format!("{name}: {} rows, others {others:?}\n", rows.len());
            let expected = std::fs::read_to_string(folder.join(format!("{name}-expected.json"))).unwrap();
            let pairs = [
                ("time", "@timestamp"),
                ("host", "host.hostname"),
                ("service", "process.name"),
                ("pid", "process.pid"),
                ("message", "message"),
            ];
            for difference in differences((&rows, &text), &expected, &pairs) {
                found += &format!("  {difference}\n");
            }
        }
        expect![[r#"
            system_auth__auth-ubuntu1204.log: 1000 rows, others []
            system_auth__secure-rhel7.log: 1000 rows, others []
            system_auth__test.log: 10 rows, others []
            system_auth__timestamp.log: 2 rows, others []
            system_syslog__darwin-syslog-sample.log: 3 rows, others []
            system_syslog__darwin-syslog.log: 382 rows, others []
              39 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[21498])"
              43 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[21556])"
              44 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.imfoundation.IMRemoteURLConnectionAgent)"
              46 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[21581])"
              49 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[21586])"
              53 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[21589])"
              55 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.imfoundation.IMRemoteURLConnectionAgent)"
              57 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[21946])"
              61 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[21966])"
              63 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[21981])"
              67 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22226])"
              70 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22241])"
              73 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22254])"
              76 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.imfoundation.IMRemoteURLConnectionAgent)"
              78 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22265])"
              80 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22292])"
              85 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22305])"
              88 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22324])"
              91 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.imfoundation.IMRemoteURLConnectionAgent)"
              93 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22336])"
              97 service: "com.apple.xpc.launchd" for "com.apple.xpc.launchd[1] (com.apple.quicklook[22348])"
            system_syslog__suse-syslog.log: 2 rows, others []
            system_syslog__tz-offset.log: 3 rows, others []
        "#]]
        .assert_eq(&found);
    }

    /// What differs: `syslogd 1.4.1: restart.`, where a version follows the program, is a message as a whole here.
    #[test]
    fn labelled_logs_read_as_people_read_them() {
        let Some(folder) = samples("loghub") else { return };
        let mut found = String::new();
        for (set, service, pid, host) in [("Linux", "Component", "PID", "Level"), ("OpenSSH", "", "Pid", "Component")] {
            let grammar = grammar(&json!("syslog-3164"));
            let (rows, others) = rows(grammar.as_ref(), &std::fs::read(folder.join(format!("{set}/{set}_2k.log"))).unwrap(), ARRIVED);
            let truth = std::fs::read_to_string(folder.join(format!("{set}/{set}_2k.log_structured.csv"))).unwrap();
            let mut truth = truth.lines().map(crate::format::template::tests::csv);
            let header = truth.next().unwrap();
            let mut same = 0;
            for (row, truth) in rows.iter().zip(truth) {
                let pairs = [("service", service), ("pid", pid), ("host", host), ("message", "Content")];
                let differs = pairs.iter().find_map(|(column, name)| {
                    let said = truth[header.iter().position(|column| column == name)?].trim();
                    let ours = row.get(*column).and_then(|cell| cell.as_str()).unwrap_or("").trim();
                    (said != ours).then(|| format!("  {ours:?} for {said:?}\n"))
                });
                match differs {
                    None => same += 1,
                    Some(differs) => found += &differs,
                }
            }
            found += &format!("{set}: {} rows, {same} the same, others {others:?}\n", rows.len());
        }
        expect![[r#"
              "" for "syslogd 1.4.1"
              "" for "syslogd 1.4.1"
              "" for "syslogd 1.4.1"
              "" for "syslogd 1.4.1"
              "" for "syslogd 1.4.1"
              "" for "syslogd 1.4.1"
              "" for "syslogd 1.4.1"
            Linux: 2000 rows, 1993 the same, others []
            OpenSSH: 2000 rows, 2000 the same, others []
        "#]]
        .assert_eq(&found);
    }
}
