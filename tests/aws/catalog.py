#!/usr/bin/env python3
"""Arcs that work with the Glue catalog and with Athena, on servers that stand in for AWS.

    catalog.py DOUBLES PROGRAMS FOLDER

DOUBLES is what `tests/aws/setup` prints, PROGRAMS the folder with `arc`, FOLDER is for files. ministack is S3 and the bus,
moto is Glue, `athena_double.py` is Athena. The tables are those of the template that `arc synth` prints; each arc is run as
a job would. Prints what it saw; any difference ends it.

1. A query has the same rows whether the worker runs it or Athena does, and its receipt balances.
2. Nothing but committed files is read, nothing but the result is left, and a run that is stopped stops its query.
3. Failures say what to change and show no data.
4. `glueAddPartitions`: named and positional, more than a call takes, again, and beside what is there.
"""
import contextlib
import datetime
import json
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

import boto3
import duckdb

import doubles

# Tables find days up to tomorrow.
DAY = datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=1)
WRITES_OF_A_RUN = 5
LOTS = (f"{DAY:%Y%m%d}PT1M1250", f"{DAY:%Y%m%d}PT1M1251")
LINES = 400
SQL = ("WITH requests AS (SELECT http_status, bytes_sent, time, lot FROM main WHERE operation LIKE 'REST%') -- of all lots\n"
       "SELECT http_status, count(*) AS requests, sum(bytes_sent) AS bytes, max(time) AS last_seen "
       "FROM requests GROUP BY http_status;")


def say(text):
    print(text, flush=True)


def check(condition, text):
    if not condition:
        raise SystemExit(f"FAILED: {text}")
    say(f"ok: {text}")


def dataset(name, folder=None):
    return {"name": name, "version": "1", **({"pathURI": f"s3://lake-data/{folder}/"} if folder else {})}


def query(name, source, sql, **more):
    return {"type": "query", "name": name, "sources": {"main": dataset(source)}, "sinks": {"main": dataset(f"{name}-rows", name)},
            "workload": {"sql": sql, **more}}


def adding(name, source, table, **more):
    return {"type": "glueAddPartitions", "name": name, "sources": {"main": dataset(source)},
            "sinks": {"main": {**dataset(f"{name}-table"), "pathURI": f"glue:///ops/{table}"}}, "workload": more}


def project():
    athena = {"engine": "athena"}
    boundary = lambda name: {"type": "aws:core:s3PutListenerBoundary", "name": name, "lotUnit": "Minutes",
                             "dataset": {**dataset(name), "pathURI": f"s3://lake-raw/{name}/"}}
    return {
        "project": {"name": "Lake", "version": "1"},
        "placement": {"provider": "aws", "stage": "test", "account": doubles.ACCOUNT["ministack"], "region": doubles.REGION},
        "resources": [{"type": "aws:core:s3Bucket", "name": name, "bucketName": f"lake-{name}"} for name in ("raw", "data")],
        "boundaries": [boundary("logs"), boundary("named"), boundary("placed")],
        "arcs": [
            {"type": "convert", "name": "toParquet", "sources": {"main": dataset("logs")},
             "sinks": {"main": dataset("access-logs", "access")},
             "workload": {"format": "s3-access", "partitions": ["dt", "lot"]}},
            query("here", "access-logs", SQL),
            query("there", "access-logs", SQL, **athena),
            query("sorted", "access-logs", "SELECT http_status, key FROM main ORDER BY key DESC LIMIT 100", **athena),
            query("none", "access-logs", "SELECT key FROM main WHERE http_status = 999", **athena),
            query("wide", "access-logs", "SELECT key AS \"Key\" FROM main", **athena),
            query("cast", "access-logs", "SELECT CAST(key AS BIGINT) AS n FROM main", **athena),
            {**query("daily", "there-rows", "SELECT http_status, sum(requests) AS requests FROM there_rows GROUP BY http_status",
                     workgroup="shared", **athena), "lotUnit": "Days", "deadline": "1m"},
            {**query("compact", "access-logs", "SELECT * EXCLUDE (dt) FROM main"), "lotUnit": "Days", "deadline": "1m"},
            adding("addNamed", "named", "named", partitionResults="added"),
            adding("addPlaced", "placed", "placed", partitionType="value", partitionResults="all"),
        ],
    }


class World:
    def __init__(self, programs, folder, urls):
        self.programs, self.folder, self.urls = pathlib.Path(programs), folder, urls
        account = doubles.ACCOUNT["ministack"]
        self.store = {kind: f"test-clusterless-{kind}-{account}-{doubles.REGION}" for kind in ("manifest", "arc-state", "metadata", "artifact")}
        self.project = folder / "lake.json"
        self.project.write_text(json.dumps(project()))
        self.s3, self.glue = self.client("s3", urls["aws"]), self.client("glue", urls["glue"])
        for bucket in [*self.store.values(), "lake-raw", "lake-data"]:
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": doubles.REGION})
        self.client("events", urls["aws"]).create_event_bus(Name=f"TEST-arc-events-{doubles.REGION}")

    def client(self, service, url):
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "not-a-secret", "region_name": doubles.REGION}
        return boto3.client(service, endpoint_url=url, **keys)

    def start(self, *arguments, **environment):
        env = {"PATH": "/usr/bin:/bin", **doubles.KEYS, "AWS_ENDPOINT_URL": self.urls["aws"], "HOME": str(self.folder),
               "AWS_ENDPOINT_URL_GLUE": self.urls["glue"], "AWS_ENDPOINT_URL_ATHENA": self.urls["athena"], "TMPDIR": str(self.folder),
               "AWS_BATCH_JOB_ID": "job", **environment}
        command = [str(self.programs / "arc"), *arguments]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def arc(self, *arguments, expect=0):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        if process.returncode != expect:
            raise SystemExit(f"FAILED: arc {' '.join(arguments)} ended with {process.returncode}\n{out}\n{err}")
        check("not-a-secret" not in out + err, f"arc {' '.join(arguments[:5])}: exit {expect}, no secret in its output")
        return out, err

    def run(self, arc, lot, expect=0):
        out, err = self.arc("run", "--arc", arc, "--lot", lot, "-p", str(self.project), "--output", "json", expect=expect)
        return json.loads(out) if expect in (0, 3) else err

    def commit(self, name, lot, uris):
        """A lot of a boundary, as its function commits it."""
        objects = [{"uri": uri, "size": size, "etag": None, "versionId": None, "arrived": None} for uri, size in uris]
        manifest = {"state": "complete", "comment": None, "lotId": lot, "uriType": "identifier", "uris": [uri for uri, _ in uris],
                    "dataset": {**dataset(name), "pathURI": f"s3://lake-raw/{name}/"}, "generation": 1, "objects": objects, "receipt": None}
        key = f"datasets/name={name}/version=1/lot={lot}/commit-000001.json"
        self.s3.put_object(Bucket=self.store["manifest"], Key=key, Body=json.dumps(manifest).encode())

    def committed(self, name, lot, generation=1):
        key = f"datasets/name={name}/version=1/lot={lot}/commit-{generation:06}.json"
        return json.loads(self.s3.get_object(Bucket=self.store["manifest"], Key=key)["Body"].read())

    def keys(self, bucket, prefix):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def rows(self, name, lot, is_sorted=True):
        """The rows of a lot, sorted or as they stand, and their columns with types."""
        connection, rows, columns = duckdb.connect(), [], None
        connection.execute("SET TimeZone = 'UTC'")
        for at, entry in enumerate(self.committed(name, lot)["objects"]):
            bucket, key = entry["uri"].removeprefix("s3://").split("/", 1)
            path = self.folder / f"{name}-{lot}-{at}.parquet"
            self.s3.download_file(bucket, key, str(path))
            file = f"read_parquet('{path}', hive_partitioning = false)"
            columns = [row[:2] for row in connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()]
            rows += connection.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {file}").fetchall()
        return sorted(rows) if is_sorted else rows, columns

    def executions(self):
        return json.load(urllib.request.urlopen(self.urls["athena"]))

    def slow(self, polls):
        urllib.request.urlopen(urllib.request.Request(self.urls["athena"], data=json.dumps({"polls": polls}).encode()))


def lines(first, count):
    start = datetime.datetime.combine(DAY, datetime.time(20, 50), datetime.timezone.utc)
    for n in range(first, first + count):
        at = (start + datetime.timedelta(seconds=n)).strftime("%d/%b/%Y:%H:%M:%S +0000")
        status, error = ("404", "NoSuchKey") if n % 10 == 0 else ("200", "-")
        yield (f'owner bucket [{at}] 192.0.2.{n % 250} - REQ{n:013} REST.GET.OBJECT secret{n} "GET /k{n} HTTP/1.1" {status} {error} '
               f'10 10 5 3 "-" "curl/8" - host SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader b.s3.amazonaws.com TLSv1.2 - -')


def make_tables(world):
    """The tables of the templates, as CloudFormation would make them."""
    folder = world.folder / "templates"
    world.arc("synth", "-p", str(world.project), "--out", str(folder))
    resources = {}
    for path in folder.glob("*.json"):
        resources |= json.loads(path.read_text()).get("Resources", {})
    databases = {key: found["Properties"]["DatabaseInput"]["Name"] for key, found in resources.items() if found["Type"] == "AWS::Glue::Database"}
    for database in databases.values():
        world.glue.create_database(DatabaseInput={"Name": database})
    tables = [found["Properties"] for found in resources.values() if found["Type"] == "AWS::Glue::Table"]
    for table in tables:
        database = table["DatabaseName"]
        database = databases[database["Ref"]] if isinstance(database, dict) else database
        world.glue.create_table(DatabaseName=database, TableInput=table["TableInput"])
    groups = [found["Properties"]["Name"] for found in resources.values() if found["Type"] == "AWS::Athena::WorkGroup"]
    check(groups == ["test-Lake-1"] and len(tables) >= 3, f"the template has {len(tables)} tables and a workgroup")


def make_lots(world):
    for at, lot in enumerate(LOTS):
        body = ("\n".join(lines(at * LINES, LINES)) + "\n").encode()
        world.s3.put_object(Bucket="lake-raw", Key=f"logs/{lot}.log", Body=body)
        world.commit("logs", lot, [(f"s3://lake-raw/logs/{lot}.log", len(body))])
        report = world.run("toParquet", lot)
        check(report["rows"] == LINES, f"{lot} is converted")
    # Beside the committed files lies one that no manifest lists.
    key = world.keys("lake-data", "access/")[0]
    world.s3.copy_object(Bucket="lake-data", Key=key.rsplit("/", 1)[0] + "/stray.parquet", CopySource={"Bucket": "lake-data", "Key": key})


def same_rows(world):
    say("== the worker and Athena have the same rows")
    for lot in LOTS:
        here, there = world.run("here", lot), world.run("there", lot)
        check(world.rows("here-rows", lot) == world.rows("there-rows", lot), f"{lot}: the same rows, columns and types")
        check(here["rows"] == there["rows"] == 2, "as many as the reports say")
    manifest = world.committed("there-rows", LOTS[0])
    receipt, objects = manifest["receipt"], manifest["objects"]
    name = f"s3://lake-data/there/dt={DAY}/{LOTS[0]}-00000.parquet"
    check([entry["uri"] for entry in objects] == [name] and objects[0]["rows"] == 2, "one file, under the name that a redone run gives it")
    check(receipt["lines"] == receipt["rows"] == 2 and receipt["bytes_scanned"] > 0, "the receipt balances and says what Athena read")
    check([column["type"] for column in manifest["columns"]] == ["string", "int", "bigint", "bigint", "timestamp"], "columns are committed with their types")
    world.run("sorted", LOTS[0])
    keys = [row[2] for row in world.rows("sorted-rows", LOTS[0], is_sorted=False)[0]]
    check(len(keys) == 100 and keys == sorted(keys, reverse=True), "rows stand as the query orders them, though Athena wrote them in no order")
    check(not world.keys(world.store["artifact"], "athena/"), "nothing of Athena's is left")
    statement = world.executions()[0]["Query"]
    check("stray" not in statement and f'"lot" IN (\'{LOTS[0]}\')' in statement, "the statement names the committed files and their folders")
    check(world.run("none", LOTS[0])["rows"] == 0 and not world.committed("none-rows", LOTS[0])["objects"], "no rows make an empty lot")
    world.run("daily", f"{DAY:%Y%m%d}P1D000")
    rows = world.rows("daily-rows", f"{DAY:%Y%m%d}P1D000")[0]
    check([row[1:] for row in rows] == [("200", "720"), ("404", "80")], "a day over the rows of the lots")
    check(world.executions()[-1]["WorkGroup"] == "shared", "in the workgroup that the arc names")
    check(world.run("compact", f"{DAY:%Y%m%d}P1D000")["rows"] == 2 * LINES, "many files become one")
    out, _ = world.arc("audit", "-p", str(world.project), "--output", "json", expect=1)
    check("stray.parquet" in out and out.count("finding") == 1, "the audit finds what lies beside the committed files, and nothing else")


def failures(world):
    say("== failures")
    said = world.run("wide", LOTS[0], expect=1)
    check("column `Key` of the result has to be named with AS" in said, "names that only some readers take are refused as ever")
    said = world.run("cast", LOTS[0], expect=1)
    check("INVALID_CAST_ARGUMENT" in said and "secret" not in said, "a value of a row is not told")
    check(not world.keys("lake-data", "cast/") and not world.keys("lake-data", "wide/"), "a run that fails leaves nothing readable")


def stopped(world):
    say("== a worker that is told to stop")
    world.slow(1_000)
    count = len(world.executions())
    process = world.start("run", "--arc", "none", "--lot", LOTS[1], "-p", str(world.project))
    deadline = time.monotonic() + 60
    while len(world.executions()) == count or world.executions()[-1]["Status"]["State"] != "RUNNING":
        check_alive(process, deadline)
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    check(process.returncode == 75, f"exits with 75 {'' if process.returncode == 75 else out + err}")
    check(world.executions()[-1]["Status"]["State"] == "CANCELLED", "and has stopped its query")
    world.slow(0)
    world.run("none", LOTS[1])
    check(not world.keys(world.store["artifact"], "athena/"), "the next attempt does the work and tidies up")


def check_alive(process, deadline):
    if process.poll() is not None or time.monotonic() > deadline:
        raise SystemExit(f"FAILED: the worker ended before it could be stopped: {process.communicate()}")


def partitions(world, table):
    pages = world.glue.get_paginator("get_partitions").paginate(DatabaseName="ops", TableName=table)
    return {tuple(found["Values"]): found for page in pages for found in page["Partitions"]}


def adds_partitions(world):
    say("== partitions of tables of Glue")
    world.glue.create_database(DatabaseInput={"Name": "ops"})
    for table, keys in (("named", ["dt"]), ("placed", ["year", "month"])):
        world.glue.create_table(DatabaseName="ops", TableInput={
            "Name": table, "PartitionKeys": [{"Name": key, "Type": "string"} for key in keys],
            "StorageDescriptor": {"Columns": [{"Name": "n", "Type": "bigint"}], "Location": f"s3://lake-raw/{table}/",
                                  "SerdeInfo": {"SerializationLibrary": "a.Serde"}}})
    world.glue.create_partition(DatabaseName="ops", TableName="named", PartitionInput={
        "Values": ["2026-01-01"], "StorageDescriptor": {"Location": "s3://mine/"}, "Parameters": {"mine": "yes"}})
    first = datetime.date(2026, 1, 1)
    days = [(first + datetime.timedelta(days=n)).isoformat() for n in range(250)]
    uri = lambda day, n: f"s3://lake-raw/named/dt={day}/{n}.parquet"
    world.commit("named", LOTS[0], [(uri(day, n), 1) for day in days for n in (1, 2)])
    world.run("addNamed", LOTS[0])
    found = partitions(world, "named")
    check(set(found) == {(day,) for day in days}, "250 partitions of 500 files are there")
    mine = found[("2026-01-01",)]
    check(mine["Parameters"] == {"mine": "yes"} and mine["StorageDescriptor"]["Location"] == "s3://mine/", "one that was there is left")
    stored = found[("2026-01-02",)]["StorageDescriptor"]
    check(stored["Location"] == "s3://lake-raw/named/dt=2026-01-02/" and stored["SerdeInfo"]["SerializationLibrary"] == "a.Serde",
          "others have their folder, and what the table says of its files")
    check(len(world.committed("addNamed-table", LOTS[0])["uris"]) == 249, "the manifest lists those that were added")
    world.commit("named", LOTS[1], [(uri(day, 3), 1) for day in [*days[:5], "2027-01-01"]])
    world.run("addNamed", LOTS[1])
    check(world.committed("addNamed-table", LOTS[1])["uris"] == ["s3://lake-raw/named/dt=2027-01-01/"], "a second time adds what is new alone")
    world.arc("replay", "--arc", "addNamed", "--lot", LOTS[0], "-p", str(world.project))
    check(partitions(world, "named").keys() == {(day,) for day in [*days, "2027-01-01"]}, "a replay changes nothing")
    check(len(world.committed("addNamed-table", LOTS[0], 2)["uris"]) == 249, "and lists what the lot has added, as before")
    adds_once(world, uri, days)
    world.commit("placed", LOTS[0], [("s3://lake-raw/placed/2026/11/deep/x", 1), ("s3://lake-raw/placed/2026/x", 1)])
    report = world.run("addPlaced", LOTS[0], expect=3)
    check(set(partitions(world, "placed")) == {("2026", "11")}, "by place")
    check(report["state"] == "partial" and "do not say year, month" in world.committed("addPlaced-table", LOTS[0])["comment"],
          "a file in no partition makes the lot partial")


def adds_once(world, uri, days):
    killed = 0
    for write in range(1, WRITES_OF_A_RUN + 1):
        lot, day = f"{DAY:%Y%m%d}PT1M{write:04}", f"2028-01-{write:02}"
        world.commit("named", lot, [(uri(day, 1), 1), (uri(days[0], write), 1)])
        command = ("run", "--arc", "addNamed", "--lot", lot, "-p", str(world.project))
        first = world.start(*command, ARC_KILL_AT_WRITE=str(write), AWS_BATCH_JOB_ID=f"job-{write}")
        first.communicate(timeout=120)
        killed += first.returncode == -signal.SIGKILL
        again = world.start(*command, AWS_BATCH_JOB_ID=f"job-{write}", AWS_BATCH_JOB_ATTEMPT="2")
        said = again.communicate(timeout=120)
        check(again.returncode == 0, f"killed before write {write}, a run is done again {'' if again.returncode == 0 else said}")
        listed = world.committed("addNamed-table", lot)["uris"]
        check(listed == [f"s3://lake-raw/named/dt={day}/"], f"and lists what the lot has added: {listed}")
    check(killed >= 3, f"{killed} of {WRITES_OF_A_RUN} were killed: before their attempt, their commit, and after it")


def athena_double(folder, s3_url, glue_url):
    port = doubles.free_port()
    script = pathlib.Path(__file__).with_name("athena_double.py")
    files = folder / "athena"
    files.mkdir()
    return doubles.server([sys.executable, str(script), str(port), s3_url, glue_url, str(files)], port, folder, {})


def main():
    root, programs, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    with contextlib.ExitStack() as servers:
        urls = {"aws": servers.enter_context(doubles.ministack(root, folder)), "glue": servers.enter_context(doubles.moto(root, folder))}
        urls["athena"] = servers.enter_context(athena_double(folder, urls["aws"], urls["glue"]))
        world = World(programs, folder, urls)
        make_tables(world)
        make_lots(world)
        same_rows(world)
        failures(world)
        stopped(world)
        adds_partitions(world)
    say("all of it holds")


if __name__ == "__main__":
    main()
