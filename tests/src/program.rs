//! The built `arc` program, for tests that drive it from outside.

use std::path::PathBuf;
use std::process::Command;

/// Where the program was built: beside the test executable, `target/PROFILE/arc`.
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let program = test.ancestors().nth(2).map(|folder| folder.join("arc")).unwrap_or_default();
    assert!(program.is_file(), "no {}; build it with `cargo build --release --workspace --bins`", program.display());
    program
}

/// A command that runs the program with some arguments, quietly and without colours.
pub fn arc(arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(arguments).env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

/// What a finished run of the program left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The most memory it was resident with, in bytes; polled, so a lower bound by a hair.
    pub peak_bytes: u64,
}

/// Runs the command to its end, watching its memory (`VmHWM`, which only grows).
///
/// # Panics
/// When it cannot be started.
pub fn finish(command: &mut Command) -> Finished {
    let folder = tempfile::tempdir().expect("a folder for its output");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let open = |path: &PathBuf| std::fs::File::create(path).expect("a file for its output");
    let mut child = command.stdout(open(&out)).stderr(open(&err)).spawn().expect("the program starts");
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak_bytes.max(resident_peak(child.id()));
        match child.try_wait().expect("the program can be waited for") {
            Some(status) => break status,
            None => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    };
    let read = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    Finished { code: status.code(), out: read(&out), err: read(&err), peak_bytes }
}

fn resident_peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
