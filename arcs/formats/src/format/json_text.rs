//! JSON objects as text, for columns that keep members no column is for: keys and values flow in, text flows out.

use std::borrow::Cow;

use super::json_fields::Json;

/// An object that grows. It allocates nothing until it has a member.
#[derive(Debug, Default)]
pub(super) struct ObjectText(String);

impl ObjectText {
    /// Adds a member as it was read.
    pub(super) fn add(&mut self, key: &[u8], value: &Json<'_>) {
        match value {
            Json::Null => self.add_raw(key, "null"),
            Json::Boolean(value) => self.add_raw(key, if *value { "true" } else { "false" }),
            Json::Number(text) | Json::Nested(text) => self.add_raw(key, &String::from_utf8_lossy(text)),
            Json::Text(text) => self.add_text(key, text),
        }
    }

    /// Adds a member whose value is a text.
    pub(super) fn add_text(&mut self, key: &[u8], value: &[u8]) {
        self.add_key(key);
        push_quoted(&mut self.0, value);
    }

    /// Adds a member whose value is JSON already.
    pub(super) fn add_raw(&mut self, key: &[u8], json: &str) {
        self.add_key(key);
        self.0.push_str(json);
    }

    fn add_key(&mut self, key: &[u8]) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        push_quoted(&mut self.0, key);
        self.0.push(':');
    }

    /// The text, if there is a member.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push('}');
        Some(self.0)
    }
}

/// Adds a text as a JSON string.
pub(super) fn push_quoted(out: &mut String, text: &[u8]) {
    let text: Cow<'_, str> = String::from_utf8_lossy(text);
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        return out.push_str(&serde_json::Value::from(text.as_ref()).to_string());
    }
    out.push('"');
    out.push_str(&text);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_every_kind() {
        let mut object = ObjectText::default();
        object.add_text(b"a\"", b"x\n");
        object.add(b"b", &Json::Number(b"1.0"));
        object.add(b"c", &Json::Null);
        object.add(b"d", &Json::Boolean(true));
        assert_eq!(object.finish().as_deref(), Some(r#"{"a\"":"x\n","b":1.0,"c":null,"d":true}"#));
        assert_eq!(ObjectText::default().finish(), None);
    }
}
