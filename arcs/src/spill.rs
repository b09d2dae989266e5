//! Rows set aside: lines of partitions for which no writer is open flow in, and flow out again partition by partition.
//! They lie in one temporary file that vanishes with the process; memory holds an index and a bounded buffer.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::error::ArcsError;
use crate::partition::Slot;

/// Bytes that wait in memory before all of them are written.
const BUFFER_BYTES: usize = 16 << 20;

/// Bytes of a line number in the file.
const NUMBER_BYTES: usize = 8;

/// Lines set aside.
pub(crate) struct Spill {
    folder: PathBuf,
    file: Option<File>,
    file_bytes: u64,
    waiting: BTreeMap<Slot, Vec<Lines>>,
    waiting_bytes: usize,
    written: BTreeMap<Slot, Vec<Extent>>,
}

/// Lines of one object, joined by newlines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    /// The object's place among the sources.
    pub source: usize,
    /// The lines, each with a newline at its end.
    pub text: Vec<u8>,
    /// Their numbers in the object, from 1.
    pub numbers: Vec<i64>,
}

/// Where [`Lines`] lie in the file: numbers first, text after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    source: usize,
    offset: u64,
    numbers: u32,
    text_bytes: u32,
}

impl Spill {
    /// Sets lines aside in `folder`; nothing is created before it is needed.
    pub(crate) fn new(folder: PathBuf) -> Spill {
        Spill { folder, file: None, file_bytes: 0, waiting: BTreeMap::new(), waiting_bytes: 0, written: BTreeMap::new() }
    }

    /// Sets a line aside.
    pub(crate) fn add(&mut self, slot: Slot, source: usize, number: i64, line: &[u8]) -> Result<(), ArcsError> {
        let runs = self.waiting.entry(slot).or_default();
        if runs.last().is_none_or(|run| run.source != source || run.text.len() > BUFFER_BYTES) {
            runs.push(Lines { source, ..Lines::default() });
        }
        if let Some(run) = runs.last_mut() {
            run.text.extend_from_slice(line);
            run.text.push(b'\n');
            run.numbers.push(number);
        }
        self.waiting_bytes += line.len() + NUMBER_BYTES;
        if self.waiting_bytes > BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), ArcsError> {
        let fail = |source| ArcsError::Spill { folder: self.folder.display().to_string(), source };
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.folder).map_err(fail)?),
        };
        for (slot, runs) in std::mem::take(&mut self.waiting) {
            for run in runs {
                let numbers: Vec<u8> = run.numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                file.write_all_at(&numbers, self.file_bytes).map_err(fail)?;
                file.write_all_at(&run.text, self.file_bytes + numbers.len() as u64).map_err(fail)?;
                let extent = Extent {
                    source: run.source,
                    offset: self.file_bytes,
                    numbers: run.numbers.len() as u32,
                    text_bytes: run.text.len() as u32,
                };
                self.written.entry(slot).or_default().push(extent);
                self.file_bytes += (numbers.len() + run.text.len()) as u64;
            }
        }
        self.waiting_bytes = 0;
        Ok(())
    }

    /// Where the lines of each partition lie, partitions in order.
    pub(crate) fn partitions(&mut self) -> Result<Vec<(Slot, Vec<Extent>)>, ArcsError> {
        if self.waiting_bytes > 0 {
            self.write()?;
        }
        Ok(std::mem::take(&mut self.written).into_iter().collect())
    }

    /// Reads lines back.
    pub(crate) fn read(&self, extent: Extent) -> Result<Lines, ArcsError> {
        let Some(file) = &self.file else { return Err(ArcsError::internal("nothing was set aside")) };
        let fail = |source| ArcsError::Spill { folder: self.folder.display().to_string(), source };
        let mut numbers = vec![0; extent.numbers as usize * NUMBER_BYTES];
        let mut text = vec![0; extent.text_bytes as usize];
        file.read_exact_at(&mut numbers, extent.offset).map_err(fail)?;
        file.read_exact_at(&mut text, extent.offset + numbers.len() as u64).map_err(fail)?;
        let numbers = numbers.as_chunks::<NUMBER_BYTES>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
        Ok(Lines { source: extent.source, text, numbers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_by_partition() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path().to_owned());
        let long = vec![b'x'; BUFFER_BYTES / 3];
        for number in 0..10 {
            spill.add(Some(number % 2), (number / 5) as usize, number + 1, &long).unwrap();
            spill.add(None, 0, number + 1, b"short").unwrap();
        }
        let partitions = spill.partitions().unwrap();
        assert_eq!(partitions.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [None, Some(0), Some(1)]);
        let odd: Vec<i64> = partitions[2].1.iter().flat_map(|extent| spill.read(*extent).unwrap().numbers).collect();
        assert_eq!(odd, [2, 4, 6, 8, 10]);
        let short: Vec<u8> = partitions[0].1.iter().flat_map(|extent| spill.read(*extent).unwrap().text).collect();
        assert_eq!(short, b"short\n".repeat(10));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }
}
