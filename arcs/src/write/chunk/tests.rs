//! What chunks hold, read back by the `parquet` crate.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Encoding, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use proptest::prelude::*;

use super::*;

/// Writes a column in one row group; gives what is read back, and what the file says of itself.
fn round_trip(kind: DataType, arrays: &[ArrayRef]) -> (ArrayRef, Arc<ParquetMetaData>) {
    let schema = Arc::new(Schema::new(vec![Field::new("a", kind.clone(), true)]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_column_bloom_filter_enabled("a".into(), kind == DataType::Utf8)
        .build();
    let descriptor = ArrowSchemaConverter::new().convert(&schema).unwrap();
    let rows = arrays.iter().map(|array| array.len() as u64).sum();
    let mut chunk = Chunk::new(&kind, &descriptor.column(0), &properties, rows).unwrap();
    arrays.iter().for_each(|array| chunk.write(array).unwrap());
    let (bytes, closed) = chunk.close().unwrap();
    let mut file = SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), Arc::new(properties)).unwrap();
    let mut row_group = file.next_row_group().unwrap();
    row_group.append_column(&bytes, closed).unwrap();
    row_group.close().unwrap();
    let bytes = Bytes::from(file.into_inner().unwrap());
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap();
    let metadata = reader.metadata().clone();
    let read_schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(|batch| batch.unwrap()).collect();
    let read = concat_batches(&read_schema, &batches).unwrap().column(0).clone();
    (cast(&read, &kind).unwrap(), metadata)
}

fn encodings(metadata: &ParquetMetaData) -> Vec<Encoding> {
    metadata.row_group(0).column(0).encodings().collect()
}

/// Texts of which one in `one_in` is null, as so many arrays of views.
fn texts(values: impl Iterator<Item = String>, one_in: usize, rows_each: usize) -> (StringArray, Vec<ArrayRef>) {
    let all: StringArray = values.enumerate().map(|(n, value)| (n % one_in != 0).then_some(value)).collect();
    let views = cast(&all, &DataType::Utf8View).unwrap();
    let views = cast(&views, &DataType::BinaryView).unwrap();
    let arrays = (0..all.len()).step_by(rows_each).map(|from| views.slice(from, rows_each.min(all.len() - from))).collect();
    (all, arrays)
}

#[test]
fn texts_choose_how_they_are_stored() {
    let check = |values: Box<dyn Fn(usize) -> String>, expected: &[Encoding]| {
        let (all, arrays) = texts((0..50_000).map(values), 7, 1_700);
        let (read, metadata) = round_trip(DataType::Utf8, &arrays);
        assert_eq!(read.as_string::<i32>(), &all);
        let found = encodings(&metadata);
        assert!(expected.iter().all(|encoding| found.contains(encoding)), "{found:?}, not {expected:?}");
        assert_eq!(found.contains(&Encoding::RLE_DICTIONARY), expected.contains(&Encoding::RLE_DICTIONARY), "{found:?}");
        let column = metadata.row_group(0).column(0);
        assert_eq!(column.num_values(), 50_000);
        assert_eq!(column.statistics().unwrap().null_count_opt(), Some(all.null_count() as u64));
    };
    check(Box::new(|n| format!("host-{}", n % 300)), &[Encoding::RLE_DICTIONARY, Encoding::PLAIN]);
    check(Box::new(|n| format!("/path/{n}")), &[Encoding::PLAIN]);
    check(Box::new(|n| format!("{n:016x}")), &[Encoding::DELTA_LENGTH_BYTE_ARRAY]);
    // A dictionary that is full is left.
    check(
        Box::new(|n| format!("{:0200}", if n < 20_000 { n % 900 } else { n })),
        &[Encoding::RLE_DICTIONARY, Encoding::DELTA_LENGTH_BYTE_ARRAY],
    );
}

#[test]
fn numbers_choose_how_they_are_stored() {
    let check = |number: fn(i64) -> i64, expected: Encoding| {
        let all: Int64Array = (0..50_000).map(|n| (n % 5 != 0).then(|| number(n))).collect();
        let (read, metadata) = round_trip(DataType::Int64, &[Arc::new(all.clone())]);
        assert_eq!(read.as_primitive::<Int64Type>(), &all);
        assert!(encodings(&metadata).contains(&expected), "{:?}", encodings(&metadata));
        let values = || all.iter().flatten();
        let Some(Statistics::Int64(statistics)) = metadata.row_group(0).column(0).statistics() else { panic!("no statistics") };
        assert_eq!((statistics.min_opt().copied(), statistics.max_opt().copied()), (values().min(), values().max()));
    };
    check(|n| (n * 7919) % 600, Encoding::RLE_DICTIONARY);
    check(|n| (n * 2_654_435_761) % 10_000_019, Encoding::DELTA_BINARY_PACKED);
    check(|n| n, Encoding::DELTA_BINARY_PACKED);
}

#[test]
fn what_is_null_throughout_reads_as_null() {
    let nulls: ArrayRef = Arc::new(BinaryViewArray::new_null(45_000));
    let some: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(std::iter::repeat_n(b"x", 9)));
    let (read, _) = round_trip(DataType::Utf8, &[nulls.clone(), some, nulls]);
    assert_eq!((read.len(), read.null_count()), (90_009, 90_000));
    let (read, metadata) = round_trip(DataType::Int32, &[Arc::new(Int32Array::new_null(3))]);
    assert_eq!((read.len(), read.null_count()), (3, 3));
    assert_eq!(metadata.row_group(0).column(0).statistics().unwrap().min_bytes_opt(), None);
}

#[test]
fn pages_are_bounded_and_indexed() {
    let (_, arrays) = texts((0..30_000).map(|n| format!("{n:0300}é")), 2, 999);
    let (_, metadata) = round_trip(DataType::Utf8, &arrays);
    let pages = &metadata.offset_index().unwrap()[0][0].page_locations;
    assert!(pages.len() > 3 && pages.iter().all(|page| page.compressed_page_size < 2 << 20), "{pages:?}");
    let column = metadata.row_group(0).column(0);
    assert!(column.bloom_filter_offset().is_some());
    let statistics = column.statistics().unwrap();
    assert!(statistics.min_bytes_opt().unwrap().len() <= 64 && statistics.max_bytes_opt().unwrap().len() <= 64);
    assert!(!statistics.min_is_exact() && !statistics.max_is_exact());
}

#[test]
fn a_dictionary_is_bounded_whatever_comes_after_the_first_page() {
    let noise = |n: usize| {
        (0..400).fold(String::new(), |text, part| text + &format!("{:08x}", (n * 400 + part).wrapping_mul(2_654_435_761) as u32))
    };
    let values = (0..25_000).map(|n| if n < 22_000 { format!("host-{}", n % 300) } else { noise(n) });
    let (all, arrays) = texts(values, usize::MAX, 100);
    let (read, metadata) = round_trip(DataType::Utf8, &arrays);
    assert_eq!(read.as_string::<i32>(), &all);
    let column = metadata.row_group(0).column(0);
    let dictionary = column.data_page_offset() - column.dictionary_page_offset().unwrap();
    assert!(dictionary < 3 << 20, "{dictionary} bytes");
    assert!(column.compressed_size() > 4 << 20, "the values are not to be compressed away");
}

#[test]
fn other_types_are_left_to_others() {
    let schema = Schema::new(vec![Field::new("a", DataType::Float64, true)]);
    let descriptor = ArrowSchemaConverter::new().convert(&schema).unwrap();
    assert!(Chunk::new(&DataType::Float64, &descriptor.column(0), &WriterProperties::new(), 1).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_texts_read_back(
        values in proptest::collection::vec(proptest::option::of("[a-cé]{0,3}|[a-z]{14}|\\PC{0,20}"), 0..300),
        rows_each in 1usize..50,
    ) {
        let all = StringArray::from(values);
        let arrays: Vec<ArrayRef> =
            (0..all.len()).step_by(rows_each).map(|from| Arc::new(all.slice(from, rows_each.min(all.len() - from))) as ArrayRef).collect();
        prop_assume!(!arrays.is_empty());
        let (read, metadata) = round_trip(DataType::Utf8, &arrays);
        prop_assert_eq!(read.as_string::<i32>(), &all);
        if let Some(Statistics::ByteArray(statistics)) = metadata.row_group(0).column(0).statistics() {
            let least = all.iter().flatten().min().map(str::as_bytes);
            let most = all.iter().flatten().max().map(str::as_bytes);
            prop_assert!(statistics.min_opt().map(|least| least.data()) <= least);
            prop_assert!(statistics.max_opt().map(|most| most.data()) >= most);
        }
    }

    #[test]
    fn any_numbers_read_back(values in proptest::collection::vec(proptest::option::of(prop_oneof![any::<i64>(), -3i64..3]), 1..300), is_narrow: bool) {
        let array: ArrayRef = match is_narrow {
            true => Arc::new(Int32Array::from_iter(values.iter().map(|value| value.map(|value| value as i32)))),
            false => Arc::new(Int64Array::from(values)),
        };
        let (read, _) = round_trip(array.data_type().clone(), std::slice::from_ref(&array));
        prop_assert_eq!(&read, &array);
    }
}
