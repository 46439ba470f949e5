// Calls every operation of the Orders API through commerce-sdk against the simulator given as the first argument.
const assert = require('node:assert/strict');
const { Orders } = require('commerce-sdk');

const base = process.argv[2];
const organizationId = 'f_ecom_zzte_053';
const siteId = 'RefArch-DE';
const basic = Buffer.from('crossdock-client:crossdockSecret1').toString('base64');

async function token(path, form) {
  const response = await fetch(base + path, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
  });
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`);
  return (await response.json()).access_token;
}

function client(bearer) {
  return new Orders({
    baseUri: `${base}/checkout/orders/v1`,
    headers: { authorization: `Bearer ${bearer}` },
    parameters: { organizationId, siteId, shortCode: 'abcd1234', clientId: 'crossdock-client' },
  });
}

// The client throws on anything but a 2xx; the error carries the response.
async function refused(status, call) {
  await assert.rejects(call, (error) => error.response && error.response.status === status);
}

async function main() {
  const admin = await token('/dwsso/oauth2/access_token', {
    grant_type: 'client_credentials', scope: 'SALESFORCE_COMMERCE_API:zzte_053 sfcc.orders.rw',
  });
  const orders = client(admin);
  const done = [];
  const called = (name) => { done.push(name); console.log('  ' + name); };

  const unexported = async () => {
    const list = await orders.getOrders({
      parameters: {
        siteId, sortBy: 'last_modified_date', sortOrder: 'asc', status: 'new', exportStatus: ['not_exported', 'ready'],
        lastModifiedDateFrom: '2020-01-01T00:00:00.000Z', limit: 200, offset: 0,
      },
    });
    return list.data.map((order) => order.orderNo);
  };
  // The simulator may hold orders already.
  const before = await unexported();
  const placed = (await (await fetch(`${base}/_sim/orders?count=60`, { method: 'POST' })).text()).trim().split('\n').map(JSON.parse);
  const mine = placed.filter((order) => order.site === siteId);
  assert.ok(mine.length > 3);
  assert.deepEqual((await unexported()).sort(), [...before, ...mine.map((order) => order.order)].sort());
  called('getOrders');

  const orderNo = mine[0].order;
  const of = { siteId, orderNo };
  const order = await orders.getOrder({ parameters: of });
  assert.equal(order.orderNo, orderNo);
  called('getOrder');

  const put = async (name, status) => {
    const response = await orders[name]({ parameters: of, body: { status } }, true);
    assert.equal(response.status, 204, name);
    called(name);
  };
  await put('updateOrderExportStatus', 'exported');
  await put('updateOrderConfirmationStatus', 'confirmed');
  await put('updateOrderPaymentStatus', 'paid');
  await put('updateOrderShippingStatus', 'part_shipped');
  await put('updateOrderExternalStatus', 'ALLOCATED');
  await put('updateOrderStatus', 'completed');
  await refused(400, () => orders.updateOrderStatus({ parameters: of, body: { status: 'failed' } }));

  await orders.updateOrder({ parameters: of, body: { c_hubState: '{"v":1}', c_newsletter: null } });
  called('updateOrder');
  await refused(400, () => orders.updateOrder({ parameters: of, body: { status: 'new' } }));

  const paymentInstrumentId = order.paymentInstruments[0].paymentInstrumentId;
  await orders.updateOrderPaymentInstrument({ parameters: { ...of, paymentInstrumentId }, body: { c_captured: true } });
  called('updateOrderPaymentInstrument');
  await orders.updateOrderPaymentTransaction({ parameters: { ...of, paymentInstrumentId }, body: { c_captureId: 'ch_1' } });
  called('updateOrderPaymentTransaction');

  const shipmentId = order.shipments[0].shipmentId;
  const address = { address1: 'Other Street 1', city: 'Berlin', countryCode: 'DE', postalCode: '10115', lastName: '4711' };
  await orders.updateOrderShippingAddress({ parameters: { ...of, shipmentId }, body: address });
  called('updateOrderShippingAddress');

  const event = { id: 'evt-1', occurredAt: '2026-11-24T10:00:00.000Z', type: 'shipped', lineItems: [{ id: order.productItems[0] ? order.productItems[0].itemId : 'none', quantity: 1 }] };
  const accepted = await orders.createOmsStatusEvent({ parameters: of, body: { fulfillmentEvent: event } }, true);
  assert.equal(accepted.status, 202);
  called('createOmsStatusEvent');

  const after = await orders.getOrder({ parameters: of });
  assert.equal(after.status, 'completed');
  assert.equal(after.exportStatus, 'exported');
  assert.equal(after.externalOrderStatus, 'ALLOCATED');
  assert.equal(after.c_hubState, '{"v":1}');
  assert.equal('c_newsletter' in after, false);
  assert.equal(after.paymentInstruments[0].c_captured, true);
  assert.equal(after.paymentInstruments[0].paymentTransaction.c_captureId, 'ch_1');
  assert.equal(after.shipments[0].shippingAddress.address1, 'Other Street 1');

  const trusted = client(await token(`/shopper/auth/v1/organizations/${organizationId}/oauth2/trusted-system/token`, { grant_type: 'client_credentials' }));
  const created = await trusted.createOrders({
    parameters: { siteId },
    body: {
      orderNo: 'MARKET-1', currency: 'EUR', orderTotal: 14.9, taxTotal: 1.9,
      billingAddress: { lastName: '4711', city: 'Berlin', countryCode: 'DE' },
      productItems: [{ productId: '100104-OS', quantity: 1, basePrice: 10, grossPrice: 10, netPrice: 8.4, tax: 1.6, shipmentId: 's1' }],
      shipments: [{ shipmentId: 's1', shippingMethod: 'standard', shippingTotal: 4.9, taxTotal: 0.3, shippingAddress: address }],
      paymentInstruments: [{ paymentMethodId: 'PAYPAL', paymentTransaction: { amount: 14.9, transactionId: 't1' } }],
    },
  }, true);
  assert.equal(created.status, 201);
  assert.equal((await orders.getOrder({ parameters: { siteId, orderNo: 'MARKET-1' } })).status, 'new');
  called('createOrders');

  const operations = Object.getOwnPropertyNames(Orders.prototype).filter((name) => name !== 'constructor');
  const missing = operations.filter((name) => !done.includes(name));
  assert.deepEqual(missing, [], 'operations of the client that were not called');
  await refused(401, () => client('nothing').getOrder({ parameters: of }));
  console.log(`ok: ${done.length} operations`);
}

main().catch((error) => { console.error(error); process.exit(1); });
