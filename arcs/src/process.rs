//! Commands: a program with its arguments and environment flows in, its end flows out. No shell is involved. What it
//! prints goes to the log, bounded. It runs in a process group of its own, which is killed at the time limit and when the
//! caller goes away, so that nothing of it survives the run.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::error::ArcsError;
use crate::runner::shortened;

/// Bytes of a printed line that are kept.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Lines printed at the end that are shown when the command fails.
const LINES_KEPT_MAX: usize = 5;

/// Bytes read from a command at a time.
const READ_BYTES: usize = 8 << 10;

/// A command to run.
#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    /// The program.
    pub program: String,
    /// Its arguments, as they are.
    pub arguments: Vec<String>,
    /// Variables added to this process's own.
    pub environment: Vec<(String, String)>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How it ended, in words, where it did not end well.
    pub failure: Option<String>,
}

/// Runs a command to its end. Fails where it cannot be started.
pub(crate) async fn run(command: &CommandLine) -> Result<Ended, ArcsError> {
    let mut child = start(command)?;
    let group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = async { tokio::join!(child.wait(), follow(stdout, "stdout"), follow(stderr, "stderr")) };
    let limit = command.timeout.unwrap_or(Duration::MAX);
    let ended = tokio::time::timeout(limit, ended).await;
    drop(group);
    let Ok((status, printed, complaints)) = ended else {
        let minutes = limit.as_secs_f64() / 60.0;
        return Ok(Ended { failure: Some(format!("`{}` was killed: it took longer than {minutes:.2} minutes", command.program)) });
    };
    let status = status.map_err(|error| failed(command, &error))?;
    let last = if complaints.is_empty() { printed } else { complaints };
    Ok(Ended { failure: (!status.success()).then(|| told(command, status, &last)) })
}

fn start(command: &CommandLine) -> Result<Child, ArcsError> {
    let mut line = Command::new(&command.program);
    line.args(&command.arguments).envs(command.environment.iter().map(|(name, value)| (name, value)));
    line.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    line.process_group(0).kill_on_drop(true);
    line.spawn().map_err(|error| failed(command, &error))
}

fn failed(command: &CommandLine, error: &std::io::Error) -> ArcsError {
    let is_lasting = matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied);
    ArcsError::Work { message: format!("`{}` cannot be run: {error}", command.program), is_transient: !is_lasting }
}

/// How it ended, and where to read why: causes are kept with attempts and mailed, and what a command prints may be a log's.
fn told(command: &CommandLine, status: ExitStatus, last: &VecDeque<String>) -> String {
    if last.is_empty() {
        return format!("`{}` ended with {status} and printed nothing", command.program);
    }
    // Where the log has not had every line, whoever is watching gets the last ones.
    if !tracing::enabled!(tracing::Level::INFO) {
        last.iter().for_each(|line| tracing::warn!("{line}"));
    }
    format!("`{}` ended with {status}; what it printed is in the log of the worker", command.program)
}

/// Logs what is printed, line by line, and gives the last lines.
async fn follow(stream: Option<impl AsyncRead + Unpin>, name: &'static str) -> VecDeque<String> {
    let (mut last, mut line, mut buffer) = (VecDeque::new(), Vec::new(), vec![0; READ_BYTES]);
    let Some(mut stream) = stream else { return last };
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        for byte in &buffer[..bytes] {
            match byte {
                b'\n' => end_line(&mut line, &mut last, name),
                _ if line.len() < LINE_BYTES_MAX => line.push(*byte),
                _ => {}
            }
        }
    }
    if !line.is_empty() {
        end_line(&mut line, &mut last, name);
    }
    last
}

fn end_line(line: &mut Vec<u8>, last: &mut VecDeque<String>, name: &'static str) {
    let text = shortened(&String::from_utf8_lossy(line), LINE_BYTES_MAX);
    tracing::info!(stream = name, "{text}");
    line.clear();
    if last.len() == LINES_KEPT_MAX {
        last.pop_front();
    }
    last.push_back(text);
}

/// The process group of a command; killed when dropped, whatever is left of it.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        // The shell's own `kill` reaches a whole group without unsafe code here.
        let Some(id) = self.0 else { return };
        let mut kill = std::process::Command::new("/bin/sh");
        kill.args(["-c", "kill -s KILL -- \"-$0\"", &id.to_string()]);
        if let Err(error) = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
            tracing::warn!("what a command has started may live on: /bin/sh, which ends it, cannot be run: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Option<Duration>) -> CommandLine {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        CommandLine { program: "/bin/sh".into(), arguments, environment: vec![("NAME".into(), "it's $HOME".into())], timeout }
    }

    #[tokio::test]
    async fn a_failing_command_says_how_it_ended_and_not_what_it_printed() {
        let ended = run(&shell("echo out; echo bad \"$NAME\" >&2; exit 3", None)).await.unwrap();
        assert_eq!(ended.failure.unwrap(), "`/bin/sh` ended with exit status: 3; what it printed is in the log of the worker");
        let silent = run(&shell("exit 4", None)).await.unwrap().failure.unwrap();
        assert!(silent.ends_with("exit status: 4 and printed nothing"), "{silent}");
        assert_eq!(run(&shell("true", None)).await.unwrap().failure, None);
        let missing = CommandLine { program: "/nowhere/x".into(), ..shell("", None) };
        let error = run(&missing).await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("cannot be run"), "{error}");
    }

    #[tokio::test]
    async fn endless_output_and_long_lines_stay_bounded() {
        let script = "head -c 3000000 /dev/zero | tr '\\0' x; seq 100000; exit 1";
        let mut child = start(&shell(script, None)).unwrap();
        let last = follow(child.stdout.take(), "stdout").await;
        assert_eq!(Vec::from(last), ["99996", "99997", "99998", "99999", "100000"]);
    }

    #[tokio::test]
    async fn the_whole_group_dies_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let flag = folder.path().join("alive");
        let script = format!("(sleep 0.6; touch {}) & sleep 30", flag.display());
        let ended = run(&shell(&script, Some(Duration::from_millis(200)))).await.unwrap();
        assert!(ended.failure.unwrap().contains("was killed"));
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(!flag.exists(), "a child of the command lived on");
    }
}
