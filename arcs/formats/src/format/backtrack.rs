//! Goes through a [`Program`]: a text flows in; whether the pattern fits from its start on, and where its groups are, flow
//! out, the very ones that an engine for regular expressions gives, since ways are tried in the order of the pattern and the
//! first that fits counts. Where a choice turns out wrong, the last one is made again.
//!
//! Invariant: what is tried is bounded by the length of the text; where the bound is reached, nothing is said, and an
//! engine that never goes back has to tell.

use super::class::{UNBOUNDED, look};
use super::fields::after;
use super::program::{END, Op, Order, Program};

/// Steps for each byte of a text, and for each node.
const STEPS_PER_BYTE: usize = 8;
const STEPS_PER_NODE: usize = 4;

/// Bytes of a run that count as a step.
const RUN_STEP_BYTES: usize = 8;

/// Choices that are remembered.
const CHOICES_MAX: usize = 64 << 10;

/// The place of a group that is nowhere.
const NOWHERE: u32 = u32::MAX;

/// What a search needs room for; kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Starts and ends of groups.
    slots: Vec<u32>,
    /// The choices that may be made again, and what was there before they were made.
    choices: Vec<Choice>,
    steps_left: usize,
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    /// Another way of a split, by its number.
    Way { node: u32, way: u32, at: u32 },
    /// A shorter run, down to `low`.
    Shorter { node: u32, low: u32, at: u32 },
    /// A longer run, by so many characters at most.
    Longer { node: u32, more: u32, at: u32 },
    /// What a slot held.
    Slot { slot: u32, before: u32 },
}

/// A node and a place in the text.
type At = (usize, usize);

impl Scratch {
    /// No groups.
    pub(super) const fn new() -> Scratch {
        Scratch { slots: Vec::new(), choices: Vec::new(), steps_left: 0 }
    }

    /// Makes room for so many groups, none of which is anywhere.
    pub(super) fn clear(&mut self, slots: usize) {
        self.slots.clear();
        self.slots.resize(slots, NOWHERE);
        self.choices.clear();
    }

    /// Where a group starts and ends; group 0 is the whole.
    #[inline]
    pub(super) fn group(&self, group: usize) -> Option<(usize, usize)> {
        match self.slots.get(group * 2..group * 2 + 2)? {
            [start, end] if *start != NOWHERE && *end != NOWHERE => Some((*start as usize, *end as usize)),
            _ => None,
        }
    }

    /// Sets a group.
    pub(super) fn set(&mut self, group: usize, start: usize, end: usize) {
        if let Some(slots) = self.slots.get_mut(group * 2..group * 2 + 2) {
            slots.copy_from_slice(&[start as u32, end as u32]);
        }
    }

    fn save(&mut self, slot: usize, at: usize) {
        let Some(held) = self.slots.get_mut(slot) else { return };
        let before = std::mem::replace(held, at as u32);
        if !self.choices.is_empty() {
            self.remember(Choice::Slot { slot: slot as u32, before });
        }
    }

    /// Keeps a choice; where there are too many, the search is over as soon as it would have to go back.
    fn remember(&mut self, choice: Choice) {
        match self.choices.len() < CHOICES_MAX {
            true => self.choices.push(choice),
            false => self.steps_left = 0,
        }
    }

    /// Takes steps off the bound; where none is left, the search does not go back any more.
    #[inline]
    fn spend(&mut self, steps: usize) {
        self.steps_left = self.steps_left.saturating_sub(steps);
    }
}

impl Program {
    /// Whether the pattern fits from the start of a text on; `found` has its groups then. `None` where that takes too many
    /// steps. A text is shorter than 4 GiB.
    pub(super) fn fits(&self, text: &[u8], found: &mut Scratch) -> Option<bool> {
        found.clear(self.slots);
        let steps = STEPS_PER_BYTE * text.len() + STEPS_PER_NODE * self.nodes.len();
        found.steps_left = steps;
        let (mut n, mut at) = (self.start, 0);
        for _ in 0..steps {
            if n == END {
                found.set(0, 0, at);
                return Some(true);
            }
            (n, at) = match self.step(text, (n, at), found) {
                Some(next) => next,
                None => match self.again(text, found) {
                    Some(next) => next,
                    None => return (found.steps_left > 0).then_some(false),
                },
            };
        }
        None
    }

    /// Goes from a node to the next.
    #[inline(always)]
    fn step(&self, text: &[u8], (n, at): At, found: &mut Scratch) -> Option<At> {
        let node = &self.nodes[n];
        let end = match &node.op {
            Op::Split(split) => {
                let (first, second) = split.first(text.get(at).copied());
                if let Some(second) = second {
                    found.remember(Choice::Way { node: n as u32, way: second as u32, at: at as u32 });
                }
                return first.map(|way| (way, at));
            }
            Op::Byte(byte) => (text.get(at) == Some(byte)).then_some(at + 1),
            Op::Literal(literal) => after(&text[at..], literal).map(|rest| text.len() - rest.len()),
            Op::Class(class) => self.classes[*class].end_of_one(text, at),
            Op::Run { class, least, most, order } => {
                found.spend(*least as usize / RUN_STEP_BYTES);
                let class = &self.classes[*class];
                let low = class.end_of_least(text, at, *least)?;
                let more = if *most == UNBOUNDED { UNBOUNDED } else { most - least };
                if *order == Order::ShortestFirst {
                    return self.longer(text, (n, low), more, found).map(|end| (node.next, end));
                }
                let end = class.end_of_run(text, low, more);
                found.spend((end - at) / RUN_STEP_BYTES);
                if *order == Order::Longest { Some(end) } else { self.shorter(text, (n, end), low, found) }
            }
            Op::Save(slot) => {
                found.save(*slot, at);
                Some(at)
            }
            Op::Look(asked) => (look(*asked, text, at) == Some(true)).then_some(at),
            Op::Match => Some(at),
        };
        end.map(|end| (node.next, end))
    }

    /// Ends a run at this place, or at the last one before it from which the rest may fit.
    #[inline]
    fn shorter(&self, text: &[u8], (n, end): At, low: usize, found: &mut Scratch) -> Option<usize> {
        let ahead = &self.nodes[self.nodes[n].next].ahead;
        let is_start = |at: usize| text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80);
        let at = (low..=end).rev().find(|at| ahead.takes(text.get(*at).copied()) && is_start(*at))?;
        if at > low {
            found.remember(Choice::Shorter { node: n as u32, low: low as u32, at: at as u32 });
        }
        Some(at)
    }

    /// Ends a run at this place, or at the first one after it from which the rest may fit.
    fn longer(&self, text: &[u8], (n, from): At, mut more: u32, found: &mut Scratch) -> Option<usize> {
        let (node, mut at) = (&self.nodes[n], from);
        let Op::Run { class, .. } = &node.op else { return None };
        let ahead = &self.nodes[node.next].ahead;
        while !ahead.takes(text.get(at).copied()) {
            let end = self.classes[*class].end_of_one(text, at).filter(|_| more > 0);
            let Some(end) = end else {
                found.spend((at - from) / RUN_STEP_BYTES);
                return None;
            };
            (at, more) = (end, if more == UNBOUNDED { more } else { more - 1 });
        }
        if more > 0 {
            found.remember(Choice::Longer { node: n as u32, more, at: at as u32 });
        }
        found.spend((at - from) / RUN_STEP_BYTES);
        Some(at)
    }

    /// Goes a way of a split; the next one that the next byte allows may be gone later.
    fn way(&self, text: &[u8], (n, at): At, way: usize, found: &mut Scratch) -> Option<At> {
        let Op::Split(split) = &self.nodes[n].op else { return None };
        let byte = text.get(at).copied();
        if let Some(other) = (way + 1..split.ways.len()).find(|other| self.nodes[split.ways[*other]].ahead.takes(byte)) {
            found.remember(Choice::Way { node: n as u32, way: other as u32, at: at as u32 });
        }
        Some((*split.ways.get(way)?, at))
    }

    /// Makes the last choice again; `None` where there is no other, or no step is left.
    fn again(&self, text: &[u8], found: &mut Scratch) -> Option<At> {
        while let Some(choice) = found.choices.pop() {
            found.spend(1);
            if found.steps_left == 0 {
                return None;
            }
            let next = match choice {
                Choice::Slot { slot, before } => {
                    found.slots[slot as usize] = before;
                    None
                }
                Choice::Way { node, way, at } => self.way(text, (node as usize, at as usize), way as usize, found),
                Choice::Shorter { node, low, at } => {
                    let end = self.shorter(text, (node as usize, at as usize - 1), low as usize, found);
                    end.map(|end| (self.nodes[node as usize].next, end))
                }
                Choice::Longer { node, more, at } => {
                    let end = self.once_more(text, (node as usize, at as usize), more, found);
                    end.map(|end| (self.nodes[node as usize].next, end))
                }
            };
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// Ends a run that starts short later by one character at least.
    fn once_more(&self, text: &[u8], (n, at): At, more: u32, found: &mut Scratch) -> Option<usize> {
        let Op::Run { class, .. } = &self.nodes[n].op else { return None };
        let end = self.classes[*class].end_of_one(text, at)?;
        self.longer(text, (n, end), if more == UNBOUNDED { more } else { more - 1 }, found)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex_automata::meta::Regex;
    use regex_automata::{Anchored, Input};

    type Groups = Option<Vec<Option<(usize, usize)>>>;

    fn engine(pattern: &str) -> Regex {
        Regex::builder().build_from_hir(&regex_syntax::parse(pattern).unwrap()).unwrap()
    }

    /// What an engine for regular expressions finds.
    fn plainly(regex: &Regex, text: &str) -> Groups {
        let mut found = regex.create_captures();
        regex.search_captures(&Input::new(text).anchored(Anchored::Yes), &mut found);
        found.get_match().map(|_| (0..found.group_len()).map(|group| found.get_group(group).map(|span| (span.start, span.end))).collect())
    }

    fn program(pattern: &str) -> Option<Program> {
        Program::new(&regex_syntax::parse(pattern).unwrap(), engine(pattern).captures_len())
    }

    /// Checks that the program of a pattern finds in texts what the engine does. Says in how many it took too many steps.
    pub(in crate::format) fn check(pattern: &str, texts: &[String]) -> usize {
        let (engine, program) = (engine(pattern), program(pattern));
        let undecided = |text: &&String| match program.as_ref().map(|program| stepwise(program, text)) {
            Some(Some(found)) => {
                assert_eq!(found, plainly(&engine, text), "{pattern} {text:?}");
                false
            }
            _ => true,
        };
        texts.iter().filter(undecided).count()
    }

    /// What the program finds; `None` where it takes too many steps.
    fn stepwise(program: &Program, text: &str) -> Option<Groups> {
        let mut found = Scratch::new();
        let fits = program.fits(text.as_bytes(), &mut found)?;
        Some(fits.then(|| (0..program.slots / 2).map(|group| found.group(group)).collect()))
    }

    #[test]
    fn what_is_left_to_the_engine() {
        for pattern in [r"(a*)*b", r"(?:a|b??)+", r"\b{start}a", r"(?mR)a$", &"(a?b)".repeat(5_000)] {
            assert!(program(pattern).is_none(), "{pattern}");
        }
        let ambiguous = program(r"(?:a|a)*(?:a|a)*(?:a|a)*b").unwrap();
        assert_eq!(stepwise(&ambiguous, &"a".repeat(60)), None, "too many steps");
        let squared = program(r".*,.*,.*,.*,.*;").unwrap();
        assert_eq!(stepwise(&squared, &",".repeat(10_000)), None, "too many steps");
    }

    const PARTS: [&str; 30] = [
        r"(\S+)",
        r"(\w*?)",
        r"((?:a|ab))",
        r"([^ ]*)",
        r"\b(a+)\b",
        r"(.*?)",
        r"((a)|b)",
        r"(é|a)",
        r"(?:(a)?)",
        r"([^,é]+)",
        r"^",
        r"$",
        r"(\d{1,2}|)",
        r"(?:(a)|(b))+",
        r"((?:[^,\\]|\\.)*)",
        r"((?:[^a]|a(b))*?)",
        r"(?:\w{1,2}:){2}",
        r"(?:(\w+),?){1,3}",
        r"(?:(\w{2,3}?) )??",
        r"(?i:aé|b)",
        r"(?:a(?:b(?:1)?)?)?",
        r"(?:(?:a|b)+,)*",
        r"(.+)",
        r"(\B)",
        r"(?m:^)",
        r"(?m:$)",
        r"(?s:.{2,})",
        r"[é-ü]{0,2}",
        r"(?:(1)|a1|ab)*",
        r"(?:(a+)b|(a+),)",
    ];
    const BETWEEN: [&str; 9] = [" ", ",", ", ", "é", " a", "", r"\s", r"\n", r"\\"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn the_groups_are_those_of_the_engine(
            parts in proptest::collection::vec((0..PARTS.len(), 0..BETWEEN.len()), 1..6),
            texts in proptest::collection::vec("[ab1éü, \n:\\\\]{0,14}", 1..20),
        ) {
            let pattern: String = parts.iter().flat_map(|(part, between)| [PARTS[*part], BETWEEN[*between]]).collect();
            check(&pattern, &texts);
        }
    }
}
