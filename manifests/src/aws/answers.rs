//! What S3 says where it refuses: its answers flow in, what may be told of them flows out. S3 repeats what it was asked with:
//! the session token where that has ended, the whole request and its token where a signature does not match. So answers are
//! cut where they come in. No error of a store holds more than a code, however it is printed, and whoever wraps it.

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector};

/// The only codes whose messages are told: those say who may not do what to which object, and nothing of the request.
const TOLD_CODES: [&str; 1] = ["AccessDenied"];
/// The longest code, in bytes.
const CODE_BYTES_MAX: usize = 64;
/// Text of a message that is told, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 600;
/// What a message has in it that repeats a request: names of its headers, and what it was signed over.
const REQUEST_WORDS: [&str; 4] = ["x-amz-", "canonical", "credential=", "signature="];

/// Whether the message of a service may hold the request, its headers among them.
pub(super) fn repeats_request(code: &str, message: &str) -> bool {
    let message = message.to_lowercase();
    code.contains("Signature") || REQUEST_WORDS.iter().any(|word| message.contains(word))
}

/// Connections to S3 that hand on refusals as what may be told of them.
#[derive(Debug)]
pub(super) struct Curt;

impl HttpConnector for Curt {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(CurtService { inner: ReqwestConnector::default().connect(options)? }))
    }
}

#[derive(Debug)]
struct CurtService {
    inner: HttpClient,
}

#[async_trait]
impl HttpService for CurtService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_read = request.method().as_str() == "GET";
        let (mut head, body) = self.inner.execute(request).await?.into_parts();
        let is_success = head.status.is_success();
        if is_success && is_read {
            return Ok(HttpResponse::from_parts(head, body));
        }
        let body = body.bytes().await?;
        let text = String::from_utf8_lossy(&body);
        // The end of an upload may be refused after success was promised.
        if is_success && !is_refusal(&text) {
            return Ok(HttpResponse::from_parts(head, body.into()));
        }
        head.headers.remove("content-length");
        Ok(HttpResponse::from_parts(head, told(&text).into()))
    }
}

fn is_refusal(body: &str) -> bool {
    let start = body.trim_start();
    let root = if start.starts_with("<?") { start.split_once("?>").map_or("", |(_, rest)| rest.trim_start()) } else { start };
    root.starts_with("<Error>") || root.starts_with("<Error ")
}

/// What may be told of a refusal: its code, of some the message; nothing where it has none.
fn told(body: &str) -> String {
    let element = |name: &str| Some(body.split_once(&format!("<{name}>"))?.1.split_once(&format!("</{name}>"))?.0);
    let is_code = |code: &&str| code.len() <= CODE_BYTES_MAX && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let Some(code) = element("Code").filter(is_code) else { return String::new() };
    let message = element("Message").filter(|message| TOLD_CODES.contains(&code) && !repeats_request(code, message));
    let message: String = message.unwrap_or_default().chars().filter(|letter| !letter.is_control()).take(MESSAGE_CHARACTERS_MAX).collect();
    if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use expect_test::expect;
    use futures::TryStreamExt;
    use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
    use object_store::path::Path;
    use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};

    /// What S3 really answers, with `SECRET` where it repeats what nobody may see.
    const REFUSALS: [(u16, &str); 5] = [
        (
            400,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message>\
             <Token-0>IQoJb3JpZ2luSECRET</Token-0><RequestId>A</RequestId><HostId>B</HostId></Error>",
        ),
        (
            400,
            "<Error><Code>InvalidToken</Code><Message>The provided token is malformed or otherwise invalid.</Message>\
             <Token-0>IQoJb3JpZ2luSECRET</Token-0></Error>",
        ),
        (
            403,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we \
             calculated does not match the signature you provided. Check your key and signing method.</Message>\
             <AWSAccessKeyId>ASIASECRET</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256 SECRET</StringToSign>\
             <SignatureProvided>SECRET</SignatureProvided><CanonicalRequest>GET\n/x\n\nx-amz-security-token:SECRET\n</CanonicalRequest></Error>",
        ),
        (
            403,
            "<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::123456789012:assumed-role/worker/1 is not authorized to perform: \
             s3:GetObject on resource: \"arn:aws:s3:::b/a\"</Message><RequestId>SECRET</RequestId></Error>",
        ),
        (502, "SECRET of a proxy, x-amz-security-token and all"),
    ];

    #[derive(Debug)]
    struct Canned(u16, String);

    #[async_trait]
    impl HttpService for Canned {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            let mut answer = HttpResponse::new(Bytes::from(self.1.clone()).into());
            *answer.status_mut() = self.0.try_into().unwrap();
            Ok(answer)
        }
    }

    impl HttpConnector for Canned {
        fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
            Ok(HttpClient::new(CurtService { inner: HttpClient::new(Canned(self.0, self.1.clone())) }))
        }
    }

    fn store(status: u16, body: &str) -> AmazonS3 {
        let retry = RetryConfig { max_retries: 0, backoff: BackoffConfig::default(), ..RetryConfig::default() };
        let builder = AmazonS3Builder::new().with_bucket_name("b").with_region("us-east-1").with_access_key_id("ASIASECRET");
        let builder = builder.with_secret_access_key("SECRET").with_token("SECRET").with_conditional_put(S3ConditionalPut::ETagMatch);
        builder.with_http_connector(Canned(status, body.to_owned())).with_retry(retry).build().unwrap()
    }

    /// The errors of every kind of call.
    async fn errors(store: &AmazonS3) -> Vec<object_store::Error> {
        let path = Path::from("a");
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        vec![
            store.get(&path).await.unwrap_err(),
            store.head(&path).await.unwrap_err(),
            store.put(&path, "text".into()).await.unwrap_err(),
            store.put_opts(&path, "text".into(), create).await.unwrap_err(),
            store.put_multipart(&path).await.unwrap_err(),
            store.delete(&path).await.unwrap_err(),
            store.list(None).try_collect::<Vec<_>>().await.unwrap_err(),
            store.list_with_delimiter(None).await.unwrap_err(),
            store.copy(&path, &path).await.unwrap_err(),
        ]
    }

    #[tokio::test]
    async fn no_error_of_a_store_repeats_the_request_however_it_is_printed() {
        let mut told = String::new();
        for (status, body) in REFUSALS {
            for source in errors(&store(status, body)).await {
                let error = crate::ManifestsError::store("read", "a", source);
                let printed = format!("{error} {error:?} {error:#?} {}", super::super::causes(&error));
                assert!(!printed.contains("SECRET"), "{printed}");
            }
            let shown = store(status, body).get(&Path::from("a")).await.unwrap_err().to_string();
            told += &format!("{}\n", shown.split_once("status code: ").map_or(shown.as_str(), |(_, rest)| rest));
        }
        expect![[r#"
            400 Bad Request: ExpiredToken
            400 Bad Request: InvalidToken
            403 Forbidden: SignatureDoesNotMatch
            403 Forbidden: AccessDenied: User: arn:aws:sts::123456789012:assumed-role/worker/1 is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::b/a"
            502 Bad Gateway: 
        "#]]
        .assert_eq(&told);
    }

    #[tokio::test]
    async fn a_refusal_after_success_is_cut_and_success_is_not() {
        let refused = HttpClient::new(CurtService { inner: HttpClient::new(Canned(200, REFUSALS[0].1.to_owned())) });
        let end = || {
            let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
            *request.method_mut() = "POST".try_into().unwrap();
            request
        };
        let text = |answer: HttpResponse| async { String::from_utf8(answer.into_body().bytes().await.unwrap().into()).unwrap() };
        assert_eq!(text(refused.execute(end()).await.unwrap()).await, "ExpiredToken");
        let done = "<?xml version=\"1.0\"?><DeleteResult><Error><Key>a</Key></Error></DeleteResult>";
        let taken = HttpClient::new(CurtService { inner: HttpClient::new(Canned(200, done.to_owned())) });
        assert_eq!(text(taken.execute(end()).await.unwrap()).await, done);
    }

    #[test]
    fn messages_that_repeat_the_request_are_known() {
        let canonical = "The request signature we calculated does not match. The Canonical String for this request should have been \
                         'POST\n/\n\nx-amz-security-token:T'";
        assert!(repeats_request("InvalidSignatureException", "anything"));
        assert!(repeats_request("Other", canonical));
        assert!(repeats_request("IncompleteSignature", "'Credential=AKIA' not a valid key=value pair"));
        assert!(!repeats_request("ExpiredTokenException", "The security token included in the request is expired"));
    }
}
