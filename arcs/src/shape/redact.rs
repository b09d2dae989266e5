//! Redaction: columns of rows flow in, the same columns without what must not be kept flow out. Runs before anything else
//! sees the rows. The same value gives the same result in every lot, whatever the column.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::ArcsError;

/// Bytes of a key at least; shorter ones are guessed.
pub const KEY_BYTES_MIN: usize = 16;

/// Segments of an IPv6 address that are kept: 48 bits.
const IPV6_SEGMENTS_KEPT: usize = 3;

/// What becomes of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redaction {
    /// Each text becomes its HMAC-SHA-256 under the key, 64 hexadecimal digits.
    Hash,
    /// The column is left out.
    Drop,
    /// Each text is cut after so many characters.
    Truncate(usize),
    /// Each IPv4 address loses its last 8 bits, each IPv6 address its last 80; what is no address becomes null.
    Ip,
    /// The column stays; for `extra`, which is left out otherwise.
    Keep,
}

impl Redaction {
    /// What a project file says; otherwise what would be right.
    pub fn read(value: &Value) -> Result<Redaction, String> {
        let known = "use 'hash', 'drop', 'ip', or {truncate: characters}";
        if let Some(name) = value.as_str() {
            return match name {
                "hash" => Ok(Redaction::Hash),
                "drop" => Ok(Redaction::Drop),
                "ip" => Ok(Redaction::Ip),
                "keep" => Ok(Redaction::Keep),
                _ => Err(format!("`{name}` is no way to redact: {known}")),
            };
        }
        let only = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("truncate"));
        let characters = only.and_then(Value::as_u64).and_then(|characters| usize::try_from(characters).ok());
        characters
            .filter(|characters| *characters > 0)
            .map(Redaction::Truncate)
            .ok_or_else(|| format!("{value} is no way to redact: {known}"))
    }

    /// Whether it reads values as text.
    pub fn needs_text(self) -> bool {
        matches!(self, Redaction::Hash | Redaction::Truncate(_) | Redaction::Ip)
    }
}

/// What values are hashed with. Its value is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum RedactKey {
    /// HMAC-SHA-256 under this key.
    Keyed(Vec<u8>),
    /// SHA-256 alone: who can guess a value can check the guess.
    Unkeyed,
}

impl std::fmt::Debug for RedactKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RedactKey::Keyed(_) => "Keyed(…)",
            RedactKey::Unkeyed => "Unkeyed",
        })
    }
}

impl RedactKey {
    /// The key that `redactKeyEnv` names; an empty name says that none is wanted. An error says what to set.
    pub fn read(variable: &str, environment: impl Fn(&str) -> Option<String>) -> Result<RedactKey, String> {
        if variable.is_empty() {
            return Ok(RedactKey::Unkeyed);
        }
        let key = environment(variable).unwrap_or_default().into_bytes();
        match key.len() {
            0 => Err(format!("the environment variable {variable}, which redactKeyEnv names, is not set: it holds the key of the hashes")),
            1..KEY_BYTES_MIN => Err(format!("the key in the environment variable {variable} has less than {KEY_BYTES_MIN} bytes")),
            _ => Ok(RedactKey::Keyed(key)),
        }
    }

    fn hash(&self, value: &[u8]) -> Result<String, ArcsError> {
        let digest = match self {
            RedactKey::Unkeyed => Sha256::digest(value),
            RedactKey::Keyed(key) => {
                let mac = Hmac::<Sha256>::new_from_slice(key);
                let mac = mac.map_err(|error| ArcsError::internal(format!("the key of hashes: {error}")))?;
                mac.chain_update(value).finalize().into_bytes()
            }
        };
        Ok(digest.iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}")))
    }
}

/// The column without what must not be kept: texts in, texts out; nulls stay nulls.
pub(crate) fn redact(column: &ArrayRef, redaction: Redaction, key: Option<&RedactKey>) -> Result<ArrayRef, ArcsError> {
    let Some(texts) = column.as_binary_view_opt() else { return Err(ArcsError::internal("a redacted column is no text")) };
    let mut redacted = BinaryViewBuilder::with_capacity(texts.len());
    for text in texts {
        match (text, redaction) {
            (None, _) => redacted.append_null(),
            (Some(text), Redaction::Hash) => {
                let key = key.ok_or_else(|| ArcsError::internal("values are to be hashed without a key"))?;
                redacted.append_value(key.hash(text)?.as_bytes());
            }
            (Some(text), Redaction::Truncate(characters)) => redacted.append_value(truncated(text, characters)),
            (Some(text), Redaction::Ip) => redacted.append_option(shortened(text).map(|address| address.to_string().into_bytes())),
            (Some(_), Redaction::Drop) => redacted.append_null(),
            (Some(text), Redaction::Keep) => redacted.append_value(text),
        }
    }
    Ok(Arc::new(redacted.finish()))
}

fn truncated(text: &[u8], characters: usize) -> &[u8] {
    // A byte that does not continue a character starts one.
    let mut starts = text.iter().enumerate().filter(|(_, byte)| **byte & 0b1100_0000 != 0b1000_0000);
    starts.nth(characters).map_or(text, |(end, _)| &text[..end])
}

fn shortened(text: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    Some(match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[IPV6_SEGMENTS_KEPT..].fill(0);
            Ipv6Addr::from(segments).into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::BinaryViewArray;
    use serde_json::json;

    fn redacted(texts: &[Option<&str>], how: Redaction, key: &RedactKey) -> Vec<Option<String>> {
        let column: ArrayRef = Arc::new(BinaryViewArray::from_iter(texts.iter().map(|text| text.map(str::as_bytes))));
        let column = redact(&column, how, Some(key)).unwrap();
        column.as_binary_view().iter().map(|text| text.map(|text| String::from_utf8(text.to_vec()).unwrap())).collect()
    }

    fn some(texts: &[&'static str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn hashes_are_those_of_the_standards() {
        // RFC 4231, test case 2, and the SHA-256 of the same text; the key is shorter than files may name.
        let text = "what do ya want for nothing?";
        let keyed = RedactKey::Keyed(b"Jefe".to_vec());
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(redacted(&[Some(text), None], Redaction::Hash, &keyed), [Some(expected.to_owned()), None]);
        assert_eq!(
            redacted(&[Some("abc")], Redaction::Hash, &RedactKey::Unkeyed),
            some(&["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"])
        );
        assert!(!format!("{keyed:?}").contains("74"), "the key is not shown");
    }

    #[test]
    fn addresses_lose_their_last_bits_and_anything_else_is_null() {
        let texts = ["192.0.2.255", "2001:db8:1:2:3:4:5:6", "::ffff:198.51.100.7", "192.0.2.1:443", "host", "192.0.2.1, 10.0.0.1", ""];
        let seen = redacted(&texts.map(Some), Redaction::Ip, &RedactKey::Unkeyed);
        let expected = some(&["192.0.2.0", "2001:db8:1::", "198.51.100.0"]);
        assert_eq!(seen, [expected, vec![None; 4]].concat());
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let seen = redacted(&[Some("héllo"), Some("hé"), Some(""), Some("😀😀😀")], Redaction::Truncate(2), &RedactKey::Unkeyed);
        assert_eq!(seen, some(&["hé", "hé", "", "😀😀"]));
    }

    #[test]
    fn ways_and_keys_are_read() {
        assert_eq!(Redaction::read(&json!({"truncate": 3})), Ok(Redaction::Truncate(3)));
        for wrong in [json!("sha1"), json!({"truncate": 0}), json!({"truncate": 1, "x": 2}), json!(null), json!({"truncate": -1})] {
            assert!(Redaction::read(&wrong).unwrap_err().contains("use 'hash'"), "{wrong}");
        }
        let environment = |name: &str| match name {
            "LONG" => Some("0123456789abcdef".to_owned()),
            "SHORT" => Some("x".to_owned()),
            _ => None,
        };
        assert_eq!(RedactKey::read("", environment), Ok(RedactKey::Unkeyed));
        assert_eq!(RedactKey::read("LONG", environment), Ok(RedactKey::Keyed(b"0123456789abcdef".to_vec())));
        assert!(RedactKey::read("SHORT", environment).unwrap_err().contains("less than 16"));
        assert!(RedactKey::read("NONE", environment).unwrap_err().contains("is not set"));
    }
}
