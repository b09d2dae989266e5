//! Requests to S3: what is asked, which permission that takes, what is answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::Response;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;

use super::{Answer, State, refusal, text};

/// A request.
pub(super) struct Asked<'a> {
    head: &'a Parts,
    body: &'a Bytes,
    bucket: String,
    key: String,
    query: BTreeMap<String, String>,
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The texts of all elements of a name.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let end = format!("</{name}>");
    xml.split(&format!("<{name}>")).skip(1).filter_map(|rest| Some(rest.split_once(&end)?.0)).collect()
}

impl<'a> Asked<'a> {
    pub(super) fn read(head: &'a Parts, body: &'a Bytes) -> Asked<'a> {
        let path = decoded(head.uri.path().trim_start_matches('/'));
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(&value.replace('+', " ")))
        };
        Asked { head, body, bucket: bucket.to_owned(), key: key.to_owned(), query: pairs.map(pair).collect() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    fn has(&self, name: &str) -> bool {
        self.query.contains_key(name)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }

    /// What the request takes: actions, each on a name `bucket/key`.
    fn needs(&self) -> Vec<(&'static str, String)> {
        let versioned = |plain, of_version, has_version: bool| if has_version { of_version } else { plain };
        let read = versioned("s3:GetObject", "s3:GetObjectVersion", self.has("versionId"));
        let mut needs = match self.head.method.as_str() {
            "GET" | "HEAD" => vec![(read, self.name())],
            "POST" if self.has("delete") => {
                self.deleted().into_iter().map(|key| ("s3:DeleteObject", format!("{}/{key}", self.bucket))).collect()
            }
            "DELETE" if self.has("uploadId") => vec![("s3:AbortMultipartUpload", self.name())],
            "DELETE" => vec![("s3:DeleteObject", self.name())],
            _ => vec![("s3:PutObject", self.name())],
        };
        if let Some(source) = self.header("x-amz-copy-source") {
            let (name, version) = source.split_once('?').map_or((source, false), |(name, _)| (name, true));
            needs.push((versioned("s3:GetObject", "s3:GetObjectVersion", version), decoded(name)));
        }
        needs
    }

    fn deleted(&self) -> Vec<String> {
        elements(&String::from_utf8_lossy(self.body), "Key").into_iter().map(str::to_owned).collect()
    }

    /// Asks for permission, then does it.
    pub(super) fn answer(&self, state: &mut State) -> Answer {
        if self.key.is_empty() && self.head.method == "GET" {
            let prefix = self.query.get("prefix").map_or("", String::as_str);
            return match self.may_list(state, Some(prefix)) {
                true => self.list(state, prefix),
                false => refusal(403, "AccessDenied"),
            };
        }
        for (action, name) in self.needs() {
            let arn = format!("arn:aws:s3:::{name}");
            let is_allowed = state.role.as_ref().is_none_or(|role| role.may(action, &arn, None));
            if !state.note(action, &arn, is_allowed) {
                return refusal(403, "AccessDenied");
            }
        }
        match self.head.method.as_str() {
            "GET" | "HEAD" => self.get(state),
            "PUT" => self.put(state),
            "POST" => self.post(state),
            _ => {
                state.objects.remove(&self.name());
                text("")
            }
        }
    }

    fn may_list(&self, state: &mut State, prefix: Option<&str>) -> bool {
        let arn = format!("arn:aws:s3:::{}", self.bucket);
        let is_allowed = state.role.as_ref().is_none_or(|role| role.may("s3:ListBucket", &arn, prefix));
        state.note("s3:ListBucket", &format!("{arn} {}", prefix.unwrap_or("of what is missing")), is_allowed)
    }

    fn list(&self, state: &State, prefix: &str) -> Answer {
        let bucket = format!("{}/", self.bucket);
        let after = self.query.get("start-after").map_or("", String::as_str);
        let (mut xml, mut folders) = (String::new(), std::collections::BTreeSet::new());
        for (name, body) in state.objects.range(bucket.clone()..) {
            let Some(key) = name.strip_prefix(&bucket) else { break };
            let Some(rest) = key.strip_prefix(prefix).filter(|_| key > after) else { continue };
            match rest.split_once('/').filter(|_| self.query.get("delimiter").is_some_and(|delimiter| delimiter == "/")) {
                Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
                None => {
                    xml += &format!(
                        "<Contents><Key>{key}</Key><LastModified>2026-11-20T20:51:00.000Z</LastModified><ETag>\"e\"</ETag><Size>{}</Size></Contents>",
                        body.len()
                    );
                }
            }
        }
        let folders: String = folders.iter().map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")).collect();
        text(&format!("<ListBucketResult><Name>{}</Name><IsTruncated>false</IsTruncated>{xml}{folders}</ListBucketResult>", self.bucket))
    }

    fn get(&self, state: &mut State) -> Answer {
        let Some(body) = state.objects.get(&self.name()).cloned() else {
            // S3 says what is missing only to who may list.
            return if self.may_list(state, None) { refusal(404, "NoSuchKey") } else { refusal(403, "AccessDenied") };
        };
        let size = body.len();
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let (from, to) = match range {
            None => (0, size),
            Some(("", last)) => (size - last.parse::<usize>().unwrap_or(0).min(size), size),
            Some((from, to)) => (from.parse().unwrap_or(0), to.parse::<usize>().map_or(size, |to| size.min(to + 1))),
        };
        let mut answer = Response::new(http_body_util::Full::new(body.slice(from..to)));
        let headers = answer.headers_mut();
        headers.insert("etag", HeaderValue::from_static("\"e\""));
        headers.insert("last-modified", HeaderValue::from_static("Fri, 20 Nov 2026 20:51:00 GMT"));
        if range.is_some() {
            headers.extend(
                HeaderValue::from_str(&format!("bytes {from}-{}/{size}", to - 1)).map(|value| (hyper::header::CONTENT_RANGE, value)),
            );
            *answer.status_mut() = hyper::StatusCode::PARTIAL_CONTENT;
        }
        answer
    }

    fn put(&self, state: &mut State) -> Answer {
        if self.header("if-none-match") == Some("*") && state.objects.contains_key(&self.name()) {
            return refusal(412, "PreconditionFailed");
        }
        let copied = self.header("x-amz-copy-source").map(|source| decoded(source.split('?').next().unwrap_or_default()));
        let body = copied.as_ref().map_or(Some(self.body), |name| state.objects.get(name)).cloned().unwrap_or_default();
        match (self.query.get("uploadId"), self.query.get("partNumber").and_then(|number| number.parse().ok())) {
            (Some(upload), Some(number)) => drop(state.uploads.entry(upload.clone()).or_default().insert(number, body)),
            _ => drop(state.objects.insert(self.name(), body)),
        }
        let mut answer = text(if copied.is_some() { "<CopyPartResult><ETag>\"e\"</ETag></CopyPartResult>" } else { "" });
        answer.headers_mut().insert("etag", HeaderValue::from_static("\"e\""));
        answer
    }

    fn post(&self, state: &mut State) -> Answer {
        if self.has("delete") {
            let keys = self.deleted();
            keys.iter().for_each(|key| drop(state.objects.remove(&format!("{}/{key}", self.bucket))));
            let deleted: String = keys.iter().map(|key| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
            return text(&format!("<DeleteResult>{deleted}</DeleteResult>"));
        }
        let (bucket, key) = (&self.bucket, &self.key);
        let Some(upload) = self.query.get("uploadId") else {
            let upload = format!("u{}", state.uploads.len());
            state.uploads.insert(upload.clone(), BTreeMap::new());
            let ids = format!("<Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId>");
            return text(&format!("<InitiateMultipartUploadResult>{ids}</InitiateMultipartUploadResult>"));
        };
        let parts = state.uploads.get(upload).cloned().unwrap_or_default();
        state.objects.insert(self.name(), Bytes::from(parts.into_values().flatten().collect::<Vec<u8>>()));
        text(&format!(
            "<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key><ETag>\"e\"</ETag></CompleteMultipartUploadResult>"
        ))
    }
}
