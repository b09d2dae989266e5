//! The patterns that grok users know by name: a name flows in, a regular expression with further names in it flows out. The
//! names and what they are for are the field's; the expressions are written for an engine that looks neither ahead nor
//! back. Of several ways that one could fit, the longest comes first.

use super::clock::Clock;
use super::strftime;

/// Names and what they stand for, by subject.
static PATTERNS: &[(&str, &str)] = &[
    // Words and numbers.
    ("USERNAME", r"[0-9A-Za-z._-]+"),
    ("USER", "%{USERNAME}"),
    ("EMAILLOCALPART", r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~.-]{1,64}"),
    ("EMAILADDRESS", "%{EMAILLOCALPART}@%{HOSTNAME}"),
    ("INT", "[+-]?[0-9]+"),
    ("BASE10NUM", r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"),
    ("NUMBER", "%{BASE10NUM}"),
    ("BASE16NUM", "[+-]?(?:0x)?[0-9A-Fa-f]+"),
    ("BASE16FLOAT", r"[+-]?(?:0x)?(?:[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]*)?|\.[0-9A-Fa-f]+)"),
    ("POSINT", "[1-9][0-9]*"),
    ("NONNEGINT", "[0-9]+"),
    ("WORD", r"\w+"),
    ("NOTSPACE", r"\S+"),
    ("SPACE", r"\s*"),
    ("DATA", ".*?"),
    ("GREEDYDATA", ".*"),
    ("QUOTEDSTRING", r#""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`"#),
    ("QS", "%{QUOTEDSTRING}"),
    ("UUID", "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
    ("URN", r"(?i:urn):[0-9A-Za-z][0-9A-Za-z-]{0,31}:(?:%[0-9A-Fa-f]{2}|[0-9A-Za-z()+,.:=@;$_!*'/?#-])+"),
    // Addresses and hosts.
    ("CISCOMAC", r"[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}"),
    ("WINDOWSMAC", "[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}"),
    ("COMMONMAC", "[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}"),
    ("MAC", "%{CISCOMAC}|%{WINDOWSMAC}|%{COMMONMAC}"),
    ("IPV4", r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"),
    ("IPV6", IPV6),
    // No text starts with both.
    ("IP", "%{IPV4}|%{IPV6}"),
    ("HOSTNAME", r"[0-9A-Za-z][0-9A-Za-z_-]{0,62}(?:\.[0-9A-Za-z][0-9A-Za-z_-]{0,62})*\.?"),
    ("HOST", "%{HOSTNAME}"),
    ("IPORHOST", "%{IP}|%{HOSTNAME}"),
    ("HOSTPORT", "%{IPORHOST}:%{POSINT}"),
    // Paths and URIs.
    ("PATH", "%{UNIXPATH}|%{WINPATH}"),
    ("UNIXPATH", r"(?:/(?:[\w%!$@:.,+~-]|\\.)*)+"),
    ("TTY", "/dev/(?:pts|tty[pq]?)[0-9A-Za-z]*/?[0-9]*"),
    ("WINPATH", r"(?:[A-Za-z]+:|\\)(?:\\[^\\?*]*)+"),
    ("URIPROTO", "[A-Za-z][0-9A-Za-z+.-]*"),
    ("URIHOST", "%{IPORHOST}(?::%{POSINT})?"),
    ("URIPATH", "(?:/[0-9A-Za-z$.+!*'(){},~:;=@#%&_-]*)+"),
    ("URIQUERY", r"[0-9A-Za-z$.+!*'|(){},~@#%&/=:;_?\[\]<>-]*"),
    ("URIPARAM", r"\?%{URIQUERY}"),
    ("URIPATHPARAM", r"%{URIPATH}(?:\?%{URIQUERY})?"),
    ("URI", r"%{URIPROTO}://(?:%{USER}(?::[^@\s]*)?@)?(?:%{URIHOST})?(?:%{URIPATH}(?:\?%{URIQUERY})?)?"),
    // Dates and times.
    (
        "MONTH",
        "Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?",
    ),
    ("MONTHNUM", "1[0-2]|0?[1-9]"),
    ("MONTHNUM2", "1[0-2]|0[1-9]"),
    ("MONTHDAY", "3[01]|[12][0-9]|0?[1-9]"),
    ("DAY", "Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?"),
    ("YEAR", "[0-9]{4}|[0-9]{2}"),
    ("HOUR", "2[0-3]|[01]?[0-9]"),
    ("MINUTE", "[0-5][0-9]"),
    ("SECOND", "(?:60|[0-5]?[0-9])(?:[:.,][0-9]+)?"),
    ("TIME", "%{HOUR}:%{MINUTE}:%{SECOND}"),
    ("DATE_US", "%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}"),
    ("DATE_EU", "%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}"),
    ("DATE", "%{DATE_US}|%{DATE_EU}"),
    ("ISO8601_TIMEZONE", "Z|[+-]%{HOUR}(?::?%{MINUTE})?"),
    ("ISO8601_SECOND", "%{SECOND}"),
    ("TIMESTAMP_ISO8601", "%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?(?:%{ISO8601_TIMEZONE})?"),
    ("DATESTAMP", "%{DATE}[- ]%{TIME}"),
    ("TZ", "[A-Z]{3,4}"),
    ("DATESTAMP_RFC822", "%{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}"),
    ("DATESTAMP_RFC2822", "%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} %{ISO8601_TIMEZONE}"),
    ("DATESTAMP_OTHER", "%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{TZ} %{YEAR}"),
    ("DATESTAMP_EVENTLOG", "[0-9]{4}%{MONTHNUM2}(?:3[01]|[12][0-9]|0[1-9])(?:2[0-3]|[01][0-9])%{MINUTE}[0-5][0-9]"),
    ("SYSLOGTIMESTAMP", "%{MONTH} +%{MONTHDAY} %{TIME}"),
    ("HTTPDATE", "%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}"),
    ("HTTPDERROR_DATE", "%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{YEAR}"),
    // Syslog.
    ("PROG", r"[!-Z\\^-~]+"),
    ("SYSLOGPROG", r"%{PROG:program}(?:\[%{POSINT:pid}\])?"),
    ("SYSLOGHOST", "%{IPORHOST}"),
    ("SYSLOGFACILITY", r"<%{NONNEGINT:facility}\.%{NONNEGINT:priority}>"),
    ("SYSLOGBASE", "%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource} %{SYSLOGPROG}:"),
    ("SYSLOGLINE", "%{SYSLOGBASE} %{GREEDYDATA:message}"),
    (
        "LOGLEVEL",
        "(?i:trace|debug|verbose|info(?:rmation(?:al)?)?|notice|warn(?:ing)?|err(?:or)?|severe|crit(?:ical)?|fatal|alert|emerg(?:ency)?)",
    ),
    // Web servers.
    ("HTTPDUSER", "%{EMAILADDRESS}|%{USER}"),
    (
        "COMMONAPACHELOG",
        r#"%{IPORHOST:clientip} %{HTTPDUSER:ident} %{HTTPDUSER:auth} \[%{HTTPDATE:timestamp}\] "(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})" (?:%{NUMBER:response:int}|-) (?:%{NUMBER:bytes:int}|-)"#,
    ),
    ("COMBINEDAPACHELOG", "%{COMMONAPACHELOG} %{QS:referrer} %{QS:agent}"),
    ("HTTPD_COMMONLOG", "%{COMMONAPACHELOG}"),
    ("HTTPD_COMBINEDLOG", "%{COMBINEDAPACHELOG}"),
];

/// All eight parts; then those with an IPv4 address at the end; then those with `::`, by how many parts are before it.
const IPV6: &str = concat!(
    "(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}",
    "|(?:[0-9A-Fa-f]{1,4}:){6}%{IPV4}",
    "|(?:[0-9A-Fa-f]{1,4}:){1,5}(?::[0-9A-Fa-f]{1,4}){0,4}:%{IPV4}",
    "|:(?::[0-9A-Fa-f]{1,4}){0,5}:%{IPV4}",
    "|[0-9A-Fa-f]{1,4}:(?::[0-9A-Fa-f]{1,4}){1,6}",
    "|(?:[0-9A-Fa-f]{1,4}:){2}(?::[0-9A-Fa-f]{1,4}){1,5}",
    "|(?:[0-9A-Fa-f]{1,4}:){3}(?::[0-9A-Fa-f]{1,4}){1,4}",
    "|(?:[0-9A-Fa-f]{1,4}:){4}(?::[0-9A-Fa-f]{1,4}){1,3}",
    "|(?:[0-9A-Fa-f]{1,4}:){5}(?::[0-9A-Fa-f]{1,4}){1,2}",
    "|(?:[0-9A-Fa-f]{1,4}:){6}:[0-9A-Fa-f]{1,4}",
    "|(?:[0-9A-Fa-f]{1,4}:){1,7}:",
    "|:(?:(?::[0-9A-Fa-f]{1,4}){1,7}|:))(?:%[0-9A-Za-z]+)?",
);

/// How the times of a pattern are written, for those that say a day in one way.
const TIMES: [(&str, &str); 7] = [
    ("HTTPDATE", "%d/%b/%Y:%H:%M:%S %z"),
    ("SYSLOGTIMESTAMP", "%b %e %H:%M:%S"),
    ("HTTPDERROR_DATE", "%a %b %e %H:%M:%S %Y"),
    ("DATESTAMP_RFC822", "%a %b %e %Y %H:%M:%S %Z"),
    ("DATESTAMP_RFC2822", "%a, %e %b %Y %H:%M:%S %z"),
    ("DATESTAMP_OTHER", "%a %b %e %H:%M:%S %Z %Y"),
    ("DATESTAMP_EVENTLOG", "%Y%m%d%H%M%S"),
];

/// What a name stands for.
pub(super) fn find(name: &str) -> Option<&'static str> {
    PATTERNS.iter().find(|(known, _)| *known == name).map(|(_, pattern)| *pattern)
}

/// The names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PATTERNS.iter().map(|(name, _)| *name)
}

/// The clock of a pattern that is a time; `None` for others, and for TIMESTAMP_ISO8601, which is what times are by default.
pub(super) fn clock(name: &str) -> Option<Clock> {
    let (_, pattern) = TIMES.iter().find(|(known, _)| *known == name)?;
    let mut clock = strftime::compile(pattern, name).ok()?;
    clock.relax_second();
    Some(clock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::app::checks::{grammar, rows};
    use serde_json::json;

    /// What a pattern takes of a text, from its start on.
    fn taken(name: &str, text: &str) -> String {
        let grammar = grammar(&json!({"name": "grok", "pattern": format!("%{{{name}:it}}")}));
        let (rows, _) = rows(grammar.as_ref(), text.as_bytes(), 0);
        rows.first().and_then(|row| row.get("it")?.as_str()).unwrap_or("∅").to_owned()
    }

    #[test]
    fn names_stand_for_what_the_field_knows_them_as() {
        for (name, text, expected) in [
            ("USER", "a.b-c d", "a.b-c"),
            ("EMAILADDRESS", "a+b@example.org>", "a+b@example.org"),
            ("INT", "-17.5", "-17"),
            ("NUMBER", "-17.5.", "-17.5"),
            ("NUMBER", ".5", ".5"),
            ("BASE16NUM", "0xfFg", "0xfF"),
            ("BASE16FLOAT", "0x1.8 ", "0x1.8"),
            ("POSINT", "012", "∅"),
            ("NONNEGINT", "012", "012"),
            ("WORD", "né_1-2", "né_1"),
            ("NOTSPACE", "a\tb", "a"),
            ("QS", r#""a \"b\" c" d"#, r#""a \"b\" c""#),
            ("QS", "'a' b'", "'a'"),
            ("UUID", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
            ("URN", "urn:isbn:0451450523 x", "urn:isbn:0451450523"),
            ("MAC", "00-1a-2B-3c-4D-5e", "00-1a-2B-3c-4D-5e"),
            ("MAC", "001a.2b3c.4d5e", "001a.2b3c.4d5e"),
            ("MAC", "00:1a:2b:3c:4d:5e", "00:1a:2b:3c:4d:5e"),
            ("IPV4", "192.0.2.255", "192.0.2.255"),
            ("IPV4", "256.0.2.1", "∅"),
            ("IPV6", "2001:db8::8a2e:370:7334]", "2001:db8::8a2e:370:7334"),
            ("IPV6", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("IPV6", "1:2:3:4:5:6::8", "1:2:3:4:5:6::8"),
            ("IPV6", "fe80::1%eth0 ", "fe80::1%eth0"),
            ("IPV6", "::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            ("IPV6", "64:ff9b::192.0.2.33", "64:ff9b::192.0.2.33"),
            ("IPV6", "1:: ", "1::"),
            ("IPV6", ":: ", "::"),
            ("IPV6", "::1", "::1"),
            ("IP", "192.0.2.1", "192.0.2.1"),
            ("HOSTNAME", "web-1.example.org:80", "web-1.example.org"),
            ("IPORHOST", "web-1 x", "web-1"),
            ("HOSTPORT", "192.0.2.1:8080 ", "192.0.2.1:8080"),
            ("UNIXPATH", "/var/log/a.log b", "/var/log/a.log"),
            ("WINPATH", r"C:\a b\c?", r"C:\a b\c"),
            ("PATH", "/a/b", "/a/b"),
            ("TTY", "/dev/pts/3", "/dev/pts/3"),
            ("URI", "https://ann:x@example.org:8080/a/b?c=d#e f", "https://ann:x@example.org:8080/a/b?c=d#e"),
            ("URIPATHPARAM", "/a/b?c=d e", "/a/b?c=d"),
            ("MONTH", "September", "September"),
            ("MONTHNUM", "12", "12"),
            ("MONTHDAY", "31", "31"),
            ("DAY", "Wednesday", "Wednesday"),
            ("TIME", "23:59:60,123 x", "23:59:60,123"),
            ("DATE_US", "12/31/2026", "12/31/2026"),
            ("DATE_EU", "31.12.2026", "31.12.2026"),
            ("DATE", "31.12.2026", "31.12.2026"),
            ("ISO8601_TIMEZONE", "+01:30", "+01:30"),
            ("TIMESTAMP_ISO8601", "2026-02-06T01:02:03.456+01:00]", "2026-02-06T01:02:03.456+01:00"),
            ("TIMESTAMP_ISO8601", "2026-02-06 01:02 x", "2026-02-06 01:02"),
            ("DATESTAMP", "06/02/2026 01:02:03", "06/02/2026 01:02:03"),
            ("SYSLOGTIMESTAMP", "Feb  6 01:02:03 x", "Feb  6 01:02:03"),
            ("HTTPDATE", "06/Feb/2026:01:02:03 +0000]", "06/Feb/2026:01:02:03 +0000"),
            ("PROG", "sshd[17]", "sshd"),
            ("LOGLEVEL", "WARNING:", "WARNING"),
        ] {
            assert_eq!(taken(name, text), expected, "{name}");
        }
    }

    #[test]
    fn every_name_compiles_and_stands_once() {
        for name in names() {
            grammar(&json!({"name": "grok", "pattern": format!("%{{{name}:it}}")}));
            assert_eq!(names().filter(|other| *other == name).count(), 1, "{name}");
        }
        assert!(TIMES.iter().all(|(name, _)| find(name).is_some() && clock(name).is_some()));
    }

    #[test]
    fn times_read_as_their_names_say() {
        for (name, text, expected) in [
            ("HTTPDATE", "06/Feb/2026:01:02:03 +0100", "2026-02-06T00:02:03Z"),
            ("TIMESTAMP_ISO8601", "2026-02-06 01:02:03,456", "2026-02-06T01:02:03.456Z"),
            ("SYSLOGTIMESTAMP", "Dec  6 01:02:03", "2025-12-06T01:02:03Z"),
            ("SYSLOGTIMESTAMP", "Feb  6 01:02:03.5", "2026-02-06T01:02:03.500Z"),
            ("HTTPDERROR_DATE", "Fri Feb 06 01:02:03.123456 2026", "2026-02-06T01:02:03.123456Z"),
            ("DATESTAMP_RFC822", "Fri Feb 6 2026 01:02:03 CET", "2026-02-06T00:02:03Z"),
            ("DATESTAMP_RFC2822", "Fri, 6 Feb 2026 01:02:03 +0100", "2026-02-06T00:02:03Z"),
            ("DATESTAMP_OTHER", "Fri Feb 6 01:02:03 UTC 2026", "2026-02-06T01:02:03Z"),
            ("DATESTAMP_EVENTLOG", "20260206010203", "2026-02-06T01:02:03Z"),
        ] {
            let grammar = grammar(&json!({"name": "grok", "pattern": format!("%{{{name}:at}}"), "timeColumn": "at"}));
            let (rows, others) = rows(grammar.as_ref(), text.as_bytes(), 1_770_400_000_000_000);
            assert_eq!(rows.first().and_then(|row| row["time"].as_str()), Some(expected), "{name} {others:?}");
        }
    }
}
