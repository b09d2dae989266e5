// S3 server access logs on one machine: a folder that logs arrive in becomes Parquet, error counts and an hourly report.
//
//   arc verify    -p s3-access-logs.jsonnet              what this file describes, or everything that is wrong with it
//   arc up --once -p s3-access-logs.jsonnet              take in what lies in incoming/ and run what is due
//   arc query "SELECT * FROM s3_access_errors" -p s3-access-logs.jsonnet
//
// Paths are relative to this file.

local logs = 'incoming/';  // where your logs are: a folder, or an absolute path
local lake = 'lake/';  // where everything that is made goes
local version = '1';  // a new version starts all datasets anew, beside the old ones

// Every dataset has a name, a version, a place and exactly one owner: the boundary or arc that writes it.
local dataset(name, folder) = { name: name, version: version, pathURI: folder };
local reading(dataset) = { name: dataset.name, version: dataset.version };

local arriving = dataset('s3-access-logs', logs);
local parquet = dataset('s3-access-parquet', lake + 'data/access/');
local rejects = dataset('s3-access-rejects', lake + 'data/rejects/');
local errors = dataset('s3-access-errors', lake + 'data/errors/');
local hourly = dataset('s3-access-hourly', lake + 'data/hourly/');

{
  project: { name: 's3-access-logs', version: version },

  // Manifests and states go to lake/manifest, lake/arc-state and so on: what ran and what is missing is readable there.
  placement: { provider: 'local', root: lake },

  boundaries: [
    {
      type: 'watch',
      name: 'incoming',
      dataset: arriving,
      lotUnit: 'Twelfths',  // five minutes; Minutes, Sixths, Fourths, Hours and Days are the others
      // frequent: a lot is closed when its five minutes are over. infrequent: as soon as something has arrived.
      eventArrival: 'infrequent',
      // Globs relative to the folder. Hidden files, names with `_` in front and unfinished files are left out anyway,
      // unless `excludes` is given.
      filter: { includes: ['**'] },
    },
  ],

  arcs: [
    // Text to Parquet: 27 typed columns, where each row came from, and a folder a day by the time of the event.
    // Lines that are no S3 access log are not lost: they become rows of the rejects, with the reason.
    {
      type: 'convert',
      name: 'toParquet',
      sources: { main: reading(arriving) },
      sinks: { main: parquet, rejects: rejects },
      workload: { format: 's3-access', partitions: ['dt'] },
    },

    // Any SQL over the lot. `workload: { builtin: 'error_stats' }` is the fuller query that comes with arc.
    {
      type: 'query',
      name: 'countErrors',
      sources: { main: reading(parquet) },
      sinks: { main: errors },
      workload: { sql: importstr 'error_stats.sql' },
    },

    // A coarser unit: runs once for all twelve lots of an hour, or ten minutes after its end with those there are.
    {
      type: 'query',
      name: 'hourlyReport',
      lotUnit: 'Hours',
      deadline: '10m',
      sources: { main: reading(parquet) },
      sinks: { main: hourly },
      workload: {
        sql: |||
          SELECT bucket, count(*) AS requests, count(DISTINCT remote_ip) AS clients, sum(bytes_sent) AS bytes_sent
          FROM main
          GROUP BY bucket
          ORDER BY bucket
        |||,
      },
    },
  ],
}
