"""A small Athena on DuckDB: runs the statements that Arclake sends, over tables of a Glue and objects of an S3.

    athena_double.py PORT S3_URL GLUE_URL FOLDER

Like Athena it finds only the folders that a table's projection computes, wants a value for each injected column, lists in a
data manifest the files that it wrote, and wants an empty folder to write to. Beside them it leaves a file that the manifest
does not list, as a task that was tried again would. `GET /` lists the executions; `POST /` with {"polls": n} makes those
that come run for so many looks.
"""
import datetime
import hashlib
import http.server
import json
import pathlib
import re
import sys
import threading
import uuid

import boto3
import duckdb

STATEMENT_BYTES_MAX = 262_144
TYPES = {"string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER", "double": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"}
UNLOAD = re.compile(r"UNLOAD \((.*)\)\s+TO '((?:[^']|'')*)' WITH \(format = 'PARQUET', compression = 'ZSTD'\)", re.DOTALL)
TABLE = re.compile(r'SELECT \* FROM "([^"$]+)"\."([^"$]+)"')


class Refused(Exception):
    """A reason as Athena gives it, with its kind in front."""


def split(uri):
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return bucket, key


def name(text):
    return '"' + text.replace('"', '""') + '"'


def text(value):
    return "'" + value.replace("'", "''") + "'"


class Lake:
    def __init__(self, s3_url, glue_url, folder):
        client = lambda service, url: boto3.client(
            service, endpoint_url=url, region_name="us-east-2", aws_access_key_id="test", aws_secret_access_key="not-a-secret")
        self.s3, self.glue, self.folder = client("s3", s3_url), client("glue", glue_url), pathlib.Path(folder)

    def objects(self, uri):
        bucket, prefix = split(uri)
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [(f"s3://{bucket}/{entry['Key']}", entry["Size"]) for page in pages for entry in page.get("Contents", [])]

    def fetch(self, uri):
        bucket, key = split(uri)
        path = self.folder / hashlib.sha256(uri.encode()).hexdigest()
        self.s3.download_file(bucket, key, str(path))
        return path

    def folders(self, table, statement):
        """The values of the folder of an object, by key; None where the projection does not find it."""
        parameters = table["Parameters"]
        keys = [key["Name"] for key in table["PartitionKeys"]]
        if not keys:
            return lambda uri: {}
        pattern = re.escape(parameters["storage.location.template"])
        for key in keys:
            pattern = pattern.replace(re.escape("${" + key + "}"), f"(?P<{key}>[^/]+)")
        for key in keys:
            if parameters[f"projection.{key}.type"] == "injected" and f'"{key}" IN (' not in statement:
                raise Refused(f"CONSTRAINT_VIOLATION: Injected projected partition column {key} must have only (and at least one) equality conditions")
        today = datetime.date.today()

        def find(uri):
            found = re.fullmatch(pattern + "[^/]+", uri)
            if not found:
                return None
            for key, value in found.groupdict().items():
                if parameters[f"projection.{key}.type"] == "date":
                    try:
                        day = datetime.date.fromisoformat(value)
                    except ValueError:
                        return None
                    if not datetime.date(2006, 1, 1) <= day <= today + datetime.timedelta(days=1):
                        return None
            return found.groupdict()

        return find

    def view(self, connection, database, table_name, statement):
        """Makes a table a view, with `$path` as a column of it. Gives the bytes of what the statement names."""
        try:
            table = self.glue.get_table(DatabaseName=database, Name=table_name)["Table"]
        except self.glue.exceptions.EntityNotFoundException:
            raise Refused(f"TABLE_NOT_FOUND: line 2:1: Table 'awsdatacatalog.{database}.{table_name}' does not exist") from None
        columns, keys = table["StorageDescriptor"]["Columns"], [key["Name"] for key in table["PartitionKeys"]]
        find, parts, scanned = self.folders(table, statement), [], 0
        empty = [f"CAST(NULL AS {TYPES[column['Type']]}) AS {name(column['Name'])}" for column in columns]
        empty += [f"CAST(NULL AS VARCHAR) AS {name(key)}" for key in [*keys, "$path"]]
        parts.append(f"SELECT {', '.join(empty)} WHERE false")
        for uri, size in self.objects(table["StorageDescriptor"]["Location"]):
            folders = find(uri)
            if folders is None or not uri.endswith(".parquet"):
                continue
            scanned += size if text(uri) in statement else 0
            file = f"read_parquet({text(str(self.fetch(uri)))}, hive_partitioning = false)"
            there = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()}
            own = []
            for column in columns:
                value = name(column["Name"]) if column["Name"] in there else "NULL"
                if there.get(column["Name"]) == "TIMESTAMP WITH TIME ZONE":
                    value = f"({value} AT TIME ZONE 'UTC')"
                own.append(f"CAST({value} AS {TYPES[column['Type']]})")
            own += [text(folders[key]) for key in keys] + [text(uri)]
            parts.append(f"SELECT {', '.join(own)} FROM {file}")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name(database)}")
        connection.execute(f"CREATE OR REPLACE VIEW {name(database)}.{name(table_name)} AS {' UNION ALL '.join(parts)}")
        return scanned

    def unload(self, statement, output, execution):
        found = UNLOAD.fullmatch(statement)
        if not found:
            raise Refused("SYNTAX_ERROR: line 1:1: no UNLOAD as this double knows it")
        query, target = found.group(1), found.group(2).replace("''", "'")
        if self.objects(target):
            raise Refused(f"HIVE_PATH_ALREADY_EXISTS: Target directory for {target} already exists")
        connection, scanned = duckdb.connect(), 0
        connection.execute("SET TimeZone = 'UTC'")
        for database, table in sorted(set(TABLE.findall(query))):
            scanned += self.view(connection, database, table, query)
        # Athena's `$path` is no column of `*`.
        query = TABLE.sub(r'SELECT * EXCLUDE ("$path") FROM "\1"."\2"', query)
        try:
            connection.execute(f"CREATE TABLE result AS {query}")
            for column, kind, *_ in connection.execute("DESCRIBE result").fetchall():
                # Sums of whole numbers are larger in DuckDB.
                if kind == "HUGEINT":
                    connection.execute(f"ALTER TABLE result ALTER {name(column)} TYPE BIGINT")
            rows = connection.execute("SELECT count(*) FROM result").fetchone()[0]
        except duckdb.ConversionException as error:
            raise Refused(f"INVALID_CAST_ARGUMENT: {error}") from None
        except duckdb.Error as error:
            raise Refused(f"SYNTAX_ERROR: line 1:1: {str(error).splitlines()[0]}") from None
        bucket, prefix = split(target)
        written = []
        for part in range(3 if rows else 0):
            path = self.folder / f"{execution}-{part}"
            share = f"SELECT * FROM result WHERE rowid % 2 = {part % 2}"
            connection.execute(f"COPY ({share}) TO {text(str(path))} (FORMAT parquet, COMPRESSION zstd)")
            key = f"{prefix}20261121_{execution[:8]}_{part:05}"
            self.s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
            if part < 2:
                written.append(f"s3://{bucket}/{key}")
        manifest = f"{output}{execution}-manifest.csv"
        bucket, key = split(manifest)
        self.s3.put_object(Bucket=bucket, Key=key, Body="".join(f"{uri}\n" for uri in written).encode())
        return {"DataScannedInBytes": scanned, "DataManifestLocation": manifest}


class Athena:
    def __init__(self, lake):
        self.lake, self.executions, self.tokens, self.polls, self.lock = lake, {}, {}, 0, threading.Lock()

    def StartQueryExecution(self, request):
        statement, token = request["QueryString"], request["ClientRequestToken"]
        if len(statement.encode()) > STATEMENT_BYTES_MAX or not 32 <= len(token) <= 128:
            raise ValueError("the statement or the token is too long or too short")
        if token in self.tokens:
            known = self.executions[self.tokens[token]]
            if known["Query"] != statement:
                raise ValueError("Idempotent parameters do not match")
            return {"QueryExecutionId": known["QueryExecutionId"]}
        execution = str(uuid.uuid4())
        self.tokens[token] = execution
        output = request["ResultConfiguration"]["OutputLocation"]
        self.executions[execution] = {
            "QueryExecutionId": execution, "Query": statement, "WorkGroup": request["WorkGroup"], "polls": self.polls,
            "ResultConfiguration": {"OutputLocation": output}, "Status": {"State": "QUEUED"}, "Statistics": {},
        }
        return {"QueryExecutionId": execution}

    def GetQueryExecution(self, request):
        execution = self.executions[request["QueryExecutionId"]]
        if execution["Status"]["State"] in ("QUEUED", "RUNNING"):
            execution["Status"] = {"State": "RUNNING"}
            execution["polls"] -= 1
            if execution["polls"] < 0:
                self.work(execution)
        return {"QueryExecution": {key: value for key, value in execution.items() if key != "polls"}}

    def work(self, execution):
        output = execution["ResultConfiguration"]["OutputLocation"]
        try:
            execution["Statistics"] = self.lake.unload(execution["Query"], output, execution["QueryExecutionId"])
            execution["Status"] = {"State": "SUCCEEDED"}
        except Refused as refused:
            error = {"ErrorCategory": 2, "ErrorType": 1, "Retryable": False, "ErrorMessage": str(refused)}
            execution["Status"] = {"State": "FAILED", "StateChangeReason": str(refused), "AthenaError": error}

    def StopQueryExecution(self, request):
        execution = self.executions[request["QueryExecutionId"]]
        if execution["Status"]["State"] in ("QUEUED", "RUNNING"):
            execution["Status"] = {"State": "CANCELLED", "StateChangeReason": "Query cancelled by user"}
        return {}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, list(self.server.athena.executions.values()))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        action = self.headers.get("X-Amz-Target", "").removeprefix("AmazonAthena.")
        athena = self.server.athena
        with athena.lock:
            if not action:
                athena.polls = body["polls"]
                return self.answer(200, {})
            try:
                return self.answer(200, getattr(athena, action)(body))
            except (ValueError, KeyError, AttributeError) as error:
                return self.answer(400, {"__type": "InvalidRequestException", "Message": str(error)})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main():
    port, s3_url, glue_url, folder = sys.argv[1:5]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.athena = Athena(Lake(s3_url, glue_url, folder))
    server.serve_forever()


if __name__ == "__main__":
    main()
