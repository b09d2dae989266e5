//! What every command takes, and how wrong arguments are told: the program's arguments flow in, [`Arguments`] flow out.

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Command;
use crate::logs::LogFormat;
use crate::output::Output;

/// Above the options that every command takes, in its help.
const GLOBAL: &str = "Global options";
/// They come after the command's own.
const LAST: usize = 1_000;

/// Turns arriving log objects into Parquet that analysts can trust.
#[derive(Debug, Parser)]
#[command(name = "arc", version, propagate_version = true, max_term_width = 80, arg_required_else_help = true)]
pub struct Arguments {
    /// How listings are written: table, json, csv or tsv.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Table, hide_possible_values = true)]
    #[arg(global = true, help_heading = GLOBAL, display_order = LAST)]
    pub output: Output,
    /// Say more on stderr; twice for detail.
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = GLOBAL, display_order = LAST)]
    pub verbose: u8,
    /// Say nothing on stderr but errors, and show no progress.
    #[arg(short, long, conflicts_with = "verbose", global = true, help_heading = GLOBAL, display_order = LAST)]
    pub quiet: bool,
    /// How log lines on stderr are written; JSON in a job of AWS Batch where not given.
    #[arg(long, value_name = "text|json", value_enum, env = "ARC_LOG_FORMAT", hide_possible_values = true)]
    #[arg(global = true, help_heading = GLOBAL, display_order = LAST)]
    pub log_format: Option<LogFormat>,
    #[command(subcommand)]
    pub command: Command,
}

/// The arguments; where they are wrong, the program ends here and says how.
pub fn arguments() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|error| with_variable(error).exit())
}

/// Who lacks a project file is told that the environment may name it.
fn with_variable(mut error: clap::Error) -> clap::Error {
    let is_project = |value: &ContextValue| match value {
        ContextValue::Strings(names) => names.iter().any(|name| name.starts_with("--project ")),
        _ => false,
    };
    if error.kind() == ErrorKind::MissingRequiredArgument && error.get(ContextKind::InvalidArg).is_some_and(is_project) {
        let tip = "ARC_PROJECT=FILE in the environment serves all commands".into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use expect_test::expect;

    /// The help of a subcommand in a window of 80 columns, whatever the environment says.
    fn help(command: &clap::Command) -> String {
        let shown = command.clone().mut_args(|argument| argument.hide_env_values(true)).term_width(80);
        shown.bin_name(format!("arc {}", command.get_name())).render_help().to_string()
    }

    fn built() -> clap::Command {
        let mut command = Arguments::command();
        command.build();
        command
    }

    #[test]
    fn all_help_fits_eighty_columns() {
        for command in built().get_subcommands() {
            let text = help(command);
            let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "arc {}: {wide:#?}", command.get_name());
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let broken: Vec<&str> = after.lines().filter(|line| !text.lines().any(|shown| shown.trim_end() == *line)).collect();
            assert!(broken.is_empty(), "arc {}: {broken:#?}", command.get_name());
            assert!(!after.starts_with(' ') && !after.starts_with("arc "), "arc {}: examples stand below `Examples:`", command.get_name());
        }
    }

    #[test]
    fn options_of_all_commands_come_last() {
        let command = built();
        let status = command.find_subcommand("status").unwrap();
        expect![[r#"
            How each arc stands: lots done, due, waiting and failed, and why

            Usage: arc status [OPTIONS] --project <FILE> [ARCS]...

            Arguments:
              [ARCS]...  The arcs; all of the project where not given

            Options:
                  --list                 Show every lot
                  --earliest <TIME>      Look at lots from then on: 12h (ago), 2d, a time, a
                                         date or a lot; all where not given
                  --latest <TIME>        Look at lots up to then: now, or as above; all
                                         where not given
              -p, --project <FILE>       The project file, JSON or Jsonnet; `-` reads stdin;
                                         `s3://…` one that is deployed [env: ARC_PROJECT]
                  --ext-str <KEY=VALUE>  A Jsonnet external variable; may be given more than
                                         once
                  --profile <NAME>       A profile of the AWS configuration files [env:
                                         AWS_PROFILE]
                  --endpoint-url <URL>   Where all services of AWS answer, for a test
                                         server; `AWS_ENDPOINT_URL` and
                                         `AWS_ENDPOINT_URL_<SERVICE>` where not given
              -h, --help                 Print help
              -V, --version              Print version

            Global options:
                  --log-format <text|json>  How log lines on stderr are written; JSON in a
                                            job of AWS Batch where not given [env:
                                            ARC_LOG_FORMAT]
                  --output <FORMAT>         How listings are written: table, json, csv or
                                            tsv [default: table]
              -q, --quiet                   Say nothing on stderr but errors, and show no
                                            progress
              -v, --verbose...              Say more on stderr; twice for detail
        "#]]
        .assert_eq(&help(status));
    }

    #[test]
    fn who_lacks_a_project_file_hears_of_the_variable() {
        let error = Arguments::command().mut_subcommand("lots", |lots| lots.mut_arg("project", |project| project.env(None)));
        let error = error.try_get_matches_from(["arc", "lots"]).unwrap_err();
        expect![[r#"
            error: the following required arguments were not provided:
              --project <FILE>

              tip: ARC_PROJECT=FILE in the environment serves all commands

            Usage: arc lots --project <FILE> [DATASETS]...

            For more information, try '--help'.
        "#]]
        .assert_eq(&with_variable(error).to_string());
    }
}
