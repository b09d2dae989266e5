#!/usr/bin/env python3
"""An image of Clusterless beside arcs of our own, on servers that stand in for AWS.

    side_by_side.py DOUBLES PROGRAMS FOLDER

The job of an `aws:core:batchExecArc` is played by a function here: it is given what the deployed job definition and the
submitted job say, reads its source's manifest, and writes objects and manifests as Clusterless's workloads do. What Batch would
say of the job is told by an event, or not at all. Prints what it saw; any difference ends it.
"""
import json
import sys
import time
import urllib.request

import doubles
from end_to_end import Lake, World, check, lines, on_moto, say

LOTS = ["20260714PT5M100", "20260714PT5M101", "20260714PT5M102"]
SAMPLED = 10


class SideBySide(World):
    def write_project(self):
        dataset = lambda name: {"name": name, "version": "1"}
        sink = lambda name: {**dataset(name), "pathURI": f"s3://test-lake-data/{name}/"}
        words = ["./sample.sh", "--lot", "$.arcNotifyEvent.lot", "--manifest", "$.arcNotifyEvent.manifest"]
        self.project.write_text(json.dumps({
            "project": {"name": "Lake", "version": "1"},
            "placement": {"provider": "aws", "stage": self.stage, "account": self.account, "region": doubles.REGION},
            "resources": [
                {"type": "aws:core:s3Bucket", "name": "raw", "bucketName": "test-lake-raw"},
                {"type": "aws:core:s3Bucket", "name": "data", "bucketName": "test-lake-data"},
                {"type": "aws:core:s3Bucket", "name": "scratch", "bucketName": "test-lake-scratch", "versioned": True, "removeOnDestroy": True},
                {"type": "aws:core:computeEnvironment", "name": "main", "computeEnvironmentName": "main"},
            ],
            "boundaries": [{"type": "aws:core:s3PutListenerBoundary", "name": "ingress", "lotUnit": "Twelfths",
                            "runtimeProps": {"architecture": "X86_64"},
                            "dataset": {**dataset("raw-logs"), "pathURI": "s3://test-lake-raw/logs/"}}],
            "arcs": [
                {"type": "aws:core:batchExecArc", "name": "sample", "sources": {"main": dataset("raw-logs")},
                 "sinks": {"main": sink("sampled"), "notes": sink("notes")},
                 "workload": {"computeEnvironmentRef": "main", "imagePath": "registry.example/sample:1", "command": words}},
                {"type": "convert", "name": "toParquet", "sources": {"main": dataset("sampled")},
                 "sinks": {"main": sink("access-logs")}, "workload": {"format": "s3-access"}},
            ],
        }, indent=1))


class Side(Lake):
    def commit(self, lot, generation, keys):
        """A lot of the boundary, as its function would commit it."""
        uris = [f"s3://test-lake-raw/{key}" for key in keys]
        dataset = {"name": "raw-logs", "version": "1", "pathURI": "s3://test-lake-raw/logs/"}
        copy = {"state": "complete", "comment": None, "lotId": lot, "uriType": "identifier", "uris": uris}
        objects = [{"uri": uri, "size": 1, "etag": None, "versionId": None} for uri in uris]
        commit = {**copy, "dataset": dataset, "generation": generation, "objects": objects, "receipt": None}
        folder = f"datasets/name=raw-logs/version=1/lot={lot}"
        self.put_manifest(f"{folder}/commit-{generation:06}.json", commit)
        self.put_manifest(f"{folder}/state=complete/manifest.json", copy)
        detail = {"dataset": dataset, "lot": lot, "datasetId": "raw-logs/1",
                  "manifest": f"s3://{self.world.store['manifest']}/{folder}/state=complete/manifest.json"}
        return self.invoke("dispatch", {"source": "clusterless.arc", "detail-type": "Clusterless Arc Notification", "detail": detail})[0]

    def put_manifest(self, key, document):
        self.s3.put_object(Bucket=self.world.store["manifest"], Key=key, Body=json.dumps(document).encode())

    def read(self, uri):
        bucket, key = uri.removeprefix("s3://").split("/", 1)
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def job(self, arc, lot, known=()):
        """The job of an arc on a lot that is not known yet, as soon as it is submitted."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for job in self.jobs():
                said = job["parameters"]
                if (said.get("arc"), said.get("lot")) == (arc, lot) and job["jobId"] not in known:
                    return job
            time.sleep(1)
        raise SystemExit(f"FAILED: no job of {arc} on {lot}")

    def image(self, job, sinks):
        """What the user's image does: the first lines of each object, a manifest for each of `sinks`."""
        definition = self.batch.describe_job_definitions(jobDefinitions=[job["jobDefinition"]])["jobDefinitions"][0]
        container = definition["containerProperties"]
        parameters = {**definition["parameters"], **job["parameters"]}
        words = [parameters[word[5:]] if word.startswith("Ref::") else word for word in container["command"]]
        lot, manifest = words[words.index("--lot") + 1], words[words.index("--manifest") + 1]
        variables = {entry["name"]: entry["value"] for entry in container["environment"]}
        props = json.loads(variables["CLS_ARC_PROPS_JSON"])
        source = json.loads(self.read(manifest))
        texts = [b"\n".join(self.read(uri).split(b"\n")[:SAMPLED]) for uri in source["uris"]]
        for role in sinks:
            uris = []
            if role == "main":
                uris = [f"{props['sinks'][role]['pathURI']}{lot}-{n}.log" for n in range(len(texts))]
                for uri, text in zip(uris, texts):
                    bucket, key = uri.removeprefix("s3://").split("/", 1)
                    self.s3.put_object(Bucket=bucket, Key=key, Body=text + b"\n")
            state = "complete" if uris else "empty"
            path = props["sinkManifestTemplates"][role].replace("{lot}", lot).replace("{state}", state).replace("{/attempt*}", "")
            bucket, key = path.removeprefix("s3://").split("/", 1)
            copy = {"state": state, "comment": None, "lotId": lot, "uriType": "identifier", "uris": uris}
            self.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(copy).encode())

    def tell(self, job, status, code):
        detail = {"jobName": job["jobName"], "jobId": job["jobId"], "status": status, "parameters": job["parameters"],
                  "statusReason": "Essential container in task exited", "container": {"exitCode": code}}
        return self.invoke("dispatch", {"source": "aws.batch", "detail-type": "Batch Job State Change", "detail": detail})[0]

    def latest(self, dataset, lot):
        return [commit for commit in self.commits(dataset) if commit["lotId"] == lot][-1]

    def attempts(self, lot):
        listed = self.s3.list_objects_v2(Bucket=self.world.store["arc-state"], Prefix=f"arcs/project=Lake/version=1/arc=sample/lot={lot}/")
        return [entry["Key"].split("attempt=")[1] for entry in listed.get("Contents", [])]


def generations(commit):
    return [source["generation"] for source in commit["receipt"]["sources"]]


def image_and_arcs(world, lake):
    for n in range(2):
        lake.s3.put_object(Bucket="test-lake-raw", Key=f"logs/{n}.log", Body=("\n".join(lines(n * 100, 50)) + "\n").encode())
    lot = LOTS[0]
    lake.commit(lot, 1, ["logs/0.log"])
    job = lake.job("sample", lot)
    check(lake.attempts(lot) == ["000001/running.arc"], "the job has its attempt from its submission on")
    lake.image(job, ["main"])
    check(not lake.commits("sampled"), "what the image writes is no commit")
    lake.invoke("dispatch", {"detail-type": "Clusterless Arc Notification", "detail": {"dataset": {"name": "sampled", "version": "1"}, "lot": lot}})
    check(len(lake.jobs()) == 1, "and nobody follows before the job is over")
    answer = lake.tell(job, "SUCCEEDED", 0)
    check(answer["state"] == "partial", f"one manifest of two: {answer}")
    sampled, notes = lake.latest("sampled", lot), lake.latest("notes", lot)
    check((sampled["state"], generations(sampled)) == ("complete", [1]), "its manifest is committed, with what it was made from")
    check(sampled["objects"][0]["size"] > 0, "and sizes of what it lists")
    check((notes["state"], notes["comment"]) == ("partial", "the job wrote no manifest for sink `notes`"), "the missing one is partial, and says so")
    following = lake.job("toParquet", lot)
    check(lake.work(following)["rows"] == SAMPLED, "an arc of ours follows, and reads the image's objects")
    before = len(lake.jobs())
    for _ in range(2):
        lake.invoke("dispatch", {"sweep": True})
    check(len(lake.jobs()) == before, "sweeps start nothing again")

    say("-- the source changes; nobody tells of the job")
    lake.commit(lot, 2, ["logs/0.log", "logs/1.log"])
    again = lake.job("sample", lot, known=[job["jobId"]])
    check(again["jobName"] != job["jobName"], "a newer source starts the image again, under another name")
    lake.image(again, ["main", "notes"])
    answer, _ = lake.invoke("dispatch", {"sweep": True})
    check(answer["ended"] == 1, f"a sweep finds the job over: {answer}")
    sampled, notes = lake.latest("sampled", lot), lake.latest("notes", lot)
    check((sampled["generation"], generations(sampled), len(sampled["uris"])) == (2, [2], 2), "the next generation is committed")
    check((notes["generation"], notes["state"]) == (2, "empty"), "of both datasets")
    following = lake.job("toParquet", lot, known=[following["jobId"]])
    check(lake.work(following)["rows"] == 2 * SAMPLED, "and followed")

    say("-- the job fails, or leaves nothing")
    lake.commit(LOTS[1], 1, ["logs/1.log"])
    check(lake.tell(lake.job("sample", LOTS[1]), "FAILED", 1)["state"] == "missing", "a job that fails is a failed attempt")
    lake.commit(LOTS[2], 1, ["logs/1.log"])
    answer = lake.tell(lake.job("sample", LOTS[2]), "SUCCEEDED", 0)
    check(answer.get("cause") == "the job succeeded and wrote no manifest", f"and so is one that writes no manifest: {answer}")
    before = len(lake.jobs())
    lake.invoke("dispatch", {"sweep": True})
    check(len(lake.jobs()) == before, "neither is run again by itself")
    known = [job["jobId"] for job in lake.jobs()]
    lake.invoke("dispatch", {"retry": {"arc": "sample", "lot": LOTS[2]}})
    check(len(lake.jobs()) == before + 1, "a person can have it run again")
    retried = lake.job("sample", LOTS[2], known=known)
    lake.image(retried, ["main", "notes"])
    check(lake.tell(retried, "SUCCEEDED", 0)["state"] == "complete", "and it comes through")


def what_is_deployed(world, url):
    say("== what is deployed, from the stores alone")
    listed = lambda *arguments: json.loads(world.arc(*arguments, "--output", "json", url=url).stdout)
    place = ["--stage", world.stage, "--account", world.account]
    found = [place for place in listed("placements", "--account", world.account) if place["stage"] == world.stage]
    check([place["stores"] for place in found] == ["manifest, arc-state, metadata, artifact"], "arc placements finds the four stores by their names")
    projects = listed("projects", *place)
    check([(one["project"], one["arcs"], one["problem"]) for one in projects] == [("Lake", ["sample", "toParquet"], None)], "arc projects")
    datasets = {one["dataset"]: one for one in listed("datasets", *place)}
    check(set(datasets) == {"raw-logs", "sampled", "notes", "access-logs", "theirs"}, f"arc datasets: {sorted(datasets)}")
    check(datasets["theirs"]["problem"] is not None, "another tool's dataset is shown as such")
    check((datasets["sampled"]["owner"], datasets["sampled"]["latest"], datasets["sampled"]["state"]) == ("sample", LOTS[2], "complete"), "with the latest lots")
    arcs = {one["arc"]: one for one in listed("arcs", *place)}
    check((arcs["toParquet"]["latest"], arcs["toParquet"]["state"]) == (LOTS[0], "complete"), "arc arcs: how the latest runs stand")
    check((arcs["sample"]["latest"], arcs["sample"]["state"]) == (LOTS[2], "complete"), "those of images as well")
    document = listed("datasets", "access-logs", *place, "--subscribe")
    check(document["eventPattern"]["detail"] == {"datasetId": ["access-logs/1"]}, "arc datasets --subscribe: the pattern")
    check(set(document["sampleEvent"]["detail"]) == {"dataset", "lot", "manifest", "datasetId"}, "a sample of exactly the contract's fields")
    check("CREATE EXTERNAL TABLE" in document["ddl"], "the table")
    for command in (["placements", "--account", world.account], ["projects", *place], ["datasets", *place], ["arcs", *place]):
        shown = world.arc(*command, url=url).stdout
        check(all(len(line) <= 80 for line in shown.splitlines()), f"arc {command[0]} fits 80 columns")
    world.arc("datasets", "acess-logs", *place, url=url, expect=4)


def destroy(world, url):
    say("== moto: destroy")
    s3 = world.client("s3", url)
    for n in range(3):
        s3.put_object(Bucket="test-lake-scratch", Key="a b", Body=str(n).encode())
    s3.delete_object(Bucket="test-lake-scratch", Key="a b")
    s3.create_multipart_upload(Bucket="test-lake-scratch", Key="half")
    s3.put_object(Bucket="test-lake-data", Key="kept", Body=b"1")
    said = world.arc("destroy", "-p", str(world.project), "--approve", url=url)
    check("bucket test-lake-scratch is deleted with everything in it" in said.stderr, "what is deleted with its content is said before")
    left = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    check("test-lake-scratch" not in left and "test-lake-data" in left, "a bucket with removeOnDestroy goes with all versions, others stay")


def main():
    root, programs, folder = sys.argv[1:4]
    world = SideBySide(root, programs, folder)
    world.write_project()
    with doubles.moto(root, world.folder) as moto, doubles.ministack(root, world.folder) as ministack:
        settings = json.dumps({"batch": {"use_docker": False}, "lambda": {"use_docker": False}}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/config", data=settings, headers={"Content-Type": "application/json"}))
        documents = on_moto(world, moto)
        say("== ministack: an image of Clusterless beside arcs of our own")
        lake = Side(world, ministack, moto, documents)
        image_and_arcs(world, lake)
        # What `arc deploy` registered on moto lies here as well; and something that another tool left.
        for entry in world.client("s3", moto).list_objects_v2(Bucket=world.store["metadata"])["Contents"]:
            body = world.client("s3", moto).get_object(Bucket=world.store["metadata"], Key=entry["Key"])["Body"].read()
            lake.s3.put_object(Bucket=world.store["metadata"], Key=entry["Key"], Body=body)
        lake.put_manifest(f"datasets/name=theirs/version=7/lot={LOTS[0]}/state=complete/manifest.json", {})
        what_is_deployed(world, ministack)
        destroy(world, moto)
    say("all of it holds")


if __name__ == "__main__":
    main()
