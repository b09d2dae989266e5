//! What can go wrong before a project file can be judged. Mistakes inside the file are no errors: they are
//! [`crate::Problem`]s.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// The file, or one that it imports, cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The file is larger than a project file can be.
    #[error("{path} has more than {bytes_max} bytes: that is no project file")]
    Large {
        /// The file.
        path: String,
        /// The limit.
        bytes_max: u64,
    },
    /// The text is neither JSON nor Jsonnet, or its evaluation fails.
    #[error("{path} does not evaluate: {reason}")]
    Evaluate {
        /// The file.
        path: String,
        /// What the evaluator said, several lines at times.
        reason: String,
    },
    /// The file was evaluated, and is no good project; the problems are all there are.
    #[error("{path} has {} problem{}", problems.len(), if problems.len() == 1 { "" } else { "s" })]
    Problems {
        /// The file.
        path: String,
        /// All of them, in the order of the file.
        problems: Vec<crate::Problem>,
    },
    /// A text that is no point in time.
    #[error("`{text}` is not a time: use now, 30m, 12h, 2d, a time such as 2023-07-17T20:50:00Z, a date, or a lot")]
    Moment {
        /// What was given.
        text: String,
    },
}
