-- Requests and errors of one lot, by bucket and operation. `main` is the source of that role: the lot's committed
-- Parquet and nothing else. ORDER BY makes a redone run write the same bytes.
SELECT
  bucket,
  operation,
  http_status,
  error_code,
  count(*) AS requests,
  count(*) FILTER (WHERE http_status >= 400 OR error_code IS NOT NULL) AS errors,
  sum(bytes_sent) AS bytes_sent,
  max(total_time) AS total_time_max_ms,
  min("time") AS first_seen,
  max("time") AS last_seen
FROM main
GROUP BY bucket, operation, http_status, error_code
ORDER BY bucket, operation, http_status, error_code
