//! Times by a pattern: a list of items, compiled from a pattern of Java's or C's, and text flow in; a date, a time of day
//! and a zone flow out, with where in the text they end. What the pattern leaves out is left to [`Zone::closest_micros`].

use super::Problem;
use super::time::{Civil, digit, fraction_micros, month, offset, year_days};
use super::time_shape::Shape;
use super::zone::{Known, Zone};

/// A compiled pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    items: Vec<Item>,
    /// What is tried first at each item: the usual shape of those from there on.
    shapes: Vec<Option<Shape>>,
    /// The zone that the pattern names; the reader's otherwise.
    pub zone: Option<Zone>,
}

/// Digits of the largest epoch that is read.
const EPOCH_DIGITS: usize = 18;

/// A piece of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A byte as it stands.
    Byte(u8),
    /// A `T` or a space.
    DateEnd,
    /// Spaces, if there are any.
    Spaces,
    /// A number of that many digits, between the two.
    Number(Part, usize, usize),
    /// `Jan`, or `January`.
    MonthName,
    /// A day of the week, which says nothing new.
    Weekday,
    /// `AM` or `PM`.
    Half,
    /// A fraction of the second after a point or a comma, if it is there.
    Finer,
    /// Digits of a fraction of the second; as many as there are up to the second number.
    Fraction(usize, usize),
    /// `Z`, `+01:00`, `GMT+01:00`, `CET` or `Europe/Berlin`; nothing where it may be left out.
    Zone {
        /// Whether it may be left out.
        is_optional: bool,
    },
    /// Units of so many microseconds since 1970; what follows seconds, if anything, is a fraction of its own.
    Epoch(i64),
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    /// Of the century that ends in 2068, as C has it.
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// From 1 to 12, or 0 to 11, with AM or PM.
    HalfHour,
    Minute,
    Second,
    /// A number that says nothing new.
    Other,
}

/// A time as it was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    civil: Civil,
    known: Seen,
    zone: Option<i64>,
    named: Option<Zone>,
    half: Option<bool>,
    epoch: Option<i64>,
    day_of_year: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    year: bool,
    month: bool,
    day: bool,
}

impl Clock {
    /// A clock of these items; a problem if they tell no time.
    pub(super) fn new(items: Vec<Item>, at: &str) -> Result<Clock, Problem> {
        let tells = |item: &Item| matches!(item, Item::Number(Part::Hour | Part::HalfHour, ..) | Item::Epoch(_));
        match items.iter().any(tells) {
            true => Ok(Clock::of_part(items)),
            false => Err(Problem::new(at, "the date pattern has no hour")),
        }
    }

    /// A clock that tells a part of a time, such as the day.
    pub(super) fn of_part(items: Vec<Item>) -> Clock {
        Clock { shapes: shapes(&items), items, zone: None }
    }

    /// Whether times say their day; the year may be left out.
    pub(super) fn tells_day(&self) -> bool {
        let seen = Told::of(self.items.iter());
        seen.epoch || seen.month && seen.day || seen.year && seen.day_of_year
    }

    /// Whether clocks together tell a date with its year, and an hour.
    pub(super) fn are_complete<'a>(clocks: impl Iterator<Item = &'a Clock>) -> bool {
        let seen = Told::of(clocks.flat_map(|clock| &clock.items));
        seen.epoch || seen.year && (seen.day_of_year || seen.month && seen.day) && seen.hour
    }

    /// Lets a fraction follow the second.
    pub(super) fn relax_second(&mut self) {
        let second = self.items.iter().position(|item| matches!(item, Item::Number(Part::Second, ..)));
        if let Some(second) = second {
            self.items.insert(second + 1, Item::Finer);
            self.shapes = shapes(&self.items);
        }
    }

    /// Lets a space stand for a `T`.
    pub(super) fn relax_date_end(&mut self) {
        self.items.iter_mut().filter(|item| **item == Item::Byte(b'T')).for_each(|item| *item = Item::DateEnd);
        self.shapes = shapes(&self.items);
    }

    /// Reads the time that `text` starts with, and gives where it ends.
    pub(super) fn read(&self, text: &[u8]) -> Option<(Stamp, usize)> {
        let mut stamp = Stamp::default();
        let end = self.read_part(text, &mut stamp)?;
        Some((stamp, end))
    }

    /// Where the time ends that `text` starts with, if it has the usual shape and that is all it takes; of other texts
    /// [`Clock::read`] tells.
    #[inline]
    pub(super) fn usual_end(&self, text: &[u8]) -> Option<usize> {
        let shape = self.shapes.first()?.as_ref().filter(|shape| shape.items == self.items.len() && shape.is_sure())?;
        shape.fits(text).then_some(shape.bytes)
    }

    /// Reads a part of a time that `text` starts with, and gives where it ends; further clocks may add theirs.
    pub(super) fn read_part(&self, text: &[u8], stamp: &mut Stamp) -> Option<usize> {
        let (mut at, mut n) = (0, 0);
        while let Some(item) = self.items.get(n) {
            let rest = text.get(at..)?;
            let shape = self.shapes.get(n).and_then(Option::as_ref);
            match shape.and_then(|shape| stamp.take_shape(shape, rest)) {
                Some((items, bytes)) => (n, at) = (n + items, at + bytes),
                None => (n, at) = (n + 1, at + stamp.take(item, rest)?),
            }
        }
        Some(at)
    }

    /// Microseconds since 1970 UTC of a time; the outer `None` means that there is no such time, the inner one that it
    /// leaves out what nobody knows.
    pub(super) fn micros(&self, stamp: &Stamp, millis: i64, zone: Zone, arrived: i64) -> Option<Option<i64>> {
        stamp.micros(millis, self.zone.unwrap_or(zone), arrived)
    }

    /// The same of a text that is the time and nothing else.
    pub(super) fn whole_micros(&self, text: &[u8], zone: Zone, arrived: i64) -> Option<Option<i64>> {
        let (stamp, _) = self.read(text).filter(|(_, end)| *end == text.len())?;
        self.micros(&stamp, 0, zone, arrived)
    }
}

/// The shapes of items: of a run of them, the one from its start on. A number that spaces may make wide has any width.
fn shapes(items: &[Item]) -> Vec<Option<Shape>> {
    let mut shapes = Vec::new();
    while shapes.len() < items.len() {
        let is_padded = items[..shapes.len()].last() == Some(&Item::Spaces);
        let shape = items.get(shapes.len()..).filter(|_| !is_padded).and_then(Shape::of);
        let length = shape.as_ref().map_or(1, |shape| shape.items);
        shapes.push(shape);
        shapes.extend((1..length).map(|_| None));
    }
    shapes
}

/// Which parts of a time items tell.
#[derive(Default)]
struct Told {
    year: bool,
    month: bool,
    day: bool,
    day_of_year: bool,
    hour: bool,
    epoch: bool,
}

impl Told {
    fn of<'a>(items: impl Iterator<Item = &'a Item>) -> Told {
        let (mut told, mut has_half, mut has_half_hour) = (Told::default(), false, false);
        for item in items {
            match item {
                Item::Number(Part::Year | Part::YearOfCentury, ..) => told.year = true,
                Item::Number(Part::Month, ..) | Item::MonthName => told.month = true,
                Item::Number(Part::Day, ..) => told.day = true,
                Item::Number(Part::DayOfYear, ..) => told.day_of_year = true,
                Item::Number(Part::Hour, ..) => told.hour = true,
                Item::Number(Part::HalfHour, ..) => has_half_hour = true,
                Item::Half => has_half = true,
                Item::Epoch(_) => told.epoch = true,
                _ => {}
            }
        }
        told.hour |= has_half && has_half_hour;
        told
    }
}

impl Stamp {
    /// Microseconds since 1970 UTC; `zone` is that of a time that names none. As for [`Clock::micros`].
    pub(super) fn micros(&self, millis: i64, zone: Zone, arrived: i64) -> Option<Option<i64>> {
        let finer = self.civil.micros + millis * 1_000;
        if let Some(epoch) = self.epoch {
            // One that is finer than a second has its fraction already.
            let is_whole = epoch % 1_000_000 == 0;
            return epoch.checked_add(if is_whole { finer } else { 0 }).map(Some);
        }
        let zone = self.zone.map(Zone::Fixed).or(self.named).unwrap_or(zone);
        let mut civil = Civil { micros: finer, ..self.civil };
        if let Some(is_afternoon) = self.half {
            civil.hour = civil.hour % 12 + if is_afternoon { 12 } else { 0 };
        }
        if self.day_of_year > 0 && !self.known.month {
            let first = Civil { month: 1, day: 1, ..civil }.utc_micros(0).filter(|_| self.day_of_year <= year_days(civil.year))?;
            return zone.local_micros(first + (self.day_of_year - 1) * 86_400_000_000).map(Some);
        }
        let known = match self.known {
            Seen { year: true, month: true, day: true } => Known::Date,
            Seen { month: true, day: true, .. } => Known::MonthAndDay,
            _ => Known::TimeOfDay,
        };
        zone.closest_micros(&civil, known, arrived)
    }

    /// Takes the items of a shape in, and gives how many they are and how many bytes they have.
    #[inline]
    fn take_shape(&mut self, shape: &Shape, text: &[u8]) -> Option<(usize, usize)> {
        for (part, number) in shape.numbers(text)? {
            match part {
                Some(part) => self.set(part, number)?,
                None => self.civil.micros = number,
            }
        }
        Some((shape.items, shape.bytes))
    }

    /// Takes an item in, and gives how many bytes it has.
    fn take(&mut self, item: &Item, text: &[u8]) -> Option<usize> {
        match *item {
            Item::Byte(byte) => (text.first() == Some(&byte)).then_some(1),
            Item::Spaces => Some(text.iter().take_while(|byte| **byte == b' ').count()),
            Item::DateEnd => matches!(text.first(), Some(b' ' | b'T')).then_some(1),
            Item::Number(part, least, most) => {
                let (number, length) = number(text, least, most)?;
                self.set(part, number)?;
                Some(length)
            }
            Item::MonthName => {
                self.civil.month = month(text.get(..3)?)?;
                self.known.month = true;
                const FULL: [&str; 12] = [
                    "January",
                    "February",
                    "March",
                    "April",
                    "May",
                    "June",
                    "July",
                    "August",
                    "September",
                    "October",
                    "November",
                    "December",
                ];
                let full = FULL.get(self.civil.month as usize - 1)?.as_bytes();
                Some(if text.starts_with(full) { full.len() } else { 3 })
            }
            Item::Weekday => {
                Some(text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count()).filter(|length| (3..=9).contains(length))
            }
            Item::Half => {
                self.half = Some(match text.get(..2)?.to_ascii_uppercase().as_slice() {
                    b"AM" => false,
                    b"PM" => true,
                    _ => return None,
                });
                Some(2)
            }
            Item::Finer => match text {
                [b'.' | b',', rest @ ..] if rest.first().is_some_and(u8::is_ascii_digit) => {
                    self.take(&Item::Fraction(1, 9), rest).map(|length| length + 1)
                }
                _ => Some(0),
            },
            Item::Fraction(least, most) => {
                let length = text.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
                self.civil.micros = fraction_micros(&text[..length]).filter(|_| length >= least)?;
                Some(length)
            }
            Item::Zone { is_optional } => self.zone(text).or(is_optional.then_some(0)),
            Item::Epoch(micros) => {
                let is_negative = text.first() == Some(&b'-');
                let (units, length) = number(&text[usize::from(is_negative)..], 1, EPOCH_DIGITS)?;
                self.epoch = Some(if is_negative { -units } else { units }.checked_mul(micros)?);
                Some(length + usize::from(is_negative))
            }
        }
    }

    fn set(&mut self, part: Part, number: i64) -> Option<()> {
        match part {
            Part::Year => (self.civil.year, self.known.year) = (number, true),
            Part::YearOfCentury => (self.civil.year, self.known.year) = (number + if number < 69 { 2000 } else { 1900 }, true),
            Part::Month => (self.civil.month, self.known.month) = (number, true),
            Part::Day => (self.civil.day, self.known.day) = (number, true),
            Part::DayOfYear => self.day_of_year = Some(number).filter(|day| (1..=366).contains(day))?,
            Part::Hour => self.civil.hour = number,
            Part::HalfHour => self.civil.hour = Some(number).filter(|hour| *hour <= 12)?,
            Part::Minute => self.civil.minute = number,
            Part::Second => self.civil.second = number,
            Part::Other => {}
        }
        Some(())
    }

    fn zone(&mut self, text: &[u8]) -> Option<usize> {
        // What most logs write.
        if let Some(seconds) = text.get(..5).filter(|text| matches!(text[0], b'+' | b'-')).and_then(offset) {
            self.zone = Some(seconds);
            return Some(5);
        }
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b':' | b'/' | b'_');
        let length = text.iter().take(40).take_while(|byte| is_name(byte)).count();
        // An offset may be followed by what belongs to something else.
        for length in [length, 6, 5, 3, 1].into_iter().filter(|shorter| *shorter <= length) {
            if let Some(seconds) = offset(&text[..length]) {
                self.zone = Some(seconds);
                return Some(length);
            }
        }
        self.named = Zone::find(std::str::from_utf8(&text[..length]).ok()?);
        self.named.map(|_| length)
    }
}

/// The number that a text starts with, of at least and at most so many digits, and how many it has.
fn number(text: &[u8], least: usize, most: usize) -> Option<(i64, usize)> {
    let (mut value, mut length) = (0, 0);
    while let Some(digit) = text.get(length).copied().and_then(digit).filter(|_| length < most) {
        value = value * 10 + i64::from(digit);
        length += 1;
    }
    (length >= least).then_some((value, length))
}
