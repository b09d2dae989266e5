//! Activities that run by the clock: the export of a log group's last whole interval to S3.

use aws_sdk_cloudwatchlogs::Client;
use chrono::{DateTime, Utc};
use manifests::{Aws, Lot};

use super::{LogExport, service};
use crate::error::BoundaryError;

/// Starts the export of the interval that ended last before `now`. An export of the same interval that is there already is
/// found by its name, and nothing is started.
pub(super) async fn export(aws: &Aws, export: &LogExport, now: DateTime<Utc>) -> Result<Lot, BoundaryError> {
    let lot = Lot::containing(export.interval, now).previous();
    let client = Client::new(aws.config());
    let name = format!("{}-{lot}", export.name);
    if is_started(&client, &name).await? {
        return Ok(lot);
    }
    let (bucket, folder) = export.path_uri.trim_start_matches("s3://").split_once('/').unwrap_or((&export.path_uri, ""));
    let call = client
        .create_export_task()
        .task_name(&name)
        .log_group_name(&export.log_group)
        .set_log_stream_name_prefix(export.log_stream_prefix.clone())
        .from(lot.start().timestamp_millis())
        .to(lot.end().timestamp_millis())
        .destination(bucket)
        .destination_prefix(format!("{folder}lot={lot}"));
    call.send().await.map_err(|error| service("export log group", &export.log_group, error))?;
    Ok(lot)
}

async fn is_started(client: &Client, name: &str) -> Result<bool, BoundaryError> {
    let answer = client.describe_export_tasks().limit(50).send().await;
    let answer = answer.map_err(|error| service("list exports for", name, error))?;
    Ok(answer.export_tasks().iter().any(|task| task.task_name() == Some(name)))
}
