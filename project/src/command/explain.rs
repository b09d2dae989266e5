//! `arc explain`: how each line of a log reads: its columns and values, or why it is a reject and at which byte. Log
//! lines of any origin flow in; nothing of them reaches the terminal unescaped, and no line is shown longer than it.

use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use arcs::format::{Explained, Format, Outcome, explain};

use super::{Context, Exit, Trouble, formats};
use crate::output::{Cell, Listing, Output, escape};

/// The longest line that is looked into, in bytes; a longer one is said to be so and passed over.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// How much of a line is shown around the byte that stopped the reading, in characters.
const SHOWN_CHARACTERS: usize = 76;
/// How much of a value is shown, in characters.
const VALUE_CHARACTERS: usize = 300;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Arguments of `arc explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log format.
    #[arg(long)]
    format: String,
    /// The log, plain text; stdin where not given or `-`.
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// Explains line by line.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let format = formats::find(&args.format)?;
    let mut reader = open(&args.file)?;
    if reader.fill_buf().is_ok_and(|start| start.starts_with(&GZIP_MAGIC)) {
        let next = format!("gunzip -c {} | arc explain --format {}", args.file.display(), format.name);
        return Err(Trouble::usage(format!("{} is compressed", args.file.display())).next(next).into());
    }
    let stdout = std::io::BufWriter::new(std::io::stdout().lock());
    match context.output {
        Output::Table => tell(format, reader, stdout)?,
        output => list(format, reader, stdout, output)?,
    }
    Ok(Exit::Done)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path).map_err(|error| Trouble::not_found(format!("{}: {error}", path.display())))?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(Trouble::usage(format!("{} is a folder", path.display())).next("name a file in it").into());
    }
    Ok(Box::new(std::io::BufReader::new(file)))
}

/// The next line without its newline; `None` at the end. The flag says that it is too long and was cut.
fn next_line(reader: &mut impl BufRead) -> anyhow::Result<Option<(Vec<u8>, bool)>> {
    let mut line = Vec::new();
    reader.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).context("cannot read on")?;
    if line.is_empty() {
        return Ok(None);
    }
    let is_cut = line.len() as u64 > LINE_BYTES_MAX && !line.ends_with(b"\n");
    if is_cut {
        skip_line(reader).context("cannot read on")?;
    }
    let end = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line)).map_or(line.len(), <[u8]>::len);
    line.truncate(end);
    Ok(Some((line, is_cut)))
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

fn tell(format: &Format, mut reader: impl BufRead, mut to: impl Write) -> anyhow::Result<()> {
    let (mut number, mut rejects) = (0u64, 0u64);
    while let Some((line, is_cut)) = next_line(&mut reader)? {
        number += 1;
        if is_cut {
            writeln!(to, "line {number}: longer than {LINE_BYTES_MAX} bytes, not looked into\n")?;
            continue;
        }
        let explained = explain(format, &line);
        rejects += u64::from(matches!(explained.outcome, Outcome::Reject { .. }));
        to.write_all(story(number, &line, &explained).as_bytes())?;
    }
    writeln!(to, "{number} line{}, {rejects} reject{}", plural(number), plural(rejects))?;
    Ok(to.flush()?)
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What there is to say of one line.
fn story(number: u64, line: &[u8], explained: &Explained) -> String {
    let mut text = format!("line {number}: ");
    match &explained.outcome {
        Outcome::Blank => text += "blank\n",
        Outcome::Header => text += "header\n",
        Outcome::Reject { at, reason } => {
            text += &format!("reject at byte {at}: {reason}\n");
            text += &pointed(&String::from_utf8_lossy(line), *at);
        }
        Outcome::Row { recovered, extra } => {
            text += if *recovered { "row, recovered: the plain reading did not suffice\n" } else { "row\n" };
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
    let nulls: Vec<&str> = explained.columns.iter().filter(|(_, value)| value.is_none()).map(|(column, _)| column.name).collect();
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

fn list(format: &Format, mut reader: impl BufRead, to: impl Write, output: Output) -> anyhow::Result<()> {
    let mut listing = Listing::new(to, output, &["line", "outcome", "column", "value", "byte", "reason"])?;
    let mut number = 0u64;
    while let Some((line, is_cut)) = next_line(&mut reader)? {
        number += 1;
        let row = |outcome: &str, rest: [Cell; 4]| [Cell::Count(number), outcome.into()].into_iter().chain(rest).collect::<Vec<_>>();
        let none = || [Cell::Null, Cell::Null, Cell::Null, Cell::Null];
        if is_cut {
            let reason = format!("longer than {LINE_BYTES_MAX} bytes, not looked into");
            listing.push(row("unread", [Cell::Null, Cell::Null, Cell::Null, reason.into()]))?;
            continue;
        }
        let explained = explain(format, &line);
        let outcome = match &explained.outcome {
            Outcome::Blank => "blank",
            Outcome::Header => "header",
            Outcome::Row { recovered: true, .. } => "recovered",
            Outcome::Row { .. } => "row",
            Outcome::Reject { at, reason } => {
                listing.push(row("reject", [Cell::Null, Cell::Null, (*at).into(), (*reason).into()]))?;
                continue;
            }
        };
        if explained.columns.is_empty() {
            listing.push(row(outcome, none()))?;
        }
        for (column, value) in explained.columns {
            listing.push(row(outcome, [column.name.into(), value.into(), Cell::Null, Cell::Null]))?;
        }
        if let Outcome::Row { extra: Some(extra), .. } = explained.outcome {
            listing.push(row(outcome, ["extra".into(), extra.into(), Cell::Null, Cell::Null]))?;
        }
    }
    Ok(listing.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(lines: &[u8], expected: Expect) {
        let format = formats::find("s3-access").unwrap();
        let mut told = Vec::new();
        tell(format, lines, &mut told).unwrap();
        expected.assert_eq(&String::from_utf8(told).unwrap());
    }

    #[test]
    fn a_row_and_rejects() {
        let format = formats::find("s3-access").unwrap();
        check(
            format.examples[0].as_bytes(),
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
        let mut lines = vec![b'x'; LINE_BYTES_MAX as usize + 10];
        lines.extend_from_slice(b"\nlast");
        let mut reader = lines.as_slice();
        assert!(next_line(&mut reader).unwrap().unwrap().1);
        assert_eq!(next_line(&mut reader).unwrap().unwrap(), (b"last".to_vec(), false));
        assert_eq!(next_line(&mut reader).unwrap(), None);
    }

    #[test]
    fn as_a_listing() {
        let format = formats::find("s3-access").unwrap();
        let mut bytes = Vec::new();
        list(format, &b"short\n\n"[..], &mut bytes, Output::Csv).unwrap();
        expect![[r#"
            line,outcome,column,value,byte,reason
            1,reject,,,5,the line ends before its request URI
            2,blank,,,,
        "#]]
        .assert_eq(&String::from_utf8(bytes).unwrap().replace('\r', ""));
    }
}
