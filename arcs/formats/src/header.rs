//! Header lines in force: a line flows in, what it and the ones before it said flows out, with their text, so that a
//! reject can be read again without its object.

use std::sync::Arc;

use crate::format::{Grammar, Layout};
use crate::lines::KEPT_BYTES_MAX;

/// What header lines have said, and the lines themselves.
#[derive(Clone, Debug)]
pub struct Header {
    /// What they said.
    pub layout: Layout,
    /// The lines that still count: of those with the same name before a colon (`#Fields: …`), the last.
    lines: Vec<Arc<str>>,
    text: Option<Arc<str>>,
}

impl Header {
    /// The header with one more line; what was before where the line changes nothing.
    pub fn after(grammar: &dyn Grammar, line: &[u8], before: Option<Header>) -> Result<Option<Header>, Option<Header>> {
        if before.as_ref().and_then(|header| header.lines.last()).is_some_and(|last| last.as_bytes() == line) {
            return Ok(before);
        }
        // What is in force already is not read again: some logs repeat their header lines.
        let known = before.as_ref().filter(|header| header.lines.iter().any(|known| known.as_bytes() == line));
        let layout = known.map(|header| header.layout.clone());
        let layout = layout.or_else(|| grammar.layout(line, before.as_ref().map(|header| &header.layout)));
        let Some(layout) = layout else { return Err(before) };
        let line = String::from_utf8_lossy(line);
        let mut lines = before.map(|header| header.lines).unwrap_or_default();
        lines.retain(|known| name(known) != name(&line));
        lines.push(line.into());
        let is_kept = lines.iter().map(|line| line.len() + 1).sum::<usize>() <= KEPT_BYTES_MAX;
        let text = is_kept.then(|| lines.join("\n").into());
        Ok(Some(Header { layout, lines, text }))
    }

    /// The lines between newlines; `None` where they are longer than a reject keeps.
    pub fn text(&self) -> Option<&Arc<str>> {
        self.text.as_ref()
    }
}

fn name(line: &str) -> &str {
    line.split_once(':').map_or("", |(name, _)| name)
}
