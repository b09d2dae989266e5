//! Datasets and the names that stand in paths. Text flows in; checked names flow out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ManifestsError;

/// The longest name of a project, dataset, version or arc, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// A dataset: `{name, version, pathURI}`. Exactly one boundary or arc produces it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its name; stands in paths, see [`check_name`].
    pub name: String,
    /// Its version; stands in paths.
    pub version: String,
    /// Where its data lies: a URI that ends in `/`, except for sinks that are no folder (`glue:///db/table`).
    #[serde(rename = "pathURI")]
    pub path_uri: String,
}

impl Dataset {
    /// `name/version`, the id that events carry.
    pub fn id(&self) -> DatasetId {
        DatasetId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// `name/version`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DatasetId {
    /// The dataset's name.
    pub name: String,
    /// The dataset's version.
    pub version: String,
}

impl fmt::Display for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// Accepts a name that can stand in a path on any store and in any message: letters, digits, `-`, `_`, `.`, starting
/// with a letter or a digit, at most [`NAME_BYTES_MAX`] bytes. `what` names it in the error.
pub fn check_name(what: &'static str, text: &str) -> Result<(), ManifestsError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good =
        text.len() <= NAME_BYTES_MAX && text.bytes().all(plain) && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    match good {
        true => Ok(()),
        false => Err(ManifestsError::Name { what, text: text.to_owned(), bytes_max: NAME_BYTES_MAX }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_their_folder_are_refused() {
        for text in ["", "..", ".hidden", "a/b", "a=b", "a b", "a\n", "-x", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(check_name("dataset", text).is_err(), "{text:?}");
        }
        for text in ["a", "20230817-00", "s3-access-logs", "v1.2_x", &"x".repeat(NAME_BYTES_MAX)] {
            assert!(check_name("dataset", text).is_ok(), "{text:?}");
        }
    }
}
