//! What can go wrong in a run, by what a caller can do about it. Bad input is never among these.

/// What is tried of a file that is made.
pub(crate) const WRITE: &str = "write";
pub(crate) const PUBLISH: &str = "publish";

/// Errors of this crate. [`ArcsError::is_transient`] is the only retry decision.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArcsError {
    /// Manifests, arc state or the bus.
    #[error(transparent)]
    Manifests(#[from] manifests::ManifestsError),
    /// A store said no.
    #[error("{action} `{uri}`: {source}")]
    Store {
        /// What was tried: read, write, publish.
        action: &'static str,
        /// The object.
        uri: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// Parquet could not be written or read.
    #[error("parquet `{uri}`: {source}")]
    Parquet {
        /// The file.
        uri: String,
        /// The encoder's error.
        source: parquet::errors::ParquetError,
    },
    /// Rows set aside on local disk could not be written or read back.
    #[error("rows set aside in `{folder}`: {source}; free space there or name another spill folder")]
    Spill {
        /// The folder.
        folder: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// Two sources, or a source and a limit, that do not go together; nothing was read.
    #[error("{message}")]
    Job {
        /// What is wrong and what to change.
        message: String,
    },
    /// The work itself failed: a query past its memory, a command that ended badly.
    #[error("{message}")]
    Work {
        /// What failed and, where there is something, what to change.
        message: String,
        /// Whether another attempt may do better.
        is_transient: bool,
    },
    /// The caller went away before the end.
    #[error("stopped before the end; nothing was published")]
    Stopped,
    /// A bug: an invariant of this crate does not hold. Nothing was published.
    #[error("internal: {message}; please report it")]
    Internal {
        /// Which invariant.
        message: String,
    },
}

impl ArcsError {
    /// Whether the same run may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            ArcsError::Manifests(error) => error.is_transient(),
            // What is not found while it is written is an upload: gone, or completed by a request whose answer was lost.
            ArcsError::Store { action: WRITE | PUBLISH, source: object_store::Error::NotFound { .. }, .. } => true,
            ArcsError::Store { source, .. } => manifests::is_transient(source),
            ArcsError::Work { is_transient, .. } => *is_transient,
            ArcsError::Spill { .. } | ArcsError::Stopped => true,
            ArcsError::Parquet { .. } | ArcsError::Job { .. } | ArcsError::Internal { .. } => false,
        }
    }

    /// A bug, in words.
    pub(crate) fn internal(message: impl Into<String>) -> ArcsError {
        ArcsError::Internal { message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_is_gone_is_made_again_and_an_object_that_is_gone_is_not_read_again() {
        let missing = || object_store::Error::NotFound { path: "a".into(), source: "NoSuchUpload".into() };
        let is_transient = |action| ArcsError::Store { action, uri: "s3://b/a".into(), source: missing() }.is_transient();
        assert_eq!([WRITE, PUBLISH, "read"].map(is_transient), [true, true, false]);
    }
}
