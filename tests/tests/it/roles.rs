//! What the three programs call on AWS, held against the policies that are deployed for them: a lake from the first
//! notification to the last job, on an S3 in this process that refuses what a role may not do. Nothing is installed or skipped.

use boundary::aws::{BoundaryFunction, Deployment, DispatchFunction};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Aws, Lot, LotUnit};
use project::synth::{self, ProjectNames, ProjectOptions};
use project::{Origin, Project};
use serde_json::{Value, json};
use tests::guarded::{Guarded, Role};
use tests::program;

const REGION: &str = "us-east-2";
const TOPIC: &str = "arn:aws:sns:us-east-2:123456789012:failures";
/// How often dispatch is asked for jobs; two arcs lie behind one another.
const SWEEPS: usize = 3;

fn document() -> Value {
    let dataset = |name: &str, uri: &str| json!({"name": name, "version": "1", "pathURI": uri});
    let reading = |name: &str| json!({"name": name, "version": "1"});
    let sql = "SELECT level, count(*) AS lines FROM main GROUP BY level";
    json!({
        "project": {"name": "Lake", "version": "1.0"},
        "placement": {"provider": "aws", "stage": "test", "account": "123456789012", "region": REGION},
        "resources": [{"type": "aws:core:s3Bucket", "name": "data", "bucketName": "test-lake-data", "versioned": true}],
        "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths", "dataset": dataset("logs", "s3://test-lake-data/raw/")}],
        "arcs": [
            {"type": "convert", "name": "toParquet", "sources": {"main": reading("logs")},
             "sinks": {"main": dataset("parquet", "s3://test-lake-data/parquet/"), "rejects": dataset("rejects", "s3://test-lake-data/rejects/")},
             "workload": {"format": "json", "rejectLimitPercent": 50}},
            {"type": "query", "name": "levels", "sources": {"main": reading("parquet")},
             "sinks": {"main": dataset("levels", "s3://test-lake-data/levels/")}, "workload": {"sql": sql}},
            {"type": "copy", "name": "archive", "sources": {"main": reading("logs")},
             "sinks": {"main": dataset("archived", "s3://foreign-archive/logs/")}},
        ],
    })
}

/// A lake that was just deployed.
struct Lake {
    server: Guarded,
    aws: Aws,
    templates: Vec<Value>,
    options: ProjectOptions,
    names: ProjectNames,
    scratch: tempfile::TempDir,
}

impl Lake {
    async fn deployed() -> Lake {
        let server = Guarded::start().await;
        let text = document().to_string();
        let scratch = tempfile::tempdir().unwrap();
        let origin = Origin::Fetched { name: "lake.json".to_owned(), text };
        let project: Project = project::load(&origin, &[], scratch.path()).unwrap();
        let names = ProjectNames::of(&project).unwrap();
        let options = ProjectOptions::preview(&names);
        let templates = synth::project(&project, &options).unwrap().into_iter().map(|stack| stack.template).collect();
        let aws = Aws::of_keys("id", "key", REGION, server.url());
        let lake = Lake { server, aws, templates, options, names, scratch };
        let place = |uri: &str| uri.trim_start_matches("s3://").to_owned();
        lake.server.put(&place(&lake.options.project_uri), project.document.to_string());
        let deployment = synth::deployment(&project, &lake.options).unwrap();
        lake.server.put(&place(&lake.options.deployment_uri), serde_json::to_vec(&deployment).unwrap());
        lake
    }

    /// Begins the turn of a function and reads its deployment, as it does when it starts.
    async fn function(&self, role: &str) -> Deployment {
        self.server.turn_of(Role::of(&self.templates, role));
        Deployment::load(&self.aws.objects(), &self.options.deployment_uri).await.unwrap()
    }

    async fn tick(&self, now: DateTime<Utc>) {
        let deployment = self.function("BoundaryInRole").await;
        let queue = format!("{}/1/in", self.server.url());
        let function = BoundaryFunction::new(&self.aws, &deployment, "in", Some(&queue)).unwrap().saying(|_| ());
        function.call_at(&json!({"tick": true}), now).await.unwrap();
    }

    /// An object that arrives in a lot, and the lot's commit.
    async fn arrive(&self, lot: Lot) {
        let lines = "{\"time\":\"2026-11-20T20:50:01Z\",\"level\":\"INFO\",\"message\":\"m\",\"userId\":7}\nno record\n";
        self.server.put("test-lake-data/raw/a.json", lines);
        self.server.send(&notification("raw/a.json", lines.len(), lot.start() + TimeDelta::seconds(10)));
        self.tick(lot.end() + TimeDelta::minutes(1)).await;
    }

    async fn dispatch(&self, event: &Value, now: DateTime<Utc>) {
        let deployment = self.function("DispatchRole").await;
        let queue = self.names.job_queue();
        let function = DispatchFunction::new(self.aws.clone(), deployment, Some(&queue), Some(TOPIC.to_owned())).unwrap();
        function.saying(|_| ()).call(event, now).await.unwrap();
    }

    /// Runs a job as Batch does: the command of its definition, in a role; gives its exit code and what it said.
    async fn job(&self, role: &str, arc: &str, lot: &str, job: &str) -> (Option<i32>, String) {
        self.server.turn_of(Role::of(&self.templates, role));
        let definition = role_of(arc).trim_end_matches("Role").to_owned();
        let found =
            self.templates.iter().find_map(|template| template.pointer(&format!("/Resources/{definition}/Properties/ContainerProperties")));
        let words = found.and_then(|container| container["Command"].as_array()).expect("a job definition has a command");
        let words = words.iter().filter_map(Value::as_str).map(|word| match word {
            "Ref::arc" => arc,
            "Ref::lot" => lot,
            word => word,
        });
        let words: Vec<&str> = words.skip_while(|word| *word == "arc").collect();
        let mut command = program::arc(&words);
        command.env("AWS_ENDPOINT_URL", self.server.url()).env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "key");
        command.env("AWS_REGION", REGION).env("AWS_BATCH_JOB_ID", job).env("AWS_BATCH_JOB_ATTEMPT", "1");
        command.env("ARC_PROJECT", &self.options.project_uri).env("TMPDIR", self.scratch.path()).env("HOME", self.scratch.path());
        let done = tokio::task::spawn_blocking(move || program::finish(&mut command)).await.unwrap();
        (done.code, done.out + &done.err)
    }

    /// Asks for jobs and runs them, until there are none.
    async fn work(&self, now: DateTime<Utc>) -> usize {
        let mut run = 0;
        for _ in 0..SWEEPS {
            self.dispatch(&json!({"sweep": true}), now).await;
            for (at, job) in self.server.jobs().iter().enumerate() {
                let [arc, lot] = ["arc", "lot"].map(|name| job["parameters"][name].as_str().unwrap().to_owned());
                let (code, said) = self.job(&role_of(&arc), &arc, &lot, &format!("job-{run}-{at}")).await;
                assert_eq!(code, Some(0), "{arc} {lot}: {said}\nrefused: {:#?}", self.server.refused());
                run += 1;
            }
        }
        run
    }

    /// The roles that have made calls, and the kinds of those.
    fn made(&self) -> String {
        let roles = ["BoundaryInRole", "DispatchRole", "ArcToParquetRole", "ArcLevelsRole", "ArcArchiveRole"];
        roles.map(|role| format!("{role}: {}\n", self.server.made(role).join(" "))).concat()
    }
}

/// The logical id of the role of an arc.
fn role_of(arc: &str) -> String {
    format!("Arc{}{}Role", arc[..1].to_uppercase(), &arc[1..])
}

/// What S3 tells of an object that it has written.
fn notification(key: &str, size: usize, at: DateTime<Utc>) -> Value {
    let object = json!({"key": key, "size": size, "eTag": "e", "versionId": "v1"});
    json!({"Records": [{"eventName": "ObjectCreated:Put", "eventTime": at.to_rfc3339(),
        "s3": {"bucket": {"name": "test-lake-data"}, "object": object}}]})
}

/// What Batch says of a job that ended badly.
fn failed(job: &str, arc: &str, lot: Lot) -> Value {
    json!({"detail-type": "Batch Job State Change", "detail": {"jobName": "n", "jobId": job, "status": "FAILED",
        "statusReason": "Essential container in task exited", "container": {"exitCode": 1},
        "createdAt": Utc::now().timestamp_millis(), "parameters": {"arc": arc, "lot": lot.to_string()}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_three_programs_is_allowed_by_its_role() {
    let lake = Lake::deployed().await;
    // A whole lot ago, so that one more has ended since.
    let first = Lot::containing(LotUnit::Twelfths, Utc::now() - TimeDelta::minutes(10));
    lake.arrive(first).await;
    assert_eq!(lake.work(Utc::now()).await, 3, "a job for each arc");
    // An empty lot, which dispatch publishes itself, and a job that fails.
    lake.tick(first.end() + TimeDelta::minutes(6)).await;
    let lot = first.next().to_string();
    let event = json!({"detail-type": "Clusterless Arc Notification", "detail": {"dataset": {"name": "logs", "version": "1"}, "lot": lot}});
    lake.dispatch(&event, Utc::now()).await;
    lake.work(Utc::now()).await;
    lake.dispatch(&failed("gone", "levels", first.next().next()), Utc::now()).await;
    assert_eq!(lake.server.told().len(), 1, "a person is told of it");
    assert_eq!(lake.server.refused(), Vec::<String>::new());
    let names = lake.server.names();
    for folder in ["parquet/dt=", "rejects/", "levels/dt="] {
        assert!(names.iter().any(|name| name.starts_with(&format!("test-lake-data/{folder}"))), "{folder}: {names:#?}");
    }
    assert!(names.iter().any(|name| name.starts_with("foreign-archive/logs/")), "{names:#?}");
    let made = [
        "BoundaryInRole: events:PutEvents s3:GetObject s3:ListBucket s3:PutObject sqs:DeleteMessage sqs:ReceiveMessage",
        "DispatchRole: batch:ListJobs batch:SubmitJob events:PutEvents s3:GetObject s3:ListBucket s3:PutObject sns:Publish",
        "ArcToParquetRole: events:PutEvents s3:GetObject s3:GetObjectVersion s3:ListBucket s3:PutObject",
        "ArcLevelsRole: events:PutEvents s3:GetObject s3:ListBucket s3:PutObject",
        "ArcArchiveRole: events:PutEvents s3:GetObject s3:GetObjectVersion s3:ListBucket s3:PutObject",
    ];
    assert_eq!(lake.made(), made.map(|line| format!("{line}\n")).concat(), "what the lake has been through");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_do_is_refused_here_too() {
    let lake = Lake::deployed().await;
    let (code, said) = lake.job("ArcArchiveRole", "levels", "20261120PT5M250", "job-1").await;
    assert!(code != Some(0) && lake.server.refused().iter().any(|call| call.contains("name=parquet")), "{said}");
    assert!(said.contains("AccessDenied"), "{said}");
}

/// What S3 answers with credentials that are over or do not fit: it repeats them.
const REFUSALS: [(u16, &str); 3] = [
    (400, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message><Token-0>SECRET</Token-0></Error>"),
    (400, "<Error><Code>InvalidToken</Code><Message>The provided token is malformed.</Message><Token-0>SECRET</Token-0></Error>"),
    (
        403,
        "<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature does not match</Message><AWSAccessKeyId>SECRET</AWSAccessKeyId>\
         <CanonicalRequest>GET\n/x\n\nx-amz-security-token:SECRET\n</CanonicalRequest></Error>",
    ),
];

/// The code of an answer.
fn told_code(body: &str) -> &str {
    body.split(['<', '>']).nth(4).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_s3_repeats_is_in_no_log_no_state_and_no_mail() {
    for (status, body) in REFUSALS {
        let lake = Lake::deployed().await;
        let lot = Lot::containing(LotUnit::Twelfths, Utc::now() - TimeDelta::minutes(10));
        lake.arrive(lot).await;
        lake.server.refuse("/test-lake-data/", status, body);
        let mut told = String::new();
        for arc in ["toParquet", "archive"] {
            let (code, said) = lake.job(&role_of(arc), arc, &lot.to_string(), arc).await;
            assert_ne!(code, Some(0), "{said}");
            lake.dispatch(&failed(arc, arc, lot), Utc::now()).await;
            told += &said;
        }
        lake.server.refuse("/test-clusterless-manifest", status, body);
        let deployment = lake.function("BoundaryInRole").await;
        let function = BoundaryFunction::new(&lake.aws, &deployment, "in", None).unwrap();
        let error = function.call_at(&json!({"tick": true}), Utc::now()).await.unwrap_err();
        told += &format!("{error} {error:?} {error:#?} {:?}", boundary::aws::told(&error));
        let state = lake.server.names().into_iter().filter(|name| !name.starts_with("test-lake-data"));
        told.extend(state.filter_map(|name| lake.server.body(&name)).map(|body| String::from_utf8_lossy(&body).into_owned()));
        told.extend(lake.server.told().iter().map(|body| String::from_utf8_lossy(body).into_owned()));
        assert!(!told.contains("SECRET"), "{told}");
        assert!(told.contains(told_code(body)), "{told}");
    }
}
