//! What can go wrong at the edge, by what a caller can do about it. A strange file name is never among these.

/// Errors of this crate. [`BoundaryError::is_transient`] is the only retry decision.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoundaryError {
    /// Manifests, arc state or the bus.
    #[error(transparent)]
    Manifests(#[from] manifests::ManifestsError),
    /// The watched folder could not be listed.
    #[error("list `{uri}`: {source}")]
    Listing {
        /// The dataset's path.
        uri: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The index of what earlier lots hold could not be used.
    #[error("index `{path}`: {source}; it can be deleted at any time and is then rebuilt from the commits")]
    Index {
        /// The file.
        path: String,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The index was damaged, or emptied by another process, while it was in use; the next tick rebuilds it.
    #[error("index `{path}` was damaged or emptied; it is rebuilt from the commits")]
    IndexLost {
        /// The file.
        path: String,
    },
    /// The list of what a backfill has found could not be kept.
    #[error("the list of objects `{path}`: {source}; it needs about 300 bytes of disk an object")]
    Spool {
        /// The file.
        path: String,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// A backfill that would leave a gap, or reach into what is the boundary's own.
    #[error("{reason}")]
    Backfill {
        /// Why it cannot be.
        reason: String,
        /// What to ask for instead.
        next: String,
    },
    /// A service of AWS said no.
    #[error("{action} {name}: {reason}")]
    Service {
        /// What was tried, `receive from queue`.
        action: &'static str,
        /// Of what.
        name: String,
        /// What the service said.
        reason: String,
        /// Whether it may say something else later.
        transient: bool,
    },
    /// A filter that does not compile.
    #[error("filter `{glob}`: {reason}")]
    Filter {
        /// The pattern as given.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Notifications could not be set up; a scan finds everything all the same.
    #[error("notifications for `{path}`: {source}")]
    Notify {
        /// The folder.
        path: String,
        /// The system's error.
        source: notify::Error,
    },
}

impl BoundaryError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            BoundaryError::Manifests(error) => error.is_transient(),
            BoundaryError::Listing { source, .. } => manifests::is_transient(source),
            BoundaryError::Service { transient, .. } => *transient,
            BoundaryError::Index { .. } | BoundaryError::IndexLost { .. } => true,
            BoundaryError::Filter { .. } | BoundaryError::Notify { .. } | BoundaryError::Spool { .. } | BoundaryError::Backfill { .. } => {
                false
            }
        }
    }
}
