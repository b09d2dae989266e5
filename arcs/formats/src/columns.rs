//! Cells of rows flow in, arrow arrays flow out. Text is not copied: a cell names its bytes in the block it came from,
//! and the array holds the block.
//!
//! Invariant: every text cell is valid UTF-8, because blocks are made valid before a format sees them and formats cut
//! them at ASCII bytes. So text arrays travel as binary views, which nothing checks a second time, below Parquet
//! columns declared as strings.

use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::{
    ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray, new_null_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, TimeUnit};

/// The time zone of all times.
const UTC: &str = "UTC";

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes of any kind.
    Bytes,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A 64-bit floating-point number.
    Double,
    /// True or false.
    Boolean,
    /// A time, in microseconds since 1970 UTC.
    Time,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [Kind::Text, Kind::Bytes, Kind::Int32, Kind::Int64, Kind::Double, Kind::Boolean, Kind::Time];

    /// Its name in listings; SQL's.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Bytes => "binary",
            Kind::Int32 => "int",
            Kind::Int64 => "bigint",
            Kind::Double => "double",
            Kind::Boolean => "boolean",
            Kind::Time => "timestamp",
        }
    }

    /// The type of that name; the other way of [`Kind::as_str`].
    pub fn find(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Its arrow type, as Parquet files declare it.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Boolean => DataType::Boolean,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        }
    }

    /// The arrow type of its arrays before they are written.
    fn array_type(self) -> DataType {
        match self {
            Kind::Text | Kind::Bytes => DataType::BinaryView,
            other => other.data_type(),
        }
    }

    /// A nullable field of this type.
    pub fn field(self, name: &str) -> Field {
        Field::new(name, self.data_type(), true)
    }
}

/// One value of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Cell {
    /// Nothing.
    #[default]
    Null,
    /// An integer, a time in microseconds, or a boolean as 0 and 1.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes of the block.
    Block {
        /// Where they start.
        offset: u32,
        /// How many.
        len: u32,
    },
    /// Bytes of the arena, which holds what is in no block: decoded and repaired text.
    Arena {
        /// Where they start.
        offset: u32,
        /// How many.
        len: u32,
    },
}

/// The cells of one row while a format fills them.
#[derive(Debug)]
pub struct Row<'a> {
    block: &'a [u8],
    arena: &'a mut String,
    cells: Vec<Cell>,
    extra: Cell,
}

impl<'a> Row<'a> {
    /// A row of nulls whose text will lie in `block` or be added to `arena`.
    pub fn new(block: &'a [u8], arena: &'a mut String, columns: usize) -> Row<'a> {
        Row { block, arena, cells: vec![Cell::Null; columns], extra: Cell::Null }
    }

    /// Makes all cells null.
    pub fn clear(&mut self) {
        self.cells.fill(Cell::Null);
        self.extra = Cell::Null;
    }

    /// Makes the cells from a column on null.
    pub fn clear_from(&mut self, column: usize) {
        self.cells[column..].fill(Cell::Null);
        self.extra = Cell::Null;
    }

    /// Makes a cell null.
    pub fn clear_cell(&mut self, column: usize) {
        self.cells[column] = Cell::Null;
    }

    /// Gives a column the cell of another.
    pub fn copy(&mut self, from: usize, to: usize) {
        self.cells[to] = self.cells[from];
    }

    /// Sets a text: a piece of the line, cut at ASCII bytes. Other bytes are copied.
    #[inline]
    pub fn text(&mut self, column: usize, value: &[u8]) {
        self.cells[column] = match self.place(value) {
            Some(cell) => cell,
            None => self.keep(&String::from_utf8_lossy(value)),
        };
    }

    /// Sets a text that is not in the line.
    pub fn owned(&mut self, column: usize, value: &str) {
        self.cells[column] = self.keep(value);
    }

    /// Sets a text that `write` adds to the arena, where its own older text must stay as it is.
    pub fn write(&mut self, column: usize, write: impl FnOnce(&mut String)) {
        let offset = self.arena.len();
        write(self.arena);
        self.cells[column] = Cell::Arena { offset: offset as u32, len: self.arena.len().saturating_sub(offset) as u32 };
    }

    /// Sets an integer.
    #[inline]
    pub fn int(&mut self, column: usize, value: i64) {
        self.cells[column] = Cell::Int(value);
    }

    /// Sets a floating-point number.
    #[inline]
    pub fn double(&mut self, column: usize, value: f64) {
        self.cells[column] = Cell::Double(value);
    }

    /// Sets a boolean.
    #[inline]
    pub fn boolean(&mut self, column: usize, value: bool) {
        self.cells[column] = Cell::Int(i64::from(value));
    }

    /// Sets a time, in microseconds since 1970 UTC.
    #[inline]
    pub fn time(&mut self, column: usize, micros: i64) {
        self.cells[column] = Cell::Int(micros);
    }

    /// Sets the fields that the format does not know, as JSON text.
    pub fn set_extra(&mut self, json: &str) {
        self.extra = self.keep(json);
    }

    /// A cell.
    pub fn cell(&self, column: usize) -> Cell {
        self.cells.get(column).copied().unwrap_or_default()
    }

    /// All cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The fields that the format does not know.
    pub fn extra(&self) -> Cell {
        self.extra
    }

    /// The arena, where text lies that is in no block.
    pub fn arena(&self) -> &[u8] {
        self.arena.as_bytes()
    }

    /// The bytes of a text cell; empty for others.
    pub fn bytes(&self, cell: Cell) -> &[u8] {
        bytes(cell, self.block, self.arena.as_bytes())
    }

    /// A cell for people; `None` where it is null.
    pub fn shown(&self, cell: Cell) -> Option<String> {
        match cell {
            Cell::Null => None,
            Cell::Int(value) => Some(value.to_string()),
            Cell::Double(value) => Some(value.to_string()),
            text => Some(String::from_utf8_lossy(self.bytes(text)).into_owned()),
        }
    }

    /// Where `value` lies in the block, if it does.
    #[inline]
    fn place(&self, value: &[u8]) -> Option<Cell> {
        let offset = (value.as_ptr() as usize).checked_sub(self.block.as_ptr() as usize)?;
        (offset + value.len() <= self.block.len()).then_some(Cell::Block { offset: offset as u32, len: value.len() as u32 })
    }

    fn keep(&mut self, value: &str) -> Cell {
        let offset = self.arena.len() as u32;
        self.arena.push_str(value);
        Cell::Arena { offset, len: value.len() as u32 }
    }
}

fn bytes<'b>(cell: Cell, block: &'b [u8], arena: &'b [u8]) -> &'b [u8] {
    let (from, offset, len) = match cell {
        Cell::Block { offset, len } => (block, offset, len),
        Cell::Arena { offset, len } => (arena, offset, len),
        Cell::Null | Cell::Int(_) | Cell::Double(_) => return &[],
    };
    from.get(offset as usize..offset as usize + len as usize).unwrap_or_default()
}

/// Rows that wait as cells until they are moved to their columns, a column at a time: as many as a word has bits.
const WAITING_ROWS: usize = u64::BITS as usize;

/// Columns of equal length that grow row by row.
pub struct Columns {
    growing: Vec<Growing>,
    /// The cells of rows that wait, row by row.
    waiting: Vec<Cell>,
    rows: usize,
}

struct Growing {
    kind: Kind,
    /// A bit for each row: whether it has a value. From the lowest of the first word on.
    valid: Vec<u64>,
    values: Values,
    /// Rows before the first value: formats with many columns leave most of them null.
    missing: usize,
}

enum Values {
    Views(Vec<u128>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Double(Vec<f64>),
    Boolean(Vec<bool>),
}

/// Adds a value for each cell, or `missing` of them before the first; gives which cells had one, a bit each.
#[inline]
fn extend<T: Copy + Default>(
    values: &mut Vec<T>,
    missing: &mut usize,
    cells: impl Iterator<Item = Cell> + Clone,
    value: impl Fn(Cell) -> T,
) -> u64 {
    let valid = cells.clone().enumerate().fold(0, |valid, (row, cell)| valid | u64::from(cell != Cell::Null) << row);
    if valid == 0 && values.is_empty() {
        *missing += cells.count();
        return 0;
    }
    if *missing > 0 {
        values.resize(std::mem::take(missing), T::default());
    }
    values.extend(cells.map(|cell| if cell == Cell::Null { T::default() } else { value(cell) }));
    valid
}

/// The place of the block and of the arena among the buffers of a text array.
const BLOCK: u32 = 0;
const ARENA: u32 = 1;

/// Bytes of the longest text that a view holds itself.
const VIEW_TEXT_BYTES: u32 = 12;

/// The view of a text: its length, then the text itself where it is short, else its first four bytes and its place.
#[inline]
fn view(bytes: &[u8], buffer: u32, offset: u32, len: u32) -> u128 {
    let at = offset as usize;
    let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) else {
        let text = bytes.get(at..at + len as usize).unwrap_or_default();
        return make_view(text, buffer, offset);
    };
    let head = u128::from_le_bytes(*head);
    match len <= VIEW_TEXT_BYTES {
        true => u128::from(len) | (head & ((1 << (len * 8)) - 1)) << 32,
        false => u128::from(len) | u128::from(head as u32) << 32 | u128::from(buffer) << 64 | u128::from(offset) << 96,
    }
}

impl Columns {
    /// Empty columns with room for `rows`.
    pub fn new(kinds: impl Iterator<Item = Kind>, rows: usize) -> Columns {
        let growing = |kind| {
            let values = match kind {
                Kind::Text | Kind::Bytes => Values::Views(Vec::with_capacity(rows)),
                Kind::Int32 => Values::Int32(Vec::with_capacity(rows)),
                Kind::Int64 | Kind::Time => Values::Int64(Vec::with_capacity(rows)),
                Kind::Double => Values::Double(Vec::with_capacity(rows)),
                Kind::Boolean => Values::Boolean(Vec::with_capacity(rows)),
            };
            Growing { kind, valid: Vec::with_capacity(rows / WAITING_ROWS + 1), values, missing: 0 }
        };
        let growing: Vec<Growing> = kinds.map(growing).collect();
        Columns { waiting: Vec::with_capacity(growing.len() * WAITING_ROWS), growing, rows: 0 }
    }

    /// Appends a row: a cell for each column, in their order, `cells` and then `others`. `block` and `arena` are where
    /// their texts lie.
    #[inline]
    pub fn append(&mut self, cells: &[Cell], others: &[Cell], block: &[u8], arena: &[u8]) {
        self.waiting.extend_from_slice(cells);
        self.waiting.extend_from_slice(others);
        debug_assert_eq!(cells.len() + others.len(), self.growing.len(), "a row has a cell for each column");
        self.rows += 1;
        if self.rows.is_multiple_of(WAITING_ROWS) {
            self.move_waiting(block, arena);
        }
    }

    fn move_waiting(&mut self, block: &[u8], arena: &[u8]) {
        let columns = self.growing.len();
        for (n, column) in self.growing.iter_mut().enumerate() {
            column.extend(self.waiting.get(n..).unwrap_or_default().iter().step_by(columns).copied(), block, arena);
        }
        self.waiting.clear();
    }

    /// The arrays, over `block` and `arena`.
    pub fn finish(mut self, block: &Buffer, arena: String) -> Result<Vec<ArrayRef>, ArrowError> {
        self.move_waiting(block, arena.as_bytes());
        let buffers: Arc<[Buffer]> = [block.clone(), Buffer::from_vec(arena.into_bytes())].into();
        self.growing.into_iter().map(|column| column.finish(self.rows, &buffers)).collect()
    }
}

impl Growing {
    fn extend(&mut self, cells: impl Iterator<Item = Cell> + Clone, block: &[u8], arena: &[u8]) {
        let whole = |cell| if let Cell::Int(value) = cell { value } else { 0 };
        let missing = &mut self.missing;
        self.valid.push(match &mut self.values {
            Values::Views(views) => extend(views, missing, cells, |cell| match cell {
                Cell::Block { offset, len } => view(block, BLOCK, offset, len),
                Cell::Arena { offset, len } => view(arena, ARENA, offset, len),
                _ => 0,
            }),
            Values::Int32(values) => extend(values, missing, cells, |cell| whole(cell) as i32),
            Values::Int64(values) => extend(values, missing, cells, whole),
            Values::Double(values) => extend(values, missing, cells, |cell| match cell {
                Cell::Double(value) => value,
                cell => whole(cell) as f64,
            }),
            Values::Boolean(values) => extend(values, missing, cells, |cell| cell == Cell::Int(1)),
        });
    }

    fn finish(self, rows: usize, buffers: &Arc<[Buffer]>) -> Result<ArrayRef, ArrowError> {
        if self.missing == rows && rows > 0 {
            return Ok(new_null_array(&self.kind.array_type(), rows));
        }
        let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(self.valid), 0, rows));
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        Ok(match (self.kind, self.values) {
            (_, Values::Views(views)) => Arc::new(BinaryViewArray::try_new(ScalarBuffer::from(views), buffers.clone(), nulls)?),
            (_, Values::Int32(values)) => Arc::new(Int32Array::try_new(values.into(), nulls)?),
            (Kind::Time, Values::Int64(values)) => Arc::new(TimestampMicrosecondArray::try_new(values.into(), nulls)?.with_timezone(UTC)),
            (_, Values::Double(values)) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            (_, Values::Boolean(values)) => Arc::new(BooleanArray::new(values.into(), nulls)),
            (_, Values::Int64(values)) => Arc::new(Int64Array::try_new(values.into(), nulls)?),
        })
    }
}

/// The same text in every row.
pub fn constant(text: &str, rows: usize) -> Result<ArrayRef, ArrowError> {
    let view = make_view(text.as_bytes(), 0, 0);
    let buffers: Arc<[Buffer]> = [Buffer::from_vec(text.as_bytes().to_vec())].into();
    Ok(Arc::new(BinaryViewArray::try_new(vec![view; rows].into(), buffers, None)?))
}

/// A time in microseconds since 1970 as people read it.
pub fn time_text(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        None => micros.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, TimestampMicrosecondType};

    #[test]
    fn cells_become_arrays_over_the_block() {
        let block = b"short and a rather long text".to_vec();
        let (mut arena, mut columns) = (String::new(), Columns::new([Kind::Text, Kind::Int32, Kind::Time].into_iter(), 2));
        let mut row = Row::new(&block, &mut arena, 3);
        row.text(0, &block[10..]);
        row.int(1, 7);
        row.time(2, 1_000_000);
        assert_eq!(row.shown(row.cell(0)).as_deref(), Some("a rather long text"));
        let cells = row.cells().to_vec();
        row.clear();
        row.text(0, b"not in the block, so it is copied");
        let others = row.cells().to_vec();
        columns.append(&cells, &[], &block, arena.as_bytes());
        columns.append(&others, &[], &block, arena.as_bytes());
        let arrays = columns.finish(&Buffer::from_vec(block), arena).unwrap();
        assert_eq!(arrays[0].as_binary_view().value(0), b"a rather long text");
        assert_eq!(arrays[0].as_binary_view().value(1), b"not in the block, so it is copied");
        assert_eq!((arrays[1].as_primitive::<Int32Type>().value(0), arrays[1].is_null(1)), (7, true));
        assert_eq!(arrays[2].as_primitive::<TimestampMicrosecondType>().value(0), 1_000_000);
        assert_eq!(time_text(1_000_000), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn nulls_are_where_they_were() {
        const KINDS: [Kind; 7] = [Kind::Text, Kind::Bytes, Kind::Int32, Kind::Int64, Kind::Double, Kind::Boolean, Kind::Time];
        let rows = |cells: &[Cell]| {
            let mut columns = Columns::new(KINDS.into_iter(), 0);
            cells.iter().for_each(|cell| columns.append(&[*cell; 7], &[], b"text", b""));
            columns.finish(&Buffer::from_vec(b"text".to_vec()), String::new()).unwrap()
        };
        let (set, text) = (Cell::Int(1), Cell::Block { offset: 0, len: 4 });
        let some = [rows(&[Cell::Null, text, Cell::Null, Cell::Null]), rows(&[Cell::Null, set, Cell::Null, Cell::Null])];
        for (n, none) in rows(&[Cell::Null; 4]).iter().enumerate() {
            let array = &some[usize::from(n > 1)][n];
            assert_eq!((array.data_type(), none.data_type()), (&KINDS[n].array_type(), &KINDS[n].array_type()));
            assert_eq!((0..4).map(|row| array.is_null(row)).collect::<Vec<_>>(), [true, false, true, true]);
            assert_eq!((array.len(), none.len(), none.null_count()), (4, 4, 4));
        }
    }
}
