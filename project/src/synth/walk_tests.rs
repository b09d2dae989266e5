//! Who may reach what: every role of a template is asked for every dataset, and may reach its own and nothing else.

use std::collections::BTreeMap;

use manifests::{DatasetId, paths};
use serde_json::{Value, json};

use super::fixture::{changed, document, large, options, project};
use super::iam::UNRESTRICTED;
use super::*;

/// A role's statements, with references resolved far enough to compare ARNs.
struct Role {
    statements: Vec<Value>,
}

fn roles(project: &Project) -> BTreeMap<String, Role> {
    roles_with(project, &options(project))
}

fn roles_with(project: &Project, options: &ProjectOptions) -> BTreeMap<String, Role> {
    let stacks = super::project(project, options).unwrap();
    let resources: BTreeMap<String, Value> =
        stacks.iter().flat_map(|stack| stack.template["Resources"].as_object().unwrap().clone()).collect();
    let managed = |resource: &Value| -> Vec<String> {
        let list = resource["Properties"]["ManagedPolicyArns"].as_array().into_iter().flatten();
        list.map(|entry| entry["Ref"].as_str().unwrap().to_owned()).collect()
    };
    let attached: Vec<String> = resources.values().flat_map(managed).collect();
    let role = |(id, resource): (&String, &Value)| {
        let is_alone = resource["Type"] == "AWS::IAM::ManagedPolicy" && !attached.contains(id);
        if resource["Type"] != "AWS::IAM::Role" && !is_alone {
            return None;
        }
        let own = resource["Properties"]["Policies"].as_array().into_iter().flatten();
        let managed = managed(resource).into_iter().map(|id| &resources[&id]["Properties"]);
        let alone = is_alone.then(|| &resource["Properties"]);
        let policies = own.chain(managed).chain(alone);
        let statements = policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().cloned().unwrap_or_default());
        Some((id.clone(), Role { statements: statements.collect() }))
    };
    resources.iter().filter_map(role).collect()
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

impl Role {
    fn may(&self, action: &str, arn: &str) -> bool {
        let has = |list: &Value, wanted: &str| {
            list.as_array().is_some_and(|list| list.iter().any(|entry| entry.as_str().is_some_and(|entry| fits(entry, wanted))))
        };
        self.statements.iter().any(|statement| has(&statement["Action"], action) && has(&statement["Resource"], arn))
    }

    /// Whether it may list that prefix.
    fn may_list(&self, bucket: &str, prefix: &str) -> bool {
        self.statements.iter().filter(|statement| statement["Action"] == json!(["s3:ListBucket"])).any(|statement| {
            let patterns = statement["Condition"]["StringLikeIfExists"]["s3:prefix"].as_array();
            let is_here = statement["Resource"] == json!([format!("arn:aws:s3:::{bucket}")]);
            is_here && patterns.is_none_or(|patterns| patterns.iter().any(|pattern| fits(pattern.as_str().unwrap_or_default(), prefix)))
        })
    }
}

const LOT: &str = "lot=20261121PT5M000";

fn manifest(dataset: &str, file: &str) -> String {
    let id = DatasetId { name: dataset.into(), version: "1".into() };
    format!("arn:aws:s3:::test-clusterless-manifest-123456789012-us-east-2/{}/{LOT}/{file}", paths::dataset_dir(&id))
}

/// For each dataset what a role may do: `r` read, `w` write, `l` list its manifests; `R` read, `W` write, `D` remove its data.
fn reach(role: &Role, project: &Project) -> String {
    let mut text = String::new();
    for produced in project.produced() {
        let name = &produced.dataset.name;
        let commit = manifest(name, "commit-000001.json");
        let data = produced.dataset.path_uri.replace("s3://", "arn:aws:s3:::") + "dt=2026-11-21/x.parquet";
        let id = produced.dataset.id();
        let can = [
            ('r', role.may("s3:GetObject", &commit)),
            ('w', role.may("s3:PutObject", &commit)),
            ('l', role.may_list("test-clusterless-manifest-123456789012-us-east-2", &(paths::dataset_dir(&id) + "/"))),
            ('R', role.may("s3:GetObject", &data)),
            ('W', role.may("s3:PutObject", &data)),
            ('D', role.may("s3:DeleteObject", &data)),
        ];
        let letters: String = can.iter().map(|(letter, may)| if *may { *letter } else { '-' }).collect();
        text += &format!("  {letters} {name}\n");
    }
    text
}

#[test]
fn each_role_reaches_its_own_datasets_and_nothing_else() {
    let project = project(document());
    let text: String = roles(&project).iter().map(|(id, role)| format!("{id}\n{}", reach(role, &project))).collect();
    expect_test::expect![[r#"
        ArcArchiveRole
          ------ logs
          r-lR-- other-logs
          ------ parquet
          ------ rejects
          ------ errors
          rwlRWD archived
        ArcErrorsRole
          ------ logs
          ------ other-logs
          r-lR-- parquet
          ------ rejects
          rwlRWD errors
          ------ archived
        ArcToParquetRole
          r-lR-- logs
          ------ other-logs
          rwlRWD parquet
          rwlRWD rejects
          ------ errors
          ------ archived
        BoundaryInRole
          rwl--- logs
          ------ other-logs
          ------ parquet
          ------ rejects
          ------ errors
          ------ archived
        BoundaryOtherRole
          ------ logs
          rwl--- other-logs
          ------ parquet
          ------ rejects
          ------ errors
          ------ archived
        DispatchRole
          r-l--- logs
          r-l--- other-logs
          rwl--D parquet
          rwl--D rejects
          rwl--D errors
          rwl--D archived
        ExecutionRole
          ------ logs
          ------ other-logs
          ------ parquet
          ------ rejects
          ------ errors
          ------ archived
    "#]]
    .assert_eq(&text);
}

#[test]
fn athena_runs_over_the_tables_of_its_arc_alone() {
    let project = |workgroup: Option<&str>| {
        changed(|document| {
            document["arcs"][1]["workload"]["engine"] = "athena".into();
            if let Some(workgroup) = workgroup {
                document["arcs"][1]["workload"]["workgroup"] = workgroup.into();
            }
        })
    };
    let arn = |service: &str, rest: &str| format!("arn:aws:{service}:us-east-2:123456789012:{rest}");
    let key = |rest: &str| format!("arn:aws:s3:::test-clusterless-artifact-123456789012-us-east-2/{rest}");
    let own = arn("athena", "workgroup/test-lake-1-0");
    for (id, role) in roles(&project(None)) {
        let is_it = id == "ArcErrorsRole";
        for action in ["athena:StartQueryExecution", "athena:GetQueryExecution", "athena:StopQueryExecution"] {
            assert_eq!(role.may(action, &own), is_it, "{id} {action}");
            assert!(!role.may(action, &arn("athena", "workgroup/primary")), "{id} {action}");
        }
        assert_eq!(role.may("glue:GetTable", &arn("glue", "table/test_lake_1_0/parquet")), is_it, "{id}");
        assert!(!role.may("glue:GetTable", &arn("glue", "table/test_lake_1_0/errors")), "{id}");
        for thing in ["catalog", "database/default"] {
            assert_eq!(role.may("glue:GetDatabase", &arn("glue", thing)), is_it, "{id} {thing}: Athena looks there whatever it reads");
        }
        assert!(!role.may("glue:GetTable", &arn("glue", "table/default/t")), "{id}");
        assert_eq!(role.may("s3:DeleteObject", &key("athena/lake/1.0/errors/20261121PT1H000/000001/rows/x")), is_it, "{id}");
        assert!(!role.may("s3:GetObject", &key("athena/lake/1.0/other/x")), "{id}");
    }
    let named = roles(&project(Some("team")));
    assert!(named["ArcErrorsRole"].may("athena:StartQueryExecution", &arn("athena", "workgroup/team")));
    assert!(!named["ArcErrorsRole"].may("athena:StartQueryExecution", &own));
}

#[test]
fn the_policy_of_arc_up_reaches_the_project_and_nothing_else() {
    let project = changed(|document| document["placement"]["workers"] = json!("up"));
    let of_all = |roles: BTreeMap<String, Role>| Role { statements: roles.into_values().flat_map(|role| role.statements).collect() };
    let policy = of_all(roles(&project));
    expect_test::expect![[r#"
        all
          rwlR-- logs
          rwlR-- other-logs
          rwlRWD parquet
          rwlRWD rejects
          rwlRWD errors
          rwlRWD archived
    "#]]
    .assert_eq(&format!("all\n{}", reach(&policy, &project)));
    let metadata = |path: &str| format!("arn:aws:s3:::test-clusterless-metadata-123456789012-us-east-2/{path}");
    assert!(policy.may("s3:PutObject", &metadata("projects/name=lake/version=1.0/project.json")));
    assert!(!policy.may("s3:PutObject", &metadata("projects/name=lake/version=2.0/project.json")), "another version is another project");
    assert!(policy.may("s3:DeleteObject", &metadata("datasets/name=logs/version=1/waiting-000001.json")));
    assert!(!policy.may("s3:DeleteObject", &metadata("datasets/name=logs/version=1/dataset.json")));
    assert!(!policy.may("s3:DeleteObject", &manifest("logs", "commit-000001.json")));
    assert!(!policy.may("s3:GetObject", &manifest("somebody-elses", "commit-000001.json")));
    let many = super::fixture::project({
        let mut document = large(300).document;
        document["placement"]["workers"] = json!("up");
        document
    });
    let many = roles(&many);
    assert!((1..=5).contains(&many.len()), "{} policies for 300 arcs", many.len());
    for (id, role) in many {
        let bytes = super::iam::document(role.statements).to_string().len();
        assert!(bytes <= super::iam::MANAGED_POLICY_BYTES_MAX, "{id} has {bytes} bytes");
    }
}

#[test]
fn a_boundary_can_forget_what_it_wrote_down() {
    let roles = roles(&project(document()));
    let waiting = "arn:aws:s3:::test-clusterless-metadata-123456789012-us-east-2/datasets/name=logs/version=1/waiting-000001.json";
    assert!(roles["BoundaryInRole"].may("s3:DeleteObject", waiting));
    assert!(!roles["BoundaryInRole"].may("s3:DeleteObject", &waiting.replace("waiting-000001", "dataset")));
}

#[test]
fn nobody_may_delete_the_truth() {
    let project = project(document());
    for (id, role) in roles(&project) {
        for produced in project.produced() {
            let name = &produced.dataset.name;
            assert!(!role.may("s3:DeleteObject", &manifest(name, "commit-000001.json")), "{id} may delete commits of {name}");
        }
        let attempt =
            "arn:aws:s3:::test-clusterless-arc-state-123456789012-us-east-2/arcs/project=lake/version=1.0/arc=errors/x/running.arc";
        assert!(!role.may("s3:DeleteObject", attempt), "{id} may delete attempts");
        assert_eq!(role.may("s3:PutObject", attempt), ["ArcErrorsRole", "DispatchRole"].contains(&id.as_str()), "{id}");
    }
}

#[test]
fn state_copies_can_be_replaced_by_who_commits() {
    let roles = roles(&project(document()));
    let copy = manifest("logs", "state=empty/manifest.json");
    for (id, role) in &roles {
        assert_eq!(role.may("s3:DeleteObject", &copy), id == "BoundaryInRole", "{id}");
    }
}

#[test]
fn stars_stand_only_where_aws_knows_nothing_else() {
    for (id, role) in roles(&project(document())).into_iter().chain(roles(&super::fixture::clusterless())) {
        for statement in &role.statements {
            let resources = statement["Resource"].as_array().unwrap();
            for action in statement["Action"].as_array().unwrap() {
                let action = action.as_str().unwrap();
                assert!(!action.contains('*'), "{id}: {action}");
                let is_known = UNRESTRICTED.iter().any(|known| known.0 == action);
                assert_eq!(resources.contains(&json!("*")), is_known, "{id}: {action}");
            }
        }
    }
}

/// What IAM would say of the roles and policies of a project.
fn assert_fitting(project: &Project) -> Vec<Stack> {
    let stacks = super::project(project, &options(project)).unwrap();
    for (id, resource) in stacks.iter().flat_map(|stack| stack.template["Resources"].as_object().unwrap()) {
        let properties = &resource["Properties"];
        let own = properties["Policies"].as_array().into_iter().flatten();
        let bytes: usize = own.map(|policy| policy["PolicyDocument"].to_string().len()).sum();
        assert!(bytes <= super::iam::POLICY_BYTES_MAX, "{id} has {bytes} bytes");
        let managed = properties["ManagedPolicyArns"].as_array().map_or(0, Vec::len);
        assert!(managed <= super::iam::POLICIES_MAX, "{id} has {managed} policies");
        if resource["Type"] == "AWS::IAM::ManagedPolicy" {
            let bytes = properties["PolicyDocument"].to_string().len();
            assert!(bytes <= super::iam::MANAGED_POLICY_BYTES_MAX, "{id} has {bytes} bytes");
        }
    }
    stacks
}

/// A project whose query reads so many datasets.
fn reading(sources: usize) -> Value {
    let mut document = large(sources).document;
    let names: serde_json::Map<String, Value> =
        (0..sources).map(|at| (format!("s{at}"), json!({"name": format!("parquet-{at}"), "version": "1"}))).collect();
    document["arcs"].as_array_mut().unwrap().push(json!({
        "type": "query", "name": "all", "sources": names, "workload": {"sql": "SELECT count(*) AS n FROM s0", "engine": "athena"},
        "sinks": {"main": {"name": "counts", "version": "1", "pathURI": "s3://test-lake-data/counts/"}},
    }));
    document
}

#[test]
fn policies_fit_however_many_arcs_there_are() {
    assert_fitting(&large(300));
}

#[test]
fn policies_fit_however_many_datasets_an_arc_reads() {
    for sources in [15, 20, 60] {
        let project = super::fixture::project(reading(sources));
        let stacks = assert_fitting(&project);
        if sources == 20 {
            super::tests::lint(&stacks);
        }
        let roles = roles(&project);
        let role = &roles["ArcAllRole"];
        for at in 0..sources {
            let name = format!("parquet-{at}");
            assert!(role.may("s3:GetObject", &manifest(&name, "commit-000001.json")), "{name}");
            assert!(role.may("s3:GetObject", &format!("arn:aws:s3:::test-lake-data/p{at}/x.parquet")), "{name}");
            assert!(role.may_list("test-lake-data", &format!("p{at}/")), "{name}");
        }
        assert!(!role.may("s3:GetObject", &manifest("logs", "commit-000001.json")));
    }
    let problems = crate::verify::judge(reading(300), std::path::Path::new("/")).unwrap_err();
    let told = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>();
    assert_eq!(told, ["arcs[300].sources: reads 300 datasets, more than the policies of a role have room for"]);
}

#[test]
fn policies_fit_however_many_activities_there_are() {
    let project = changed(|document| {
        let job = |at: usize| json!({"type": "aws:core:batchExecActivity", "name": format!("tidy-up-number-{at}"), "schedule": "rate(1 day)", "imagePath": "tidy"});
        let export = |at: usize| {
            json!({"type": "aws:core:cloudWatchExport", "name": format!("export-{at}"), "interval": "Days",
                   "logGroupName": format!("/web/application/{at}"), "pathURI": format!("s3://test-lake-data/application/{at}/")})
        };
        document["activities"] = (0..60).map(job).chain((0..80).map(export)).collect();
    });
    super::tests::lint(&assert_fitting(&project));
    let roles = roles(&project);
    assert!(
        roles["ScheduleRole"]
            .may("batch:SubmitJob", "arn:aws:batch:us-east-2:123456789012:job-definition/test-lake-1-0-activity-tidy-up-number-59")
    );
    assert!(roles["DispatchRole"].may("logs:CreateExportTask", "arn:aws:logs:us-east-2:123456789012:log-group:/web/application/79:*"));
}

#[test]
fn whoever_works_on_stores_and_buckets_has_the_keys_of_both() {
    let (own, stores) = ("arn:aws:kms:us-east-2:123456789012:key/own", "arn:aws:kms:us-east-2:210987654321:key/stores");
    for change in [None, Some("up")] {
        let project = changed(|document| change.into_iter().for_each(|workers| document["placement"]["workers"] = json!(workers)));
        let mut options = options(&project);
        (options.kms_key, options.store_key) = (Some(own.into()), Some(stores.into()));
        let roles = roles_with(&project, &options);
        let may =
            |key: &str| Vec::from_iter(roles.iter().filter(|(_, role)| role.may("kms:GenerateDataKey", key)).map(|(id, _)| id.as_str()));
        let all: &[&str] = match change {
            None => &["ArcArchiveRole", "ArcErrorsRole", "ArcToParquetRole", "BoundaryInRole", "BoundaryOtherRole", "DispatchRole"],
            Some(_) => &["UpPolicy1"],
        };
        assert_eq!(may(stores), all);
        assert_eq!(may(own).into_iter().filter(|id| *id != "ExecutionRole").collect::<Vec<_>>(), all);
        assert!(roles.values().all(|role| !role.may("kms:Decrypt", "arn:aws:kms:us-east-2:123456789012:key/other")));
    }
}

#[test]
fn keys_of_other_buckets_are_for_who_reads_or_writes_there() {
    let project = changed(|document| {
        document["activities"] = json!([{"type": "aws:core:cloudWatchExport", "name": "app", "interval": "Hours",
            "logGroupName": "/web/app", "pathURI": "s3://their-logs/app/"}]);
    });
    let mut options = options(&project);
    assert_eq!(Vec::from_iter(foreign_buckets(&project, &options)), ["foreign-archive", "foreign-logs", "their-logs"]);
    let key = |id: &str| format!("arn:aws:kms:eu-west-1:210987654321:key/{id}");
    options.bucket_keys = ["foreign-archive", "foreign-logs", "their-logs"].map(|bucket| (bucket.to_owned(), key(bucket))).into();
    let roles = roles_with(&project, &options);
    let mut text = String::new();
    for (id, role) in &roles {
        for (bucket, key) in &options.bucket_keys {
            let can = [('d', role.may("kms:Decrypt", key)), ('e', role.may("kms:GenerateDataKey", key))];
            let letters: String = can.iter().filter_map(|(letter, may)| may.then_some(*letter)).collect();
            text += &if letters.is_empty() { letters } else { format!("{id} {letters} {bucket}\n") };
        }
    }
    expect_test::expect![[r#"
        ArcArchiveRole de foreign-archive
        ArcArchiveRole d foreign-logs
        DispatchRole de their-logs
    "#]]
    .assert_eq(&text);
    let told = notes(&project, &options).into_iter().filter(|note| note.message.contains("is encrypted with"));
    expect_test::expect![[r#"
        foreign-archive is encrypted with arn:aws:kms:eu-west-1:210987654321:key/foreign-archive, whose policy has to let in account 123456789012 [add to the key's policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*"}]
        foreign-logs is encrypted with arn:aws:kms:eu-west-1:210987654321:key/foreign-logs, whose policy has to let in account 123456789012 [add to the key's policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*"}]
        their-logs is encrypted with arn:aws:kms:eu-west-1:210987654321:key/their-logs, whose policy has to let in account 123456789012 [add to the key's policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*"}]
    "#]]
        .assert_eq(&told.map(|note| format!("{} [{}]\n", note.message, note.fix.unwrap_or_default())).collect::<String>());
}

#[test]
fn exports_are_asked_for_by_who_may_write_them_and_nobody_else() {
    let project = changed(|document| {
        let export = |name: &str, uri: &str| json!({"type": "aws:core:cloudWatchExport", "name": name, "interval": "Hours", "logGroupName": "/web/app", "pathURI": uri});
        document["activities"] = json!([export("ours", "s3://test-lake-data/app"), export("theirs", "s3://their-logs/app/")]);
    });
    let key = |bucket: &str, folder: &str| format!("arn:aws:s3:::{bucket}/{folder}/lot=20261121PT1H001/x");
    for (id, role) in roles(&project) {
        let is_it = id == "DispatchRole";
        assert_eq!(role.may("logs:CreateExportTask", "arn:aws:logs:us-east-2:123456789012:log-group:/web/app:*"), is_it, "{id}");
        assert!(!role.may("logs:CreateExportTask", "arn:aws:logs:us-east-2:123456789012:log-group:/web/app2:*"), "{id}");
        for bucket in ["test-lake-data", "their-logs"] {
            assert_eq!(role.may("s3:PutObject", &key(bucket, "app")), is_it, "{id} {bucket}");
            assert!(!role.may("s3:PutObject", &key(bucket, "app2")), "{id} {bucket}");
        }
    }
    let stacks = super::project(&project, &options(&project)).unwrap();
    let policy = &stacks[0].template["Resources"]["ResourceDataPolicy"]["Properties"]["PolicyDocument"]["Statement"];
    assert_eq!(policy[2]["Resource"], json!(["arn:aws:s3:::test-lake-data/app/*"]), "{policy}");
    let notes = notes(&project, &options(&project));
    let told: Vec<String> = notes
        .into_iter()
        .filter(|note| note.path == "activities")
        .map(|note| format!("{} [{}]", note.message, note.fix.unwrap_or_default()))
        .collect();
    expect_test::expect![[r#"their-logs is no bucket of this project: its policy has to let CloudWatch Logs write exports [add to the bucket's policy: [{"Effect":"Allow","Principal":{"Service":"logs.us-east-2.amazonaws.com"},"Action":"s3:GetBucketAcl","Resource":["arn:aws:s3:::their-logs"],"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"}}},{"Effect":"Allow","Principal":{"Service":"logs.us-east-2.amazonaws.com"},"Action":"s3:PutObject","Resource":["arn:aws:s3:::their-logs/app/*"],"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"}}}]]"#]].assert_eq(&told.join("\n"));
}

#[test]
fn images_of_other_registries_can_be_pulled() {
    let uri =
        "210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/app@sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let project = changed(|document| {
        let job = |name: &str, image: &str| json!({"type": "aws:core:batchExecActivity", "name": name, "schedule": "rate(1 day)", "imagePath": image});
        let here = uri.replace("210987654321", "123456789012");
        document["activities"] = json!([job("theirs", uri), job("far", &here), job("public", "docker.io/library/app:1")]);
    });
    let execution = &roles(&project)["ExecutionRole"];
    let arn = "arn:aws:ecr:eu-west-1:210987654321:repository/team/app";
    assert!(execution.may("ecr:BatchGetImage", arn) && !execution.may("ecr:BatchGetImage", &arn.replace("app", "other")));
    let told = notes(&project, &options(&project)).into_iter().filter(|note| note.path == "images");
    let told: Vec<String> = told.map(|note| format!("{} [{}]", note.message, note.fix.unwrap_or_default())).collect();
    expect_test::expect![[r#"
        the registry wants to know who pushes, every twelve hours: 123456789012.dkr.ecr.us-east-2.amazonaws.com [aws ecr get-login-password --region us-east-2 | podman login --username AWS --password-stdin 123456789012.dkr.ecr.us-east-2.amazonaws.com]
        123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app@sha256:0000000000000000000000000000000000000000000000000000000000000000 is pulled from eu-west-1: jobs without a way out, as in private subnets, cannot reach it [replicate it to the registry of us-east-2]
        the worker's image has to be in the registry before jobs run: 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-arm64 [docker/image 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-arm64 ARC, where ARC is `arc` built for linux/arm64; then podman push 123456789012.dkr.ecr.us-east-2.amazonaws.com/test-arclake:0.1.0-arm64]
        210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/app@sha256:0000000000000000000000000000000000000000000000000000000000000000 is in the registry of account 210987654321, whose policy has to let it be pulled [in the policy of repository team/app, allow arn:aws:iam::123456789012:role/test-lake-1-0-execution ecr:BatchCheckLayerAvailability, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer]
        docker.io/library/app:1 is pulled from a public registry: jobs without a way out, as in private subnets, cannot reach it [copy it to 123456789012.dkr.ecr.us-east-2.amazonaws.com, if the subnets have none]"#]].assert_eq(&told.join("\n"));
}

#[test]
fn services_reach_queues_only_for_their_own_things() {
    let project = project(document());
    let stacks = super::project(&project, &options(&project)).unwrap();
    for (id, resource) in stacks[0].template["Resources"].as_object().unwrap() {
        if resource["Type"] != "AWS::SQS::QueuePolicy" {
            continue;
        }
        for statement in resource["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap() {
            let condition = &statement["Condition"];
            let is_guarded =
                condition["ArnLike"]["aws:SourceArn"].is_array() && condition["StringEquals"]["aws:SourceAccount"] == "123456789012";
            assert!(statement["Effect"] == "Deny" || is_guarded, "{id}");
        }
    }
}
