//! Patterns whose fields end at a byte that they cannot hold, as most lines of logs are made: `(\S+) \[([^\]]+)\] …`. Where
//! such a field ends is no question for a regular expression: it is the first such byte. A record flows in, the places of
//! groups flow out, the very ones that the pattern as a whole would give; what is not of this kind is left to it.

use memchr::memchr;
use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input, Span};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Fields that are told apart so; what follows them is left to the engine, as each has an automaton of its own.
const FIELDS_MAX: usize = 64;

/// A pattern in parts.
#[derive(Debug)]
pub(super) struct Forced {
    fields: Vec<Field>,
    /// What follows the fields; its groups have the numbers that they have in the whole.
    rest: Regex,
}

/// A field and the byte that ends it.
#[derive(Debug)]
struct Field {
    /// What stands before it.
    before: Vec<u8>,
    /// What the field and the byte after it must be.
    regex: Regex,
    end: u8,
    /// The groups that are the field.
    groups: Vec<usize>,
}

/// The places of groups, by their numbers; group 0 is the whole.
pub(super) type Groups = Vec<Option<Span>>;

impl Forced {
    /// Takes a pattern apart, which fits from the start of a record on. `None` where no field ends so, or a part does not
    /// compile.
    pub(super) fn new(hir: &Hir, build: impl Fn(&Hir) -> Option<Regex>) -> Option<Forced> {
        let items: Vec<Hir> = match hir.kind() {
            HirKind::Concat(items) => items.clone(),
            _ => return None,
        };
        let (mut fields, mut at, mut before) = (Vec::new(), 0, Vec::new());
        while fields.len() < FIELDS_MAX {
            let mut next = at;
            if let (true, Some(HirKind::Literal(literal))) = (before.is_empty(), items.get(at).map(Hir::kind)) {
                before = literal.0.to_vec();
                next += 1;
            }
            let parts = items[next..].iter().take_while(|item| !matches!(item.kind(), HirKind::Literal(_))).count();
            let field = &items[next..next + parts];
            let Some(HirKind::Literal(literal)) = items.get(next + parts).map(Hir::kind) else { break };
            let (Some(end), Some(groups)) = (literal.0.first().copied(), groups_of(field)) else { break };
            if !end.is_ascii() || field.iter().any(|part| may_hold(part, end)) {
                break;
            }
            let whole = Hir::concat(field.iter().cloned().chain([Hir::literal(vec![end])]).collect());
            fields.push(Field { before: std::mem::take(&mut before), regex: build(&whole)?, end, groups });
            before = literal.0[1..].to_vec();
            at = next + parts + 1;
        }
        if fields.is_empty() {
            return None;
        }
        let rest = [Hir::literal(before)].into_iter().chain(items[at..].iter().cloned()).collect();
        Some(Forced { fields, rest: build(&Hir::concat(rest))? })
    }

    /// Where the groups of the pattern are, if it fits from the start of the record on.
    pub(super) fn find(&self, record: &[u8], groups: usize) -> Option<Groups> {
        let mut found: Groups = vec![None; groups];
        let mut at = 0;
        for field in &self.fields {
            at += record.get(at..)?.starts_with(&field.before).then_some(field.before.len())?;
            let end = at + memchr(field.end, &record[at..])?;
            if !field.regex.is_match(Input::new(record).range(at..end + 1).anchored(Anchored::Yes)) {
                return None;
            }
            field.groups.iter().for_each(|group| found[*group] = Some(Span { start: at, end }));
            at = end + 1;
        }
        let mut rest = self.rest.create_captures();
        self.rest.search_captures(&Input::new(record).range(at..).anchored(Anchored::Yes), &mut rest);
        let end = rest.get_match()?.end();
        for (group, place) in found.iter_mut().enumerate().take(rest.group_len()) {
            *place = rest.get_group(group).or(*place);
        }
        found[0] = Some(Span { start: 0, end });
        Some(found)
    }
}

/// The groups of a field, where each is the whole of it: beside what takes no byte, it has one part.
fn groups_of(field: &[Hir]) -> Option<Vec<usize>> {
    let mut parts = field.iter().filter(|part| !matches!(part.kind(), HirKind::Look(_) | HirKind::Empty));
    let (mut groups, mut part) = (Vec::new(), parts.next()?);
    while let HirKind::Capture(capture) = part.kind() {
        groups.push(capture.index as usize);
        part = &capture.sub;
    }
    (parts.next().is_none() && part.properties().explicit_captures_len() == 0).then_some(groups)
}

/// Whether anything that a pattern fits may have this ASCII byte in it.
fn may_hold(hir: &Hir, byte: u8) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&byte),
        HirKind::Class(Class::Unicode(class)) => class.iter().any(|range| (range.start()..=range.end()).contains(&char::from(byte))),
        HirKind::Class(Class::Bytes(class)) => class.iter().any(|range| (range.start()..=range.end()).contains(&byte)),
        HirKind::Repetition(repetition) => may_hold(&repetition.sub, byte),
        HirKind::Capture(capture) => may_hold(&capture.sub, byte),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(|part| may_hold(part, byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn build(hir: &Hir) -> Option<Regex> {
        Regex::builder().build_from_hir(hir).ok()
    }

    fn plainly(regex: &Regex, record: &[u8]) -> Option<Groups> {
        let mut found = regex.create_captures();
        regex.search_captures(&Input::new(record).anchored(Anchored::Yes), &mut found);
        found.get_match().map(|_| (0..found.group_len()).map(|group| found.get_group(group)).collect())
    }

    /// How many fields are forced; `None` where the pattern is not taken apart.
    fn fields(pattern: &str) -> Option<usize> {
        Forced::new(&regex_syntax::parse(pattern).unwrap(), build).map(|forced| forced.fields.len())
    }

    #[test]
    fn fields_end_at_bytes_that_they_cannot_hold() {
        assert_eq!(fields(r"(\S+) \[([^\]]+)\] (.*)"), Some(2));
        assert_eq!(fields(r"^(?<a>\d+|x),(b)(c),(d)"), Some(1));
        assert_eq!(fields(r"(.*) (\S+)"), None);
        assert_eq!(fields(r"(\S+)\s+(\S+)"), None);
        assert_eq!(fields(r"a"), None);
        assert_eq!(fields(r"((a)b) (c)"), None, "a group that is a part of the field");
        assert_eq!(fields(r"((?:a|b)*) c"), Some(1));
        assert_eq!(fields(&"(a) ".repeat(1_000)), Some(FIELDS_MAX));
    }

    const PARTS: [&str; 12] = [
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
        r"(\d{1,2}|)",
    ];
    const BETWEEN: [&str; 7] = [" ", ",", ", ", "é", " a", "", r"\s"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn the_groups_are_those_of_the_whole(
            parts in proptest::collection::vec((0..PARTS.len(), 0..BETWEEN.len()), 1..5),
            records in proptest::collection::vec("[ab1é, ]{0,14}", 1..20),
        ) {
            let pattern: String = parts.iter().flat_map(|(part, between)| [PARTS[*part], BETWEEN[*between]]).collect();
            let hir = regex_syntax::parse(&pattern).unwrap();
            let whole = build(&hir).unwrap();
            if let Some(forced) = Forced::new(&hir, build) {
                for record in &records {
                    prop_assert_eq!(forced.find(record.as_bytes(), whole.captures_len()), plainly(&whole, record.as_bytes()), "{} {:?}", pattern, record);
                }
            }
        }
    }
}
