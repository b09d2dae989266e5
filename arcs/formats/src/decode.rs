//! Stored bytes flow in, plain bytes flow out. The compression is told by magic bytes, never by a name. What inflates
//! past [`InflationLimit`] ends there with an error that becomes one reject; nothing is inflated without bound.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read from a store at a time.
const STORED_BUFFER_BYTES: usize = 256 * 1024;

/// Plain bytes given at a time, so that a bomb is seen soon.
const PLAIN_READ_BYTES_MAX: usize = 256 * 1024;

/// The longest magic number, in bytes.
const MAGIC_BYTES: usize = 4;

/// A compression, told by magic bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None.
    Plain,
    /// gzip, one or several members (RFC 1952).
    Gzip,
    /// zstd, one or several frames (RFC 8878).
    Zstd,
    /// bzip2, one or several streams.
    Bzip2,
}

impl Compression {
    /// Tells the compression of an object that starts with `head`.
    pub fn of(head: &[u8]) -> Compression {
        match head {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
            _ => Compression::Plain,
        }
    }

    /// Its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::Plain => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
        }
    }
}

/// How far an object may inflate: past `bytes_free`, no further than `ratio_max` times what was read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InflationLimit {
    /// Plain bytes that are always allowed.
    pub bytes_free: u64,
    /// Plain bytes for each stored byte beyond that.
    pub ratio_max: u64,
}

impl Default for InflationLimit {
    /// 1 GiB, and 200 times beyond: logs that compress better than 200 to 1 do not reach a gigabyte in practice.
    fn default() -> Self {
        InflationLimit { bytes_free: 1 << 30, ratio_max: 200 }
    }
}

/// A reader of plain bytes.
pub struct Decoder {
    compression: Compression,
    inner: Box<dyn Read + Send>,
    stored: Arc<AtomicU64>,
    plain: u64,
    limit: InflationLimit,
}

impl Decoder {
    /// Looks at the first bytes of `stored` and decodes accordingly. Fails only where `stored` does.
    pub fn new(stored: impl Read + Send + 'static, limit: InflationLimit) -> io::Result<Decoder> {
        let count = Arc::new(AtomicU64::new(0));
        let mut stored = Counting { inner: stored, count: count.clone() };
        let head = read_head(&mut stored)?;
        let compression = Compression::of(&head);
        let whole = io::Cursor::new(head).chain(stored);
        let inner: Box<dyn Read + Send> = match compression {
            Compression::Plain => Box::new(whole),
            Compression::Gzip => Box::new(Gzip::new(BufReader::with_capacity(STORED_BUFFER_BYTES, whole))),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(STORED_BUFFER_BYTES, whole))?),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(BufReader::with_capacity(STORED_BUFFER_BYTES, whole))),
        };
        Ok(Decoder { compression, inner, stored: count, plain: 0, limit })
    }

    /// The compression that was found.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Stored bytes read so far.
    pub fn stored_bytes(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    fn is_past_limit(&self) -> bool {
        let limit = self.limit;
        let allowed = limit.bytes_free.max(self.stored_bytes().saturating_mul(limit.ratio_max));
        self.compression != Compression::Plain && self.plain > allowed
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_past_limit() {
            let (plain, stored) = (self.plain, self.stored_bytes());
            return Err(io::Error::other(format!("{stored} bytes inflate to {plain} and more, past the limit")));
        }
        let most = buffer.len().min(PLAIN_READ_BYTES_MAX);
        let bytes = self.inner.read(&mut buffer[..most])?;
        self.plain += bytes as u64;
        Ok(bytes)
    }
}

fn read_head(stored: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(MAGIC_BYTES);
    stored.take(MAGIC_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.count.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// gzip of any number of members; zero bytes after the last (tape padding) are no error.
struct Gzip<R: BufRead> {
    member: Option<flate2::bufread::GzDecoder<R>>,
}

impl<R: BufRead> Gzip<R> {
    fn new(inner: R) -> Gzip<R> {
        Gzip { member: Some(flate2::bufread::GzDecoder::new(inner)) }
    }

    /// Moves on to the next member; false at the end of the object.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(member) = self.member.take() else { return Ok(false) };
        let mut inner = member.into_inner();
        loop {
            let ahead = inner.fill_buf()?;
            let Some(zeros) = ahead.iter().position(|byte| *byte != 0) else {
                let all = ahead.len();
                if all == 0 {
                    return Ok(false);
                }
                inner.consume(all);
                continue;
            };
            inner.consume(zeros);
            self.member = Some(flate2::bufread::GzDecoder::new(inner));
            return Ok(true);
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else { return Ok(0) };
            let bytes = member.read(buffer)?;
            if bytes > 0 || buffer.is_empty() || !self.advance()? {
                return Ok(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(stored: Vec<u8>) -> (Compression, Vec<u8>, Option<String>) {
        let mut decoder = Decoder::new(io::Cursor::new(stored), InflationLimit::default()).unwrap();
        let mut plain = Vec::new();
        let error = decoder.read_to_end(&mut plain).err().map(|error| error.to_string());
        (decoder.compression(), plain, error)
    }

    #[test]
    fn four_compressions_in_several_members() {
        let twice = |part: Vec<u8>| [part.clone(), part].concat();
        assert_eq!(decode(twice(b"a\n".to_vec())), (Compression::Plain, b"a\na\n".to_vec(), None));
        assert_eq!(decode(twice(gzip(b"a\n"))), (Compression::Gzip, b"a\na\n".to_vec(), None));
        assert_eq!(decode(twice(bzip2(b"a\n"))), (Compression::Bzip2, b"a\na\n".to_vec(), None));
        let frame = zstd::encode_all(&b"a\n"[..], 1).unwrap();
        assert_eq!(decode(twice(frame)), (Compression::Zstd, b"a\na\n".to_vec(), None));
        assert_eq!(decode([gzip(b"a\n"), gzip(b""), vec![0; 600]].concat()), (Compression::Gzip, b"a\n".to_vec(), None));
        assert_eq!(decode(Vec::new()), (Compression::Plain, Vec::new(), None));
        assert_eq!(decode(b"B".to_vec()), (Compression::Plain, b"B".to_vec(), None));
    }

    #[test]
    fn what_is_cut_or_corrupt_gives_what_came_before() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
        for packed in [gzip(&text), bzip2(&text), zstd::encode_all(&text[..], 1).unwrap()] {
            let (_, plain, error) = decode(packed[..packed.len() / 2].to_vec());
            assert!(error.is_some() && !plain.is_empty() && text.starts_with(&plain));
        }
        let (_, plain, error) = decode([gzip(b"a\n"), b"rubbish".to_vec()].concat());
        assert_eq!((plain, error.is_some()), (b"a\n".to_vec(), true));
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = gzip(&vec![b'\n'; 4 << 20]);
        let limit = InflationLimit { bytes_free: 1 << 20, ratio_max: 2 };
        let mut plain = Vec::new();
        let error = Decoder::new(io::Cursor::new(bomb), limit).unwrap().read_to_end(&mut plain).unwrap_err();
        assert!(plain.len() < 2 << 20, "{}", plain.len());
        assert!(error.to_string().contains("past the limit"));
        let logs = gzip(&b"line\n".repeat(1 << 18));
        let mut all = Vec::new();
        Decoder::new(io::Cursor::new(logs), InflationLimit::default()).unwrap().read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 5 << 18);
    }
}
