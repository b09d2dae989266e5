// The demo's pipeline. Change it and run `arc verify -p FILE`, then `arc up --once -p FILE`.
local version = '1';
local dataset(name, folder) = { name: name, version: version, pathURI: folder + '/' };
local source(dataset) = { name: dataset.name, version: dataset.version };

local logs = dataset('access-logs', 'logs');
local parquet = dataset('access-logs-parquet', 'parquet/access-logs');
local rejects = dataset('access-logs-rejects', 'parquet/rejects');
local errors = dataset('error-stats', 'parquet/error-stats');
local hourly = dataset('hourly-requests', 'parquet/hourly');

{
  project: { name: 'demo', version: version },
  // Manifests and states; the data lies where the datasets' pathURIs say, relative to this file.
  placement: { provider: 'local', root: 'lake' },

  // Objects enter here: whatever lies in logs/ is cut into lots of five minutes by the time it arrived.
  boundaries: [{
    type: 'watch',
    name: 'incoming',
    lotUnit: 'Twelfths',
    eventArrival: 'frequent',
    from: '@FROM@',
    dataset: logs,
  }],

  arcs: [
    // Log lines to typed columns; what cannot be read is kept, with the reason, in a dataset of its own.
    {
      type: 'convert',
      name: 'convert',
      lotUnit: 'Twelfths',
      sources: { main: source(logs) },
      sinks: { main: parquet, rejects: rejects },
      workload: { format: 's3-access', partitions: ['dt'] },
    },
    // Errors by bucket, operation and code: the query that ships with Arclake.
    {
      type: 'query',
      name: 'errorStats',
      lotUnit: 'Twelfths',
      sources: { main: source(parquet) },
      sinks: { main: errors },
      workload: { builtin: 'error_stats' },
    },
    // A coarser unit: runs once all twelve lots of an hour are there.
    {
      type: 'query',
      name: 'hourly',
      lotUnit: 'Hours',
      sources: { main: source(parquet) },
      sinks: { main: hourly },
      workload: {
        sql: |||
          SELECT bucket, operation, count(*) AS requests, sum(bytes_sent) AS bytes_sent
          FROM main GROUP BY bucket, operation ORDER BY bucket, operation
        |||,
      },
    },
  ],
}
