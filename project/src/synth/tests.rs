//! Whole templates: what they look like, that they are always the same, that they fit, and what cfn-lint says of them.

use std::process::Command;

use expect_test::{Expect, expect, expect_file};
use serde_json::{Map, Value, json};

use super::fixture::{changed, clusterless, document, large, options, project as judged};
use super::*;

fn synthesised(project: &Project) -> Vec<Stack> {
    super::project(project, &options(project)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn placement(stage: &str) -> Names {
    Names { stage: stage.into(), account: "123456789012".into(), region: "us-east-2".into() }
}

fn check(value: &Value, expected: Expect) {
    expected.assert_eq(&(serde_json::to_string_pretty(value).unwrap() + "\n"));
}

/// Logical ids and types, a line each.
fn listing(stack: &Stack) -> String {
    let resources = stack.template["Resources"].as_object().unwrap();
    let lines =
        resources.iter().map(|(id, resource)| format!("{id} {}\n", resource["Type"].as_str().unwrap_or_default().replace("AWS::", "")));
    format!("{} after {:?}\n", stack.name, stack.after) + &lines.collect::<String>()
}

/// The same project where `arc up` does the work.
fn served() -> Project {
    changed(|document| document["placement"]["workers"] = json!("up"))
}

#[test]
fn what_arc_up_serves_has_neither_functions_nor_jobs() {
    let project = served();
    let stacks = synthesised(&project);
    assert_eq!((stacks.len(), function_architectures(&project).len()), (1, 0));
    expect![[r#"
        test-lake-1-0 after []
        Failures SNS::Topic
        FailuresPolicy SNS::TopicPolicy
        BoundaryInDeadLetters SQS::Queue
        BoundaryInDeadLettersPolicy SQS::QueuePolicy
        BoundaryInQueue SQS::Queue
        BoundaryInQueuePolicy SQS::QueuePolicy
        BoundaryOtherDeadLetters SQS::Queue
        BoundaryOtherDeadLettersPolicy SQS::QueuePolicy
        BoundaryOtherQueue SQS::Queue
        BoundaryOtherQueuePolicy SQS::QueuePolicy
        ResourceData S3::Bucket
        ResourceDataPolicy S3::BucketPolicy
        BoundaryInDeadLettersAlarm CloudWatch::Alarm
        BoundaryOtherArrivals Events::Rule
        BoundaryOtherDeadLettersAlarm CloudWatch::Alarm
        UpPolicy1 IAM::ManagedPolicy
        UpPolicy2 IAM::ManagedPolicy
        Database Glue::Database
        TableToParquet Glue::Table
        TableErrors Glue::Table
    "#]]
    .assert_eq(&listing(&stacks[0]));
    let noted = notes(&project, &options(&project));
    assert!(noted.iter().any(|note| note.message.contains("UpPolicies")) && noted.iter().all(|note| note.path != "images"), "{noted:?}");
}

#[test]
fn what_a_project_is_made_of() {
    let stacks = synthesised(&judged(document()));
    assert_eq!(stacks.len(), 1);
    expect![[r#"
        test-lake-1-0 after []
        Undelivered SQS::Queue
        UndeliveredPolicy SQS::QueuePolicy
        Failures SNS::Topic
        FailuresPolicy SNS::TopicPolicy
        UndeliveredAlarm CloudWatch::Alarm
        BoundaryInDeadLetters SQS::Queue
        BoundaryInDeadLettersPolicy SQS::QueuePolicy
        BoundaryInQueue SQS::Queue
        BoundaryInQueuePolicy SQS::QueuePolicy
        BoundaryOtherDeadLetters SQS::Queue
        BoundaryOtherDeadLettersPolicy SQS::QueuePolicy
        BoundaryOtherQueue SQS::Queue
        BoundaryOtherQueuePolicy SQS::QueuePolicy
        ResourceData S3::Bucket
        ResourceDataPolicy S3::BucketPolicy
        ComputeSpot Batch::ComputeEnvironment
        ComputeFargate Batch::ComputeEnvironment
        JobQueue Batch::JobQueue
        JobLogs Logs::LogGroup
        ExecutionRole IAM::Role
        DispatchJobs Events::Rule
        DispatchJobsPermission Lambda::Permission
        DispatchRole IAM::Role
        DispatchLogs Logs::LogGroup
        Dispatch Lambda::Function
        DispatchFailures Lambda::EventInvokeConfig
        DispatchSweep Events::Rule
        DispatchSweepPermission Lambda::Permission
        DispatchLots1 Events::Rule
        DispatchLots1Permission Lambda::Permission
        FailedRunsAlarm CloudWatch::Alarm
        BoundaryInRole IAM::Role
        BoundaryInLogs Logs::LogGroup
        BoundaryIn Lambda::Function
        BoundaryInFailures Lambda::EventInvokeConfig
        BoundaryInTick Events::Rule
        BoundaryInTickPermission Lambda::Permission
        BoundaryInDeadLettersAlarm CloudWatch::Alarm
        BoundaryInSilentAlarm CloudWatch::Alarm
        BoundaryOtherRole IAM::Role
        BoundaryOtherLogs Logs::LogGroup
        BoundaryOther Lambda::Function
        BoundaryOtherFailures Lambda::EventInvokeConfig
        BoundaryOtherTick Events::Rule
        BoundaryOtherTickPermission Lambda::Permission
        BoundaryOtherArrivals Events::Rule
        BoundaryOtherMapping Lambda::EventSourceMapping
        BoundaryOtherDeadLettersAlarm CloudWatch::Alarm
        BoundaryOtherSilentAlarm CloudWatch::Alarm
        ArcToParquetRole IAM::Role
        ArcToParquet Batch::JobDefinition
        ArcToParquetSilentAlarm CloudWatch::Alarm
        ArcErrorsRole IAM::Role
        ArcErrors Batch::JobDefinition
        ArcErrorsSilentAlarm CloudWatch::Alarm
        ArcArchiveRole IAM::Role
        ArcArchive Batch::JobDefinition
        ArcArchiveSilentAlarm CloudWatch::Alarm
        Database Glue::Database
        TableToParquet Glue::Table
        TableErrors Glue::Table
    "#]]
    .assert_eq(&listing(&stacks[0]));
}

#[test]
fn each_architecture_has_an_image_of_its_own() {
    let project = changed(|document| {
        document["arcs"][0]["runtimeProps"] = json!({"architecture": "X86_64"});
        let tidy = |name: &str, architecture: &str| {
            json!({"type": "aws:core:batchExecActivity", "name": name, "schedule": "Hours", "imagePath": "./tidy",
                   "runtimeProps": {"architecture": architecture}})
        };
        document["activities"] = json!([tidy("here", "ARM64"), tidy("there", "X86_64")]);
    });
    let stacks = synthesised(&project);
    let of = |id: &str| {
        let container = &stacks[0].template["Resources"][id]["Properties"]["ContainerProperties"];
        format!("{} {}\n", container["RuntimePlatform"]["CpuArchitecture"], container["Image"])
    };
    let noted = notes(&project, &options(&project)).into_iter().filter(|note| note.path == "images");
    let built: String = noted.filter_map(|note| note.fix).map(|fix| fix + "\n").collect();
    expect![[r#"
        "X86_64" "123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-x86_64"
        "ARM64" "123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-arm64"
        "ARM64" "123456789012.dkr.ecr.us-east-2.amazonaws.com/test-lake-tidy:1.0-arm64"
        "X86_64" "123456789012.dkr.ecr.us-east-2.amazonaws.com/test-lake-tidy:1.0-x86_64"
        aws ecr get-login-password --region us-east-2 | podman login --username AWS --password-stdin 123456789012.dkr.ecr.us-east-2.amazonaws.com
        docker/image 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-arm64 ARC, where ARC is `arc` built for linux/arm64; then podman push 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-arm64
        docker/image 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-x86_64 ARC, where ARC is `arc` built for linux/amd64; then podman push 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-x86_64
        podman build --platform linux/arm64 -t 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-lake-tidy:1.0-arm64 ./tidy; then podman push 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-lake-tidy:1.0-arm64
        podman build --platform linux/amd64 -t 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-lake-tidy:1.0-x86_64 ./tidy; then podman push 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-lake-tidy:1.0-x86_64
    "#]].assert_eq(&(["ArcToParquet", "ArcErrors", "ActivityHere", "ActivityThere"].map(of).concat() + &built));
    let given = |image: &str| images(&project, &ProjectOptions { image: Some(image.into()), ..options(&project) });
    let uris = |image: &str| given(image).into_iter().filter(|image| image.folder.is_empty()).map(|image| image.uri).collect::<Vec<_>>();
    assert_eq!(uris("registry.example/arc:1-{arch}"), ["registry.example/arc:1-arm64", "registry.example/arc:1-x86_64"]);
    lint(&stacks);
}

#[test]
fn activities_alone_are_followed_by_the_dispatch_function() {
    let project = changed(|document| {
        document["arcs"] = json!([]);
        document["activities"] = json!([{"type": "aws:core:batchExecActivity", "name": "tidy", "schedule": "Hours", "imagePath": "tidy"}]);
    });
    let stacks = synthesised(&project);
    let resources = &stacks[0].template["Resources"];
    let (rule, definition) = (&resources["DispatchJobs"]["Properties"], &resources["ActivityTidy"]["Properties"]["JobDefinitionName"]);
    assert_eq!(rule["EventPattern"]["detail"]["jobQueue"], json!([{"Ref": "JobQueue"}]));
    assert_eq!(rule["Targets"][0]["Arn"], json!({"Fn::GetAtt": ["Dispatch", "Arn"]}));
    assert!(resources["FailedRunsAlarm"].is_object() && resources["DispatchRole"].to_string().contains("sns:Publish"));
    let told = deployment(&project, &options(&project)).unwrap();
    assert_eq!(told.activities.iter().map(|activity| activity.job_definition.as_str()).collect::<Vec<_>>(), [definition.as_str().unwrap()]);
    lint(&stacks);
}

#[test]
fn activities_are_the_same_under_both_names() {
    let with = |export: &str, exec: &str| {
        changed(|document| {
            document["activities"] = json!([
                {"type": export, "name": "appLogs", "interval": "Hours", "logGroupName": "/app", "pathURI": "s3://test-lake-data/app/"},
                {"type": exec, "name": "tidy", "schedule": "rate(1 day)", "workload": {"imagePath": "tidy", "command": ["tidy"]}},
            ]);
        })
    };
    let (ours, theirs) = (with("cloudWatchExport", "exec"), with("aws:core:cloudWatchExport", "aws:core:batchExecActivity"));
    assert_eq!(synthesised(&ours), synthesised(&theirs));
    assert_eq!(deployment(&ours, &options(&ours)), deployment(&theirs, &options(&theirs)));
    let resources = &synthesised(&ours)[0].template["Resources"];
    assert!(resources["ExportAppLogs"].is_object() && resources["ActivityTidyRule"].is_object());
}

#[test]
fn the_smallest_template_in_full() {
    let project = changed(|document| {
        document["resources"] = json!([]);
        document["arcs"] = json!([]);
        document["boundaries"].as_array_mut().unwrap().truncate(1);
    });
    let stacks = synthesised(&project);
    let text = serde_json::to_string_pretty(&stacks[0].template).unwrap() + "\n";
    expect_file!["fixtures/smallest.template.json"].assert_eq(&text);
}

#[test]
fn a_job_definition() {
    let stacks = synthesised(&judged(document()));
    check(
        &stacks[0].template["Resources"]["ArcErrors"],
        expect![[r#"
            {
              "Type": "AWS::Batch::JobDefinition",
              "Properties": {
                "JobDefinitionName": "test-lake-1-0-errors",
                "Type": "container",
                "PlatformCapabilities": [
                  "FARGATE"
                ],
                "PropagateTags": true,
                "Parameters": {
                  "arc": "errors",
                  "lot": "none"
                },
                "ContainerProperties": {
                  "Image": "123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-arm64",
                  "Command": [
                    "run",
                    "--arc",
                    "errors",
                    "--lot",
                    "Ref::lot",
                    "--output",
                    "json"
                  ],
                  "ResourceRequirements": [
                    {
                      "Type": "VCPU",
                      "Value": "2"
                    },
                    {
                      "Type": "MEMORY",
                      "Value": "8192"
                    }
                  ],
                  "Environment": [
                    {
                      "Name": "ARC_PROJECT",
                      "Value": "s3://test-clusterless-artifact-123456789012-us-east-2/deployments/test-lake-1-0/project.json"
                    }
                  ],
                  "JobRoleArn": {
                    "Fn::GetAtt": [
                      "ArcErrorsRole",
                      "Arn"
                    ]
                  },
                  "ExecutionRoleArn": {
                    "Fn::GetAtt": [
                      "ExecutionRole",
                      "Arn"
                    ]
                  },
                  "RuntimePlatform": {
                    "CpuArchitecture": "ARM64",
                    "OperatingSystemFamily": "LINUX"
                  },
                  "NetworkConfiguration": {
                    "AssignPublicIp": {
                      "Fn::ImportValue": "test-clusterless-bootstrap-assign-public-ip"
                    }
                  },
                  "EphemeralStorage": {
                    "SizeInGiB": 40
                  },
                  "User": "65532",
                  "ReadonlyRootFilesystem": true,
                  "Volumes": [
                    {
                      "Name": "scratch"
                    }
                  ],
                  "MountPoints": [
                    {
                      "SourceVolume": "scratch",
                      "ContainerPath": "/tmp",
                      "ReadOnly": false
                    }
                  ],
                  "LogConfiguration": {
                    "LogDriver": "awslogs",
                    "Options": {
                      "awslogs-group": {
                        "Ref": "JobLogs"
                      },
                      "awslogs-region": "us-east-2",
                      "awslogs-stream-prefix": "errors"
                    }
                  }
                },
                "RetryStrategy": {
                  "Attempts": 3,
                  "EvaluateOnExit": [
                    {
                      "Action": "RETRY",
                      "OnStatusReason": "Your Spot Task was interrupted*"
                    },
                    {
                      "Action": "RETRY",
                      "OnStatusReason": "ResourceInitializationError*"
                    },
                    {
                      "Action": "RETRY",
                      "OnStatusReason": "CannotPull*"
                    },
                    {
                      "Action": "RETRY",
                      "OnExitCode": "75"
                    },
                    {
                      "Action": "EXIT",
                      "OnReason": "*"
                    }
                  ]
                },
                "Timeout": {
                  "AttemptDurationSeconds": 3600
                }
              }
            }
        "#]],
    );
}

#[test]
fn a_table() {
    let stacks = synthesised(&judged(document()));
    let mut table = stacks[0].template["Resources"]["TableToParquet"].clone();
    table["Properties"]["TableInput"]["StorageDescriptor"]["Columns"].as_array_mut().unwrap().truncate(2);
    check(
        &table,
        expect![[r#"
        {
          "Type": "AWS::Glue::Table",
          "Properties": {
            "CatalogId": "123456789012",
            "DatabaseName": {
              "Ref": "Database"
            },
            "TableInput": {
              "Name": "parquet",
              "Description": "parquet/1 by arc toParquet",
              "TableType": "EXTERNAL_TABLE",
              "Parameters": {
                "EXTERNAL": "TRUE",
                "classification": "parquet",
                "parquet.compression": "ZSTD",
                "projection.enabled": "true",
                "projection.dt.type": "date",
                "projection.dt.format": "yyyy-MM-dd",
                "projection.dt.range": "2006-01-01,NOW+1DAYS",
                "projection.dt.interval": "1",
                "projection.dt.interval.unit": "DAYS",
                "projection.lot.type": "injected",
                "storage.location.template": "s3://test-lake-data/parquet/dt=${dt}/lot=${lot}/"
              },
              "PartitionKeys": [
                {
                  "Name": "dt",
                  "Type": "string"
                },
                {
                  "Name": "lot",
                  "Type": "string"
                }
              ],
              "StorageDescriptor": {
                "Columns": [
                  {
                    "Name": "bucket_owner",
                    "Type": "string",
                    "Comment": "canonical user id of the owner of the bucket"
                  },
                  {
                    "Name": "bucket",
                    "Type": "string",
                    "Comment": "bucket that the request was for"
                  }
                ],
                "Location": "s3://test-lake-data/parquet/",
                "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
                "SerdeInfo": {
                  "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
                  "Parameters": {
                    "serialization.format": "1"
                  }
                }
              }
            }
          }
        }
    "#]],
    );
}

#[test]
fn clusterless_in_its_own_words() {
    let stacks = synthesised(&clusterless());
    let resources = &stacks[0].template["Resources"];
    check(
        &resources["ArcParse"]["Properties"]["ContainerProperties"]["Command"],
        expect![[r#"
        [
          "parse",
          "--lot",
          "Ref::lot",
          "--to",
          "Ref::dataset_path_uri"
        ]
    "#]],
    );
    let environment = resources["ArcParse"]["Properties"]["ContainerProperties"]["Environment"].as_array().unwrap();
    let props = environment.iter().find(|entry| entry["Name"] == "CLS_ARC_PROPS_JSON").unwrap();
    check(
        &serde_json::from_str(props["Value"].as_str().unwrap()).unwrap(),
        expect![[r#"
        {
          "sources": {
            "main": {
              "name": "raw-hits",
              "version": "1",
              "pathURI": "s3://dev-web-raw-111122223333/hits/"
            }
          },
          "sinks": {
            "main": {
              "name": "hits",
              "version": "1",
              "pathURI": "s3://dev-web-logs-111122223333/hits/"
            }
          },
          "sourceManifestPaths": {
            "main": "s3://dev-clusterless-manifest-111122223333-eu-west-1/datasets/name=raw-hits/version=1/lot={lot}/state={state}{/attempt*}/manifest.json"
          },
          "sinkManifestTemplates": {
            "main": "s3://dev-clusterless-manifest-111122223333-eu-west-1/datasets/name=hits/version=1/lot={lot}/state={state}{/attempt*}/manifest.json"
          },
          "workloadProps": {
            "skip": 1
          }
        }
    "#]],
    );
    let notes: Vec<String> =
        notes(&clusterless(), &options(&clusterless())).iter().map(|note| format!("{}: {}", note.path, note.message)).collect();
    expect![[r#"
        images: the registry wants to know who pushes, every twelve hours: 111122223333.dkr.ecr.eu-west-1.amazonaws.com
        images: the worker's image has to be in the registry before jobs run: 111122223333.dkr.ecr.eu-west-1.amazonaws.com/dev-arclake:0.1.0-arm64
        images: an arc's image has to be in the registry before jobs run: 111122223333.dkr.ecr.eu-west-1.amazonaws.com/dev-weblogs-parser:20261101-00-x86_64
        images: an arc's image has to be in the registry before jobs run: 111122223333.dkr.ecr.eu-west-1.amazonaws.com/dev-weblogs-tidy:20261101-00-arm64
        activities: activity tidy: its role dev-WebLogs-20261101-00-activity-tidy may reach nothing yet"#]].assert_eq(&notes.join("\n"));
}

/// The change that README shows.
#[test]
fn converting_the_logs_of_clusterless_is_a_change_of_one_arc() {
    let mut document: Value = serde_json::from_str(include_str!("fixtures/clusterless.json")).unwrap();
    document["arcs"][0]["type"] = "convert".into();
    document["arcs"][0]["workload"] = json!({"format": "s3-access", "partitions": ["lot"]});
    let project = judged(document);
    assert!(project.notes.is_empty(), "{:?}", project.notes);
    let stacks = synthesised(&project);
    let command = &stacks[0].template["Resources"]["ArcParse"]["Properties"]["ContainerProperties"]["Command"];
    assert_eq!(command[2], "parse", "the arc keeps its name, the image is the worker's: {command}");
    lint(&stacks);
}

#[test]
fn the_project_of_clusterless_synthesises_unchanged() {
    let Ok(text) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/clusterless_project.json")) else {
        eprintln!("SKIPPED: ../shared/clusterless_project.json is not beside the checkout");
        return;
    };
    let stacks = synthesised(&judged(serde_json::from_str(&text).unwrap()));
    assert_eq!(stacks.len(), 1);
    lint(&stacks);
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    let (one, other) = (synthesised(&judged(document())), synthesised(&judged(document())));
    assert_eq!(serde_json::to_string(&one[0].template).unwrap(), serde_json::to_string(&other[0].template).unwrap());
}

#[test]
fn three_hundred_arcs_take_several_stacks() {
    let stacks = synthesised(&large(300));
    assert!(stacks.len() > 2, "{}", stacks.len());
    let mut seen = BTreeSet::new();
    for stack in &stacks {
        let resources = stack.template["Resources"].as_object().unwrap();
        assert!(
            resources.len() <= RESOURCES_MAX && serde_json::to_string_pretty(&stack.template).unwrap().len() <= TEMPLATE_BYTES_MAX,
            "{}",
            stack.name
        );
        assert!(resources.keys().all(|id| seen.insert(id.clone())), "a resource is in one stack");
        assert!(stack.after.iter().all(|name| *name == stacks[0].name));
        let is_here = |id: &str| resources.contains_key(id);
        walk(&stack.template["Resources"], &mut |key, value| {
            let target = match key {
                "Ref" => value.as_str(),
                "Fn::GetAtt" => value[0].as_str(),
                _ => None,
            };
            assert!(target.is_none_or(is_here), "{} refers to {target:?}", stack.name);
        });
    }
    let whole: usize = stacks.iter().map(|stack| stack.template["Resources"].as_object().unwrap().len()).sum();
    assert_eq!(whole, seen.len());
    lint(&stacks[..3]);
}

#[test]
fn one_more_arc_moves_no_other() {
    let homes = |arcs: usize| -> BTreeMap<String, String> {
        let stacks = synthesised(&large(arcs));
        let of = |stack: &Stack| {
            stack.template["Resources"].as_object().unwrap().keys().map(|id| (id.clone(), stack.name.clone())).collect::<Vec<_>>()
        };
        stacks.iter().flat_map(of).collect()
    };
    let (before, after) = (homes(200), homes(201));
    assert!(before.iter().all(|(id, home)| after.get(id) == Some(home)));
}

/// Deploys over what is deployed, by logical id, as `arc deploy` does: the first stack, then what is obsolete goes, then the
/// others. Nothing may be made while another stack has it, because it has its name.
fn deployed_over(project: &Project, homes: &BTreeMap<String, String>, change: impl Fn(&mut ProjectOptions)) -> BTreeMap<String, String> {
    let mut options = ProjectOptions { homes: homes.clone(), ..options(project) };
    change(&mut options);
    let stacks = super::project(project, &options).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut there = homes.clone();
    for (at, stack) in stacks.iter().enumerate() {
        let resources = stack.template["Resources"].as_object().unwrap();
        assert!(resources.len() <= 500, "{} has {}", stack.name, resources.len());
        there.retain(|id, home| *home != stack.name || resources.contains_key(id));
        for id in resources.keys() {
            let before = there.insert(id.clone(), stack.name.clone());
            assert!(before.as_ref().is_none_or(|home| *home == stack.name), "{id} is in {before:?} and made in {}", stack.name);
        }
        if at == 0 {
            there.retain(|_, home| stacks.iter().any(|stack| stack.name == *home));
        }
    }
    there
}

fn stack_counts(homes: &BTreeMap<String, String>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    homes.values().for_each(|home| *counts.entry(home).or_default() += 1);
    counts.iter().map(|(name, count)| format!("{name} {count}\n")).collect()
}

#[test]
fn whatever_is_deployed_next_nothing_is_in_two_stacks() {
    let mut there = BTreeMap::new();
    let mut told = String::new();
    for arcs in [40, 60, 300, 90, 20, 60] {
        let before = there.clone();
        there = deployed_over(&large(arcs), &there, |_| {});
        assert!(there.iter().all(|(id, home)| before.get(id).is_none_or(|before| before == home)), "what is deployed moves");
        told += &format!("{arcs} arcs\n{}", stack_counts(&there));
    }
    there = deployed_over(&large(60), &there, |options| options.exclude_all_arcs = true);
    told += &format!("none\n{}", stack_counts(&there));
    expect![[r#"
        40 arcs
        test-lake-1-0 214
        60 arcs
        test-lake-1-0 210
        test-lake-1-0-arcs-1 80
        300 arcs
        test-lake-1-0 210
        test-lake-1-0-arcs-1 188
        test-lake-1-0-arcs-2 188
        test-lake-1-0-arcs-3 188
        test-lake-1-0-arcs-4 188
        test-lake-1-0-arcs-5 188
        test-lake-1-0-arcs-6 100
        90 arcs
        test-lake-1-0 210
        test-lake-1-0-arcs-1 188
        test-lake-1-0-arcs-2 12
        20 arcs
        test-lake-1-0 133
        60 arcs
        test-lake-1-0 130
        test-lake-1-0-arcs-1 160
        none
        test-lake-1-0 33
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_stack_that_became_too_full_lets_go_of_some_before_another_takes_them() {
    let project = large(120);
    let fresh = deployed_over(&project, &BTreeMap::new(), |_| {});
    let full: BTreeMap<String, String> = fresh
        .iter()
        .map(|(id, home)| (id.clone(), if home.contains("-arcs-") { "test-lake-1-0-arcs-3".to_owned() } else { home.clone() }))
        .collect();
    let after = deployed_over(&project, &full, |_| {});
    let stacks = super::project(&project, &ProjectOptions { homes: full.clone(), ..options(&project) }).unwrap();
    let order: Vec<&str> = stacks.iter().map(|stack| stack.name.as_str()).collect();
    expect![[r#"
        test-lake-1-0 32
        test-lake-1-0-arcs-1 188
        test-lake-1-0-arcs-2 72
        test-lake-1-0-arcs-3 220
        test-lake-1-0-boundaries-1 18
        test-lake-1-0 test-lake-1-0-arcs-3 test-lake-1-0-boundaries-1 test-lake-1-0-arcs-1 test-lake-1-0-arcs-2
        [Move { from: "test-lake-1-0-arcs-3", to: "test-lake-1-0-arcs-1", count: 188 }, Move { from: "test-lake-1-0-arcs-3", to: "test-lake-1-0-arcs-2", count: 72 }]
    "#]].assert_eq(&format!("{}{}\n{:?}\n", stack_counts(&after), order.join(" "), moves(&stacks, &full)));
}

#[test]
fn no_stack_holds_a_hundred_and_fifty_boundaries() {
    let project = changed(|document| {
        document["arcs"] = json!([]);
        let boundary = |at: usize| json!({"type": "watch", "name": format!("in-{at}"), "dataset": {"name": format!("logs-{at}"), "version": "1", "pathURI": format!("s3://test-lake-data/{at}/in/")}});
        document["boundaries"] = (0..150).map(boundary).collect();
    });
    let problems = super::project(&project, &options(&project)).unwrap_err();
    expect!["resources: 607 things for what all boundaries and arcs build on are more than stacks take"]
        .assert_eq(&format!("{}: {}", problems[0].path, problems[0].message));
}

#[test]
fn what_is_left_out() {
    let project = judged(document());
    let with = |change: &dyn Fn(&mut ProjectOptions)| {
        let mut options = options(&project);
        change(&mut options);
        super::project(&project, &options)
    };
    let without = with(&|options| options.exclude_arcs = vec!["errors".into()]).unwrap();
    let ids = without[0].template["Resources"].as_object().unwrap();
    assert!(!ids.contains_key("ArcErrors") && ids.contains_key("ArcToParquet") && ids.contains_key("Dispatch"));
    let none = with(&|options| options.exclude_all_arcs = true).unwrap();
    let ids = none[0].template["Resources"].as_object().unwrap();
    assert!(!ids.contains_key("Dispatch") && !ids.contains_key("JobQueue") && ids.contains_key("BoundaryIn"));
    let only = with(&|options| options.only_resource = Some("data".into())).unwrap();
    let ids: Vec<&String> = only[0].template["Resources"].as_object().unwrap().keys().collect();
    assert_eq!(ids, ["ResourceData", "ResourceDataPolicy"]);
    assert!(only[0].template["Resources"]["ResourceData"]["Properties"]["NotificationConfiguration"].is_null());
    assert_eq!(overlay(&without[0].template, &only[0].template), without[0].template);
    let wrong = with(&|options| options.exclude_arcs = vec!["error".into()]).unwrap_err();
    expect![[r#"--exclude-arc: `error` is no arc of this project [did you mean `errors`?]"#]].assert_eq(&format!(
        "{}: {} [{}]",
        wrong[0].path,
        wrong[0].message,
        wrong[0].fix.clone().unwrap_or_default()
    ));
}

#[test]
fn tags_and_a_key_reach_everything() {
    let project = judged(document());
    let mut options = options(&project);
    options.tags.insert("team".into(), "lake".into());
    options.kms_key = Some("arn:aws:kms:us-east-2:123456789012:key/0".into());
    let stacks = super::project(&project, &options).unwrap();
    let text = stacks[0].template.to_string();
    assert!(!text.contains("AES256\"}}]},\"PublicAccess") && !text.contains("SqsManagedSseEnabled"));
    for (id, resource) in stacks[0].template["Resources"].as_object().unwrap() {
        let kind = resource["Type"].as_str().unwrap();
        let takes_tags = ["Role", "Function", "SQS::Queue", "Topic", "Bucket", "LogGroup", "Alarm", "JobDefinition"]
            .iter()
            .any(|end| kind.ends_with(end));
        assert!(!takes_tags || resource["Properties"]["Tags"].to_string().contains("lake"), "{id} has no tags");
        let keeps_its_tags = ["ComputeEnvironment", "JobQueue"].iter().any(|end| kind.ends_with(end));
        assert!(!keeps_its_tags || resource["Properties"]["Tags"].is_null(), "{id} could not change its tags");
    }
    lint(&stacks);
}

#[test]
fn bootstraps() {
    let usual = BootstrapOptions::new(placement("test"));
    let stack = bootstrap(&usual);
    expect![[r#"
        test-clusterless-bootstrap after []
        ManifestStore S3::Bucket
        ManifestStorePolicy S3::BucketPolicy
        ArcStateStore S3::Bucket
        ArcStateStorePolicy S3::BucketPolicy
        MetadataStore S3::Bucket
        MetadataStorePolicy S3::BucketPolicy
        ArtifactStore S3::Bucket
        ArtifactStorePolicy S3::BucketPolicy
        EventBus Events::EventBus
        WorkerRepository ECR::Repository
        Vpc EC2::VPC
        Routes EC2::RouteTable
        Subnet1 EC2::Subnet
        Subnet1Routes EC2::SubnetRouteTableAssociation
        Subnet2 EC2::Subnet
        Subnet2Routes EC2::SubnetRouteTableAssociation
        Subnet3 EC2::Subnet
        Subnet3Routes EC2::SubnetRouteTableAssociation
        JobsGroup EC2::SecurityGroup
        S3Endpoint EC2::VPCEndpoint
        Internet EC2::InternetGateway
        InternetAttachment EC2::VPCGatewayAttachment
        InternetRoute EC2::Route
    "#]]
    .assert_eq(&listing(&stack));
    assert_eq!(cost_at_rest(std::slice::from_ref(&stack)), []);
    let private = bootstrap(&BootstrapOptions { network: Network::Private, kms: Some(CREATE_KEY.into()), ..usual.clone() });
    let given = Network::Given { subnets: vec!["subnet-1".into(), "subnet-2".into()], security_groups: vec!["sg-1".into()] };
    let given = bootstrap(&BootstrapOptions { network: given, placement: placement(""), ..usual });
    assert!(
        !given.template["Resources"]
            .as_object()
            .unwrap()
            .values()
            .any(|resource| resource["Type"].as_str().unwrap().starts_with("AWS::EC2"))
    );
    check(
        &given.template["Outputs"],
        expect![[r#"
            {
              "ManifestStore": {
                "Description": "Commits and state copies",
                "Value": {
                  "Ref": "ManifestStore"
                }
              },
              "ArcStateStore": {
                "Description": "Attempts",
                "Value": {
                  "Ref": "ArcStateStore"
                }
              },
              "MetadataStore": {
                "Description": "Projects and owners of datasets",
                "Value": {
                  "Ref": "MetadataStore"
                }
              },
              "ArtifactStore": {
                "Description": "Code, deployment documents, results of Athena",
                "Value": {
                  "Ref": "ArtifactStore"
                }
              },
              "EventBus": {
                "Description": "The bus of availability events",
                "Value": {
                  "Ref": "EventBus"
                },
                "Export": {
                  "Name": "clusterless-bootstrap-event-bus"
                }
              },
              "WorkerImage": {
                "Description": "Push the image of built-in workloads here; the tag says for which architecture it is",
                "Value": "123456789012.dkr.ecr.us-east-2.amazonaws.com/arclake:0.1.0-arm64"
              },
              "Subnets": {
                "Description": "Where jobs run",
                "Value": "subnet-1,subnet-2",
                "Export": {
                  "Name": "clusterless-bootstrap-subnets"
                }
              },
              "SecurityGroups": {
                "Description": "What guards jobs",
                "Value": "sg-1",
                "Export": {
                  "Name": "clusterless-bootstrap-security-groups"
                }
              },
              "AssignPublicIp": {
                "Description": "Whether jobs have an address of their own while they run",
                "Value": "DISABLED",
                "Export": {
                  "Name": "clusterless-bootstrap-assign-public-ip"
                }
              },
              "LogRetentionDays": {
                "Description": "Days that logs of projects are kept",
                "Value": "30"
              }
            }
        "#]],
    );
    let lines: Vec<String> =
        cost_at_rest(std::slice::from_ref(&private)).iter().map(|line| format!("{} {}", line.usd_month, line.resource)).collect();
    expect![[r#"
        102.2 14 interface endpoints, by zone
        1 1 key"#]]
    .assert_eq(&lines.join("\n"));
    lint(&[stack, private, given]);
}

#[test]
fn what_the_owner_of_a_given_key_is_told() {
    let project = judged(document());
    let mut options = options(&project);
    let key = "arn:aws:kms:us-east-2:123456789012:key/0";
    options.kms_key = Some(key.into());
    let told = |options: &ProjectOptions| notes(&project, options).into_iter().filter(|note| note.path == "--kms").collect::<Vec<_>>();
    let note = &told(&options)[0];
    expect!["the policy of arn:aws:kms:us-east-2:123456789012:key/0 has to let in the roles of account 123456789012 and the services that encrypt with it"].assert_eq(&note.message);
    let made = bootstrap(&BootstrapOptions { kms: Some(CREATE_KEY.into()), ..BootstrapOptions::new(placement("test")) });
    let policy = &made.template["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"];
    let fix = note.fix.as_deref().unwrap();
    let given: Value = serde_json::from_str(&fix[fix.find('[').unwrap()..]).unwrap();
    assert_eq!(given.as_array().unwrap()[1..], policy.as_array().unwrap()[1..], "a key that is made says the same");
    options.store_key = Some(key.into());
    assert_eq!(told(&options), [], "the bootstrap told it");
}

#[test]
fn a_bootstrap_fits_into_a_call() {
    const INLINE_BYTES_MAX: usize = 51_200;
    let all =
        BootstrapOptions { network: Network::Private, kms: Some(CREATE_KEY.into()), ..BootstrapOptions::new(placement("a-long-stage")) };
    let bytes = bootstrap(&all).template.to_string().len();
    assert!(bytes <= INLINE_BYTES_MAX, "{bytes}");
}

#[test]
fn a_network_that_is_told_is_imported_by_nobody() {
    let project = judged(document());
    let outputs = [
        ("Subnets", "subnet-0123456789abcdef1,subnet-0123456789abcdef2"),
        ("SecurityGroups", "sg-0123456789abcdef1"),
        ("AssignPublicIp", "DISABLED"),
    ];
    let outputs = outputs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let with = ProjectOptions { network: JobNetwork::of_outputs(&outputs), ..options(&project) };
    let stacks = super::project(&project, &with).unwrap();
    assert!(synthesised(&project)[0].template.to_string().contains("Fn::ImportValue"));
    assert!(!stacks[0].template.to_string().contains("Fn::ImportValue"), "the bootstrap could not change it any more");
    let compute = &stacks[0].template["Resources"]["ComputeSpot"]["Properties"]["ComputeResources"];
    assert_eq!(
        (&compute["Subnets"], &compute["SecurityGroupIds"]),
        (&json!(["subnet-0123456789abcdef1", "subnet-0123456789abcdef2"]), &json!(["sg-0123456789abcdef1"]))
    );
    let container = &stacks[0].template["Resources"]["ArcErrors"]["Properties"]["ContainerProperties"];
    assert_eq!(container["NetworkConfiguration"]["AssignPublicIp"], "DISABLED");
    lint(&stacks);
}

#[test]
fn what_a_project_costs_at_rest() {
    let lines: Vec<String> = cost_at_rest(&synthesised(&judged(document())))
        .iter()
        .map(|line| format!("{} {}: {}", line.usd_month, line.resource, line.why))
        .collect();
    expect![[r#"
        1.8 6 metrics: 0.30 USD each that is written to in the month
        0.96 2 boundaries that tick: empty lots are committed too, and passed on by every arc: requests to S3 and invocations
        0.9 9 alarms: 0.10 USD each
        0.54 1 sweep: what is due is looked for every five minutes: requests to S3 and invocations
        0.26 1 polled queue: Lambda asks an idle queue about 650,000 times"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn variables_of_functions_fit() {
    const BYTES_MAX: usize = 4096;
    let project = changed(|document| {
        document["project"]["name"] = "p".repeat(128).into();
        document["boundaries"][0]["name"] = "b".repeat(128).into();
    });
    for resource in synthesised(&project).iter().flat_map(|stack| stack.template["Resources"].as_object().unwrap().values()) {
        let bytes = resource["Properties"]["Environment"]["Variables"].to_string().len();
        assert!(resource["Type"] != "AWS::Lambda::Function" || bytes < BYTES_MAX, "{bytes}");
    }
}

#[test]
fn stores_and_data_survive() {
    let mut stacks = synthesised(&judged(document()));
    stacks.push(bootstrap(&BootstrapOptions { kms: Some(CREATE_KEY.into()), ..BootstrapOptions::new(placement("test")) }));
    for resource in stacks.iter().flat_map(|stack| stack.template["Resources"].as_object().unwrap().values()) {
        if ["AWS::S3::Bucket", "AWS::KMS::Key"].contains(&resource["Type"].as_str().unwrap()) {
            assert_eq!((&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]), (&json!("RetainExceptOnCreate"), &json!("Retain")));
        }
    }
}

#[test]
fn a_database_that_outlived_its_stack_is_used_as_it_is() {
    let project = changed(|document| {
        document["resources"].as_array_mut().unwrap().extend([
            json!({"type": "aws:core:glueDatabase", "name": "db", "databaseName": "web"}),
            json!({"type": "aws:core:glueTable", "name": "hits", "databaseRef": "db", "tableName": "hits",
                   "pathURI": "s3://test-lake-data/hits/", "schema": {"columns": [{"name": "ip", "type": "string"}]}}),
        ]);
    });
    let mut options = options(&project);
    let fresh = super::project(&project, &options).unwrap();
    let of = |stacks: &[Stack], id: &str| stacks[0].template["Resources"][id].clone();
    assert_eq!(of(&fresh, "ResourceDb")["DeletionPolicy"], "RetainExceptOnCreate");
    assert_eq!(of(&fresh, "ResourceHits")["Properties"]["DatabaseName"], json!({"Ref": "ResourceDb"}));
    assert_eq!(declared_databases(&project), [("web".to_owned(), true)]);
    options.present_databases.insert("web".into());
    let again = super::project(&project, &options).unwrap();
    assert_eq!((of(&again, "ResourceDb"), &of(&again, "ResourceHits")["Properties"]["DatabaseName"]), (Value::Null, &json!("web")));
    lint(&again);
}

#[test]
fn a_queue_subscribes_to_the_topic_that_a_bucket_tells() {
    let topic = "arn:aws:sns:eu-west-1:210987654321:arrivals";
    for bucket in ["s3://test-lake-data/raw/", "s3://foreign-logs/raw/"] {
        let project = changed(|document| {
            document["boundaries"][0]["topicArn"] = topic.into();
            document["boundaries"][0]["dataset"]["pathURI"] = bucket.into();
        });
        let stacks = synthesised(&project);
        let resources = &stacks[0].template["Resources"];
        let arrivals = &resources["BoundaryInArrivals"];
        assert_eq!((&arrivals["Type"], &arrivals["Properties"]["TopicArn"]), (&json!("AWS::SNS::Subscription"), &json!(topic)));
        assert_eq!(arrivals["Properties"]["Region"], "eu-west-1");
        for policy in ["BoundaryInQueuePolicy", "BoundaryInDeadLettersPolicy"] {
            let statement = &resources[policy]["Properties"]["PolicyDocument"]["Statement"][1];
            assert_eq!(statement["Principal"]["Service"], "sns.amazonaws.com", "{policy}");
            assert_eq!(statement["Condition"], json!({"ArnLike": {"aws:SourceArn": [topic]}}), "{policy}");
        }
        let told = &resources["ResourceData"]["Properties"]["NotificationConfiguration"];
        assert!(told.is_null(), "the bucket tells nobody by itself: {told}");
        let notes: Vec<String> =
            project.notes.iter().filter(|note| note.path.starts_with("boundaries[0]")).map(|note| note.message.clone()).collect();
        assert!(notes.len() == 1 && notes[0].contains(topic), "{notes:?}");
        lint(&stacks);
    }
}

#[test]
fn cfn_lint_finds_nothing() {
    let athena = {
        let mut project = judged(document());
        project.arcs.iter_mut().filter(|arc| arc.kind == "query").for_each(|arc| arc.workload["engine"] = "athena".into());
        project
    };
    let bare = changed(|document| {
        document["placement"]["stage"] = Value::Null;
        document["resources"][0]["enableEventBridge"] = true.into();
        document["arcs"][0]["workload"]["redact"] = json!({"remote_ip": "hash"});
        document["arcs"][0]["workload"]["redactKeyEnv"] = "REDACT_KEY".into();
    });
    for project in [judged(document()), clusterless(), athena, bare, served()] {
        lint(&synthesised(&project));
    }
}

/// Every value with the key it stands under.
fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    let entries = |map: &Map<String, Value>, visit: &mut dyn FnMut(&str, &Value)| map.iter().for_each(|(key, value)| visit(key, value));
    match value {
        Value::Array(list) => list.iter().for_each(|value| walk(value, visit)),
        Value::Object(map) => {
            entries(map, visit);
            map.values().for_each(|value| walk(value, visit));
        }
        _ => {}
    }
}

/// Holds templates against cfn-lint; skipped, loudly, where it is not installed (`tests/run` installs it).
pub(super) fn lint(stacks: &[Stack]) {
    let python = std::env::var("ARCLAKE_PYTHON").ok().filter(|python| !python.is_empty());
    let has_lint =
        |python: &String| Command::new(python).args(["-c", "import cfnlint"]).output().is_ok_and(|output| output.status.success());
    let Some(python) = python.filter(has_lint) else {
        eprintln!("SKIPPED: cfn-lint is not installed; `tests/run` installs it where it can");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut lint = Command::new(python);
    let main = "import sys; from cfnlint.runner import main; sys.exit(main())";
    lint.args(["-c", main, "--format", "parseable", "--regions", "us-east-2", "--"]);
    for stack in stacks {
        let path = folder.path().join(format!("{}.json", stack.name));
        std::fs::write(&path, serde_json::to_string_pretty(&stack.template).unwrap()).unwrap();
        lint.arg(path);
    }
    let output = lint.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
