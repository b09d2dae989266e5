//! The placement of a project, and where its URIs lead. A path in the file, relative to the file's folder, flows in; a
//! raw absolute URI flows out.

use std::path::{Component, Path};

use manifests::ObjectStores;

use super::fields::Object;
use crate::file::Placement;
use crate::forms;

const PROVIDERS: [&str; 2] = ["local", "aws"];
const STAGE: &str = "stage";
/// Who does the work on AWS: functions and jobs of AWS Batch, or `arc up`.
const WORKERS: [&str; 2] = ["batch", "up"];
/// Folders of a local placement that are the program's own.
pub const STORE_FOLDERS: [&str; 5] = ["manifest", "arc-state", "metadata", "artifact", "cache"];

/// Bytes of a folder's key; keys have 1,024, and partitions and the names of files need room.
const FOLDER_BYTES_MAX: usize = 768;

/// Reads the placement; `folder` is the project file's, absolute.
pub fn read(object: Object<'_>, folder: &Path) -> Option<Placement> {
    object.required("provider");
    let placement = match object.word("provider", &PROVIDERS) {
        Some(0) => local(&object, folder),
        Some(_) => aws(&object),
        None => return None,
    };
    object.finish();
    placement
}

fn local(object: &Object<'_>, folder: &Path) -> Option<Placement> {
    let root = object.required_text("root")?;
    let at = |message: String| object.complain("root", message);
    let uri = file_uri(root, folder).map_err(at).ok()?;
    Some(Placement::Local { root_uri: uri.trim_end_matches('/').to_owned() })
}

fn aws(object: &Object<'_>) -> Option<Placement> {
    let stage = object.value(STAGE).and_then(|_| object.name(STAGE, STAGE)).unwrap_or_default();
    let account = object.required_text("account");
    let region = object.name("region", "region");
    object.word("workers", &WORKERS);
    let is_account = |account: &&str| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if account.is_some_and(|account| !is_account(&account)) {
        object.complain("account", "must be the twelve digits of an account");
    }
    Some(Placement::Aws { stage: stage.to_owned(), account: account.filter(is_account)?.to_owned(), region: region?.to_owned() })
}

/// The URI of a dataset's folder: with a trailing slash, on a local placement absolute. The error says what is wrong.
pub fn dataset_uri(text: &str, placement: &Placement, folder: &Path) -> Result<String, String> {
    match placement {
        Placement::Local { .. } => file_uri(text, folder),
        Placement::Aws { .. } => bucket_uri(text),
    }
}

fn file_uri(text: &str, folder: &Path) -> Result<String, String> {
    let path = text.strip_prefix("file://").unwrap_or(text);
    if path.is_empty() {
        return Err("is empty: name a folder".to_owned());
    }
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(format!("a local placement has no `{scheme}://`: use a folder, or `file:///folder/`"));
    }
    if text.len() > path.len() && !path.starts_with('/') {
        return Err("`file://` must be followed by an absolute path, as in `file:///srv/logs/`".to_owned());
    }
    let absolute = lexical(&folder.join(path)).ok_or("leads out of the file system")?;
    let uri = format!("file://{}/", absolute.trim_end_matches('/'));
    ObjectStores::local().locate(&uri).map_err(|error| error.to_string())?;
    Ok(uri)
}

/// The path without `.` and `..`, by its text alone; `None` where it would climb past the root or is not UTF-8.
fn lexical(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// The URI of a folder in a bucket, with a trailing slash. The error says what is wrong.
pub fn bucket_uri(text: &str) -> Result<String, String> {
    let example = "use `s3://bucket/folder/`";
    let rest = text.strip_prefix("s3://").ok_or_else(|| format!("is no S3 URI: {example}"))?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    forms::bucket(bucket)?;
    if key.split('/').any(|part| matches!(part, "." | "..")) || key.contains("//") {
        return Err("has an empty, `.` or `..` segment".to_owned());
    }
    if key.chars().any(char::is_control) {
        return Err("has a control character".to_owned());
    }
    if key.len() > FOLDER_BYTES_MAX {
        let message =
            format!("has {} bytes after the bucket: with more than {FOLDER_BYTES_MAX} the keys below do not fit S3's 1024", key.len());
        return Err(message);
    }
    Ok(format!("s3://{}/", rest.trim_end_matches('/')))
}

/// Whether the folder `inner` is `outer` or lies below it; both end in a slash.
pub fn is_inside(inner: &str, outer: &str) -> bool {
    inner.starts_with(outer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn where_paths_lead() {
        let local = Placement::Local { root_uri: String::new() };
        let aws = Placement::Aws { stage: String::new(), account: String::new(), region: String::new() };
        let mut text = String::new();
        for path in ["logs", "./a b/../c%20d/", "/abs/", "file:///x", "file://x/", "s3://b/", "", "../../../../..", ".", "/"] {
            text += &format!("local {path:?} {:?}\n", dataset_uri(path, &local, Path::new("/home/me")));
        }
        for path in [
            "s3://bucket",
            "s3://bucket/a/b",
            "s3://bucket/a/../b",
            "s3://B/",
            "logs/",
            "s3://bucket/a//b/",
            "s3://-a-/x/",
            "s3://a..b",
            "s3://bucket/a\nb/",
        ] {
            text += &format!("aws {path:?} {:?}\n", dataset_uri(path, &aws, Path::new("/home/me")));
        }
        let long = dataset_uri(&format!("s3://bucket/{}/", "x".repeat(1500)), &aws, Path::new("/"));
        text += &format!("aws long {long:?}\n");
        expect![[r#"
            local "logs" Ok("file:///home/me/logs/")
            local "./a b/../c%20d/" Ok("file:///home/me/c%20d/")
            local "/abs/" Ok("file:///abs/")
            local "file:///x" Ok("file:///x/")
            local "file://x/" Err("`file://` must be followed by an absolute path, as in `file:///srv/logs/`")
            local "s3://b/" Err("a local placement has no `s3://`: use a folder, or `file:///folder/`")
            local "" Err("is empty: name a folder")
            local "../../../../.." Err("leads out of the file system")
            local "." Ok("file:///home/me/")
            local "/" Ok("file:///")
            aws "s3://bucket" Ok("s3://bucket/")
            aws "s3://bucket/a/b" Ok("s3://bucket/a/b/")
            aws "s3://bucket/a/../b" Err("has an empty, `.` or `..` segment")
            aws "s3://B/" Err("`B` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends")
            aws "logs/" Err("is no S3 URI: use `s3://bucket/folder/`")
            aws "s3://bucket/a//b/" Err("has an empty, `.` or `..` segment")
            aws "s3://-a-/x/" Err("`-a-` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends")
            aws "s3://a..b" Err("`a..b` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends")
            aws "s3://bucket/a\nb/" Err("has a control character")
            aws long Err("has 1501 bytes after the bucket: with more than 768 the keys below do not fit S3's 1024")
        "#]]
        .assert_eq(&text);
    }
}
