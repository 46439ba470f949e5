# A storefront order in the shape of the commerce API's order resource.
.currency as $currency
| def amount: money($currency);
  def party: {name: .fullName, street: .address1, city, postal_code: .postalCode, region: .stateCode,
              country: .countryCode};
{
  number: .orderNo,
  site: .siteId,
  placed_at: .creationDate,
  customer: {id: .customerInfo.customerId, email: (.customerInfo.email | ascii_downcase)},
  bill_to: (.billingAddress | party),
  ship_to: [.shipments[] | (.shippingAddress | party) + {shipment: .shipmentId, method: .shippingMethod.id}],
  lines: [.productItems[] | {
    line: .position,
    sku: .productId,
    quantity: .quantity,
    unit: (.basePrice | amount),
    net: (.netPrice | amount),
    tax: (.tax | amount),
    gross: (.netPrice + .tax | amount)
  }],
  payments: [.paymentInstruments[] | {
    method: .paymentMethodId,
    amount: (.paymentTransaction.amount | amount),
    reference: .paymentTransaction.transactionId,
    last4: .paymentCard.numberLastDigits
  }],
  totals: {
    net: ([.productItems[].netPrice] | add | amount),
    check: ([.productItems[] | .basePrice * .quantity] | add | amount),
    grand: (.orderTotal | amount)
  },
  loyalty: .c_loyaltyPoints
}
