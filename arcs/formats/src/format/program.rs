//! Regular expressions as steps that a byte at a time decides: a pattern flows in, nodes that [`super::backtrack`] goes
//! through flow out. Each node knows with which bytes the rest of the pattern can go on from it, so that most of what could
//! be tried is never tried: of `\S+ \[` no shorter text is looked at, since what follows is no part of it.
//!
//! Invariants: what a node says of the bytes that come next leaves none out; a way through the nodes that takes no byte
//! never comes to the same node twice.

use regex_syntax::hir::{Capture, Hir, HirKind, Look, Repetition};

use super::class::{Ahead, Class, UNBOUNDED, look};

/// Nodes of a pattern; longer ones are left to the engine.
const NODES_MAX: usize = 4_096;

/// The node at which a pattern has fitted.
pub(super) const END: usize = 0;

/// A pattern as nodes; it fits from the start of a text on.
#[derive(Debug)]
pub(super) struct Program {
    pub nodes: Vec<Node>,
    pub classes: Vec<Class>,
    pub start: usize,
    /// Places that are kept: the start and the end of each group.
    pub slots: usize,
}

/// A step of a pattern, and what comes after it.
#[derive(Debug)]
pub(super) struct Node {
    pub op: Op,
    pub next: usize,
    pub ahead: Ahead,
}

/// What a node takes.
#[derive(Debug)]
pub(super) enum Op {
    Byte(u8),
    Literal(Box<[u8]>),
    Class(usize),
    /// Characters of a class, so many at least and at most.
    Run {
        class: usize,
        least: u32,
        most: u32,
        order: Order,
    },
    /// Keeps the place.
    Save(usize),
    /// The first of these from which the rest fits.
    Split(Box<Split>),
    Look(Look),
    Match,
}

/// Ways that the rest of a pattern may go.
#[derive(Debug)]
pub(super) struct Split {
    /// Their first nodes; the first from which the rest fits counts.
    pub ways: Vec<usize>,
    /// For each byte that may come next, and for the end of the text, the first way that allows it and the one after that.
    open: [(u8, u8); 257],
}

/// Ways of a split; where there are more, one of them is a split again.
const WAYS_MAX: usize = 250;

/// No way.
const CLOSED: u8 = u8::MAX;

impl Split {
    fn new(ways: Vec<usize>, nodes: &[Node]) -> Split {
        let open = std::array::from_fn(|byte| {
            let byte = u8::try_from(byte).ok();
            let mut open = (0..CLOSED).zip(&ways).filter(|(_, way)| nodes[**way].ahead.takes(byte)).map(|(n, _)| n);
            (open.next().unwrap_or(CLOSED), open.next().unwrap_or(CLOSED))
        });
        Split { ways, open }
    }

    /// The node of the first way that allows what comes next, and the number of the one after that.
    #[inline]
    pub(super) fn first(&self, byte: Option<u8>) -> (Option<usize>, Option<usize>) {
        let (first, second) = self.open[byte.map_or(256, usize::from)];
        (self.ways.get(usize::from(first)).copied(), (second != CLOSED).then_some(second.into()))
    }
}

/// How long a run is tried to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    LongestFirst,
    ShortestFirst,
    /// As long as it can be: nothing fits after a shorter one, or anything fits after this one.
    Longest,
}

impl Program {
    /// The nodes of a pattern with so many groups, its whole included. `None` for the few patterns that are left to the
    /// engine: they repeat what may be nothing, ask rare things of a place, or have too many parts.
    pub(super) fn new(hir: &Hir, groups: usize) -> Option<Program> {
        let mut program = Program { nodes: Vec::new(), classes: Vec::new(), start: 0, slots: groups * 2 };
        program.push(Op::Match, END, Ahead::END)?;
        program.start = program.add(hir, END)?;
        Some(program)
    }

    fn push(&mut self, op: Op, next: usize, ahead: Ahead) -> Option<usize> {
        self.nodes.push(Node { op, next, ahead });
        (self.nodes.len() <= NODES_MAX).then_some(self.nodes.len() - 1)
    }

    fn class(&mut self, class: Class) -> usize {
        self.classes.iter().position(|known| *known == class).unwrap_or_else(|| {
            self.classes.push(class);
            self.classes.len() - 1
        })
    }

    fn ahead(&self, node: usize) -> Ahead {
        self.nodes[node].ahead
    }

    /// Adds a pattern that `next` comes after, and gives its first node.
    fn add(&mut self, hir: &Hir, next: usize) -> Option<usize> {
        match hir.kind() {
            HirKind::Empty => Some(next),
            HirKind::Literal(literal) => {
                let op = if let [byte] = *literal.0 { Op::Byte(byte) } else { Op::Literal(literal.0.clone()) };
                self.push(op, next, Ahead::of_bytes(literal.0.first().copied().into_iter()))
            }
            HirKind::Class(_) => {
                let class = Class::of(hir)?;
                let ahead = class.ahead();
                let class = self.class(class);
                self.push(Op::Class(class), next, ahead)
            }
            HirKind::Look(asked) => {
                look(*asked, b"", 0)?;
                self.push(Op::Look(*asked), next, self.ahead(next))
            }
            HirKind::Repetition(repetition) => match Class::of(&repetition.sub) {
                Some(class) => self.add_run(class, repetition, next),
                None => self.add_repetition(repetition, next),
            },
            HirKind::Capture(Capture { index, sub, .. }) => {
                let slot = *index as usize * 2;
                let end = self.push(Op::Save(slot + 1), next, self.ahead(next))?;
                let inside = self.add(sub, end)?;
                self.push(Op::Save(slot), inside, self.ahead(inside))
            }
            HirKind::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.add(part, next)),
            HirKind::Alternation(parts) => {
                let parts: Option<Vec<usize>> = parts.iter().map(|part| self.add(part, next)).collect();
                self.split(parts?)
            }
        }
    }

    /// Whether nothing can keep the pattern from fitting once it has come to this node.
    fn is_sure(&self, node: usize) -> bool {
        match self.nodes[node] {
            Node { op: Op::Match, .. } => true,
            Node { op: Op::Save(_), next, .. } => self.is_sure(next),
            _ => false,
        }
    }

    fn split(&mut self, ways: Vec<usize>) -> Option<usize> {
        let mut ways = ways;
        while ways.len() > WAYS_MAX {
            let last = ways.split_off(ways.len() - WAYS_MAX);
            ways.push(self.split(last)?);
        }
        let ahead = ways.iter().fold(Ahead::NOTHING, |ahead, way| ahead.or(self.ahead(*way)));
        let split = Split::new(ways, &self.nodes);
        self.push(Op::Split(Box::new(split)), 0, ahead)
    }

    fn add_run(&mut self, class: Class, repetition: &Repetition, next: usize) -> Option<usize> {
        let (own, after) = (class.ahead(), self.ahead(next));
        let order = match repetition.greedy {
            _ if own.is_apart_from(after) => Order::Longest,
            true if self.is_sure(next) => Order::Longest,
            true => Order::LongestFirst,
            false => Order::ShortestFirst,
        };
        let (least, most) = (repetition.min, repetition.max.unwrap_or(UNBOUNDED));
        let ahead = if least == 0 { own.or(after) } else { own };
        let class = self.class(class);
        self.push(Op::Run { class, least, most, order }, next, ahead)
    }

    fn add_repetition(&mut self, repetition: &Repetition, next: usize) -> Option<usize> {
        let (sub, is_greedy) = (&repetition.sub, repetition.greedy);
        let ways = |inside, next| if is_greedy { vec![inside, next] } else { vec![next, inside] };
        let rest = match repetition.max {
            None => self.add_endless(sub, next, ways)?,
            Some(most) => (repetition.min..most).try_fold(next, |rest, _| {
                let inside = self.add(sub, rest)?;
                self.split(ways(inside, next))
            })?,
        };
        (0..repetition.min).try_fold(rest, |rest, _| self.add(sub, rest))
    }

    /// Adds a pattern that fits any number of times.
    fn add_endless(&mut self, sub: &Hir, next: usize, ways: impl Fn(usize, usize) -> Vec<usize>) -> Option<usize> {
        sub.properties().minimum_len().filter(|length| *length > 0)?;
        // Until what is repeated is there, it stands for a node that need not fit.
        let again = self.push(Op::Byte(0), 0, ahead_of(sub)?.or(self.ahead(next)))?;
        let start = self.add_plain_run(sub, next, again)?;
        let inside = self.add(sub, start)?;
        self.nodes[again].op = Op::Split(Box::new(Split::new(ways(inside, next), &self.nodes)));
        Some(start)
    }

    /// Of `(?:[^"\\]|\\.)*"`, a run of the class needs no choice: nothing else fits where a character of it stands.
    fn add_plain_run(&mut self, sub: &Hir, next: usize, again: usize) -> Option<usize> {
        let HirKind::Alternation(parts) = sub.kind() else { return Some(again) };
        let Some((n, class)) = parts.iter().enumerate().find_map(|(n, part)| Some((n, Class::of(part)?))) else { return Some(again) };
        let others = parts.iter().enumerate().filter(|(other, _)| *other != n);
        let others = others.map(|(_, part)| ahead_of(part)).try_fold(self.ahead(next), |all, one| Some(all.or(one?)))?;
        if !class.ahead().is_apart_from(others) {
            return Some(again);
        }
        let ahead = class.ahead().or(self.ahead(again));
        let class = self.class(class);
        self.push(Op::Run { class, least: 0, most: UNBOUNDED, order: Order::Longest }, again, ahead)
    }
}

/// The bytes that texts start with that a pattern fits; it can end if it fits no byte.
fn ahead_of(hir: &Hir) -> Option<Ahead> {
    Some(match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Ahead::NOTHING.ending(true),
        HirKind::Literal(literal) => Ahead::of_bytes(literal.0.first().copied().into_iter()),
        HirKind::Class(_) => Class::of(hir)?.ahead(),
        HirKind::Repetition(Repetition { min, sub, .. }) => {
            let inside = ahead_of(sub)?;
            inside.ending(inside.can_end || *min == 0)
        }
        HirKind::Capture(capture) => ahead_of(&capture.sub)?,
        HirKind::Alternation(parts) => parts.iter().try_fold(Ahead::NOTHING, |all, part| Some(all.or(ahead_of(part)?)))?,
        HirKind::Concat(parts) => {
            let mut all = Ahead::NOTHING.ending(true);
            for part in parts {
                if all.can_end {
                    all = all.ending(false).or(ahead_of(part)?);
                }
            }
            all
        }
    })
}
