//! What a role may do: the statements of a template flow in, yes or no flows out. As far as our templates go, and IAM with
//! them: statements that allow, `*` in names, and one condition, on the prefix of a listing.

use serde_json::Value;

/// A role of a template.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its logical id.
    pub id: String,
    statements: Vec<Value>,
}

impl Role {
    /// The role of this logical id in one of the templates.
    ///
    /// # Panics
    /// When there is none, or when it has a statement that does not allow.
    pub fn of(templates: &[Value], id: &str) -> Role {
        let policies = templates.iter().find_map(|template| template.pointer(&format!("/Resources/{id}/Properties/Policies")));
        let policies = policies.and_then(Value::as_array).unwrap_or_else(|| panic!("there is no role {id}"));
        let statements = policies.iter().filter_map(|policy| policy["PolicyDocument"]["Statement"].as_array());
        let statements: Vec<Value> = statements.flatten().cloned().collect();
        assert!(statements.iter().all(|statement| statement["Effect"] == "Allow"), "{id} has a statement that does not allow");
        Role { id: id.to_owned(), statements }
    }

    /// Whether it may do that to something whose ARN is known; `prefix` is that of a listing.
    pub fn may(&self, action: &str, arn: &str, prefix: Option<&str>) -> bool {
        let is_listed = |patterns: Option<&Value>| match (patterns.and_then(Value::as_array), prefix) {
            (Some(patterns), Some(prefix)) => patterns.iter().filter_map(Value::as_str).any(|pattern| fits(pattern, prefix)),
            _ => true,
        };
        self.of_action(action)
            .any(|statement| has(&statement["Resource"], arn) && is_listed(statement.pointer("/Condition/StringLikeIfExists/s3:prefix")))
    }

    /// Whether it may do that to anything.
    pub fn may_somewhere(&self, action: &str) -> bool {
        self.of_action(action).next().is_some()
    }

    fn of_action<'a>(&'a self, action: &'a str) -> impl Iterator<Item = &'a Value> {
        self.statements.iter().filter(move |statement| has(&statement["Action"], action))
    }
}

fn has(list: &Value, wanted: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().filter_map(Value::as_str).any(|pattern| fits(pattern, wanted)))
}

fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(left) = text.strip_prefix(start) else { return false };
            (0..=left.len()).any(|at| left.is_char_boundary(at) && fits(rest, &left[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_allowed_is_refused() {
        let allow = |action: &str, resource: &str| json!({"Effect": "Allow", "Action": [action], "Resource": [resource]});
        let mut listing = allow("s3:ListBucket", "arn:aws:s3:::b");
        listing["Condition"] = json!({"StringLikeIfExists": {"s3:prefix": ["a/*"]}});
        let statements = [allow("s3:GetObject", "arn:aws:s3:::b/a/*"), listing];
        let properties = json!({"Policies": [{"PolicyDocument": {"Statement": statements}}]});
        let role = Role::of(&[json!({"Resources": {"R": {"Properties": properties}}})], "R");
        assert!(role.may("s3:GetObject", "arn:aws:s3:::b/a/x", None) && !role.may("s3:GetObject", "arn:aws:s3:::b/b/x", None));
        assert!(!role.may("s3:PutObject", "arn:aws:s3:::b/a/x", None) && !role.may_somewhere("s3:PutObject"));
        let lists = |prefix| role.may("s3:ListBucket", "arn:aws:s3:::b", prefix);
        assert!(lists(Some("a/b")) && !lists(Some("b/")) && lists(None), "a read of what is missing has no prefix");
    }
}
