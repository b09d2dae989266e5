//! The forms that AWS asks of names, tags and references. Text flows in, what is wrong with it flows out. Nothing here knows
//! a project file.

use std::collections::BTreeMap;

/// The longest name of a bucket, in bytes.
pub const BUCKET_BYTES_MAX: usize = 63;
/// The longest name of an event bus, in bytes.
const BUS_BYTES_MAX: usize = 256;
/// Tags that a thing can have.
const TAGS_MAX: usize = 50;
/// The longest key of a tag, in characters.
const TAG_KEY_MAX: usize = 128;
/// The longest value of a tag, in characters.
const TAG_VALUE_MAX: usize = 256;
/// What names of buckets do not begin with, and not end in. Source: Amazon S3 user guide, "General purpose bucket naming
/// rules".
const BUCKET_STARTS: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const BUCKET_ENDS: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
/// Hexadecimal digits that ids of things in a network have.
const ID_DIGITS: [usize; 2] = [8, 17];
/// The longest name of an image without tag and digest, and the longest tag, in bytes.
const IMAGE_BYTES_MAX: usize = 255;
const IMAGE_TAG_BYTES_MAX: usize = 128;

/// The name of a bucket.
pub fn bucket(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let is_end = |letter: Option<u8>| letter.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_address = name.split('.').count() == 4 && name.split('.').all(|part| part.parse::<u8>().is_ok());
    let is_name = (3..=BUCKET_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        && is_end(name.bytes().next())
        && is_end(name.bytes().last())
        && !name.contains("..")
        && !is_address;
    if !is_name {
        return Err(format!("`{name}` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends"));
    }
    if let Some(start) = BUCKET_STARTS.iter().find(|start| name.starts_with(**start)) {
        return Err(format!("`{name}` is no bucket name: S3 keeps those that begin with `{start}`"));
    }
    match BUCKET_ENDS.iter().find(|end| name.ends_with(**end)) {
        Some(end) => Err(format!("`{name}` is no bucket name: S3 keeps those that end in `{end}`")),
        None => Ok(()),
    }
}

/// Whether this is the ARN of a standard topic of SNS: S3 tells no others.
pub fn is_topic(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    let [prefix, partition, "sns", region, account, name] = parts[..] else { return false };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    prefix == "arn" && partition.starts_with("aws") && !region.is_empty() && is_account && !name.is_empty() && name.bytes().all(is_plain)
}

/// The name of an event bus that is not EventBridge's own.
pub fn bus(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=BUS_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_plain) {
        return Err(format!("`{name}` is no name of a bus: 1 to {BUS_BYTES_MAX} letters, digits, `-`, `_` and `.`"));
    }
    if name == "default" || name.starts_with("aws.") {
        return Err(format!("`{name}` is no name of a bus: EventBridge keeps `default` and what begins with `aws.`"));
    }
    Ok(())
}

/// One tag.
pub fn tag(key: &str, value: &str) -> Result<(), String> {
    let is_plain = |letter: char| letter.is_alphanumeric() || " _.:/=+-@".contains(letter);
    if !(1..=TAG_KEY_MAX).contains(&key.chars().count()) || !key.chars().all(is_plain) {
        return Err(format!("`{key}` is no key of a tag: 1 to {TAG_KEY_MAX} letters, digits, spaces and _ . : / = + - @"));
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(format!("`{key}` is no key of a tag: AWS keeps those that begin with `aws:`"));
    }
    if value.chars().count() > TAG_VALUE_MAX || !value.chars().all(is_plain) {
        return Err(format!("`{value}` is no value of a tag: at most {TAG_VALUE_MAX} letters, digits, spaces and _ . : / = + - @"));
    }
    Ok(())
}

/// The keys of the tags of one thing. Roles do not tell keys apart by case alone.
pub fn tag_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for key in keys {
        match known.insert(key.to_lowercase(), key) {
            Some(first) if first == key => return Err(format!("the tag `{key}` is given twice")),
            Some(first) => return Err(format!("the tags `{first}` and `{key}` differ in case alone, and roles do not tell them apart")),
            None => {}
        }
    }
    tag_count(known.len())
}

/// How many tags a thing has.
pub fn tag_count(count: usize) -> Result<(), String> {
    if count > TAGS_MAX { Err(format!("{count} tags are more than the {TAGS_MAX} that a thing can have")) } else { Ok(()) }
}

/// The id of a thing in a network: `subnet-`, `sg-` and 8 or 17 hexadecimal digits.
pub fn network_id(id: &str, prefix: &str) -> Result<(), String> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match id.strip_prefix(prefix) {
        Some(digits) if ID_DIGITS.contains(&digits.len()) && digits.bytes().all(is_digit) => Ok(()),
        _ => Err(format!("`{id}` is no id: use one such as {prefix}0123456789abcdef0")),
    }
}

/// The reference of an image: `[host[:port]/]name[/name][:tag][@digest]`. Source: the Distribution project's reference grammar.
pub fn image(reference: &str) -> Result<(), String> {
    if reference.contains("://") {
        return Err(format!("`{reference}` is a URL: an image is named without `https://`"));
    }
    let wrong = |what: &str| Err(format!("`{reference}` is no image: {what}"));
    let (named, digest) = reference.split_once('@').map_or((reference, None), |(named, digest)| (named, Some(digest)));
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return wrong("a digest is `sha256:` and 64 hexadecimal digits");
    }
    let start = named.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match named[start..].find(':') {
        Some(at) => (&named[..start + at], Some(&named[start + at + 1..])),
        None => (named, None),
    };
    let is_tag = |tag: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        (1..=IMAGE_TAG_BYTES_MAX).contains(&tag.len()) && tag.bytes().all(is_plain) && !tag.starts_with(['.', '-'])
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return wrong("a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`");
    }
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, name),
    };
    if host.is_some_and(|host| !is_host(host)) {
        return wrong("its registry is no host");
    }
    if name.len() > IMAGE_BYTES_MAX || !path.split('/').all(is_image_part) {
        return wrong("its name has lower-case letters and digits, with single `.`, `_` or any `-` between, and `/`");
    }
    Ok(())
}

fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    name.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Words of lower-case letters and digits, between them `.`, `_`, `__` or any number of `-`.
fn is_image_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_between = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    let ends = |letter: Option<u8>| letter.is_some_and(is_word);
    let mut between = part.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    ends(part.bytes().next()) && ends(part.bytes().last()) && between.all(is_between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics() {
        assert!(is_topic("arn:aws:sns:us-east-2:123456789012:new-logs_1"));
        for arn in [
            "",
            "new-logs",
            "arn:aws:sqs:us-east-2:123456789012:a",
            "arn:aws:sns:us-east-2:1234:a",
            "arn:aws:sns:us-east-2:123456789012:",
            "arn:aws:sns:us-east-2:123456789012:a.fifo",
            "arn:aws:sns:us-east-2:123456789012:a:0-1-2",
            "arn:aws:sns:us-east-2:123456789012:*",
        ] {
            assert!(!is_topic(arn), "{arn}");
        }
    }
    use expect_test::{Expect, expect};

    fn check(said: impl IntoIterator<Item = Result<(), String>>, expected: Expect) {
        let line = |said: Result<(), String>| said.err().unwrap_or_else(|| "good".to_owned()) + "\n";
        expected.assert_eq(&said.into_iter().map(line).collect::<String>());
    }

    #[test]
    fn buckets() {
        for name in ["abc", "my.bucket", "a.-b.c", "1-2", "logs-123456789012-us-east-2"] {
            assert_eq!(bucket(name), Ok(()));
        }
        let names =
            ["ab", "-a-", "a..b", "Abc", "1.2.3.4", "sthree-abc", "amzn-s3-demo-x", "abc--ol-s3", "abc.mrap", "abc--x-s3", "abc--table-s3"];
        check(
            names.map(bucket),
            expect![[r#"
            `ab` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends
            `-a-` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends
            `a..b` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends
            `Abc` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends
            `1.2.3.4` is no bucket name: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends
            `sthree-abc` is no bucket name: S3 keeps those that begin with `sthree-`
            `amzn-s3-demo-x` is no bucket name: S3 keeps those that begin with `amzn-s3-demo-`
            `abc--ol-s3` is no bucket name: S3 keeps those that end in `--ol-s3`
            `abc.mrap` is no bucket name: S3 keeps those that end in `.mrap`
            `abc--x-s3` is no bucket name: S3 keeps those that end in `--x-s3`
            `abc--table-s3` is no bucket name: S3 keeps those that end in `--table-s3`
        "#]],
        );
    }

    #[test]
    fn buses() {
        check(
            ["team.bus-1_x", "default", "my bus", "aws.foo", "a/b", ""].map(bus),
            expect![[r#"
            good
            `default` is no name of a bus: EventBridge keeps `default` and what begins with `aws.`
            `my bus` is no name of a bus: 1 to 256 letters, digits, `-`, `_` and `.`
            `aws.foo` is no name of a bus: EventBridge keeps `default` and what begins with `aws.`
            `a/b` is no name of a bus: 1 to 256 letters, digits, `-`, `_` and `.`
            `` is no name of a bus: 1 to 256 letters, digits, `-`, `_` and `.`
        "#]],
        );
    }

    #[test]
    fn tags() {
        let long = "x".repeat(257);
        let given = [
            ("team", "web @ 1+1=2"),
            ("équipe", ""),
            ("a*b", "c"),
            ("", "x"),
            ("AWS:x", "y"),
            (&long[..129], "v"),
            ("k", &long),
            ("k", "a\nb"),
        ];
        check(
            given.map(|(key, value)| tag(key, value).map_err(|message| message.replace(&long[..129], "LONG"))),
            expect![[r#"
            good
            good
            `a*b` is no key of a tag: 1 to 128 letters, digits, spaces and _ . : / = + - @
            `` is no key of a tag: 1 to 128 letters, digits, spaces and _ . : / = + - @
            `AWS:x` is no key of a tag: AWS keeps those that begin with `aws:`
            `LONG` is no key of a tag: 1 to 128 letters, digits, spaces and _ . : / = + - @
            `LONGxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is no value of a tag: at most 256 letters, digits, spaces and _ . : / = + - @
            `a
            b` is no value of a tag: at most 256 letters, digits, spaces and _ . : / = + - @
        "#]],
        );
        let many: Vec<String> = (0..51).map(|at| format!("k{at}")).collect();
        check(
            [tag_keys(["a", "b"]), tag_keys(["a", "A"]), tag_keys(["a", "a"]), tag_keys(many.iter().map(String::as_str))],
            expect![[r#"
            good
            the tags `a` and `A` differ in case alone, and roles do not tell them apart
            the tag `a` is given twice
            51 tags are more than the 50 that a thing can have
        "#]],
        );
    }

    #[test]
    fn ids_of_a_network() {
        let ids = ["subnet-01234567", "subnet-0123456789abcdef0", "hello", "subnet-0123", "subnet-0123456G", "sg-01234567"];
        check(
            ids.map(|id| network_id(id, "subnet-")),
            expect![[r#"
            good
            good
            `hello` is no id: use one such as subnet-0123456789abcdef0
            `subnet-0123` is no id: use one such as subnet-0123456789abcdef0
            `subnet-0123456G` is no id: use one such as subnet-0123456789abcdef0
            `sg-01234567` is no id: use one such as subnet-0123456789abcdef0
        "#]],
        );
    }

    #[test]
    fn images() {
        let digest = format!("app@sha256:{}", "0a".repeat(32));
        for good in
            ["app:1", "public.ecr.aws/a/b", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/x_y/z--1:v1.0-a_B", "localhost:5000/app", &digest]
        {
            assert_eq!(image(good), Ok(()));
        }
        check(
            ["https://example.com/app:1", "my app:1 x", "App:1", "app:", "app:-1", "app@sha256:00", "a.b:x/app", "app/../x:1", "app//x:1"]
                .map(image),
            expect![[r#"
                `https://example.com/app:1` is a URL: an image is named without `https://`
                `my app:1 x` is no image: a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`
                `App:1` is no image: its name has lower-case letters and digits, with single `.`, `_` or any `-` between, and `/`
                `app:` is no image: a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`
                `app:-1` is no image: a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`
                `app@sha256:00` is no image: a digest is `sha256:` and 64 hexadecimal digits
                `a.b:x/app` is no image: its registry is no host
                `app/../x:1` is no image: its name has lower-case letters and digits, with single `.`, `_` or any `-` between, and `/`
                `app//x:1` is no image: its name has lower-case letters and digits, with single `.`, `_` or any `-` between, and `/`
            "#]],
        );
    }
}
