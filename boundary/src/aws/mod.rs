//! The edge on AWS: what the two functions are made of. Events flow in as JSON; commits, jobs and notices flow out. The
//! protocol itself is not here: ticks and dispatch are those of every placement.

mod activity;
mod batch;
mod boundary_function;
mod deployment;
mod dispatch_function;
mod exports;
mod follow;
mod job_state;
pub mod logs;
mod metrics;
mod notice;
mod sqs;
mod submit;
mod sweep;
mod until;

pub use batch::{BatchQueue, Job, JobQueue, JobSize};
pub use boundary_function::BoundaryFunction;
pub use deployment::{DeployedActivity, DeployedArc, Deployment, LogExport, StoreUris};
pub use dispatch_function::DispatchFunction;
pub use job_state::EXIT_TRANSIENT;
pub use metrics::{FAILED_RUNS, MANIFESTS_COMMITTED, Metrics, NAMESPACE};
pub use sqs::SqsQueue;
pub use until::Until;

use aws_sdk_sqs::error::ProvideErrorMetadata;

use crate::error::BoundaryError;

/// An error of a service as this crate tells it. The SDK has tried again already where that makes sense.
fn service<E>(action: &'static str, name: &str, error: E) -> BoundaryError
where
    E: ProvideErrorMetadata + std::error::Error,
{
    let reason = manifests::reason(&error);
    BoundaryError::Service { action, name: name.to_owned(), reason, transient: true }
}

/// An error as a function ends with it: the runtime of Lambda logs how it is debugged, so that is what it tells and no more.
pub fn told(error: impl std::fmt::Display) -> lambda_runtime::Error {
    Told(error.to_string()).into()
}

struct Told(String);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Told {}

/// What the environment says of AWS beyond what its SDK reads by itself: another endpoint for S3.
pub fn settings() -> manifests::AwsSettings {
    let s3_endpoint_url = std::env::var("AWS_ENDPOINT_URL_S3").ok();
    manifests::AwsSettings { s3_endpoint_url, ..manifests::AwsSettings::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_an_error_is_debugged_tells_no_more_than_the_error() {
        let source = object_store::Error::Generic { store: "S3", source: "400 Bad Request: ExpiredToken".into() };
        let error = BoundaryError::Listing { uri: "s3://raw/in/".into(), source };
        let (said, told) = (error.to_string(), told(error));
        assert_eq!([format!("{told}"), format!("{told:?}"), format!("{told:#?}")], [said.clone(), said.clone(), said]);
    }
}
