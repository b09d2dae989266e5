//! Names of columns that options and logs give: any text flows in, lower_snake names flow out, each once.

use super::TIME_COLUMN;

/// Names that files have beside the columns of a format.
const RESERVED: [&str; 5] = ["parse", "extra", "lot", "source_uri", "source_line"];

/// The longest name, in bytes; longer ones are cut.
const NAME_BYTES_MAX: usize = 128;

/// A name in lower_snake: `User-Agent` and `userAgent` become `user_agent`, `HTTPStatus` becomes `http_status`.
pub(super) fn snake(text: &str) -> String {
    let letters: Vec<char> = text.chars().take(NAME_BYTES_MAX).collect();
    let mut name = String::with_capacity(text.len().min(NAME_BYTES_MAX));
    for (n, letter) in letters.iter().enumerate() {
        let after_lower = n > 0 && (letters[n - 1].is_ascii_lowercase() || letters[n - 1].is_ascii_digit());
        let before_lower = n > 0 && letters[n - 1].is_ascii_uppercase() && letters.get(n + 1).is_some_and(char::is_ascii_lowercase);
        let is_word_start = letter.is_ascii_uppercase() && (after_lower || before_lower);
        if (is_word_start || !letter.is_ascii_alphanumeric()) && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if letter.is_ascii_alphanumeric() {
            name.push(letter.to_ascii_lowercase());
        }
    }
    name.truncate(name.trim_end_matches('_').len());
    if name.is_empty() { "column".to_owned() } else { name }
}

/// Names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// The name itself, or with the first number from 2 that makes it new.
    pub(super) fn take(&mut self, name: &str) -> String {
        let is_free = |names: &[String], name: &str| !RESERVED.contains(&name) && !names.iter().any(|taken| taken == name);
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| is_free(&self.0, name));
        let free = free.unwrap_or_else(|| name.to_owned());
        self.0.push(free.clone());
        free
    }

    /// As [`Names::take`], for a column that is not the time of the event: `time` becomes `time_text`.
    pub(super) fn take_text(&mut self, name: &str) -> String {
        self.take(if name == TIME_COLUMN { "time_text" } else { name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_snake_and_new() {
        let names = ["User-Agent", "userAgent", "HTTPStatus", " c-ip ", "cs(User-Agent)", "é", "SSL_PROTOCOL", "x2Y", "EventId"];
        let snakes = names.map(snake);
        assert_eq!(
            snakes,
            ["user_agent", "user_agent", "http_status", "c_ip", "cs_user_agent", "column", "ssl_protocol", "x2_y", "event_id"]
        );
        let mut taken = Names::default();
        assert_eq!(["a", "a", "a_2", "extra", "a"].map(|name| taken.take(name)), ["a", "a_2", "a_2_2", "extra_2", "a_3"]);
        assert_eq!(taken.take_text("time"), "time_text");
    }
}
