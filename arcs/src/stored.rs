//! Parquet files in a store: ranges are asked for, bytes flow out.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use manifests::Located;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

/// A Parquet file in a store.
#[derive(Debug)]
pub struct StoredParquet {
    /// Where it lies.
    pub place: Located,
    /// Its size in bytes.
    pub size: u64,
}

impl AsyncFileReader for StoredParquet {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        let read = async move { self.place.store.get_range(&self.place.path, range).await };
        read.map(|read| read.map_err(|error| ParquetError::External(Box::new(error)))).boxed()
    }

    fn get_metadata<'a>(&'a mut self, options: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let size = self.size;
        let read = ParquetMetaDataReader::new().with_arrow_reader_options(options).load_and_finish(self, size);
        read.map(|read| read.map(Arc::new)).boxed()
    }
}
