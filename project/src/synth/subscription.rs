//! What another team needs to build on a dataset: a dataset and the names of its placement flow in; the pattern of its events,
//! a sample, the rights to read it, and what an account beside this one needs, flow out as JSON. Nothing is asked of AWS.

use manifests::{AvailabilityEvent, Dataset, EVENT_DETAIL_TYPE, EVENT_SOURCE, Lot, State, paths};
use serde_json::{Value, json};

use super::grants;
use super::iam::{self, allow};
use super::names::Names;

/// Stands for the account of whoever subscribes.
pub const SUBSCRIBER_ACCOUNT: &str = "SUBSCRIBER_ACCOUNT";

/// A dataset that somebody wants to subscribe to.
#[derive(Clone, Debug)]
pub struct Subscription<'a> {
    /// Where it is.
    pub names: &'a Names,
    /// The dataset.
    pub dataset: &'a Dataset,
    /// A lot of it, for the sample, and its state.
    pub sample: (Lot, State),
    /// Keys that its data or its manifests are encrypted with, ARNs.
    pub kms_keys: &'a [String],
}

/// The detail of an event of a lot, exactly as the contract has it.
pub fn sample_detail(dataset: &Dataset, lot: Lot, manifest: String) -> Value {
    json!(AvailabilityEvent { dataset: dataset.clone(), lot, manifest, dataset_id: dataset.id().to_string() })
}

impl Subscription<'_> {
    /// Everything, as one document.
    pub fn document(&self) -> Value {
        let names = self.names;
        json!({
            "bus": {"name": names.event_bus(), "arn": bus(names)},
            "eventPattern": self.pattern(),
            "sampleEvent": self.event(),
            "statements": self.statements(),
            "crossAccount": self.cross_account(),
        })
    }

    /// What a rule's pattern has to be.
    fn pattern(&self) -> Value {
        json!({"source": [EVENT_SOURCE], "detail-type": [EVENT_DETAIL_TYPE], "detail": {"datasetId": [self.dataset.id().to_string()]}})
    }

    /// An event as its target gets it.
    fn event(&self) -> Value {
        let (lot, state) = self.sample;
        let copy = paths::state_copy(&self.dataset.id(), lot, state);
        json!({
            "version": "0",
            "id": "00000000-0000-0000-0000-000000000000",
            "detail-type": EVENT_DETAIL_TYPE,
            "source": EVENT_SOURCE,
            "account": self.names.account,
            "time": lot.end().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": self.names.region,
            "resources": [],
            "detail": sample_detail(self.dataset, lot, format!("s3://{}/{copy}", self.names.manifest_bucket())),
        })
    }

    /// What the role of a reader has to be allowed.
    fn statements(&self) -> Vec<Value> {
        let mut statements = grants::reader(self.names, self.dataset);
        if !self.kms_keys.is_empty() {
            statements.push(allow(&["kms:Decrypt"], self.kms_keys.iter().map(|key| key.as_str().into()).collect()));
        }
        statements
    }

    /// For another account: the rule here that sends events to its bus, the role that the rule takes on, what lets the events
    /// into that bus, and what lets its readers into the buckets here.
    fn cross_account(&self) -> Value {
        let names = self.names;
        let theirs = format!("arn:{}:events:{}:{SUBSCRIBER_ACCOUNT}:event-bus/default", names.partition(), names.region);
        let role = names.role_arn("send-events-to-subscriber");
        let rule = format!("{}-{}-to-subscriber", super::names::clean(&self.dataset.name), super::names::clean(&self.dataset.version));
        let trust = json!({"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"});
        let letting_in = json!({
            "Sid": "EventsOfTheLake", "Effect": "Allow", "Principal": {"AWS": names.role_arn("send-events-to-subscriber")},
            "Action": "events:PutEvents", "Resource": theirs,
        });
        json!({
            "rule": {
                "Name": super::names::fit(&rule, 64), "EventBusName": names.event_bus(), "EventPattern": self.pattern(),
                "Targets": [{"Id": "subscriber", "Arn": theirs, "RoleArn": role}],
            },
            "roleOfTheRule": {
                "AssumeRolePolicyDocument": iam::document(vec![trust]),
                "PolicyDocument": iam::document(vec![allow(&["events:PutEvents"], vec![theirs.clone().into()])]),
            },
            "policyOfTheirBus": iam::document(vec![letting_in]),
            "bucketPolicyStatements": self.bucket_statements(),
            "keyPolicyStatement": if self.kms_keys.is_empty() { Value::Null } else { self.key_statement() },
        })
    }

    /// The reader's statements as the policies of the buckets have to say them, by bucket.
    fn bucket_statements(&self) -> Value {
        let mut by_bucket = serde_json::Map::new();
        for mut statement in grants::reader(self.names, self.dataset) {
            let resource = statement["Resource"].as_array().cloned().unwrap_or_default();
            statement["Principal"] = json!({"AWS": format!("arn:{}:iam::{SUBSCRIBER_ACCOUNT}:root", self.names.partition())});
            for arn in resource {
                let bucket = arn.as_str().and_then(|arn| arn.rsplit(":::").next()?.split('/').next()).unwrap_or_default().to_owned();
                let mut one = statement.clone();
                one["Resource"] = arn;
                if let Some(list) = by_bucket.entry(bucket).or_insert_with(|| json!([])).as_array_mut() {
                    list.push(one);
                }
            }
        }
        by_bucket.into()
    }

    fn key_statement(&self) -> Value {
        let root = format!("arn:{}:iam::{SUBSCRIBER_ACCOUNT}:root", self.names.partition());
        json!({"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:Decrypt", "Resource": "*"})
    }
}

fn bus(names: &Names) -> String {
    names.arn("events", &format!("event-bus/{}", names.event_bus()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_dataset_with_a_key() {
        let names = Names { stage: "test".into(), account: "123456789012".into(), region: "us-east-2".into() };
        let dataset = Dataset { name: "access-logs".into(), version: "1".into(), path_uri: "s3://test-lake-data/access/".into() };
        let key = ["arn:aws:kms:us-east-2:123456789012:key/k".to_owned()];
        let sample = ("20230717PT5M250".parse().unwrap(), State::Complete);
        let subscription = Subscription { names: &names, dataset: &dataset, sample, kms_keys: &key };
        expect![[r#"
            {
              "bus": {
                "name": "TEST-arc-events-us-east-2",
                "arn": "arn:aws:events:us-east-2:123456789012:event-bus/TEST-arc-events-us-east-2"
              },
              "eventPattern": {
                "source": [
                  "clusterless.arc"
                ],
                "detail-type": [
                  "Clusterless Arc Notification"
                ],
                "detail": {
                  "datasetId": [
                    "access-logs/1"
                  ]
                }
              },
              "sampleEvent": {
                "version": "0",
                "id": "00000000-0000-0000-0000-000000000000",
                "detail-type": "Clusterless Arc Notification",
                "source": "clusterless.arc",
                "account": "123456789012",
                "time": "2023-07-17T20:55:00Z",
                "region": "us-east-2",
                "resources": [],
                "detail": {
                  "dataset": {
                    "name": "access-logs",
                    "version": "1",
                    "pathURI": "s3://test-lake-data/access/"
                  },
                  "lot": "20230717PT5M250",
                  "manifest": "s3://test-clusterless-manifest-123456789012-us-east-2/datasets/name=access-logs/version=1/lot=20230717PT5M250/state=complete/manifest.json",
                  "datasetId": "access-logs/1"
                }
              },
              "statements": [
                {
                  "Effect": "Allow",
                  "Action": [
                    "s3:GetObject",
                    "s3:GetObjectVersion"
                  ],
                  "Resource": [
                    "arn:aws:s3:::test-clusterless-manifest-123456789012-us-east-2/datasets/name=access-logs/version=1/*",
                    "arn:aws:s3:::test-lake-data/access/*"
                  ]
                },
                {
                  "Effect": "Allow",
                  "Action": [
                    "s3:ListBucket"
                  ],
                  "Resource": [
                    "arn:aws:s3:::test-clusterless-manifest-123456789012-us-east-2"
                  ],
                  "Condition": {
                    "StringLikeIfExists": {
                      "s3:prefix": [
                        "datasets/name=access-logs/version=1/*",
                        "datasets/name=access-logs/version=1"
                      ]
                    }
                  }
                },
                {
                  "Effect": "Allow",
                  "Action": [
                    "s3:ListBucket"
                  ],
                  "Resource": [
                    "arn:aws:s3:::test-lake-data"
                  ],
                  "Condition": {
                    "StringLikeIfExists": {
                      "s3:prefix": [
                        "access/*",
                        "access"
                      ]
                    }
                  }
                },
                {
                  "Effect": "Allow",
                  "Action": [
                    "kms:Decrypt"
                  ],
                  "Resource": [
                    "arn:aws:kms:us-east-2:123456789012:key/k"
                  ]
                }
              ],
              "crossAccount": {
                "rule": {
                  "Name": "access-logs-1-to-subscriber",
                  "EventBusName": "TEST-arc-events-us-east-2",
                  "EventPattern": {
                    "source": [
                      "clusterless.arc"
                    ],
                    "detail-type": [
                      "Clusterless Arc Notification"
                    ],
                    "detail": {
                      "datasetId": [
                        "access-logs/1"
                      ]
                    }
                  },
                  "Targets": [
                    {
                      "Id": "subscriber",
                      "Arn": "arn:aws:events:us-east-2:SUBSCRIBER_ACCOUNT:event-bus/default",
                      "RoleArn": "arn:aws:iam::123456789012:role/send-events-to-subscriber"
                    }
                  ]
                },
                "roleOfTheRule": {
                  "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                      {
                        "Effect": "Allow",
                        "Principal": {
                          "Service": "events.amazonaws.com"
                        },
                        "Action": "sts:AssumeRole"
                      }
                    ]
                  },
                  "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                      {
                        "Effect": "Allow",
                        "Action": [
                          "events:PutEvents"
                        ],
                        "Resource": [
                          "arn:aws:events:us-east-2:SUBSCRIBER_ACCOUNT:event-bus/default"
                        ]
                      }
                    ]
                  }
                },
                "policyOfTheirBus": {
                  "Version": "2012-10-17",
                  "Statement": [
                    {
                      "Sid": "EventsOfTheLake",
                      "Effect": "Allow",
                      "Principal": {
                        "AWS": "arn:aws:iam::123456789012:role/send-events-to-subscriber"
                      },
                      "Action": "events:PutEvents",
                      "Resource": "arn:aws:events:us-east-2:SUBSCRIBER_ACCOUNT:event-bus/default"
                    }
                  ]
                },
                "bucketPolicyStatements": {
                  "test-clusterless-manifest-123456789012-us-east-2": [
                    {
                      "Effect": "Allow",
                      "Action": [
                        "s3:GetObject",
                        "s3:GetObjectVersion"
                      ],
                      "Resource": "arn:aws:s3:::test-clusterless-manifest-123456789012-us-east-2/datasets/name=access-logs/version=1/*",
                      "Principal": {
                        "AWS": "arn:aws:iam::SUBSCRIBER_ACCOUNT:root"
                      }
                    },
                    {
                      "Effect": "Allow",
                      "Action": [
                        "s3:ListBucket"
                      ],
                      "Resource": "arn:aws:s3:::test-clusterless-manifest-123456789012-us-east-2",
                      "Condition": {
                        "StringLikeIfExists": {
                          "s3:prefix": [
                            "datasets/name=access-logs/version=1/*",
                            "datasets/name=access-logs/version=1"
                          ]
                        }
                      },
                      "Principal": {
                        "AWS": "arn:aws:iam::SUBSCRIBER_ACCOUNT:root"
                      }
                    }
                  ],
                  "test-lake-data": [
                    {
                      "Effect": "Allow",
                      "Action": [
                        "s3:GetObject",
                        "s3:GetObjectVersion"
                      ],
                      "Resource": "arn:aws:s3:::test-lake-data/access/*",
                      "Principal": {
                        "AWS": "arn:aws:iam::SUBSCRIBER_ACCOUNT:root"
                      }
                    },
                    {
                      "Effect": "Allow",
                      "Action": [
                        "s3:ListBucket"
                      ],
                      "Resource": "arn:aws:s3:::test-lake-data",
                      "Condition": {
                        "StringLikeIfExists": {
                          "s3:prefix": [
                            "access/*",
                            "access"
                          ]
                        }
                      },
                      "Principal": {
                        "AWS": "arn:aws:iam::SUBSCRIBER_ACCOUNT:root"
                      }
                    }
                  ]
                },
                "keyPolicyStatement": {
                  "Effect": "Allow",
                  "Principal": {
                    "AWS": "arn:aws:iam::SUBSCRIBER_ACCOUNT:root"
                  },
                  "Action": "kms:Decrypt",
                  "Resource": "*"
                }
              }
            }"#]].assert_eq(&serde_json::to_string_pretty(&subscription.document()).unwrap());
    }
}
