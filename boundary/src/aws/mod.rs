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

pub use batch::{BatchQueue, Job, JobQueue, JobSize};
pub use boundary_function::BoundaryFunction;
pub use deployment::{DeployedActivity, DeployedArc, Deployment, LogExport, StoreUris};
pub use dispatch_function::DispatchFunction;
pub use job_state::EXIT_TRANSIENT;
pub use metrics::{FAILED_RUNS, MANIFESTS_COMMITTED, Metrics, NAMESPACE};
pub use sqs::SqsQueue;

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

/// What the environment says of AWS beyond what its SDK reads by itself: another endpoint for S3.
pub fn settings() -> manifests::AwsSettings {
    let s3_endpoint_url = std::env::var("AWS_ENDPOINT_URL_S3").ok();
    manifests::AwsSettings { s3_endpoint_url, ..manifests::AwsSettings::default() }
}
