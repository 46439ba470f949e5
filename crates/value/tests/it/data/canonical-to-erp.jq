# A canonical order as the sales order of an ERP.
{
  salesOrder: {
    organization: ({"US": "US01", "CA": "CA01"}[.bill_to.country]
      // error("no sales organization serves \(.bill_to.country)")),
    externalNumber: .number,
    date: .placed_at[:10],
    receiver: (.ship_to | first | {name, street, city, postal_code}),
    items: [.lines[] | {
      number: (.line * 10),
      material: .sku,
      quantity: .quantity,
      conditions: [{type: "price", value: .unit.amount}, {type: "tax", value: .tax.amount}]
    }],
    taxTotal: ([.lines[].tax.amount | tonumber] | add)
  }
}
