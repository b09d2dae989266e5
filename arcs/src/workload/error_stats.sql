-- Requests and errors of one lot, by bucket, operation, status and error code.
-- An error is a status of 400 or more, or an error code. error_rate is the share that the errors of the row have in all
-- requests of its bucket and operation, so that the rates of one bucket and operation add up. Times are milliseconds.
-- The example is the last request of the row.
WITH groups AS (
  SELECT
    bucket,
    operation,
    http_status,
    error_code,
    count(*) AS requests,
    sum(CASE WHEN http_status >= 400 OR error_code IS NOT NULL THEN 1 ELSE 0 END) AS errors,
    coalesce(sum(bytes_sent), 0) AS bytes,
    approx_percentile_cont(0.50) WITHIN GROUP (ORDER BY total_time) AS total_time_p50,
    approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY total_time) AS total_time_p95,
    approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY total_time) AS total_time_p99,
    min(time) AS first_seen,
    max(time) AS last_seen,
    first_value(request_id ORDER BY time DESC NULLS LAST, request_id, source_uri, source_line) AS example_request_id,
    first_value(source_uri ORDER BY time DESC NULLS LAST, request_id, source_uri, source_line) AS example_source_uri,
    first_value(source_line ORDER BY time DESC NULLS LAST, request_id, source_uri, source_line) AS example_source_line
  FROM main
  GROUP BY bucket, operation, http_status, error_code
)
SELECT
  bucket,
  operation,
  http_status,
  error_code,
  requests,
  errors,
  CAST(errors AS DOUBLE) / sum(requests) OVER (PARTITION BY bucket, operation) AS error_rate,
  bytes,
  total_time_p50,
  total_time_p95,
  total_time_p99,
  first_seen,
  last_seen,
  example_request_id,
  example_source_uri,
  example_source_line
FROM groups
ORDER BY bucket, operation, http_status, error_code
