#!/usr/bin/env python3
"""Read a folder of Parquet with one engine and print, as one JSON object, what it sees.

    read.py duckdb|pyarrow|spark DIR

Printed: `schema` (column -> string, int32, int64, double, boolean, binary, timestamp_utc_us), `rows`, `nulls` by
column, `sums` of the integer columns, and `times` (first, last and the sum, in microseconds since 1970) of the
timestamp columns. `dt` is the partition column. Engines are used as an analyst would use them: told that files may have
different columns, and no option repairs anything.
"""
import json
import os
import sys

WORDS = {
    "VARCHAR": "string", "string": "string", "large_string": "string", "StringType()": "string",
    "INTEGER": "int32", "int32": "int32", "IntegerType()": "int32",
    "BIGINT": "int64", "int64": "int64", "LongType()": "int64",
    "DOUBLE": "double", "double": "double", "DoubleType()": "double",
    "BOOLEAN": "boolean", "bool": "boolean", "BooleanType()": "boolean",
    "BLOB": "binary", "binary": "binary", "BinaryType()": "binary",
    "TIMESTAMP WITH TIME ZONE": "timestamp_utc_us", "timestamp[us, tz=UTC]": "timestamp_utc_us", "TimestampType()": "timestamp_utc_us",
}


def with_sql(query, schema, table, micros):
    """Counts, sums and times by one SQL statement; `micros` says how the engine turns a timestamp into an integer."""
    names = [name for name in schema if name != "dt"]
    parts = ["count(*) AS c"]
    for i, name in enumerate(names):
        quoted = '"%s"' % name if "duckdb" in micros else "`%s`" % name
        parts.append("count(%s) AS n%d" % (quoted, i))
        if schema[name] in ("int32", "int64"):
            parts.append("sum(%s) AS s%d" % (quoted, i))
        if schema[name] == "timestamp_utc_us":
            value = micros["duckdb" if "duckdb" in micros else "spark"] % quoted
            parts += ["min(%s) AS a%d" % (value, i), "max(%s) AS b%d" % (value, i), "sum(%s) AS t%d" % (value, i)]
    row = query("SELECT %s FROM %s" % (", ".join(parts), table))
    out = {"rows": int(row["c"]), "nulls": {}, "sums": {}, "times": {}}
    for i, name in enumerate(names):
        out["nulls"][name] = int(row["c"]) - int(row["n%d" % i])
        if schema[name] in ("int32", "int64"):
            out["sums"][name] = int(row["s%d" % i] or 0)
        if schema[name] == "timestamp_utc_us":
            out["times"][name] = [int(row[key % i] or 0) for key in ("a%d", "b%d", "t%d")]
    return out


def duckdb(folder):
    import duckdb as engine
    table = "read_parquet('%s/**/*.parquet', hive_partitioning=true, hive_types_autocast=false, union_by_name=true)" % folder
    con = engine.connect()
    described = con.execute("DESCRIBE SELECT * FROM %s" % table).fetchall()
    schema = {name: WORDS.get(kind, kind) for name, kind, *_ in described}

    def query(sql):
        cursor = con.execute(sql)
        return dict(zip([column[0] for column in cursor.description], cursor.fetchone()))
    return dict(schema=schema, **with_sql(query, schema, table, {"duckdb": "epoch_us(%s)::HUGEINT"}))


def pyarrow(folder):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    partitioning = ds.partitioning(pa.schema([("dt", pa.string())]), flavor="hive")
    dataset = ds.dataset(folder, format="parquet", partitioning=partitioning)
    # A dataset has the columns of its first file unless it is told those of all.
    schemas = [fragment.physical_schema for fragment in dataset.get_fragments()] + [pa.schema([("dt", pa.string())])]
    table = dataset.replace_schema(pa.unify_schemas(schemas)).to_table()
    schema = {field.name: WORDS.get(str(field.type), str(field.type)) for field in table.schema}
    out = {"schema": schema, "rows": table.num_rows, "nulls": {}, "sums": {}, "times": {}}
    for name, kind in schema.items():
        if name == "dt":
            continue
        column = table[name]
        out["nulls"][name] = column.null_count
        if kind in ("int32", "int64"):
            out["sums"][name] = pc.sum(column.cast(pa.int64())).as_py() or 0
        if kind == "timestamp_utc_us":
            whole = column.cast(pa.int64())
            total = sum(value for value in whole.to_pylist() if value is not None)
            out["times"][name] = [pc.min(whole).as_py() or 0, pc.max(whole).as_py() or 0, total]
    return out


def spark(folder):
    from pyspark.sql import SparkSession
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.driver.memory", "1g")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.sql.session.timeZone", "America/New_York").config("spark.sql.shuffle.partitions", "2")
    session = builder.config("spark.sql.sources.partitionColumnTypeInference.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    frame = session.read.option("mergeSchema", "true").parquet(folder)
    schema = {field.name: WORDS.get(str(field.dataType), str(field.dataType)) for field in frame.schema.fields}
    frame.createOrReplaceTempView("t")
    result = with_sql(lambda sql: session.sql(sql).collect()[0].asDict(), schema, "t", {"spark": "cast(unix_micros(%s) AS decimal(38,0))"})
    session.stop()
    return dict(schema=schema, **result)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("duckdb", "pyarrow", "spark"):
        sys.exit(__doc__)
    found = {"duckdb": duckdb, "pyarrow": pyarrow, "spark": spark}[sys.argv[1]](os.path.abspath(sys.argv[2]))
    print(json.dumps(found, sort_keys=True))


if __name__ == "__main__":
    main()
