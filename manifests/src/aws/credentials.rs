//! The credentials of the SDK as `object_store` takes them: one chain (environment, profile, container, instance) for both.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

use super::{NO_CREDENTIALS, no_credentials};

/// How long before they end credentials are asked for anew, in seconds.
const REFRESH_SECONDS: u64 = 300;

/// Credentials, kept until shortly before they end. Their content is in no error and no debug output.
pub(super) struct SdkCredentials {
    provider: Option<SharedCredentialsProvider>,
    last: RwLock<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl std::fmt::Debug for SdkCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SdkCredentials")
    }
}

impl SdkCredentials {
    pub(super) fn new(provider: Option<SharedCredentialsProvider>) -> SdkCredentials {
        SdkCredentials { provider, last: RwLock::new(None) }
    }

    fn kept(&self, now: SystemTime) -> Option<Arc<AwsCredential>> {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let (credential, end) = last.as_ref()?;
        let is_good = end.is_none_or(|end| now + Duration::from_secs(REFRESH_SECONDS) < end);
        is_good.then(|| credential.clone())
    }
}

fn error(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: source.into() }
}

#[async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        if let Some(kept) = self.kept(SystemTime::now()) {
            return Ok(kept);
        }
        let provider = self.provider.as_ref().ok_or_else(|| error(NO_CREDENTIALS))?;
        let told =
            |cause: &aws_credential_types::provider::error::CredentialsError| no_credentials(cause).unwrap_or_else(|| super::causes(cause));
        let found = provider.provide_credentials().await.map_err(|cause| error(told(&cause)))?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some((credential.clone(), found.expiry()));
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::future;

    fn provider(end: Option<SystemTime>) -> SdkCredentials {
        SdkCredentials::new(Some(SharedCredentialsProvider::new(Credentials::new("id", "very-secret", None, end, "test"))))
    }

    #[tokio::test]
    async fn kept_until_shortly_before_their_end_and_never_shown() {
        let lasting = provider(None);
        assert_eq!(lasting.get_credential().await.unwrap().key_id, "id");
        assert!(lasting.kept(SystemTime::now()).is_some());
        let short = provider(Some(SystemTime::now() + Duration::from_secs(REFRESH_SECONDS - 1)));
        short.get_credential().await.unwrap();
        assert!(short.kept(SystemTime::now()).is_none(), "asked for anew");
        assert!(!format!("{short:?}").contains("secret"));
        let none = SdkCredentials::new(None).get_credential().await.unwrap_err().to_string();
        assert!(none.contains(NO_CREDENTIALS), "{none}");
    }

    #[tokio::test]
    async fn whatever_kept_a_provider_from_giving_any_there_are_none() {
        #[derive(Debug)]
        struct Refusing(fn() -> CredentialsError);

        impl ProvideCredentials for Refusing {
            fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                future::ProvideCredentials::ready(Err((self.0)()))
            }
        }

        for (refusal, expected) in [
            ((|| CredentialsError::not_loaded("no providers in chain")) as fn() -> CredentialsError, NO_CREDENTIALS.to_owned()),
            (|| CredentialsError::provider_error("the instance refuses"), format!("{NO_CREDENTIALS}: the instance refuses")),
        ] {
            let provider = SdkCredentials::new(Some(SharedCredentialsProvider::new(Refusing(refusal))));
            let told = provider.get_credential().await.unwrap_err().to_string();
            assert!(told.ends_with(&expected), "{told}");
        }
    }
}
