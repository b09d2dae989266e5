//! What people see while something runs: a line per run that moves, on a terminal; nothing in a pipe. Bytes and texts
//! flow in; drawing goes to stderr alone.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::logs;

/// How often a spinner turns, in milliseconds.
const TURN_MILLISECONDS: u64 = 120;

/// All lines of the program.
#[derive(Clone, Debug)]
pub struct Progress {
    lines: MultiProgress,
    is_shown: bool,
}

impl Progress {
    /// Draws where `is_shown`.
    pub fn new(is_shown: bool) -> Progress {
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Progress { lines: MultiProgress::with_draw_target(target), is_shown }
    }

    /// A line for something whose end is not known.
    pub fn spinner(&self, text: impl Into<String>) -> Line {
        let bar = self.lines.add(ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {msg} {elapsed}"));
        self.start(bar, text.into())
    }

    /// A line for so many things.
    pub fn count(&self, text: impl Into<String>, total: u64) -> Line {
        let bar = self.lines.add(ProgressBar::new(total));
        bar.set_style(style("{spinner} {msg} [{bar:24}] {pos}/{len} {eta}"));
        self.start(bar, text.into())
    }

    fn start(&self, bar: ProgressBar, text: String) -> Line {
        bar.set_message(text.clone());
        if self.is_shown {
            bar.enable_steady_tick(Duration::from_millis(TURN_MILLISECONDS));
        }
        Line { bar, text }
    }

    /// Whether anything is drawn.
    pub fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Says a line of text on stderr, above the moving ones.
    pub fn say(&self, text: &str) {
        self.lines.suspend(|| logs::say(text));
    }

    /// Says that something failed, in the same place.
    pub fn fail(&self, text: &str) {
        self.lines.suspend(|| logs::fail(text, None));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A moving line; gone when dropped.
#[derive(Debug)]
pub struct Line {
    bar: ProgressBar,
    text: String,
}

impl Line {
    /// How far a conversion is.
    pub fn show(&self, at: &arcs::Progress) {
        let bytes = indicatif::HumanBytes(at.bytes_in);
        let (objects, total, lines) = (at.objects, at.objects_total, indicatif::HumanCount(at.lines));
        self.bar.set_message(format!("{} {objects}/{total} objects, {lines} lines, {bytes}", self.text));
    }

    /// How far something else is.
    pub fn note(&self, text: &str) {
        self.bar.set_message(format!("{} {text}", self.text));
    }

    /// So much more is to be done.
    pub fn grow(&self, more: u64) {
        self.bar.inc_length(more);
    }

    /// So much more is done.
    pub fn more(&self, done: u64) {
        self.bar.inc(done);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
