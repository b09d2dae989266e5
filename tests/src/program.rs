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
