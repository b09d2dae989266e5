#!/usr/bin/env python3
"""The lake on AWS from end to end, on servers that stand in for it.

    end_to_end.py DOUBLES PROGRAMS FOLDER [--deploy-only]

DOUBLES is what `tests/aws/setup` prints, PROGRAMS the folder with `arc`, `boundary` and `dispatch`, FOLDER is for files.

1. moto: bootstrap, deploy, diff, and at the end destroy, with the program alone.
2. ministack: objects are put, S3 tells the queue, the built boundary function commits lots and emits events, EventBridge
   calls the built dispatch function, which submits jobs to moto's Batch; each job's own command, parameters and environment
   start a worker here, and what it writes is read back. Prints what it saw; any difference ends it.
"""
import datetime
import json
import pathlib
import subprocess
import sys
import time
import urllib.request
import zipfile

import boto3

import doubles

LINES = 3_000


def say(text):
    print(text, flush=True)


def check(condition, text):
    if not condition:
        raise SystemExit(f"FAILED: {text}")
    say(f"ok: {text}")


class World:
    def __init__(self, root, programs, folder):
        self.root, self.programs, self.folder = root, pathlib.Path(programs), pathlib.Path(folder)
        self.project = self.folder / "lake.json"
        self.stage = "test"
        self.account = doubles.ACCOUNT["moto"]
        self.store = {kind: f"test-clusterless-{kind}-{self.account}-{doubles.REGION}" for kind in ("manifest", "arc-state", "metadata", "artifact")}
        self.bus = f"TEST-arc-events-{doubles.REGION}"

    def client(self, service, url, **more):
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "not-a-secret", "region_name": doubles.REGION}
        return boto3.client(service, endpoint_url=url, **keys, **more)

    def arc(self, *arguments, url, expect=0, **environment):
        command = [str(self.programs / "arc"), *arguments]
        env = {"PATH": "/usr/bin:/bin", **doubles.KEYS, "AWS_ENDPOINT_URL": url, "HOME": str(self.folder), **environment}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        if done.returncode != expect:
            raise SystemExit(f"FAILED: {' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        check("not-a-secret" not in done.stdout + done.stderr, f"arc {arguments[0]}: exit {expect}, no secret in its output")
        return done

    def package(self):
        folder = self.folder / "functions"
        folder.mkdir(exist_ok=True)
        for function in ("boundary", "dispatch"):
            with zipfile.ZipFile(folder / f"{function}-x86_64.zip", "w", zipfile.ZIP_DEFLATED) as package:
                info = zipfile.ZipInfo("bootstrap")
                info.external_attr, info.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
                package.writestr(info, (self.programs / function).read_bytes())
            # Nothing here runs it: dispatch is deployed for arm64.
            (folder / f"{function}-arm64.zip").write_bytes((folder / f"{function}-x86_64.zip").read_bytes())
        return folder

    def write_project(self):
        dataset = lambda name: {"name": name, "version": "1"}
        sink = lambda name, folder: {**dataset(name), "pathURI": f"s3://test-lake-data/{folder}/"}
        sql = "SELECT http_status, count(*) AS requests FROM main GROUP BY http_status"
        self.project.write_text(json.dumps({
            "project": {"name": "Lake", "version": "1"},
            "placement": {"provider": "aws", "stage": self.stage, "account": self.account, "region": doubles.REGION},
            "resources": [
                {"type": "aws:core:s3Bucket", "name": "raw", "bucketName": "test-lake-raw"},
                {"type": "aws:core:s3Bucket", "name": "data", "bucketName": "test-lake-data"},
                {"type": "aws:core:computeEnvironment", "name": "main", "computeEnvironmentName": "main"},
            ],
            "boundaries": [{"type": "aws:core:s3PutListenerBoundary", "name": "ingress", "lotUnit": "Minutes", "settleSeconds": 0,
                            "runtimeProps": {"architecture": "X86_64"},
                            "dataset": {**dataset("raw-logs"), "pathURI": "s3://test-lake-raw/logs/"}}],
            "arcs": [
                {"type": "convert", "name": "toParquet", "sources": {"main": dataset("raw-logs")},
                 "sinks": {"main": sink("access-logs", "access"), "rejects": sink("access-rejects", "rejects")},
                 "workload": {"format": "s3-access"}},
                {"type": "query", "name": "countStatus", "sources": {"main": dataset("access-logs")},
                 "sinks": {"main": sink("status-counts", "counts")}, "workload": {"sql": sql}},
            ],
        }, indent=1))


def lines(first, count):
    start = datetime.datetime(2026, 11, 20, 20, 50, tzinfo=datetime.timezone.utc)
    for n in range(first, first + count):
        at = (start + datetime.timedelta(milliseconds=n * 100)).strftime("%d/%b/%Y:%H:%M:%S +0000")
        status, error = ("404", "NoSuchKey") if n % 10 == 0 else ("200", "-")
        yield (f'owner bucket [{at}] 192.0.2.{n % 250} - REQ{n:013} REST.GET.OBJECT k{n} "GET /k{n} HTTP/1.1" {status} {error} '
               f'10 10 5 3 "-" "curl/8" - host SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader b.s3.amazonaws.com TLSv1.2 - -')


def on_moto(world, url):
    """Bootstrap, deploy, diff; gives the documents that the functions and workers read."""
    say("== moto: the program deploys")
    bootstrap = ["bootstrap", "-p", str(world.project)]
    seen = world.arc(*bootstrap, "--dry-run", url=url)
    check("add S3::Bucket" in seen.stderr, "a dry run of bootstrap says what it would add")
    s3 = world.client("s3", url)
    check(not s3.list_buckets()["Buckets"], "and makes nothing")
    world.arc(*bootstrap, url=url, expect=2)
    world.arc(*bootstrap, "--approve", url=url)
    made = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    check(set(world.store.values()) <= made, "bootstrap made the four stores")
    # moto wants a role that exists where AWS makes one by itself.
    trust = {"Version": "2012-10-17", "Statement": []}
    role = world.client("iam", url).create_role(RoleName="batch", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    deploy = ["deploy", "-p", str(world.project), "--code", str(world.package()), "--batch-service-role", role]
    world.arc(*deploy, "--dry-run", url=url)
    world.arc(*deploy, "--approve", url=url)
    diff = world.arc("diff", "-p", str(world.project), "--batch-service-role", role, url=url)
    check("no changes" in diff.stderr, "after a deployment there is no difference")
    again = world.arc(*deploy, "--approve", url=url)
    check("up to date" in again.stderr, "deploying again changes nothing")
    artifact = world.store["artifact"]
    found = {}
    for entry in s3.list_objects_v2(Bucket=artifact, Prefix="deployments/")["Contents"]:
        kind = entry["Key"].rsplit("/", 1)[1].split("-")[0]
        found[kind] = (entry["Key"], s3.get_object(Bucket=artifact, Key=entry["Key"])["Body"].read())
    check(set(found) == {"project", "deployment"}, "the project and the deployment document are uploaded")
    return found


def destroy(world, url):
    say("== moto: destroy")
    world.arc("destroy", "-p", str(world.project), "--approve", url=url)
    left = {bucket["Name"] for bucket in world.client("s3", url).list_buckets()["Buckets"]}
    check(set(world.store.values()) <= left and "test-lake-data" in left, "buckets with data and state survive")
    functions = world.client("lambda", url).list_functions()["Functions"]
    queues = world.client("sqs", url).list_queues().get("QueueUrls", [])
    roles = [role["RoleName"] for role in world.client("iam", url).list_roles()["Roles"] if role["RoleName"].startswith("test-Lake")]
    # moto keeps job queues and definitions of a stack that is deleted.
    left = [one["FunctionName"] for one in functions] + queues + roles
    check(not left, f"functions, queues and roles are gone {left or ''}")


def bootstrap_and_back(world, url):
    """Where stacks with a network can be deleted: moto finds that its own VPC has dependencies."""
    say("== ministack: bootstrap and destroy")
    document = json.loads(world.project.read_text())
    document["placement"]["account"] = doubles.ACCOUNT["ministack"]
    path = world.folder / "elsewhere.json"
    path.write_text(json.dumps(document))
    s3 = world.client("s3", url)
    buckets = lambda: {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    world.arc("bootstrap", "-p", str(path), "--approve", url=url)
    stores = buckets()
    check(len(stores) == 4, "bootstrap made four stores")
    s3.put_object(Bucket=sorted(stores)[0], Key="a", Body=b"1")
    s3.put_object(Bucket=sorted(stores)[0], Key="a", Body=b"2")
    world.arc("destroy", "-p", str(path), "--bootstrap", "--approve", url=url)
    check(buckets() == stores, "they survive the bootstrap")
    seen = world.arc("bootstrap", "-p", str(path), "--dry-run", url=url)
    check(all(f"bucket {bucket} is there already" in seen.stderr for bucket in stores), "the next bootstrap says that it takes them over")
    world.arc("bootstrap", "-p", str(path), "--approve", url=url)
    check(s3.get_object(Bucket=sorted(stores)[0], Key="a")["Body"].read() == b"2", "and does, with what they hold")
    world.arc("destroy", "-p", str(path), "--bootstrap", "--approve", url=url)
    world.arc("destroy", "-p", str(path), "--bootstrap", "--state", "--approve", url=url)
    check(not buckets(), "and go with all versions of everything when asked for")


class Lake:
    """ministack with the resources that the templates describe, and moto for Batch."""

    def __init__(self, world, url, batch_url, documents):
        self.world, self.url, self.batch_url = world, url, batch_url
        client = lambda service: world.client(service, url)
        self.s3, self.sqs, self.events, self.functions = client("s3"), client("sqs"), client("events"), client("lambda")
        self.batch = world.client("batch", batch_url)
        for bucket in [*world.store.values(), "test-lake-raw", "test-lake-data"]:
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": doubles.REGION})
        self.uris = {}
        for kind, (key, body) in documents.items():
            self.s3.put_object(Bucket=world.store["artifact"], Key=key, Body=body)
            self.uris[kind] = f"s3://{world.store['artifact']}/{key}"
        self.deployment = json.loads(documents["deployment"][1])
        self.queue = self.make_queue("ingress")
        self.heard = self.make_queue("heard")
        self.s3.put_bucket_notification_configuration(Bucket="test-lake-raw", NotificationConfiguration={"QueueConfigurations": [
            {"QueueArn": self.queue[1], "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "logs/"}]}}}]})
        self.make_batch()
        self.make_functions()

    def make_queue(self, name):
        url = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
        return url, self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def make_batch(self):
        """The job queue and the definitions as they were deployed are moto's own: `on_moto` made them."""
        self.job_queue = self.batch.describe_job_queues()["jobQueues"][0]["jobQueueName"]

    def make_functions(self):
        common = {"AWS_ENDPOINT_URL": self.url, "ARC_DEPLOYMENT": self.uris["deployment"], **doubles.KEYS}
        environments = {
            "boundary": {**common, "ARC_BOUNDARY": "ingress", "ARC_QUEUE_URL": self.queue[0]},
            "dispatch": {**common, "ARC_JOB_QUEUE": self.job_queue, "AWS_ENDPOINT_URL_BATCH": self.batch_url},
        }
        for name, variables in environments.items():
            package = (self.world.folder / "functions" / f"{name}-x86_64.zip").read_bytes()
            self.functions.create_function(
                FunctionName=name, Runtime="provided.al2023", Role="arn:aws:iam::000000000000:role/x", Handler="bootstrap", Timeout=120,
                MemorySize=512, Code={"ZipFile": package}, Environment={"Variables": variables})
        self.events.create_event_bus(Name=self.world.bus)
        pattern = {"source": ["clusterless.arc"], "detail-type": ["Clusterless Arc Notification"]}
        self.events.put_rule(Name="available", EventBusName=self.world.bus, EventPattern=json.dumps(pattern), State="ENABLED")
        arn = self.functions.get_function(FunctionName="dispatch")["Configuration"]["FunctionArn"]
        self.events.put_targets(Rule="available", EventBusName=self.world.bus, Targets=[
            {"Id": "dispatch", "Arn": arn}, {"Id": "heard", "Arn": self.heard[1]}])

    def invoke(self, name, event):
        started = time.monotonic()
        answer = self.functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        body = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise SystemExit(f"FAILED: function {name}: {body}")
        return body, time.monotonic() - started

    def commits(self, dataset):
        listed = self.s3.list_objects_v2(Bucket=self.world.store["manifest"], Prefix=f"datasets/name={dataset}/version=1/").get("Contents", [])
        keys = [entry["Key"] for entry in listed if "/commit-" in entry["Key"]]
        return [json.loads(self.s3.get_object(Bucket=self.world.store["manifest"], Key=key)["Body"].read()) for key in sorted(keys)]

    def heard_events(self):
        events = []
        while True:
            messages = self.sqs.receive_message(QueueUrl=self.heard[0], MaxNumberOfMessages=10).get("Messages", [])
            if not messages:
                return events
            for message in messages:
                events.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.heard[0], ReceiptHandle=message["ReceiptHandle"])

    def jobs(self):
        """Every job that was submitted, as Batch would start it: arc, lot, command, environment."""
        found = []
        for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"):
            listed = self.batch.list_jobs(jobQueue=self.job_queue, jobStatus=status)["jobSummaryList"]
            for at in range(0, len(listed), 100):
                found += self.batch.describe_jobs(jobs=[job["jobId"] for job in listed[at:at + 100]])["jobs"]
        return found

    def work(self, job):
        """Runs the worker exactly as the job says."""
        definition = self.batch.describe_job_definitions(jobDefinitions=[job["jobDefinition"]])["jobDefinitions"][0]
        container = definition["containerProperties"]
        parameters = {**definition.get("parameters", {}), **job.get("parameters", {})}
        command = [parameters.get(word[5:], word) if word.startswith("Ref::") else word for word in container["command"]]
        environment = {entry["name"]: entry["value"] for entry in container.get("environment", [])}
        environment |= {entry["name"]: entry["value"] for entry in job.get("container", {}).get("environment", []) if "value" in entry}
        environment |= {"AWS_BATCH_JOB_ID": job["jobId"], "AWS_BATCH_JOB_ATTEMPT": "1", "TMPDIR": str(self.world.folder)}
        # The project document lies in the double's S3 under the same name.
        done = self.world.arc(*command, url=self.url, **environment)
        check('"CloudWatchMetrics"' in done.stderr, f"{' '.join(command[1:5])}: metrics are in the worker's log")
        return json.loads(done.stdout)


def on_ministack(world, url, batch_url, documents):
    say("== ministack: objects become Parquet")
    lake = Lake(world, url, batch_url, documents)
    answer, seconds = lake.invoke("boundary", {"tick": True})
    say(f"first call of the boundary's function: {seconds:.2f} s: {answer}")
    keys = [f"logs/a b+ü%20{n}.log" for n in range(7)] + ["logs/_hidden", "elsewhere/x"]
    each = LINES // 7
    for n, key in enumerate(keys):
        lake.s3.put_object(Bucket="test-lake-raw", Key=key, Body=("\n".join(lines(n * each, each)) + "\nnot a log line\n").encode())
    # A lot closes with its interval, a minute here.
    wait = 61 - datetime.datetime.now(datetime.timezone.utc).second
    say(f"waiting {wait} s for the interval to end")
    time.sleep(wait)
    answer, seconds = lake.invoke("boundary", {"tick": True})
    say(f"the tick: {seconds:.2f} s: {answer}")
    lots = [commit for commit in lake.commits("raw-logs") if commit["uris"]]
    uris = sorted(uri for commit in lots for uri in commit["uris"])
    check(uris == sorted(f"s3://test-lake-raw/{key}" for key in keys[:7]), "every object is in one commit, keys decoded, the filter kept")
    time.sleep(3)
    left = lake.sqs.get_queue_attributes(QueueUrl=lake.queue[0], AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    check(left["ApproximateNumberOfMessages"] == "0", "and its messages are deleted")
    lot = lots[-1]["lotId"]
    deadline = time.monotonic() + 60
    done = {}
    while "countStatus" not in done and time.monotonic() < deadline:
        for job in lake.jobs():
            name, of = job["parameters"]["arc"], job["parameters"]["lot"]
            if of == lot and name not in done:
                done[name] = lake.work(job)
        time.sleep(1)
    check(set(done) == {"toParquet", "countStatus"}, "events made the dispatch function submit both arcs, one after the other")
    receipt = done["toParquet"]
    check((receipt["rows"], receipt["rejected"]) == (7 * each, 7), "every line is a row or a reject")
    heard = lake.heard_events()
    ids = {event["detail"]["datasetId"] for event in heard}
    check({"raw-logs/1", "access-logs/1", "status-counts/1"} <= ids, "whoever listens to the bus hears of every dataset")
    check(all(set(event["detail"]) == {"dataset", "lot", "manifest", "datasetId"} for event in heard), "events are exactly the contract's")
    before = len(lake.jobs())
    lake.invoke("dispatch", {"sweep": True})
    check(len(lake.jobs()) == before, "a sweep finds nothing left due")
    project = lake.uris["project"]
    query = world.arc("query", "-p", project, "SELECT count(*) AS n FROM access_logs", "--output", "json", url=url)
    check(f"{7 * each}" in query.stdout, "arc query reads it back")
    world.arc("audit", "-p", project, url=url)
    lots = world.arc("lots", "raw-logs", "-p", project, url=url)
    say(lots.stdout)


def main():
    root, programs, folder = sys.argv[1:4]
    is_whole = "--deploy-only" not in sys.argv
    world = World(root, programs, folder)
    world.write_project()
    with doubles.moto(root, world.folder) as moto:
        settings = json.dumps({"batch": {"use_docker": False}, "lambda": {"use_docker": False}}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/config", data=settings, headers={"Content-Type": "application/json"}))
        documents = on_moto(world, moto)
        if is_whole:
            with doubles.ministack(root, world.folder) as ministack:
                bootstrap_and_back(world, ministack)
                on_ministack(world, ministack, moto, documents)
        destroy(world, moto)
    say("all of it holds")


if __name__ == "__main__":
    main()
