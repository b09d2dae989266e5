//! The order of rows that come back in none, as Athena's do: a query and the columns of its result flow in; an order flows
//! out in which the same rows always stand the same way. What the query asks for comes first, then all columns from left
//! to right; nulls are last, as Athena has them. Lists and structures are not compared.

use arrow::datatypes::Schema;
use datafusion::common::Column;
use datafusion::logical_expr::SortExpr;
use datafusion::logical_expr::expr::Sort;
use datafusion::prelude::Expr;
use datafusion::sql::sqlparser::ast::{self, OrderByExpr, OrderByKind};

use crate::sql;

/// The order of the rows of a query.
pub(super) fn order(text: &str, columns: &Schema) -> Vec<SortExpr> {
    let mut order: Vec<(usize, bool, bool)> = Vec::new();
    // What is no column of the result decided which rows there are, and says nothing of them any more.
    for asked in asked(text) {
        let Some(at) = place(&asked.expr, columns) else { break };
        order.push((at, asked.options.asc.unwrap_or(true), asked.options.nulls_first.unwrap_or(false)));
    }
    let asked: Vec<usize> = order.iter().map(|found| found.0).collect();
    order.extend((0..columns.fields().len()).filter(|at| !asked.contains(at)).map(|at| (at, true, false)));
    let is_compared = |found: &(usize, bool, bool)| !columns.field(found.0).data_type().is_nested();
    let column = |at: usize| Expr::Column(Column::from_name(columns.field(at).name()));
    order.into_iter().filter(is_compared).map(|(at, asc, nulls_first)| Sort::new(column(at), asc, nulls_first)).collect()
}

/// What the query is ordered by.
fn asked(text: &str) -> Vec<OrderByExpr> {
    match sql::parse_select(text).ok().and_then(|query| query.order_by).map(|order| order.kind) {
        Some(OrderByKind::Expressions(list)) => list,
        Some(OrderByKind::All(_)) | None => Vec::new(),
    }
}

/// The place of the column that is meant: by its name, or by its number from 1.
fn place(expr: &ast::Expr, columns: &Schema) -> Option<usize> {
    let named = |name: &ast::Ident| columns.fields().iter().position(|field| field.name().eq_ignore_ascii_case(&name.value));
    match expr {
        ast::Expr::Identifier(name) => named(name),
        ast::Expr::CompoundIdentifier(parts) => named(parts.last()?),
        ast::Expr::Value(value) => {
            let number: usize = value.to_string().parse().ok()?;
            number.checked_sub(1).filter(|at| *at < columns.fields().len())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};
    use expect_test::expect;

    #[test]
    fn what_is_asked_for_and_then_all_columns() {
        let list = DataType::List(Field::new_list_field(DataType::Int64, true).into());
        let columns = Schema::new(vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("tags", list, true),
            Field::new("requests", DataType::Int64, true),
        ]);
        let queries = [
            "SELECT key, tags, requests FROM main",
            "SELECT key, tags, requests FROM main ORDER BY requests DESC, KEY NULLS FIRST LIMIT 3",
            "WITH a AS (SELECT * FROM main ORDER BY other) SELECT key, tags, requests FROM a ORDER BY 3, 9",
            "SELECT key, tags, requests FROM main m ORDER BY m.requests, length(key), key DESC",
            "SELECT key, tags, requests FROM main ORDER BY length(key), requests DESC",
        ];
        let said = queries.map(|text| {
            let order: Vec<String> = order(text, &columns).iter().map(ToString::to_string).collect();
            order.join(", ") + "\n"
        });
        expect![[r#"
            key ASC NULLS LAST, requests ASC NULLS LAST
            requests DESC NULLS LAST, key ASC NULLS FIRST
            requests ASC NULLS LAST, key ASC NULLS LAST
            requests ASC NULLS LAST, key ASC NULLS LAST
            key ASC NULLS LAST, requests ASC NULLS LAST
        "#]]
        .assert_eq(&said.concat());
    }
}
