//! The rows of a query, whoever ran it, as the file of a sink: planned rows flow in, one staged file flows out. Columns have
//! names and types that every reader takes; the lot is a column of the rows where it is none of the folders.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use manifests::{MAIN_ROLE, NamedType};

use crate::error::ArcsError;
use crate::partition::{PartitionKey, Partitioning};
use crate::result::{ResultFile, ResultWriter};
use crate::sql;
use crate::types;
use crate::workload::{RunInput, SinkFiles, StagedWork};
use crate::write::StagedFile;

/// The rows of a query, staged.
#[derive(Default)]
pub(super) struct StagedRows {
    /// No file where there is no row.
    pub file: Option<StagedFile>,
    columns: Vec<NamedType>,
}

/// Writes the rows into the folder that the partition keys make of the lot.
pub(super) async fn stage(frame: DataFrame, input: &RunInput<'_>, keys: &[PartitionKey]) -> Result<StagedRows, ArcsError> {
    let lot = input.lot.to_string();
    let by = Partitioning::computed(keys, input.lot);
    let columns = frame.schema().as_arrow();
    check_columns(columns, keys)?;
    let has_lot = by.has_lot() || columns.column_with_name("lot").is_some();
    let schema = with_lot(columns, has_lot);
    let folder = by.folder(by.slot(Some(input.lot.start().timestamp_micros()), 0), "");
    let file = ResultFile { target: input.main_target()?, relative: format!("{folder}{lot}-00000.parquet"), schema: schema.clone() };
    let writer = ResultWriter::start(file, input.context.options.spill_folder.clone())?;
    let task = Arc::new(frame.task_ctx());
    let plan = frame.create_physical_plan().await.map_err(sql::plan_error)?;
    let mut rows = execute_stream(plan, task).map_err(sql::run_error)?;
    while let Some(batch) = rows.next().await {
        let batch: RecordBatch = batch.map_err(sql::run_error)?;
        let batch = sql::plain_batch(&batch, &schema, (!has_lot).then_some(lot.as_str()))?;
        if !writer.write(batch).await {
            break;
        }
    }
    Ok(StagedRows { columns: types::named(&schema), file: writer.finish().await? })
}

fn with_lot(columns: &Schema, has_lot: bool) -> SchemaRef {
    let plain = sql::plain_schema(columns);
    if has_lot {
        return plain;
    }
    let lot = Arc::new(Field::new("lot", DataType::Utf8, true));
    Arc::new(Schema::new([lot].into_iter().chain(plain.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// Names have to be lower_snake and different, and none may be a partition column's.
fn check_columns(columns: &Schema, keys: &[PartitionKey]) -> Result<(), ArcsError> {
    for (at, field) in columns.fields().iter().enumerate() {
        let name = field.name();
        let wrong = if !sql::is_plain_name(name) {
            "has to be named with AS, in lower-case letters, digits and `_`"
        } else if keys.iter().any(|key| key.as_str() == name) {
            "is the name of a partition column, which folders hold; leave it out or rename it with AS"
        } else if columns.fields()[..at].iter().any(|other| other.name() == name) {
            "is there twice; rename one with AS"
        } else {
            continue;
        };
        return Err(ArcsError::Job { message: format!("column `{name}` of the result {wrong}") });
    }
    Ok(())
}

#[async_trait]
impl StagedWork for StagedRows {
    async fn publish(self: Box<Self>) -> Result<Vec<SinkFiles>, ArcsError> {
        let mut objects = Vec::new();
        if let Some(file) = self.file {
            objects.push(file.publish().await?);
        }
        Ok(vec![SinkFiles { role: MAIN_ROLE.to_owned(), objects, columns: self.columns }])
    }

    async fn abort(self: Box<Self>) {
        if let Some(file) = self.file {
            file.abort().await;
        }
    }
}
