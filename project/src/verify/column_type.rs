//! Types of columns as tables of Glue have them and Athena reads them. Text flows in, what is wrong with it flows out.
//!
//! Source: Amazon Athena user guide, "Data types in Amazon Athena". Glue takes any text; a query then fails.

use super::fields::did_you_mean;

/// Types without parameters.
const SIMPLE: [&str; 12] =
    ["boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "string", "binary", "date", "timestamp"];
/// Types with numbers in parentheses; `decimal` may go without.
const NUMBERED: [(&str, &[u32]); 3] = [("decimal", &[38, 38]), ("char", &[255]), ("varchar", &[65_535])];
/// Types of types.
const NESTED: [&str; 3] = ["array", "map", "struct"];
/// How deep types stand in each other at most.
const DEPTH_MAX: usize = 32;

/// Something wrong with a type, and the likely correction.
type Wrong = (String, Option<String>);

/// Judges a type; the column of a partition has a simple one.
pub fn check(text: &str, is_partition: bool) -> Result<(), Wrong> {
    match read(text, DEPTH_MAX)? {
        "" if is_partition && NESTED.iter().any(|nested| text.starts_with(nested)) => {
            Err((format!("`{text}` is no type of a partition: those are simple"), Some("string".to_owned())))
        }
        "" => Ok(()),
        rest => Err((format!("`{text}` goes on after its end: `{rest}`"), None)),
    }
}

/// Reads a type from the beginning of `text`; what comes after it.
fn read(text: &str, depth: usize) -> Result<&str, Wrong> {
    let depth = depth.checked_sub(1).ok_or_else(|| (format!("has types more than {DEPTH_MAX} deep"), None))?;
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match word {
        "array" => expect(read(expect(rest, "<", word)?, depth)?, ">", word),
        "map" => {
            let value = expect(read(expect(rest, "<", word)?, depth)?, ",", word)?;
            expect(read(value.trim_start(), depth)?, ">", word)
        }
        "struct" => read_fields(expect(rest, "<", word)?, depth),
        word => match NUMBERED.iter().find(|known| known.0 == word) {
            Some((_, limits)) if rest.starts_with('(') => read_numbers(rest, word, limits),
            Some((_, limits)) if !SIMPLE.contains(&word) => expect(rest, "(", word).and_then(|rest| read_numbers(rest, word, limits)),
            _ if SIMPLE.contains(&word) => Ok(rest),
            _ => Err(unknown(word)),
        },
    }
}

/// The fields of a `struct`, after `<`.
fn read_fields(mut rest: &str, depth: usize) -> Result<&str, Wrong> {
    loop {
        let end = rest.find([':', ',', '<', '>']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.trim().is_empty() {
            return Err(("has a field without a name: write struct<name:type>".to_owned(), None));
        }
        rest = read(expect(after, ":", "struct")?.trim_start(), depth)?;
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return expect(rest, ">", "struct"),
        }
    }
}

/// Numbers in parentheses, as many as there are limits, or fewer for `decimal`.
fn read_numbers<'a>(rest: &'a str, word: &str, limits: &[u32]) -> Result<&'a str, Wrong> {
    let (inside, after) = rest.strip_prefix('(').unwrap_or(rest).split_once(')').ok_or_else(|| open(word, ")"))?;
    let numbers: Vec<Option<u32>> = inside.split(',').map(|number| number.trim().parse().ok()).collect();
    let is_good = |(number, limit): (&Option<u32>, &u32)| number.is_some_and(|number| number <= *limit);
    let is_least = word == "decimal" || numbers.first().is_some_and(|number| *number >= Some(1));
    if numbers.len() > limits.len() || !numbers.iter().zip(limits).all(is_good) || !is_least {
        return Err((format!("`{word}({inside})` has numbers that it cannot have"), None));
    }
    Ok(after)
}

fn expect<'a>(rest: &'a str, sign: &str, word: &str) -> Result<&'a str, Wrong> {
    rest.strip_prefix(sign).ok_or_else(|| open(word, sign))
}

fn open(word: &str, sign: &str) -> Wrong {
    (format!("lacks a `{sign}` after `{word}`"), None)
}

fn unknown(word: &str) -> Wrong {
    let known = || SIMPLE.into_iter().chain(NUMBERED.map(|known| known.0)).chain(NESTED);
    let lower = word.to_lowercase();
    if known().any(|name| name == lower) {
        return (format!("`{word}` is a type in lower case only"), Some(format!("use `{lower}`")));
    }
    let mut names: Vec<&str> = known().collect();
    names.sort_unstable();
    names.dedup();
    (
        format!("`{word}` is no type of a column"),
        did_you_mean(word, names.iter().copied()).or_else(|| Some(format!("use {}", names.join(", ")))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    #[test]
    fn types_that_are_read() {
        for text in [
            "string",
            "decimal",
            "decimal(20)",
            "decimal(20,0)",
            "varchar(65535)",
            "char(1)",
            "array<string>",
            "map<string,array<int>>",
            "map<string, int>",
            "struct<a:int,b c:struct<d:array<double>>>",
        ] {
            assert_eq!(check(text, false), Ok(()), "{text}");
        }
    }

    #[test]
    fn types_that_are_not() {
        let texts = [
            "",
            "strnig",
            "STRING",
            "integer",
            "json",
            "int ",
            "string>",
            "char",
            "varchar(0)",
            "decimal(39,1)",
            "decimal(1,2,3)",
            "decimal(1",
            "array",
            "array<>",
            "array<int",
            "map<string>",
            "struct<>",
            "struct<a>",
            "struct<a:int",
            "struct<:int>",
        ];
        let said: Vec<String> = texts.iter().filter_map(|text| check(text, false).err()).map(|said| format!("{said:?}")).collect();
        assert_eq!(said.len(), texts.len());
        expect![[r#"
            ("`` is no type of a column", Some("use array, bigint, binary, boolean, char, date, decimal, double, float, int, map, smallint, string, struct, timestamp, tinyint, varchar"))
            ("`strnig` is no type of a column", Some("did you mean `string`?"))
            ("`STRING` is a type in lower case only", Some("use `string`"))
            ("`integer` is no type of a column", Some("did you mean `int`?"))
            ("`json` is no type of a column", Some("use array, bigint, binary, boolean, char, date, decimal, double, float, int, map, smallint, string, struct, timestamp, tinyint, varchar"))
            ("`int ` goes on after its end: ` `", None)
            ("`string>` goes on after its end: `>`", None)
            ("lacks a `(` after `char`", None)
            ("`varchar(0)` has numbers that it cannot have", None)
            ("`decimal(39,1)` has numbers that it cannot have", None)
            ("`decimal(1,2,3)` has numbers that it cannot have", None)
            ("lacks a `)` after `decimal`", None)
            ("lacks a `<` after `array`", None)
            ("`` is no type of a column", Some("use array, bigint, binary, boolean, char, date, decimal, double, float, int, map, smallint, string, struct, timestamp, tinyint, varchar"))
            ("lacks a `>` after `array`", None)
            ("lacks a `,` after `map`", None)
            ("has a field without a name: write struct<name:type>", None)
            ("lacks a `:` after `struct`", None)
            ("lacks a `>` after `struct`", None)
            ("has a field without a name: write struct<name:type>", None)"#]].assert_eq(&said.join("\n"));
        assert!(check(&format!("{}int{}", "array<".repeat(40), ">".repeat(40)), false).is_err());
        assert!(check("array<int>", true).is_err() && check("int", true).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "(array<|map<|struct<|int|decimal|[(),:<>a0 ]|\\PC){0,12}") {
            let _ = check(&text, false);
        }
    }
}
