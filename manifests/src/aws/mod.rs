//! Amazon Web Services, as far as the vocabulary needs them: settings and the usual AWS environment flow in; S3 as stores
//! and EventBridge as a bus flow out. What else a program asks of AWS starts from the same [`Aws::config`], so that all of
//! it goes by one set of credentials.

mod answers;
mod credentials;
mod event_bridge;

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_eventbridge::error::ProvideErrorMetadata;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::store::ObjectStores;
use answers::Curt;
use credentials::SdkCredentials;
pub use event_bridge::EventBridgeBus;

/// Attempts at a call of a control plane, the first included.
const CALL_ATTEMPTS: u32 = 6;
/// Tries again after an error that may pass (500, 503 SlowDown, a cut connection), for one request to S3.
const REQUEST_RETRIES: usize = 10;
/// The longest that one request to S3 is tried again, in seconds.
const REQUEST_RETRY_SECONDS: u64 = 180;
/// The longest wait between two tries, in seconds.
const REQUEST_BACKOFF_SECONDS_MAX: u64 = 15;
/// The longest that one request to S3 may take, its body included, in seconds. A request moves a few MiB at most.
const REQUEST_SECONDS: u64 = 60;
/// The longest that a connection may take to open, in seconds.
const CONNECT_SECONDS: u64 = 5;

/// What a person or a project says about AWS; all else comes from the environment, as for every AWS tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// The region, `us-east-2`.
    pub region: Option<String>,
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Where all services answer, for a test server.
    pub endpoint_url: Option<String>,
    /// Where S3 answers, if elsewhere.
    pub s3_endpoint_url: Option<String>,
}

/// What every error says that comes of credentials which nobody has.
pub const NO_CREDENTIALS: &str = "there are no AWS credentials";

/// The same where an error, or what caused it, is that.
fn no_credentials(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    let mut found = causes.skip_while(|cause| !cause.is::<CredentialsError>());
    match found.next()?.downcast_ref() {
        Some(CredentialsError::CredentialsNotLoaded(_)) => Some(NO_CREDENTIALS.to_owned()),
        _ => Some(found.last().map_or(NO_CREDENTIALS.to_owned(), |cause| format!("{NO_CREDENTIALS}: {cause}"))),
    }
}

/// What a service said, in a line: its code and message where it answered, else what kept it from answering. The answer
/// itself, which may hold anything, is left out; so is a message that repeats the request.
pub fn reason<E: ProvideErrorMetadata + std::error::Error>(error: &E) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) if answers::repeats_request(code, message) => code.to_owned(),
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => error.source().and_then(no_credentials).unwrap_or_else(|| causes(error)),
    }
}

/// An error and its causes, without those that an earlier one has told of.
fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        let text = at.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = at.source();
    }
    told
}

/// An account of AWS that can be called.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    s3_endpoint_url: Option<String>,
    credentials: Arc<SdkCredentials>,
    retries: RetryConfig,
}

/// How a request to S3 is tried again.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(REQUEST_BACKOFF_SECONDS_MAX), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: REQUEST_RETRIES, retry_timeout: Duration::from_secs(REQUEST_RETRY_SECONDS) }
}

impl Aws {
    /// Reads the AWS configuration; asks nobody yet.
    pub async fn load(settings: &AwsSettings) -> Aws {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        loader = loader.retry_config(aws_config::retry::RetryConfig::standard().with_max_attempts(CALL_ATTEMPTS));
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = &settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        let s3_endpoint_url = settings.s3_endpoint_url.clone().or_else(|| config.endpoint_url().map(str::to_owned));
        let credentials = Arc::new(SdkCredentials::new(config.credentials_provider()));
        Aws { config, s3_endpoint_url, credentials, retries: retries() }
    }

    /// An account by its keys, at one address: that of servers which stand in for AWS.
    pub fn of_keys(id: &str, key: &str, region: &str, endpoint_url: &str) -> Aws {
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(aws_credential_types::Credentials::new(
            id, key, None, None, "test",
        ));
        let builder = SdkConfig::builder().region(Region::new(region.to_owned())).endpoint_url(endpoint_url);
        let credentials = Arc::new(SdkCredentials::new(Some(provider.clone())));
        let config = builder.credentials_provider(provider).behavior_version(BehaviorVersion::latest()).build();
        Aws { config, s3_endpoint_url: Some(endpoint_url.to_owned()), credentials, retries: retries() }
    }

    /// The same with other tries of a request to S3, for servers that are near.
    #[must_use]
    pub fn with_retries(self, retries: RetryConfig) -> Aws {
        Aws { retries, ..self }
    }

    /// What clients of further services start from.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Where S3 answers, where that is not AWS.
    pub fn s3_endpoint_url(&self) -> Option<&str> {
        self.s3_endpoint_url.as_deref()
    }

    /// The region that calls go to; `None` where nobody says.
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(Region::as_ref)
    }

    /// Stores for `s3://bucket`, each opened when it is first met, and for `file://`.
    pub fn objects(&self) -> ObjectStores {
        let aws = self.clone();
        ObjectStores::local().with_buckets(move |bucket| aws.bucket(bucket))
    }

    fn bucket(&self, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let client = ClientOptions::new()
            .with_timeout(Duration::from_secs(REQUEST_SECONDS))
            .with_connect_timeout(Duration::from_secs(CONNECT_SECONDS))
            .with_allow_http(self.s3_endpoint_url.as_deref().is_some_and(|url| url.starts_with("http://")));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(self.region().unwrap_or("us-east-1"))
            .with_credentials(self.credentials.clone())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(client)
            .with_http_connector(Curt)
            .with_retry(self.retries.clone());
        if let Some(url) = &self.s3_endpoint_url {
            builder = builder.with_endpoint(url);
        }
        Ok(Arc::new(builder.build()?))
    }
}
