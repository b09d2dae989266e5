#!/usr/bin/env python3
"""How stacks live: made, made anew after a failure, cut in several, let go of, taken away.

    stacks.py DOUBLES PROGRAMS FOLDER

1. ministack: a deployment that fails leaves nothing in the way; a project with a database is deployed, destroyed and deployed
   again, and what outlived it is used again. A bootstrap keeps its network, key and tags until something else is asked for.
2. moto: a project grows out of its stack and shrinks again; nothing moves, what is obsolete goes, and destroy finds all there is.
"""
import json
import sys
import urllib.request

import doubles
from end_to_end import World, check, say


class Stacks(World):
    def write(self, name, account, **more):
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({
            "project": {"name": name, "version": "1"},
            "placement": {"provider": "aws", "stage": self.stage, "account": account, "region": doubles.REGION, **more.pop("placement", {})},
            **more}))
        return str(path)

    def stacks(self, url, name):
        found = self.client("cloudformation", url).describe_stacks()["Stacks"]
        return {stack["StackName"] for stack in found if stack["StackName"].startswith(f"test-{name}-")}


def dataset(name):
    return {"name": name, "version": "1"}


def again(world, url):
    say("== ministack: deploy, destroy, deploy")
    project = world.write(
        "again", doubles.ACCOUNT["ministack"], placement={"workers": "up"},
        resources=[
            {"type": "aws:core:s3Bucket", "name": "data", "bucketName": "test-again-data"},
            {"type": "aws:core:glueDatabase", "name": "db", "databaseName": "again"},
            {"type": "aws:core:glueTable", "name": "hits", "databaseRef": "db", "tableName": "hits",
             "pathURI": "s3://test-again-data/hits/", "schema": {"columns": [{"name": "ip", "type": "string"}]}},
            {"type": "aws:core:eventBus", "name": "bus", "eventBusName": "again"},
        ],
        boundaries=[{"type": "watch", "name": "in", "dataset": {**dataset("again-logs"), "pathURI": "s3://test-again-data/logs/"}}])
    s3, glue, events = (world.client(service, url) for service in ("s3", "glue", "events"))
    databases = lambda: {database["Name"] for database in glue.get_databases()["DatabaseList"]}
    has_bucket = lambda: "test-again-data" in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    deploy = ["deploy", "-p", project, "--approve", "--code", str(world.folder)]
    world.arc("bootstrap", "-p", project, "--approve", url=url)
    events.create_event_bus(Name="again")
    failed = world.arc(*deploy, url=url, expect=1)
    check("ROLLBACK" in failed.stderr, "a first deployment fails")
    check(not has_bucket() and "again" not in databases(), "and what it made is gone with it")
    events.delete_event_bus(Name="again")
    world.arc(*deploy, url=url)
    tables = lambda: {table["Name"] for table in glue.get_tables(DatabaseName="again")["TableList"]}
    check("again" in databases() and tables() == {"hits"}, "the next one makes all of it")
    s3.put_object(Bucket="test-again-data", Key="hits/a", Body=b"1")
    world.arc("destroy", "-p", project, "--approve", url=url)
    check(has_bucket() and "again" in databases() and not tables(), "bucket and database outlive the stack, the table does not")
    seen = world.arc(*deploy, url=url)
    check("database again is there already" in seen.stderr and "take over S3::Bucket" in seen.stderr, "the next deployment says what it finds")
    check(tables() == {"hits"} and s3.get_object(Bucket="test-again-data", Key="hits/a")["Body"].read() == b"1", "and has it all again")
    diff = world.arc("diff", "-p", project, url=url)
    check("no changes" in diff.stderr, "after which there is no difference")
    world.arc("destroy", "-p", project, "--approve", url=url)


def remembered(world, url):
    say("== ministack: a bootstrap remembers what it was asked for")
    project = str(world.folder / "again.json")
    bootstrap = ["bootstrap", "-p", project]
    cloud = world.client("cloudformation", url)
    tags = lambda: {tag["Key"]: tag["Value"] for tag in cloud.describe_stacks(StackName="test-clusterless-bootstrap")["Stacks"][0]["Tags"]}
    resources = lambda: {resource["LogicalResourceId"] for resource in cloud.describe_stack_resources(StackName="test-clusterless-bootstrap")["StackResources"]}
    world.arc(*bootstrap, "--private", "--kms", "create", "--tag", "team=lake", "--approve", url=url)
    private = resources()
    check({"EndpointsGroup", "Key"} <= private and tags() == {"team": "lake"}, "the network becomes private, with a key and a tag")
    seen = world.arc(*bootstrap, "--approve", url=url)
    check("network: private, as it is" in seen.stderr and "up to date" in seen.stderr, "without a word it stays so")
    check((resources(), tags()) == (private, {"team": "lake"}), "as do key and tag")
    many = [word for at in range(40) for word in ("--tag", f"a-tag-with-a-name-{at}=a-value-of-some-length-{at}")]
    world.arc(*bootstrap, "--public", *many, "--approve", url=url)
    check("Internet" in resources() and len(tags()) == 40, "and back, with 40 tags")


def grown(world, url):
    say("== moto: a project grows and shrinks")

    def write(count, name="grown"):
        arc = lambda at: {"type": "convert", "name": f"arc-{at}", "sources": {"main": dataset(f"{name}-logs")},
                          "sinks": {"main": {**dataset(f"{name}-{at}"), "pathURI": f"s3://test-{name}-data/p{at}/"}},
                          "workload": {"format": "s3-access"}}
        return world.write(
            name, doubles.ACCOUNT["moto"],
            resources=[{"type": "aws:core:s3Bucket", "name": "data", "bucketName": f"test-{name}-data"}],
            boundaries=[{"type": "watch", "name": "in", "dataset": {**dataset(f"{name}-logs"), "pathURI": f"s3://test-{name}-data/logs/"}}],
            arcs=[arc(at) for at in range(count)])

    project = write(30)
    world.arc("bootstrap", "-p", project, "--approve", url=url)
    trust = {"Version": "2012-10-17", "Statement": []}
    role = world.client("iam", url).create_role(RoleName="batch", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    deploy = ["deploy", "-p", project, "--approve", "--code", str(world.package()), "--batch-service-role", role]
    resources = lambda stack: set(world.client("cloudformation", url).get_template(StackName=stack)["TemplateBody"]["Resources"])
    world.arc(*deploy, url=url)
    check(world.stacks(url, "grown") == {"test-grown-1"}, "a small project has one stack")
    # How many policies a role's statements need may change; they are no things that hold something.
    is_policy = lambda text: "RolePolicy" in text
    before = {resource for resource in resources("test-grown-1") if not is_policy(resource)}
    write(60)
    seen = world.arc(*deploy, url=url)
    check(world.stacks(url, "grown") == {"test-grown-1", "test-grown-1-arcs-1"}, "what it does not hold goes into another")
    removed = [line for line in seen.stderr.splitlines() if line.startswith("  remove") and not is_policy(line)]
    check(not removed and before <= resources("test-grown-1"), "and nothing moves")
    diff = world.arc("diff", "-p", project, "--batch-service-role", role, url=url)
    check("change" not in diff.stderr.replace("no changes", ""), "after which there is no difference")
    write(30)
    world.arc("destroy", "-p", project, "--approve", url=url)
    check(not world.stacks(url, "grown"), "destroy takes away what is there, whatever the file says")
    shrunk = write(60, "shrunk")
    deploy[2] = shrunk
    world.arc(*deploy, url=url)
    several = world.stacks(url, "shrunk")
    check(len(several) > 2, f"a large project has {len(several)} stacks")
    seen = world.arc("diff", "-p", shrunk, "--batch-service-role", role, "--exclude-all-arcs", url=url)
    check("stack test-shrunk-1-arcs-1 is deleted" in seen.stderr, "without arcs, diff says that a stack goes")
    world.arc(*deploy, "--exclude-all-arcs", url=url)
    check(not [name for name in world.stacks(url, "shrunk") if "arcs" in name], "and it does")


def main():
    root, programs, folder = sys.argv[1:4]
    world = Stacks(root, programs, folder)
    with doubles.ministack(root, world.folder) as ministack:
        again(world, ministack)
        remembered(world, ministack)
    with doubles.moto(root, world.folder) as moto:
        settings = json.dumps({"batch": {"use_docker": False}, "lambda": {"use_docker": False}}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/config", data=settings, headers={"Content-Type": "application/json"}))
        grown(world, moto)
    say("all of it holds")


if __name__ == "__main__":
    main()
