//! `arc explain`: how each record of a log reads: its columns and values, or why it is a reject and at which byte. Logs of
//! any origin, compressed or not, flow in; nothing of them reaches the terminal unescaped, and no line is shown longer
//! than it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use arcs::decode::{Decoder, InflationLimit};
use arcs::format::{Explained, Explainer, Grammar, Outcome};
use arcs::lines::{LineLimits, Piece, Pieces};

use super::{Context, Exit, Trouble, formats};
use crate::output::{Cell, Listing, Output, escape};

/// The longest line that is looked into, in bytes; a longer one is said to be so and passed over.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes that are read before anything is shown, as far as lines allow.
const BLOCK_BYTES: usize = 64 << 10;
/// Bytes from which columns are taken that only the log itself knows.
const SAMPLE_BYTES: u64 = 256 << 10;
/// How much of a line is shown around the byte that stopped the reading, in characters.
const SHOWN_CHARACTERS: usize = 76;
/// How much of a value is shown, in characters.
const VALUE_CHARACTERS: usize = 300;

/// Arguments of `arc explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log format.
    #[arg(long)]
    format: String,
    /// An option of the format; may be given more than once.
    #[arg(long = "format-option", value_name = "KEY=VALUE")]
    format_options: Vec<String>,
    /// The log, plain or compressed; stdin where not given or `-`.
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// Explains record by record.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let named = formats::named(&args.format, &args.format_options)?;
    let mut log = Decoder::new(open(&args.file)?, InflationLimit::default()).context("cannot read the log")?;
    let mut head = Vec::new();
    let inferred = match named.grammar.inferred(&[]) {
        None => None,
        Some(_) => {
            (&mut log).take(SAMPLE_BYTES).read_to_end(&mut head).context("cannot read the log")?;
            named.grammar.inferred(&[&head])
        }
    };
    let grammar = inferred.as_deref().unwrap_or(named.grammar.as_ref());
    let stdout = std::io::BufWriter::new(std::io::stdout().lock());
    let log = head.as_slice().chain(log);
    let arrived = context.now.timestamp_micros();
    match context.output {
        Output::Table => tell(grammar, arrived, log, stdout)?,
        output => list(grammar, arrived, log, stdout, output)?,
    }
    Ok(Exit::Done)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = std::fs::File::open(path).map_err(|error| Trouble::not_found(format!("{}: {error}", path.display())))?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(Trouble::usage(format!("{} is a folder", path.display())).next("name a file in it").into());
    }
    Ok(Box::new(file))
}

/// What a log holds, one after the other.
enum Seen {
    Record(Explained),
    /// A line, by its number, that is too long.
    Long(u64),
}

fn each(grammar: &dyn Grammar, arrived: i64, log: impl Read, mut see: impl FnMut(Seen) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let limits = LineLimits { block_bytes: BLOCK_BYTES, line_bytes_max: LINE_BYTES_MAX };
    let (mut pieces, mut explainer) = (Pieces::new(log, grammar, limits), Explainer::new(grammar, arrived));
    let mut lines = 0;
    while let Some(piece) = pieces.next_piece() {
        match piece {
            Piece::Lines { text, .. } => {
                let is_open = !text.ends_with(b"\n");
                explainer.explain(&text).into_iter().try_for_each(|record| see(Seen::Record(record)))?;
                lines = explainer.lines() + u64::from(is_open);
            }
            Piece::Overlong { .. } => {
                explainer.skip_line();
                lines = explainer.lines();
                see(Seen::Long(lines))?;
            }
            Piece::Broken { error, .. } => return Err(anyhow::Error::new(error).context("cannot read on")),
        }
    }
    Ok(lines)
}

fn tell(grammar: &dyn Grammar, arrived: i64, log: impl Read, mut to: impl Write) -> anyhow::Result<()> {
    let mut rejects = 0u64;
    let lines = each(grammar, arrived, log, |seen| {
        match seen {
            Seen::Long(line) => writeln!(to, "line {line}: longer than {LINE_BYTES_MAX} bytes, not looked into\n")?,
            Seen::Record(explained) => {
                rejects += u64::from(matches!(explained.outcome, Outcome::Reject { .. }));
                to.write_all(story(&explained).as_bytes())?;
            }
        }
        Ok(())
    })?;
    writeln!(to, "{lines} line{}, {rejects} reject{}", plural(lines), plural(rejects))?;
    Ok(to.flush()?)
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What there is to say of one record.
fn story(explained: &Explained) -> String {
    let more = match explained.text.lines().count() {
        0 | 1 => String::new(),
        lines => format!(" to {}", explained.line + lines as u64 - 1),
    };
    let mut text = format!("line {}{more}: ", explained.line);
    match &explained.outcome {
        Outcome::Blank => text += "blank\n",
        Outcome::Header => text += "header\n",
        Outcome::Reject { at, reason } => {
            text += &format!("reject at byte {at}: {reason}\n");
            text += &pointed(&explained.text, *at);
        }
        Outcome::Row { mark, extra } => {
            text += match mark {
                Some("cut") => "row, cut: a part of the record is not there\n",
                Some(_) => "row, recovered: the plain reading did not suffice\n",
                None => "row\n",
            };
            text += &values(explained);
            text += &extra.as_ref().map(|extra| format!("  extra: {}\n", shorten(&escape(extra), VALUE_CHARACTERS))).unwrap_or_default();
        }
    }
    text + "\n"
}

fn values(explained: &Explained) -> String {
    let width = explained.columns.iter().map(|(column, _)| column.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (column, value) in explained.columns.iter().filter_map(|(column, value)| Some((column, value.as_ref()?))) {
        let unit = if column.unit.is_empty() { String::new() } else { format!(" {}", column.unit) };
        text += &format!("  {:width$}  {}{unit}\n", column.name, shorten(&escape(value), VALUE_CHARACTERS));
    }
    let nulls: Vec<&str> = explained.columns.iter().filter(|(_, value)| value.is_none()).map(|(column, _)| column.name.as_ref()).collect();
    if !nulls.is_empty() {
        text += &format!("  null: {}\n", nulls.join(", "));
    }
    text
}

fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}… ({} characters)", &text[..at], text.chars().count()),
        None => text.to_owned(),
    }
}

/// The piece of the line around a byte, and a caret below that byte.
fn pointed(line: &str, at: usize) -> String {
    let at = (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    let (before, after) = line.split_at(at);
    let start = before.char_indices().rev().nth(SHOWN_CHARACTERS / 2).map_or(0, |(start, _)| start);
    let before = escape(&before[start..]);
    let before: String = before.chars().skip(before.chars().count().saturating_sub(SHOWN_CHARACTERS / 2)).collect();
    let dots = if start > 0 { "…" } else { "" };
    let width = before.chars().count() + dots.chars().count();
    let after_all: String = after.chars().take(SHOWN_CHARACTERS).collect();
    let after: String = escape(&after_all).chars().take(SHOWN_CHARACTERS - width).collect();
    let more = if after.chars().count() == SHOWN_CHARACTERS - width { "…" } else { "" };
    format!("  {dots}{before}{after}{more}\n  {}^\n", " ".repeat(width))
}

fn list(grammar: &dyn Grammar, arrived: i64, log: impl Read, to: impl Write, output: Output) -> anyhow::Result<()> {
    let mut listing = Listing::new(to, output, &["line", "outcome", "column", "value", "byte", "reason"])?;
    each(grammar, arrived, log, |seen| {
        let explained = match seen {
            Seen::Record(explained) => explained,
            Seen::Long(line) => {
                let reason = format!("longer than {LINE_BYTES_MAX} bytes, not looked into");
                return Ok(listing.push(vec![Cell::Count(line), "unread".into(), Cell::Null, Cell::Null, Cell::Null, reason.into()])?);
            }
        };
        let number = Cell::Count(explained.line);
        let row = |outcome: &str, rest: [Cell; 4]| [number.clone(), outcome.into()].into_iter().chain(rest).collect::<Vec<_>>();
        let outcome = match explained.outcome {
            Outcome::Blank => "blank",
            Outcome::Header => "header",
            Outcome::Row { mark, .. } => mark.unwrap_or("row"),
            Outcome::Reject { at, reason } => {
                return Ok(listing.push(row("reject", [Cell::Null, Cell::Null, at.into(), reason.into_owned().into()]))?);
            }
        };
        if explained.columns.is_empty() {
            listing.push(row(outcome, [Cell::Null, Cell::Null, Cell::Null, Cell::Null]))?;
        }
        for (column, value) in explained.columns {
            listing.push(row(outcome, [column.name.into_owned().into(), value.into(), Cell::Null, Cell::Null]))?;
        }
        if let Outcome::Row { extra: Some(extra), .. } = explained.outcome {
            listing.push(row(outcome, ["extra".into(), extra.into(), Cell::Null, Cell::Null]))?;
        }
        Ok(())
    })?;
    Ok(listing.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn grammar() -> std::sync::Arc<dyn Grammar> {
        formats::named("s3-access", &[]).unwrap().grammar
    }

    fn check(lines: &[u8], expected: Expect) {
        let mut told = Vec::new();
        tell(grammar().as_ref(), 0, lines, &mut told).unwrap();
        expected.assert_eq(&String::from_utf8(told).unwrap());
    }

    #[test]
    fn a_row_and_rejects() {
        check(
            formats::find("s3-access").unwrap().examples[0].text.as_bytes(),
            expect![[r#"
            line 1: row
              bucket_owner         7cd47ef2be
              bucket               lake
              time                 2026-02-06T00:00:38Z
              remote_ip            192.0.2.3
              requester            7cd47ef2be
              request_id           3E57427F3EXAMPLE
              operation            REST.GET.OBJECT
              key                  a%2520b.txt
              request_uri          GET /lake/a%20b.txt HTTP/1.1
              http_status          200
              bytes_sent           113 bytes
              object_size          113 bytes
              total_time           7 ms
              turn_around_time     5 ms
              user_agent           curl/8.5.0
              host_id              s9lzHYrFp76ZVxRcpX9=
              signature_version    SigV4
              cipher_suite         ECDHE-RSA-AES128-GCM-SHA256
              authentication_type  AuthHeader
              host_header          lake.s3.us-west-1.amazonaws.com
              tls_version          TLSv1.2
              access_point_arn     arn:aws:s3:us-west-1:123456789012:accesspoint/ap
              acl_required         Yes
              source_region        us-west-1
              key_decoded          a b.txt
              null: error_code, referrer, version_id

            1 line, 0 rejects
        "#]],
        );
        check(
            b"owner bucket [no time] 1.2.3.4 \x1b[2J\n\nshort",
            expect![[r#"
            line 1: reject at byte 13: the line ends in its time
              owner bucket [no time] 1.2.3.4 \u{1b}[2J
                           ^

            line 2: blank

            line 3: reject at byte 5: the line ends before its request URI
              short
                   ^

            3 lines, 2 rejects
        "#]],
        );
    }

    #[test]
    fn a_line_is_shown_around_its_byte() {
        let line = "x".repeat(300);
        for at in [0, 5, 150, 299, 300, 1000] {
            let text = pointed(&line, at);
            assert!(text.lines().all(|line| line.chars().count() <= SHOWN_CHARACTERS + 4), "{text}");
        }
        let text = pointed("short line", 6) + &pointed("\u{1b}[2Jé\n", 4);
        let barred: String = text.lines().map(|line| format!("|{line}\n")).collect();
        expect![[r#"
            |  short line
            |        ^
            |  \u{1b}[2Jé\n
            |           ^
        "#]]
        .assert_eq(&barred);
    }

    #[test]
    fn a_line_past_the_limit_is_passed_over() {
        let mut lines = vec![b'x'; LINE_BYTES_MAX + 10];
        lines.extend_from_slice(b"\nlast");
        check(
            &lines,
            expect![[r#"
            line 1: longer than 1048576 bytes, not looked into

            line 2: reject at byte 4: the line ends before its request URI
              last
                  ^

            2 lines, 1 reject
        "#]],
        );
    }

    #[test]
    fn as_a_listing() {
        let mut bytes = Vec::new();
        list(grammar().as_ref(), 0, &b"short\n\n"[..], &mut bytes, Output::Csv).unwrap();
        expect![[r#"
            line,outcome,column,value,byte,reason
            1,reject,,,5,the line ends before its request URI
            2,blank,,,,
        "#]]
        .assert_eq(&String::from_utf8(bytes).unwrap().replace('\r', ""));
    }
}
