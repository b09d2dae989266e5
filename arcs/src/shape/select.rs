//! `select`: one SELECT over the table `log` flows in and is planned once; blocks of rows flow in and the rows that it
//! gives flow out. Only projection and WHERE: each row stands for itself, so blocks run on any thread in any order. A row
//! whose expressions fail is told of and is no row; it fails no other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{CastOptions, cast, cast_with_options, concat, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;
use futures::FutureExt;

use crate::sql::{check_select, plain_type, unrepeatable_function};

/// The table that a `select` reads.
pub(crate) const TABLE: &str = "log";

/// Characters of the reason of a row that fails.
const REASON_CHARACTERS_MAX: usize = 300;

/// Functions whose second argument says how long their result is: a row must not decide that.
const INFLATING: [&str; 6] = ["repeat", "lpad", "rpad", "array_repeat", "list_repeat", "space"];

/// A planned `select`.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    /// Places in the table of the columns that it reads, and the same as a schema.
    pub reads: Vec<usize>,
    schema: SchemaRef,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Its columns.
    pub outputs: Vec<Output>,
}

/// A column that a `select` gives.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Name and plain type.
    pub field: Field,
    /// The place in the table of the column that it is, where it is one unchanged.
    pub is: Option<usize>,
    expr: Arc<dyn PhysicalExpr>,
}

/// The rows that a `select` gives for a block.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// Their places in the block, in order.
    pub rows: Vec<u32>,
    /// Their columns; text as binary views.
    pub columns: Vec<ArrayRef>,
    /// Rows of the block that the condition is not true of.
    pub filtered: u64,
    /// Rows that failed: their places, in order, and why.
    pub failed: Vec<(u32, String)>,
}

impl Select {
    /// Plans one SELECT over a table of these columns; otherwise says what to change.
    pub(crate) fn plan(sql: &str, table: &Schema) -> Result<Select, String> {
        check(sql)?;
        let session = SessionContext::new();
        let fields: Vec<Field> = table.fields().iter().map(|field| Field::new(field.name(), carried(field.data_type()), true)).collect();
        let log = Arc::new(EmptyTable::new(Arc::new(Schema::new(fields.clone()))));
        session.register_table(TABLE, log).map_err(|error| said(&error))?;
        let state = session.state();
        let statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect).map_err(|error| said(&error))?;
        // The one table is in memory, so that planning never waits.
        let plan = state.statement_to_plan(statement).now_or_never().ok_or("the query cannot be planned at once")?;
        let plan = plan.map_err(|error| said(&error))?;
        if let Some(function) = unrepeatable_function(&plan).map_err(|error| error.to_string())? {
            return Err(format!("{function}() gives other rows when the lot is run again; use `time`, or `lot`"));
        }
        Select::compile(&plan, &state, &Arc::new(Schema::new(fields)))
    }

    fn compile(plan: &LogicalPlan, state: &SessionState, table: &SchemaRef) -> Result<Select, String> {
        let LogicalPlan::Projection(projection) = plan else { return Err(refused(node_name(plan))) };
        let (filter, base) = match projection.input.as_ref() {
            LogicalPlan::Filter(filter) => (Some(&filter.predicate), filter.input.as_ref()),
            base => (None, base),
        };
        let scan = match base {
            LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
            base => base,
        };
        if !matches!(scan, LogicalPlan::TableScan(_)) {
            return Err(refused(node_name(scan)));
        }
        projection.expr.iter().chain(filter).try_for_each(check_expr)?;
        let physical = |expr: &Expr| physical(expr, state, base.schema()).map_err(|error| said(&error));
        let filter = filter.map(physical).transpose()?;
        let exprs: Vec<Arc<dyn PhysicalExpr>> = projection.expr.iter().map(physical).collect::<Result<_, _>>()?;
        let mut reads: Vec<usize> = exprs.iter().chain(&filter).flat_map(collect_columns).map(|column| column.index()).collect();
        reads.sort_unstable();
        reads.dedup();
        let schema: SchemaRef = Arc::new(table.project(&reads).map_err(|error| error.to_string())?);
        let over = |expr: Arc<dyn PhysicalExpr>| reassign_expr_columns(expr, &schema).map_err(|error| said(&error));
        let mut outputs = Vec::new();
        for (expr, field) in exprs.into_iter().zip(projection.schema.fields()) {
            let is = expr.downcast_ref::<Column>().map(Column::index);
            let kind = plain_type(&expr.data_type(table).map_err(|error| said(&error))?);
            outputs.push(Output { field: Field::new(field.name(), kind, true), is, expr: over(expr)? });
        }
        Ok(Select { reads, filter: filter.map(over).transpose()?, outputs, schema })
    }

    /// Leaves out columns that it gives.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Output) -> bool) {
        self.outputs.retain(keep);
    }

    /// Its rows for a block. `columns` are those of [`Select::reads`], as they stand in blocks.
    pub(crate) fn evaluate(&self, columns: &[ArrayRef], rows: usize) -> Result<Selected, String> {
        let read: Result<Vec<ArrayRef>, String> =
            columns.iter().zip(self.schema.fields()).map(|(column, field)| as_text(column, field.data_type())).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), read?, &options).map_err(|error| error.to_string())?;
        let (mut selected, mut parts) = (Selected::default(), Vec::new());
        self.divide(&batch, 0, &mut selected, &mut parts);
        for column in 0..self.outputs.len() {
            let arrays: Vec<&dyn Array> = parts.iter().map(|part| part[column].as_ref()).collect();
            selected.columns.push(match arrays.as_slice() {
                [] => arrow::array::new_empty_array(&carrier(self.outputs[column].field.data_type())),
                [_] => parts[0][column].clone(),
                _ => concat(&arrays).map_err(|error| error.to_string())?,
            });
        }
        Ok(selected)
    }

    /// Evaluates rows together; where one of them fails, each half by itself, down to the row. What a row gives does not
    /// depend on the rows beside it.
    fn divide(&self, batch: &RecordBatch, first: u32, selected: &mut Selected, parts: &mut Vec<Vec<ArrayRef>>) {
        let rows = batch.num_rows();
        if rows == 0 {
            return;
        }
        let together = std::panic::catch_unwind(AssertUnwindSafe(|| self.together(batch)));
        match together.unwrap_or_else(|_| Err("a function of the select panicked".into())) {
            Ok((kept, columns)) => {
                let before = selected.rows.len();
                match kept {
                    None => selected.rows.extend(first..first + rows as u32),
                    Some(kept) => selected.rows.extend(kept.values().set_indices().map(|row| first + row as u32)),
                }
                let given = selected.rows.len() - before;
                selected.filtered += (rows - given) as u64;
                if given > 0 {
                    parts.push(columns);
                }
            }
            Err(reason) if rows == 1 => selected.failed.push((first, reason.chars().take(REASON_CHARACTERS_MAX).collect())),
            Err(_) => {
                let half = rows / 2;
                self.divide(&batch.slice(0, half), first, selected, parts);
                self.divide(&batch.slice(half, rows - half), first + half as u32, selected, parts);
            }
        }
    }

    /// The rows that stay (all where `None`), and their columns.
    fn together(&self, batch: &RecordBatch) -> Result<(Option<BooleanArray>, Vec<ArrayRef>), String> {
        let kept = self.filter.as_ref().map(|filter| is_true(filter, batch)).transpose()?;
        let kept = kept.filter(|kept| kept.true_count() < kept.len());
        let batch = match &kept {
            None => batch.clone(),
            Some(kept) => filter_record_batch(batch, kept).map_err(|error| error.to_string())?,
        };
        // What is constant would be evaluated without any row, and may fail.
        if batch.num_rows() == 0 {
            return Ok((kept, Vec::new()));
        }
        let columns = self.outputs.iter().map(|output| output.evaluate(&batch)).collect::<Result<_, _>>()?;
        Ok((kept, columns))
    }
}

impl Output {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, String> {
        let array = self.expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(|error| said(&error))?;
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let plain = match (array.data_type(), self.field.data_type()) {
            (DataType::Utf8View, DataType::Utf8) => Ok(array),
            (DataType::BinaryView, DataType::Binary) => Ok(array),
            (is, kind) if is == kind => Ok(array),
            (_, kind) => cast_with_options(&array, kind, &strict),
        };
        let plain = plain.map_err(|error| format!("column `{}`: {error}", self.field.name()))?;
        match plain.data_type() {
            DataType::Utf8View => Ok(Arc::new(plain.as_string_view().clone().to_binary_view())),
            DataType::Utf8 | DataType::Binary => {
                cast(&plain, &DataType::Binary).and_then(|bytes| cast(&bytes, &DataType::BinaryView)).map_err(|error| error.to_string())
            }
            _ => Ok(plain),
        }
    }
}

/// Where a condition is true; neither where it is false nor where it is null.
fn is_true(filter: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray, String> {
    let kept = filter.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(|error| said(&error))?;
    if kept.data_type() == &DataType::Null {
        return Ok(BooleanArray::new(BooleanBuffer::new_unset(kept.len()), None));
    }
    let kept = kept.as_boolean_opt().ok_or("the condition is neither true nor false")?;
    Ok(match kept.nulls() {
        None => kept.clone(),
        Some(nulls) => BooleanArray::new(kept.values() & nulls.inner(), None),
    })
}

/// How arrays of a plain type travel to the files.
fn carrier(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8 | DataType::Binary => DataType::BinaryView,
        kind => kind.clone(),
    }
}

/// How a column of the table stands in a plan.
fn carried(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        kind => kind.clone(),
    }
}

fn as_text(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef, String> {
    let views = || column.as_binary_view_opt().cloned().ok_or_else(|| "a text column holds no text".to_owned());
    match kind {
        DataType::Utf8View => Ok(Arc::new(BinaryViewArray::to_string_view(views()?).map_err(|error| error.to_string())?)),
        _ => Ok(column.clone()),
    }
}

/// The expression as it is evaluated: types agree, constants are folded, and whole numbers that overflow fail.
fn physical(expr: &Expr, state: &SessionState, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let context =
        SimplifyContext::builder().with_schema(Arc::new(schema.clone())).with_config_options(state.config_options().clone()).build();
    let simplifier = ExprSimplifier::new(context);
    let expr = simplifier.coerce(expr.clone().unalias(), schema)?;
    let expr = state.create_physical_expr(simplifier.simplify(expr)?, schema)?;
    let checked = expr.transform_up(|expr| match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) => Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>)),
        None => Ok(Transformed::no(expr)),
    });
    checked.data()
}

/// Refuses what needs more than one row at a time; each refusal names it.
pub(super) fn check(sql: &str) -> Result<(), String> {
    check_select(sql)?;
    let statements = DFParser::parse_sql(sql).map_err(|error| said(&error))?;
    let Some(Statement::Statement(statement)) = statements.front() else { return Err("write one SELECT".into()) };
    let ast::Statement::Query(query) = statement.as_ref() else { return Err("write one SELECT".into()) };
    let select = match query.body.as_ref() {
        ast::SetExpr::Select(select) => select,
        ast::SetExpr::SetOperation { op, .. } => return Err(refused(&op.to_string())),
        ast::SetExpr::Values(_) => return Err(refused("VALUES")),
        _ => return Err(refused("a subquery")),
    };
    let is_grouped = !matches!(&select.group_by, ast::GroupByExpr::Expressions(by, with) if by.is_empty() && with.is_empty());
    let found = [
        (query.with.is_some(), "WITH"),
        (query.order_by.is_some() || !select.sort_by.is_empty(), "ORDER BY"),
        (query.limit_clause.is_some() || query.fetch.is_some() || select.top.is_some(), "LIMIT"),
        (!query.pipe_operators.is_empty(), "|>"),
        (select.distinct.is_some(), "DISTINCT"),
        (is_grouped, "GROUP BY"),
        (select.having.is_some(), "HAVING"),
        (select.qualify.is_some() || !select.named_window.is_empty(), "a window function"),
        (select.into.is_some(), "INTO"),
        (!select.lateral_views.is_empty() || select.from.iter().any(|from| !from.joins.is_empty()) || select.from.len() > 1, "a join"),
    ];
    if let Some((_, what)) = found.iter().find(|found| found.0) {
        return Err(refused(what));
    }
    match select.from.first().map(|from| &from.relation) {
        Some(ast::TableFactor::Table { name, args: None, .. }) if name.to_string().to_lowercase().trim_matches('"') == TABLE => Ok(()),
        Some(ast::TableFactor::Derived { .. }) => Err(refused("a subquery")),
        _ => Err(format!("there is one table, `{TABLE}`: SELECT … FROM {TABLE}")),
    }
}

fn refused(what: &str) -> String {
    let way = "a select takes one row at a time, with columns and WHERE alone";
    let instead = if what == "ORDER BY" { "; `sortBy` sorts the rows of files" } else { "" };
    format!("{what} is not possible here: {way}; a query arc over the converted dataset can do it{instead}")
}

fn node_name(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Aggregate(_) => "an aggregate",
        LogicalPlan::Window(_) => "a window function",
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Distinct(_) => "DISTINCT",
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Subquery(_) | LogicalPlan::SubqueryAlias(_) => "a subquery",
        LogicalPlan::Unnest(_) => "unnest",
        LogicalPlan::EmptyRelation(_) => "a SELECT without FROM",
        _ => "this",
    }
}

fn check_expr(expr: &Expr) -> Result<(), String> {
    let mut wrong = None;
    let mut look = |expr: &Expr| {
        let what = match expr {
            Expr::AggregateFunction(_) => Some(refused("an aggregate")),
            Expr::WindowFunction(_) => Some(refused("a window function")),
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => Some(refused("a subquery")),
            Expr::Unnest(_) => Some(refused("unnest")),
            Expr::Placeholder(_) => Some("a parameter has no value here".into()),
            Expr::ScalarFunction(call) if INFLATING.contains(&call.name()) => {
                let is_fixed = call.args.get(1).is_some_and(|length| matches!(length, Expr::Literal(..)));
                (!is_fixed).then(|| {
                    format!("the length in {}() must be a number: a log line must not decide how much memory it takes", call.name())
                })
            }
            _ => None,
        };
        let next = if what.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue };
        wrong = what.or(wrong.take());
        Ok(next)
    };
    expr.apply(&mut look).map_err(|error: DataFusionError| said(&error))?;
    wrong.map_or(Ok(()), Err)
}

/// DataFusion's words without the layers around them.
fn said(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::Plan(text) | DataFusionError::Execution(text) => text.clone(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::SchemaError(error, _) => error.to_string(),
        root => root.strip_backtrace(),
    };
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}
