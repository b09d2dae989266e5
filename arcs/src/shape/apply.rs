//! One block: rows of the format flow in; rows of the table, the rows that failed, and what became of each flow out.

use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::TimestampMicrosecondType;
use manifests::Counts;

use super::Shape;
use super::folders::{Folders, folders};
use super::redact::{RedactKey, Redaction, redact};
use super::select::Selected;
use crate::error::ArcsError;
use crate::lineage::BlockOrigin;
use crate::parse::{LineAt, ParsedBlock};

/// A shaped block.
#[derive(Debug)]
pub(crate) struct Shaped {
    /// The block; `rows`, `row_lines`, `times` and `counts` are those of the table, lineage at the end of `rows`.
    pub parsed: ParsedBlock,
    /// The different values of the partition columns, as folders show them.
    pub values: Vec<String>,
    /// The place in `values` of each row; empty where no column is a partition.
    pub places: Vec<u32>,
    /// Records that are no rows after all, and why, in order.
    pub failed: Vec<(LineAt, String)>,
    /// What the format counted.
    read: Counts,
    /// Rows whose condition was not true.
    filtered: u64,
    /// The lines that needed more than the plain reading or have fields that the format does not know, and which of both.
    marks: Vec<(u32, bool, bool)>,
}

impl Shape {
    /// Makes the rows of a block rows of the table.
    pub(crate) fn apply(&self, mut parsed: ParsedBlock, origin: &BlockOrigin, key: Option<&RedactKey>) -> Result<Shaped, ArcsError> {
        if !self.keeps_raw && !parsed.rejects.is_empty() {
            parsed.rejects[0] = new_null_array(parsed.rejects[0].data_type(), parsed.rejects[0].len());
        }
        let mut shaped = Shaped::of(parsed);
        if shaped.parsed.row_lines.is_empty() {
            return Ok(shaped);
        }
        for (column, way) in self.redactions.iter().filter(|redaction| redaction.1 != Redaction::Drop) {
            shaped.parsed.rows[*column] = redact(&shaped.parsed.rows[*column], *way, key)?;
        }
        let log: Vec<ArrayRef> = self.log.iter().map(|column| shaped.parsed.rows[*column].clone()).collect();
        let outputs = self.select(log, &mut shaped, origin)?;
        let outputs = self.split_folders(outputs, &mut shaped)?;
        shaped.count();
        let mut columns: Vec<ArrayRef> = self.files.iter().map(|output| outputs[*output].clone()).collect();
        columns.extend(origin.lineage(shaped.parsed.row_lines.iter().map(|line| line.number), self.has_lot())?);
        shaped.parsed.rows = columns;
        Ok(shaped)
    }

    /// Runs the `select`: gives the outputs, and leaves the lines and times of their rows.
    fn select(&self, log: Vec<ArrayRef>, shaped: &mut Shaped, origin: &BlockOrigin) -> Result<Vec<ArrayRef>, ArcsError> {
        let Some(select) = &self.select else { return Ok(log) };
        let parsed = &mut shaped.parsed;
        let lineage = match select.reads.iter().any(|column| *column >= log.len()) {
            true => origin.lineage(parsed.row_lines.iter().map(|line| line.number), true)?,
            false => Vec::new(),
        };
        let column = |at: &usize| log.get(*at).unwrap_or_else(|| &lineage[*at - log.len()]).clone();
        let reads: Vec<ArrayRef> = select.reads.iter().map(column).collect();
        let Selected { rows, columns, filtered, failed } = select.evaluate(&reads, parsed.row_lines.len()).map_err(ArcsError::internal)?;
        shaped.filtered = filtered;
        shaped.failed = failed.into_iter().map(|(row, reason)| (parsed.row_lines[row as usize], format!("select: {reason}"))).collect();
        shaped.keep(&rows);
        if let Some(time) = self.time {
            let times = columns[time].as_primitive_opt::<TimestampMicrosecondType>();
            shaped.parsed.times = times.map(|times| times.iter().collect()).ok_or_else(|| ArcsError::internal("`time` is no time"))?;
        }
        Ok(columns)
    }

    /// Takes the values of partition columns; rows whose value can be no folder fail.
    fn split_folders(&self, outputs: Vec<ArrayRef>, shaped: &mut Shaped) -> Result<Vec<ArrayRef>, ArcsError> {
        if self.folders.is_empty() {
            return Ok(outputs);
        }
        let columns: Vec<_> = self.partition_columns.iter().zip(self.folders.iter().map(|output| &outputs[*output])).collect();
        let Folders { values, rows } = folders(&columns, shaped.parsed.row_lines.len());
        let (mut kept, mut failed) = (Vec::new(), Vec::new());
        for (row, place) in rows.into_iter().enumerate() {
            match place {
                Ok(place) => {
                    kept.push(row as u32);
                    shaped.places.push(place);
                }
                Err(reason) => failed.push((shaped.parsed.row_lines[row], reason)),
            }
        }
        shaped.values = values;
        if failed.is_empty() {
            return Ok(outputs);
        }
        shaped.keep(&kept);
        shaped.failed.extend(failed);
        shaped.failed.sort_by_key(|(line, _)| line.number);
        let kept = UInt32Array::from(kept);
        outputs.iter().map(|output| take(output, &kept, None).map_err(unfit)).collect()
    }
}

impl Shaped {
    fn of(parsed: ParsedBlock) -> Shaped {
        let marks = match parsed.rows.as_slice() {
            [.., parse, extra] => {
                let mark = |(row, line): (usize, &LineAt)| (line.number, parse.is_valid(row), extra.is_valid(row));
                parsed.row_lines.iter().enumerate().map(mark).filter(|mark| mark.1 || mark.2).collect()
            }
            _ => Vec::new(),
        };
        let read = parsed.counts;
        Shaped { parsed, values: Vec::new(), places: Vec::new(), failed: Vec::new(), read, filtered: 0, marks }
    }

    /// Keeps these rows' lines and times.
    fn keep(&mut self, rows: &[u32]) {
        if rows.len() < self.parsed.row_lines.len() {
            self.parsed.row_lines = rows.iter().map(|row| self.parsed.row_lines[*row as usize]).collect();
            self.parsed.times = rows.iter().map(|row| self.parsed.times[*row as usize]).collect();
        }
    }

    /// Makes rejects of rows: `reasons` has one for each row, none where it stays.
    pub(crate) fn fail(&mut self, reasons: Vec<Option<String>>) -> Result<(), ArcsError> {
        let kept: Vec<u32> = (0..).zip(&reasons).filter(|(_, reason)| reason.is_none()).map(|(row, _)| row).collect();
        let failed = self.parsed.row_lines.iter().zip(reasons).filter_map(|(line, reason)| Some((*line, reason?)));
        self.failed.extend(failed.collect::<Vec<_>>());
        self.failed.sort_by_key(|(line, _)| line.number);
        self.keep(&kept);
        self.places = kept.iter().filter_map(|row| self.places.get(*row as usize).copied()).collect();
        let kept = UInt32Array::from(kept);
        let rows: Result<_, _> = self.parsed.rows.iter().map(|column| take(column, &kept, None)).collect();
        self.parsed.rows = rows.map_err(unfit)?;
        self.count();
        Ok(())
    }

    /// Counts the rows that are left, those that failed as rejects, and which of them are marked.
    fn count(&mut self) {
        let counts = &mut self.parsed.counts;
        *counts = Counts { filtered: self.filtered, recovered: 0, extra: 0, ..self.read };
        counts.rows = self.parsed.row_lines.len() as u64;
        counts.rejected += self.failed.len() as u64;
        // Numbers of lines ascend here and there: both are walked once.
        let mut left = self.parsed.row_lines.iter().map(|line| line.number).peekable();
        for (number, is_recovered, has_extra) in &self.marks {
            while left.next_if(|line| line < number).is_some() {}
            if left.next_if_eq(number).is_some() {
                counts.recovered += u64::from(*is_recovered);
                counts.extra += u64::from(*has_extra);
            }
        }
    }
}

fn unfit(error: arrow::error::ArrowError) -> ArcsError {
    ArcsError::internal(format!("shaped rows do not make arrays: {error}"))
}
