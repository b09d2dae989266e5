//! Any stored bytes, decoded and cut into lines: no panic, no hang, nothing past the limits.
#![no_main]

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use formats::decode::{Decoder, InflationLimit};
use formats::format::{Grammar, compile};
use formats::lines::{LineLimits, Piece, Pieces};

static GRAMMAR: LazyLock<Arc<dyn Grammar>> = LazyLock::new(|| compile(&"s3-access".into()).expect("a grammar"));

/// The longest line here, or what is read at once past one that is longer.
const PIECE_BYTES_MAX: usize = (64 << 10) + 1;

libfuzzer_sys::fuzz_target!(|stored: &[u8]| {
    let limit = InflationLimit { bytes_free: 1 << 20, ratio_max: 20 };
    let Ok(decoder) = Decoder::new(Cursor::new(stored.to_vec()), limit) else { return };
    let mut pieces = Pieces::new(decoder, GRAMMAR.as_ref(), LineLimits { block_bytes: 4096, line_bytes_max: 16_384 });
    while let Some(piece) = pieces.next_piece() {
        if let Piece::Lines { text, .. } = piece {
            assert!(text.len() <= PIECE_BYTES_MAX, "{}", text.len());
        }
    }
});
