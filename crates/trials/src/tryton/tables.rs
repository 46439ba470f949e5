//! Tryton's own tables, read by `psql`: what was sold, shipped, invoiced and paid, whatever the connector believes.

use crossdock_value::Decimal;
use serde::Deserialize;
use std::process::Stdio;
use tokio::process::Command;

/// One row for each sale. An invoice is one that bills a line of the sale, its total what the customer owes by the books; a move is one
/// that takes a line's product to a customer. Amounts are in the sale's currency and come as text.
const SALES: &str = "
with billed as (
  select distinct line.sale, bill.invoice from account_invoice_line bill
  join sale_line line on bill.origin = 'sale.line,' || line.id
),
invoices as (
  select billed.sale, json_agg(json_build_object(
    'id', i.id, 'state', i.state,
    'total', (select sum(case when l.second_currency is null then l.debit - l.credit else l.amount_second_currency end)
              from account_move_line l where l.move = i.move and l.account = i.account)::text,
    'tax', (select sum(t.amount) from account_invoice_tax t where t.invoice = i.id)::text) order by i.id) as rows
  from billed join account_invoice i on i.id = billed.invoice group by billed.sale
),
payments as (
  select billed.sale, json_agg(json_build_object(
    'kind', p.kind, 'state', p.state, 'amount', p.amount::text, 'reference', p.reference) order by p.id) as rows
  from billed join account_invoice i on i.id = billed.invoice
  join account_move_line l on l.move = i.move join account_payment p on p.line = l.id group by billed.sale
),
moves as (
  select line.sale, json_agg(json_build_object(
    'sku', product.code, 'quantity', m.quantity::text, 'state', m.state) order by m.id) as rows
  from stock_move m join sale_line line on m.origin = 'sale.line,' || line.id
  join product_product product on product.id = m.product
  join stock_location place on place.id = m.to_location
  where place.type = 'customer' group by line.sale
)
select coalesce(json_agg(json_build_object(
  'shop', s.web_shop, 'web_id', s.web_id, 'state', s.state, 'currency', c.code,
  'total', s.total_amount_cache::text, 'tax', s.tax_amount_cache::text,
  'invoices', coalesce(invoices.rows, '[]'), 'payments', coalesce(payments.rows, '[]'),
  'moves', coalesce(moves.rows, '[]')) order by s.id), '[]')
from sale_sale s join currency_currency c on c.id = s.currency
left join invoices on invoices.sale = s.id left join payments on payments.sale = s.id left join moves on moves.sale = s.id";

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sale {
    pub shop: Option<i64>,
    pub web_id: Option<String>,
    pub state: String,
    pub currency: String,
    pub total: Option<Decimal>,
    pub tax: Option<Decimal>,
    pub invoices: Vec<Invoice>,
    pub payments: Vec<Payment>,
    pub moves: Vec<Move>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Invoice {
    pub id: i64,
    pub state: String,
    /// Absent until it is posted.
    pub total: Option<Decimal>,
    pub tax: Option<Decimal>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Payment {
    pub kind: String,
    pub state: String,
    pub amount: Decimal,
    pub reference: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Move {
    pub sku: String,
    pub quantity: Decimal,
    pub state: String,
}

/// Every sale there is.
pub(super) async fn sales(postgres: &str) -> Result<Vec<Sale>, String> {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", SALES, postgres]).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await.map_err(|e| format!("psql does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("the tables are read otherwise than they are: {e}"))
}
