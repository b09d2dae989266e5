//! Whether an account has room for the functions that a deployment reserves: templates and the account's limit flow in, what
//! is wrong and the next step flow out. CloudFormation finds it in the middle of a deployment, and rolls everything back.

use serde_json::Value;

use super::Cloud;
use crate::command::Trouble;

/// What Lambda keeps for functions that reserve nothing; of an account whose limit is smaller, all of it. Source: Lambda
/// developer guide, "Configuring reserved concurrency for a function".
const UNRESERVED_MIN: i64 = 100;
/// The quota's code, by which more is asked for.
const QUOTA: &str = "L-B99A9384";

/// What an account lets run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    /// All functions together.
    all: i64,
    /// Those that reserve nothing.
    unreserved: i64,
}

/// Invocations at once that a template's functions reserve.
pub fn reserved(template: &Value) -> i64 {
    let resources = template["Resources"].as_object().into_iter().flatten();
    let functions = resources.filter(|(_, resource)| resource["Type"] == "AWS::Lambda::Function");
    functions.filter_map(|(_, function)| function["Properties"]["ReservedConcurrentExecutions"].as_i64()).sum()
}

/// What is wrong where `more` is reserved beside what is.
fn judge(limits: Limits, more: i64) -> Option<Trouble> {
    let least = UNRESERVED_MIN.min(limits.all);
    let left = limits.unreserved - more;
    if more <= 0 || left >= least {
        return None;
    }
    let message = format!(
        "the functions reserve {more} concurrent invocations: {left} of the account's {} would be left, and Lambda wants {least} left",
        limits.all
    );
    let ask = format!("aws service-quotas request-service-quota-increase --service-code lambda --quota-code {QUOTA} --desired-value 1000");
    Some(Trouble::failed(message).next(format!("--no-reserved-concurrency, which is safe; or ask for more: {ask}")))
}

impl Cloud {
    /// What is wrong where so much `more` is reserved; `None` where nothing is, or where the account does not say.
    pub async fn lacks_concurrency(&self, more: i64) -> Option<Trouble> {
        if more <= 0 {
            return None;
        }
        let asked = aws_sdk_lambda::Client::new(self.aws.config()).get_account_settings().send().await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                let reason = manifests::reason(&error);
                crate::logs::note(&format!("nobody says how many functions may run at once in this account ({reason}); going on"), None);
                return None;
            }
        };
        let limit = answer.account_limit()?;
        let all = i64::from(limit.concurrent_executions());
        judge(Limits { all, unreserved: limit.unreserved_concurrent_executions().map_or(all, i64::from) }, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(all: i64, unreserved: i64, more: i64) -> Option<String> {
        judge(Limits { all, unreserved }, more).map(|trouble| trouble.message)
    }

    #[test]
    fn a_new_account_has_no_room_and_a_usual_one_has() {
        let new = "the functions reserve 2 concurrent invocations: 8 of the account's 10 would be left, and Lambda wants 10 left";
        assert_eq!(check(10, 10, 2).as_deref(), Some(new));
        assert_eq!(check(10, 10, 0), None);
        assert_eq!(check(1000, 1000, 5), None);
        assert_eq!(check(1000, 105, 5), None);
        assert!(check(1000, 104, 5).is_some());
    }

    #[test]
    fn what_templates_reserve() {
        let function = |count: Value| json!({"Type": "AWS::Lambda::Function", "Properties": {"ReservedConcurrentExecutions": count}});
        let template = json!({"Resources": {"A": function(1.into()), "B": function(3.into()), "C": function(Value::Null)}});
        assert_eq!((reserved(&template), reserved(&Value::Null)), (4, 0));
    }
}
