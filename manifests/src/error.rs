//! What can go wrong with the vocabulary and its stores, by what a caller can do about it.

/// Errors of this crate. [`ManifestsError::is_transient`] is the only retry decision.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestsError {
    /// Text that is no lot id.
    #[error(
        "`{text}` is not a lot: expected yyyyMMdd, a duration (PT1M PT5M PT10M PT15M PT1H P1D) and an ordinal in the day, as in 20230717PT5M250"
    )]
    Lot {
        /// What was given.
        text: String,
    },
    /// Text that is no lot unit.
    #[error("`{text}` is not a lot unit: use Minutes, Twelfths, Sixths, Fourths, Hours or Days")]
    LotUnit {
        /// What was given.
        text: String,
    },
    /// A name that may not stand in a path.
    #[error(
        "`{text}` cannot be a {what}: use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most {bytes_max} bytes"
    )]
    Name {
        /// Which name: a dataset name, a version, an arc.
        what: &'static str,
        /// What was given.
        text: String,
        /// The longest name, in bytes.
        bytes_max: usize,
    },
    /// A URI that no registered store serves, or that leaves its store.
    #[error("cannot locate `{uri}`: {reason}")]
    Uri {
        /// What was given.
        uri: String,
        /// Why.
        reason: String,
    },
    /// A document in a store that does not read as what its path says.
    #[error("`{path}` does not read as {what}: {reason}; move it away or restore it")]
    Document {
        /// Its path in its store.
        path: String,
        /// What it should have been.
        what: &'static str,
        /// The parser's words.
        reason: String,
    },
    /// Someone else's commit of this generation came first: read it and adapt.
    #[error("generation {generation} of lot {lot} of {dataset} is already committed")]
    Committed {
        /// `name/version`.
        dataset: String,
        /// The lot.
        lot: crate::Lot,
        /// The generation that was taken.
        generation: u32,
    },
    /// Others were writing the document whenever it was to be created, and none of them left one.
    #[error("create `{path}`: another write of it was under way at each try, and none is there; try again")]
    Contended {
        /// The path.
        path: String,
    },
    /// Another attempt holds the lease, or took it over.
    #[error("lot {lot} of arc {arc} belongs to attempt {attempt} until {until}")]
    Leased {
        /// The arc's name.
        arc: String,
        /// The lot.
        lot: crate::Lot,
        /// The attempt that holds it.
        attempt: u32,
        /// When its lease ends.
        until: chrono::DateTime<chrono::Utc>,
    },
    /// A bus did not take an event.
    #[error("the event bus {bus}: {reason}")]
    Bus {
        /// The bus.
        bus: String,
        /// What it said.
        reason: String,
    },
    /// A store said no.
    #[error("{action} `{path}`: {source}")]
    Store {
        /// What was tried: read, write, list, delete.
        action: &'static str,
        /// The path.
        path: String,
        /// The store's error.
        source: object_store::Error,
    },
}

impl ManifestsError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            ManifestsError::Store { source, .. } => is_transient(source),
            ManifestsError::Contended { .. } | ManifestsError::Leased { .. } | ManifestsError::Bus { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn store(action: &'static str, path: impl ToString, source: object_store::Error) -> Self {
        ManifestsError::Store { action, path: path.to_string(), source }
    }
}

/// Whether a store's error may pass by itself: everything that is not a statement about the object or the caller.
pub fn is_transient(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    !matches!(
        error,
        E::NotFound { .. }
            | E::AlreadyExists { .. }
            | E::Precondition { .. }
            | E::NotModified { .. }
            | E::PermissionDenied { .. }
            | E::Unauthenticated { .. }
            | E::InvalidPath { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::UnknownConfigurationKey { .. }
    )
}
