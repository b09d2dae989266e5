//! Tasks of CloudWatch Logs that export a log group's interval to S3: what to export flows in, ids and states of tasks flow out.

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::{ExportTask, ExportTaskStatusCode};
use manifests::{Aws, Lot};

use super::exports::{ExportTasks, TaskState};
use super::{LogExport, service};
use crate::error::BoundaryError;

/// Tasks that a listing has room for.
const LISTED_MAX: i32 = 50;

/// The tasks of an account and region.
pub(super) struct LogTasks {
    client: Client,
}

impl LogTasks {
    pub(super) fn new(aws: &Aws) -> LogTasks {
        LogTasks { client: Client::new(aws.config()) }
    }
}

#[async_trait]
impl ExportTasks for LogTasks {
    async fn start(&self, name: &str, export: &LogExport, lot: Lot) -> Result<Option<String>, BoundaryError> {
        let (bucket, folder) = export.path_uri.trim_start_matches("s3://").split_once('/').unwrap_or((&export.path_uri, ""));
        let call = self.client.create_export_task().task_name(name).log_group_name(&export.log_group);
        // Both ends are inside.
        let call = call.from(lot.start().timestamp_millis()).to(lot.end().timestamp_millis() - 1);
        let call = call.set_log_stream_name_prefix(export.log_stream_prefix.clone());
        match call.destination(bucket).destination_prefix(format!("{folder}lot={lot}")).send().await {
            Ok(answer) => Ok(answer.task_id),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_limit_exceeded_exception()) => Ok(None),
            Err(error) => Err(service("export log group", &export.log_group, error)),
        }
    }

    async fn find(&self, name: &str) -> Result<Option<String>, BoundaryError> {
        let answer = self.client.describe_export_tasks().limit(LISTED_MAX).send().await;
        let answer = answer.map_err(|error| service("list exports for", name, error))?;
        let is_it = |task: &&ExportTask| task.task_name() == Some(name) && !matches!(state(task), TaskState::Failed(_));
        Ok(answer.export_tasks().iter().find(is_it).and_then(|task| task.task_id.clone()))
    }

    async fn state(&self, id: &str) -> Result<TaskState, BoundaryError> {
        let answer = self.client.describe_export_tasks().task_id(id).send().await;
        let answer = answer.map_err(|error| service("look at export", id, error))?;
        let gone = || TaskState::Failed("CloudWatch Logs knows nothing of the task".to_owned());
        Ok(answer.export_tasks().iter().find(|task| task.task_id() == Some(id)).map_or_else(gone, state))
    }
}

fn state(task: &ExportTask) -> TaskState {
    let status = task.status();
    match status.and_then(|status| status.code()) {
        Some(ExportTaskStatusCode::Completed) => TaskState::Complete,
        Some(code @ (ExportTaskStatusCode::Failed | ExportTaskStatusCode::Cancelled)) => {
            let message = status.and_then(|status| status.message()).unwrap_or_default();
            TaskState::Failed(format!("{} {message}", code.as_str()).trim_end().to_owned())
        }
        _ => TaskState::Active,
    }
}
