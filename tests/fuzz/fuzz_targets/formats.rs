//! Any text, read by every format in every way its examples use it: no panic, every line accounted for, and `explain`
//! says what a conversion does. `FUZZ_FORMAT=NAME` tries that format alone, which is many times as fast.
#![no_main]

use formats::format::{Example, FORMATS, Grammar, Outcome, compile, explain_all};
use formats::parse::read_through;
use std::sync::{Arc, LazyLock};

static GRAMMARS: LazyLock<Vec<Arc<dyn Grammar>>> = LazyLock::new(|| {
    let of = |name: &str, example: &Example| {
        let mut spec: serde_json::Value = serde_json::from_str(if example.options.is_empty() { "{}" } else { example.options }).expect("JSON");
        spec["name"] = name.into();
        let grammar = compile(&spec).expect("a grammar");
        grammar.inferred(&[example.text.as_bytes()]).map_or(grammar, Arc::from)
    };
    let wanted = std::env::var("FUZZ_FORMAT").ok();
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    FORMATS.iter().filter(|format| is_wanted(format.name)).flat_map(|format| format.examples.iter().map(|example| of(format.name, example))).collect()
});

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    for grammar in GRAMMARS.iter() {
        let counts = read_through(grammar.as_ref(), text.to_vec());
        assert!(counts.is_balanced());
        let rows = explain_all(grammar.as_ref(), text, 0).iter().filter(|record| matches!(record.outcome, Outcome::Row { .. })).count();
        assert_eq!(rows as u64, counts.rows);
    }
});
