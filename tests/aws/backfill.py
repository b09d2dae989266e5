#!/usr/bin/env python3
"""What was in a bucket before its boundary, and copies that S3 makes by itself, on SeaweedFS (S3) and moto (events).

    backfill.py DOUBLES PROGRAMS FOLDER

DOUBLES is what `tests/aws/setup` prints, PROGRAMS the folder with `arc`, FOLDER is for files. Prints what it saw; any
difference ends it.
"""
import datetime
import json
import pathlib
import subprocess
import sys
import time

import boto3

import doubles

ACCOUNT = doubles.ACCOUNT["moto"]
LARGE = bytes(n % 251 for n in range(1 << 20)) * 11


def check(condition, text):
    if not condition:
        raise SystemExit(f"FAILED: {text}")
    print(f"ok: {text}", flush=True)


def client(service, url):
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "not-a-secret", "region_name": doubles.REGION}
    return boto3.client(service, endpoint_url=url, **keys)


def project():
    dataset = lambda name, place: {"name": name, "version": "1", "pathURI": f"s3://{place}/"}
    return {
        "project": {"name": "Lake", "version": "1"},
        "placement": {"provider": "aws", "stage": "test", "account": ACCOUNT, "region": doubles.REGION},
        "boundaries": [
            {"type": "aws:core:s3PutListenerBoundary", "name": "ingress", "lotUnit": "Minutes", "dataset": dataset("raw", "test-raw/in")}
        ],
        "arcs": [
            {"type": "copy", "name": "archive", "sources": {"main": {"name": "raw", "version": "1"}},
             "sinks": {"main": dataset("archive", "test-archive/all")}, "workload": {}}
        ],
    }


def objects():
    """Keys below `in/` and their bytes: folders of many and of few, and what makes copies and names hard."""
    found = {f"in/deep/{n % 7}/{n % 3}/{n:04}.log": b"x" * (n % 50 + 1) for n in range(1_200)}
    found |= {f"in/flat-{n:04}.log": b"flat" for n in range(1_100)}
    return found | {"in/empty.log": b"", "in/large.log": LARGE, "in/a b/é+%20&=.log": b"strange", "in/replaced.log": b"before"}


def main(root, programs, folder):
    folder = pathlib.Path(folder)
    file = folder / "lake.json"
    file.write_text(json.dumps(project()))
    with doubles.moto(root, folder) as moto, doubles.seaweed(root, folder) as seaweed:
        s3 = client("s3", seaweed)
        for kind in ("manifest", "arc-state", "metadata", "artifact"):
            s3.create_bucket(Bucket=f"test-clusterless-{kind}-{ACCOUNT}-{doubles.REGION}")
        for bucket in ("test-raw", "test-archive"):
            s3.create_bucket(Bucket=bucket)
        client("events", moto).create_event_bus(Name=f"TEST-arc-events-{doubles.REGION}")

        def arc(*arguments, expect=0):
            env = {"PATH": "/usr/bin:/bin", **doubles.KEYS, "AWS_ENDPOINT_URL": moto, "AWS_ENDPOINT_URL_S3": seaweed, "HOME": str(folder)}
            command = [str(pathlib.Path(programs) / "arc"), *arguments, "-p", str(file), "--output", "json"]
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
            if done.returncode != expect:
                raise SystemExit(f"FAILED: {' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
            return json.loads(done.stdout or "null"), done.stderr

        put = objects()
        for key, body in put.items():
            s3.put_object(Bucket="test-raw", Key=key, Body=body, ContentEncoding="x-test")
        for key in ("in/folder/", "in/_hidden", "in/being-written.tmp", "elsewhere/a.log"):
            s3.put_object(Bucket="test-raw", Key=key, Body=b"")
        # The lots that the objects are in have to be over.
        time.sleep(66 - datetime.datetime.now().second)
        run(arc, s3, put)


def run(arc, s3, put):
    ago = lambda minutes: (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:00Z")
    times = ("backfill", "--boundary", "ingress", "--from", ago(20))
    full = lambda lots: [lot for lot in lots if lot["objects"]]
    planned, told = arc(*times, "--dry-run")
    check(sum(lot["objects"] for lot in planned) == len(put), f"a dry run finds {len(put)} objects: {told.strip()}")
    check(arc("lots", "raw", "--list")[0] == [], "a dry run commits nothing")
    done, _ = arc(*times)
    check(full(done) == full(planned) and len(done) >= 20, f"{len(done)} lots are committed as planned")
    check(arc(*times)[0] == [], "a second time commits nothing")
    _, told = arc(*times[:-1], ago(30), expect=2)
    check("may still be told of objects from before" in told, "what is from before waits until the boundary was told of it")
    lots, _ = arc("lots", "raw", "--list")
    check(all(lot["state"] in ("complete", "empty") for lot in lots), f"{len(lots)} lots without a gap")
    check(sum(lot["objects"] for lot in lots) == len(put), "each object once")
    copy(arc, s3, put, [lot["lot"] for lot in full(lots)])


def copy(arc, s3, put, lots):
    s3.put_object(Bucket="test-raw", Key="in/replaced.log", Body=b"after!")
    receipts = []
    for lot in lots:
        expect = 3 if lot == lots[-1] else 0
        receipt, _ = arc("run", "--arc", "archive", "--lot", lot, expect=expect)
        receipts += receipt if isinstance(receipt, list) else [receipt]
    check(receipts[-1]["state"] == "partial", "an object that was replaced is a problem of that object")
    keys = [key for key in put if key != "in/replaced.log"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="test-archive")
    copied = sorted(object["Key"] for page in pages for object in page.get("Contents", []))
    check(copied == sorted(key.replace("in/", "all/", 1) for key in keys), f"{len(copied)} copies, under the same names")
    for key in ("in/large.log", "in/empty.log", "in/a b/é+%20&=.log", "in/deep/0/0/0000.log"):
        got = s3.get_object(Bucket="test-archive", Key=key.replace("in/", "all/", 1))
        is_own = got.get("ContentEncoding") == "x-test" or not put[key]
        check(got["Body"].read() == put[key] and is_own, f"{key} is the same, and S3 has copied it")
    check(not s3.list_multipart_uploads(Bucket="test-archive").get("Uploads"), "no upload is left open")


if __name__ == "__main__":
    main(*sys.argv[1:4])
