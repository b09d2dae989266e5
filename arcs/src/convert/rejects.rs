//! Rejects of a block: those of the format, and records that are no rows of the table after all, flow in; rows of the
//! rejects' table flow out, in the order of the lines.

use arrow::array::{ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::error::ArrowError;

use crate::error::ArcsError;
use crate::parse::{LineAt, ParsedBlock};
use crate::reject::{Rejected, Rejects};

/// The rejects of a block, and the first line of each.
pub(super) fn merge(parsed: &ParsedBlock, failed: &[(LineAt, String)], keeps_raw: bool) -> Result<(Vec<ArrayRef>, Vec<u32>), ArcsError> {
    if failed.is_empty() {
        return Ok((parsed.rejects.clone(), parsed.reject_lines.clone()));
    }
    together(parsed, failed, keeps_raw).map_err(|error| ArcsError::internal(format!("rejects do not make arrays: {error}")))
}

fn together(parsed: &ParsedBlock, failed: &[(LineAt, String)], keeps_raw: bool) -> Result<(Vec<ArrayRef>, Vec<u32>), ArrowError> {
    let mut rejects = Rejects::default();
    for (line, reason) in failed {
        let (start, end) = (line.start as usize, line.end as usize);
        let byte_offset = parsed.offset + start as u64;
        let raw_bytes = (end - start) as u64;
        // The format read the record, so it can be read again.
        let rejected = Rejected { raw: (start, end), raw_bytes, reason, reason_at: Some(0), byte_offset, header: None };
        rejects.append(rejected, &parsed.text);
    }
    let mut columns = rejects.finish(&parsed.text)?;
    if !keeps_raw {
        columns[0] = new_null_array(columns[0].data_type(), columns[0].len());
    }
    let lines: Vec<u32> = parsed.reject_lines.iter().copied().chain(failed.iter().map(|(line, _)| line.number)).collect();
    let mut order: Vec<u32> = (0..lines.len() as u32).collect();
    order.sort_by_key(|place| lines[*place as usize]);
    let sorted = UInt32Array::from(order.clone());
    let joined = columns.iter().enumerate().map(|(at, column)| match parsed.rejects.get(at) {
        None => take(column, &sorted, None),
        Some(first) => take(&concat(&[first.as_ref(), column.as_ref()])?, &sorted, None),
    });
    Ok((joined.collect::<Result<_, _>>()?, order.iter().map(|place| lines[*place as usize]).collect()))
}
