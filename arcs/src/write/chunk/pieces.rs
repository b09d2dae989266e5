//! The bytes of a column chunk: pages flow in, each to a piece of its own, so that nothing grows and is copied; a reader of
//! all of them flows out.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Bytes of a piece at least.
const PIECE_BYTES_MIN: usize = 512;

/// Bytes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    full: Vec<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    /// Adds pieces as they are.
    pub(super) fn append(&mut self, more: Pieces) {
        self.end_piece();
        self.full.extend(more.full);
        self.open = more.open;
    }

    fn end_piece(&mut self) {
        if !self.open.is_empty() {
            self.full.push(std::mem::take(&mut self.open).into());
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.capacity() - self.open.len() < bytes.len() {
            self.end_piece();
            self.open.reserve_exact(bytes.len().max(PIECE_BYTES_MIN));
        }
        self.open.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Length for Pieces {
    fn len(&self) -> u64 {
        self.full.iter().map(|piece| piece.len() as u64).sum::<u64>() + self.open.len() as u64
    }
}

/// A chunk as it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Encoded(VecDeque<Bytes>);

impl From<Pieces> for Encoded {
    fn from(mut pieces: Pieces) -> Encoded {
        pieces.end_piece();
        Encoded(pieces.full.into())
    }
}

impl Read for Encoded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.0.front().is_some_and(Bytes::is_empty) {
            self.0.pop_front();
        }
        let Some(piece) = self.0.front_mut() else { return Ok(0) };
        let count = piece.len().min(into.len());
        piece.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

impl Length for Encoded {
    fn len(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl ChunkReader for Encoded {
    type T = Encoded;

    fn get_read(&self, start: u64) -> Result<Encoded, ParquetError> {
        let (mut rest, mut start) = (self.clone(), start);
        while let Some(piece) = rest.0.front_mut().filter(|_| start > 0) {
            let skipped = start.min(piece.len() as u64);
            piece.advance(skipped as usize);
            start -= skipped;
            if piece.is_empty() {
                rest.0.pop_front();
            }
        }
        Ok(rest)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = Vec::new();
        self.get_read(start)?.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_from_any_place() {
        let (mut first, mut pieces) = (Pieces::default(), Pieces::default());
        first.write_all(b"dictionary").unwrap();
        let all: Vec<u8> = (0..2_000u32).map(|n| n as u8).collect();
        for page in [&all[..3], &all[3..1_000], &[], &all[1_000..]] {
            pieces.write_all(page).unwrap();
        }
        first.append(pieces);
        let expected = [b"dictionary", all.as_slice()].concat();
        assert_eq!(first.len(), expected.len() as u64);
        let encoded = Encoded::from(first);
        assert_eq!(encoded.len(), expected.len() as u64);
        for start in [0, 4, 10, 13, 1_009, 1_010, 2_010, 9_999] {
            let (mut read, rest) = (Vec::new(), expected.get(start..).unwrap_or_default());
            encoded.get_read(start as u64).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, rest, "from {start}");
            assert_eq!(encoded.get_bytes(start as u64, 7).unwrap(), rest[..rest.len().min(7)]);
        }
    }
}
