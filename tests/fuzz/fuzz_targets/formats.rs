//! Any text, read by every format: no panic, every line accounted for, and `explain` says what a conversion does.
#![no_main]

use arcs::format::{FORMATS, Outcome, explain};
use arcs::parse::read_through;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    for format in FORMATS {
        let counts = read_through(format, text.to_vec());
        assert!(counts.is_balanced());
        let lines = text.split(|byte| *byte == b'\n').collect::<Vec<_>>();
        let lines = lines.strip_suffix(&[&b""[..]]).unwrap_or(&lines);
        let rows = lines.iter().filter(|line| matches!(explain(format, line).outcome, Outcome::Row { .. })).count();
        assert_eq!((lines.len() as u64, rows as u64), (counts.lines, counts.rows));
    }
});
