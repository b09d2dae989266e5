//! What both formats of syslog share: the priority, and columns beside those of applications.

use std::sync::LazyLock;

use super::{Column, Reject, Values, app};
use crate::columns::{Kind, Row};

pub(super) const FACILITY: usize = app::FINGERPRINT + 1;
pub(super) const PID: usize = app::FINGERPRINT + 2;
pub(super) const MESSAGE_ID: usize = app::FINGERPRINT + 3;

/// The columns of applications, and those of syslog.
pub(super) static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let own = [
        Column::fixed(
            "facility",
            Kind::Text,
            "",
            Values::Repeating,
            "part of the system that sent it, by its keyword; null without a priority",
        ),
        Column::fixed("pid", Kind::Text, "", Values::Repeating, "process that sent it: its number, as a rule"),
        Column::fixed("message_id", Kind::Text, "", Values::Repeating, "type of the message; null in the older format"),
    ];
    app::COLUMNS.iter().cloned().chain(own).collect()
});

/// Reads `<34>`, sets facility and level, and gives where it ends.
pub(super) fn priority(record: &[u8], row: &mut Row<'_>) -> Result<usize, Reject> {
    let Some(end) = priority_end(record) else { return Err(Reject::new(0, "the priority is no number up to 191 in angle brackets")) };
    let number = record[1..end - 1].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    const FACILITIES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert",
        "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];
    const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    row.owned(FACILITY, FACILITIES.get(number / 8).copied().unwrap_or_default());
    app::set_level(row, SEVERITIES[number % 8].as_bytes());
    Ok(end)
}

/// Where a priority ends that a record starts with.
pub(super) fn priority_end(record: &[u8]) -> Option<usize> {
    let digits = record.get(1..)?.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let number = record[1..=digits].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    let is_priority = record[0] == b'<' && (1..=3).contains(&digits) && number < 192 && record.get(digits + 1) == Some(&b'>');
    is_priority.then_some(digits + 2)
}
