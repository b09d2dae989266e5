#!/usr/bin/env python3
"""`arc up` on S3 from end to end, on servers that stand in for AWS.

    up.py DOUBLES PROGRAMS FOLDER

DOUBLES is what `tests/aws/setup` prints, PROGRAMS the folder with `arc`, FOLDER is for files.

moto deploys a project without functions and jobs, tells its queue what arrives, and is the bus; SeaweedFS is S3. Two processes
serve the project side by side. Objects are put, with a frequent and an infrequent boundary; the endpoints are read; the
processes are told to end. Prints what it saw; any difference ends it.
"""
import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import doubles
from end_to_end import World, check, lines, say

LINES = 700
WAIT_SECONDS_MAX = 150
# A process looks at something every half minute, whatever else it waits for.
STILL_SECONDS_MAX = 60


class Up:
    """A process that serves the project; its log is a file of JSON lines."""

    def __init__(self, world, name, url, s3_url):
        self.log = world.folder / f"{name}.log"
        temporary = world.folder / name
        temporary.mkdir()
        environment = {"PATH": "/usr/bin:/bin", **doubles.KEYS, "AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL_S3": s3_url,
                       "HOME": str(world.folder), "TMPDIR": str(temporary)}
        command = [str(world.programs / "arc"), "up", "-p", str(world.project), "--listen", "127.0.0.1:0", "--log-format", "json"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        self.address = None

    def ask(self, path):
        """Status and text of an endpoint; None while there is none."""
        if self.address is None:
            found = re.search(r"health and metrics: (http://[0-9.:]+)/", self.log.read_text())
            if not found:
                return None, ""
            self.address = found.group(1)
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def count(self, sample):
        """A sample of the metrics, by its name and labels."""
        found = re.search(rf"^{re.escape(sample)} (\S+)$", self.ask("/metrics")[1], re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def tell_to_end(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        started = time.monotonic()
        code = self.process.wait(timeout=60)
        check(code == 0, f"told to end, it ends with {code} after {time.monotonic() - started:.1f} s")


def write_project(world):
    world.write_project()
    document = json.loads(world.project.read_text())
    document["placement"]["workers"] = "up"
    quick = {"type": "aws:core:s3PutListenerBoundary", "name": "quick", "lotUnit": "Minutes", "eventArrival": "infrequent",
             "dataset": {"name": "quick-logs", "version": "1", "pathURI": "s3://test-lake-raw/quick/"}}
    sink = {"name": "quick-access", "version": "1", "pathURI": "s3://test-lake-data/quick/"}
    document["boundaries"].append(quick)
    document["arcs"].append({"type": "convert", "name": "quickToParquet", "sources": {"main": {"name": "quick-logs", "version": "1"}},
                             "sinks": {"main": sink}, "workload": {"format": "s3-access"}})
    world.project.write_text(json.dumps(document))


def deploy(world, url):
    say("== moto: a project without functions and jobs")
    world.arc("bootstrap", "-p", str(world.project), "--approve", url=url)
    absent = world.arc("up", "-p", str(world.project), "--once", url=url, expect=4)
    check("there is no queue" in absent.stderr and "arc deploy" in absent.stderr, "without a queue the next step is told")
    # No package of a function is needed.
    deployed = world.arc("deploy", "-p", str(world.project), "--approve", url=url)
    check("UpPolicies" in deployed.stdout, "the policies for the process are put out")
    diff = world.arc("diff", "-p", str(world.project), url=url)
    check("no changes" in diff.stderr, "after a deployment there is no difference")
    functions = world.client("lambda", url).list_functions()["Functions"]
    queues = world.client("batch", url).describe_job_queues()["jobQueues"]
    check(not functions and not queues, "there are neither functions nor jobs")


def prepare(world, url, s3_url):
    """The buckets in the S3 that lasts, and a queue that hears what the bus is told."""
    s3, sqs, events = world.client("s3", s3_url), world.client("sqs", url), world.client("events", url)
    for bucket in [*world.store.values(), "test-lake-raw", "test-lake-data"]:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": doubles.REGION})
    sqs.create_queue(QueueName="heard")
    arn = lambda name: f"arn:aws:sqs:{doubles.REGION}:{world.account}:{name}"
    # moto makes a stack's bucket without its notifications; these are the template's.
    world.client("s3", url).put_bucket_notification_configuration(Bucket="test-lake-raw", NotificationConfiguration={"QueueConfigurations": [
        {"QueueArn": arn(f"test-Lake-1-{name}"), "Events": ["s3:ObjectCreated:*"],
         "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}} for name, prefix in (("ingress", "logs/"), ("quick", "quick/"))]})
    events.put_rule(Name="heard", EventBusName=world.bus, EventPattern=json.dumps({"source": ["clusterless.arc"]}), State="ENABLED")
    events.put_targets(Rule="heard", EventBusName=world.bus, Targets=[{"Id": "heard", "Arn": arn("heard")}])


def put(world, url, s3_url, key, first):
    """The object, and the same one where a bucket tells the queue."""
    body = ("\n".join(lines(first, LINES)) + "\nnot a log line\n").encode()
    for at in (s3_url, url):
        world.client("s3", at).put_object(Bucket="test-lake-raw", Key=key, Body=body)


def wait_until(condition, text):
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > WAIT_SECONDS_MAX:
            raise SystemExit(f"FAILED: {text}: not after {WAIT_SECONDS_MAX} s")
        time.sleep(0.5)
    check(True, f"{text}, after {time.monotonic() - started:.1f} s")


def serve(world, url, s3_url):
    say("== moto and SeaweedFS: two processes serve it")
    prepare(world, url, s3_url)
    with contextlib.ExitStack() as stack:
        both = [Up(world, name, url, s3_url) for name in ("one", "two")]
        for up in both:
            stack.callback(up.process.kill)
        wait_until(lambda: all(up.ask("/readyz")[0] == 200 for up in both), "both are ready")
        check(all(up.ask("/healthz") == (200, "alive\n") for up in both), "and alive")
        rows = lambda arc: sum(up.count(f'arclake_rows_total{{arc="{arc}"}}') for up in both)
        put(world, url, s3_url, "quick/a b+ü%20.log", 0)
        for n in range(7):
            put(world, url, s3_url, f"logs/a b+ü%20{n}.log", n * LINES)
        put(world, url, s3_url, "logs/_hidden", 0)
        wait_until(lambda: rows("quickToParquet") == LINES, "an infrequent object is a lot and Parquet")
        wait_until(lambda: rows("toParquet") == 7 * LINES, "frequent ones when their interval is over")
        wait_until(lambda: rows("countStatus") >= 2, "and what follows from them has run")
        depth = lambda name: int(world.client("sqs", url).get_queue_attributes(
            QueueUrl=world.client("sqs", url).get_queue_url(QueueName=name)["QueueUrl"], AttributeNames=["All"])["Attributes"]
            ["ApproximateNumberOfMessages"])
        wait_until(lambda: depth("test-Lake-1-ingress") == depth("test-Lake-1-quick") == 0, "no message is left")
        check(depth("heard") > 0, "the bus was told")
        check(sum(up.count('arclake_objects_total{boundary="ingress"}') for up in both) == 7, "each object was committed once")
        failures = sum(up.count(f'arclake_failures_total{{what="{what}"}}') for up in both for what in ("tick", "queue", "look", "run"))
        check(failures == 0, "nothing failed")
        ages = [time.time() - up.count("arclake_last_look_timestamp_seconds") for up in both]
        check(all(age < STILL_SECONDS_MAX for age in ages), f"each looked at something just now: {[round(age) for age in ages]} s ago")
        for up in both:
            up.tell_to_end()
        for up in both:
            up.end()
        logs = "".join(up.log.read_text() for up in both)
    check(all(json.loads(line) for line in logs.splitlines()), "every line of the logs is JSON")
    check("not-a-secret" not in logs and "not a log line" not in logs and ".log" not in logs, "without secrets, content or keys")


def read_back(world, url, s3_url):
    s3 = {"AWS_ENDPOINT_URL_S3": s3_url}
    count = world.arc("query", "-p", str(world.project), "SELECT count(*) AS n FROM access_logs", "--output", "json", url=url, **s3)
    check(f"{7 * LINES}" in count.stdout, "arc query reads it back")
    world.arc("audit", "-p", str(world.project), url=url, **s3)
    again = world.arc("up", "-p", str(world.project), "--once", url=url, **s3)
    check("0 runs" in again.stderr, "one more process finds nothing to run")


def main():
    root, programs, folder = sys.argv[1:4]
    world = World(root, programs, folder)
    write_project(world)
    with doubles.moto(root, world.folder) as moto, doubles.seaweed(root, world.folder) as seaweed:
        deploy(world, moto)
        serve(world, moto, seaweed)
        read_back(world, moto, seaweed)
    say("all of it holds")


if __name__ == "__main__":
    main()
