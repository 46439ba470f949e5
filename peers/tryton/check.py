"""Drives the test ERP over plain HTTP, as a connector would, and checks what it answers.

    check.py API_JSON

It proves that the set-up is usable (sale, shipment, invoice, payment, return, on every site) and that Tryton still
behaves as our connector assumes where that is surprising: errors inside HTTP 200, the unique web id, calls that answer
null. It is no test of the connector. Standard library only.
"""
import base64
import datetime as dt
import gzip
import http.client
import json
import secrets
import sys
import unittest
import urllib.parse
from decimal import Decimal

FACTS = {}
HOME = 'RefArch-DE'
SWEATER, COFFEE, SOLD_OUT = '100101-M', '100201-OS', '100901-M'


def money(amount):
    return {'__class__': 'Decimal', 'decimal': str(amount)}


def today():
    day = dt.datetime.now(dt.timezone.utc)
    return {'__class__': 'date', 'year': day.year, 'month': day.month, 'day': day.day}


class Refused(Exception):
    """An answer that is an error: its kind, its text."""

    def __init__(self, kind, detail):
        super().__init__(f'{kind}: {detail}')
        self.kind, self.detail = kind, detail


class Client:
    def __init__(self, user):
        address = urllib.parse.urlparse(FACTS['url'])
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        self.path = f"/{FACTS['database']}/rpc/"
        self.headers = {'Content-Type': 'application/json'}
        self.context = {'company': FACTS['company'], 'language': 'en'}
        user_id, token, _ = self.send('common.db.login', user['login'], {'password': user['password']}, 'en')
        session = base64.b64encode(f"{user['login']}:{user_id}:{token}".encode()).decode()
        self.headers['Authorization'] = f'Session {session}'

    def send(self, method, *params):
        self.connection.request('POST', self.path, json.dumps({'id': 1, 'method': method, 'params': params}),
            self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if body[:2] == b'\x1f\x8b':  # the header says gzip for every long answer, compressed or not
            body = gzip.decompress(body)
        if answer.status != 200:
            raise Refused(f'HTTP {answer.status}', body[:200].decode(errors='replace'))
        value = json.loads(body)
        if 'error' in value:
            raise Refused(value['error'][0], value['error'][1])
        return value['result']

    def call(self, model, method, *params, **context):
        return self.send(f'model.{model}.{method}', *params, {**self.context, **context})

    def read(self, model, record, *fields):
        return self.call(model, 'read', [record], list(fields))[0]

    def create(self, model, values):
        return self.call(model, 'create', [values])[0]

    def wizard(self, name, model, record, state):
        context = {**self.context, 'active_model': model, 'active_id': record, 'active_ids': [record]}
        wizard, *_ = self.send(f'wizard.{name}.create', self.context)
        try:
            self.send(f'wizard.{name}.execute', wizard, {}, state, context)
        finally:
            self.send(f'wizard.{name}.delete', wizard, self.context)

    def customer(self):
        party = self.create('party.party', {
            'name': 'Erika Mustermann',
            'addresses': [['create', [{'party_name': 'Erika Mustermann', 'street_unstructured': 'Musterweg 7',
                'postal_code': '20095', 'city': 'Hamburg', 'country': FACTS['countries']['DE'],
                'invoice': True, 'delivery': True}]]],
        })
        return party, self.read('party.party', party, 'addresses')['addresses'][0]

    def stock(self, sku, site):
        rows = self.call('product.product', 'search_read', [['code', '=', sku]], 0, None, None, ['quantity'],
            locations=[warehouse(site)], with_childs=True, stock_date_end=today())
        return rows[0]['quantity']


def warehouse(site):
    return FACTS['locations'][FACTS['web_shops'][site]['warehouse']]['warehouse']


def line(sku, quantity, price, tax=None):
    tax = FACTS['taxes'][tax or FACTS['product_taxes'][sku]]
    return {'type': 'line', 'product': FACTS['products'][sku], 'quantity': float(quantity), 'unit': FACTS['unit'],
        'unit_price': money(price), 'taxes': [['add', [tax]]]}


def sale(customer, web_id, lines, site=HOME, **more):
    party, address = customer
    shop = FACTS['web_shops'][site]
    return {'company': FACTS['company'], 'currency': FACTS['currencies'][shop['currency']], 'party': party,
        'invoice_address': address, 'shipment_address': address, 'warehouse': warehouse(site),
        'payment_term': FACTS['payment_term'], 'web_shop': shop['id'], 'web_id': web_id, 'reference': web_id,
        'sale_date': today(), 'invoice_method': 'order', 'shipment_method': 'order', 'carrier': FACTS['carrier'],
        'shipment_cost_method': None, 'lines': [['create', lines]], **more}


class Check(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = Client(FACTS['hub'])
        cls.customer = cls.client.customer()

    def new_id(self):
        return f'W-{secrets.token_hex(6)}'

    def sold(self, lines, site=HOME, **more):
        """A sale taken to its quotation."""
        made = self.client.create('sale.sale', sale(self.customer, self.new_id(), lines, site, **more))
        self.client.call('sale.sale', 'quote', [made])
        return made

    def confirmed(self, made):
        self.client.call('sale.sale', 'confirm', [made])
        state = self.client.read('sale.sale', made, 'state', 'invoices', 'shipments', 'shipment_returns')
        self.assertEqual(state['state'], 'processing')
        return state

    def refused(self, kind, call):
        with self.assertRaises(Refused) as caught:
            call()
        self.assertEqual(caught.exception.kind, kind, caught.exception.detail)
        return caught.exception

    def payment(self, kind, currency, amount, **more):
        made = self.client.create('account.payment', {'company': FACTS['company'], 'kind': kind,
            'journal': FACTS['payment_journals'][currency], 'party': self.customer[0], 'amount': amount,
            'reference': self.new_id(), 'date': today(), **more})
        self.client.call('account.payment', 'submit', [made])
        return made

    def captured(self, payment):
        self.client.wizard('account.payment.process', 'account.payment', payment, 'process')
        self.client.call('account.payment', 'succeed', [payment])

    def shipped(self, shipment):
        for button, state in [('assign_try', 'assigned'), ('pick', 'picked'), ('pack', 'packed'), ('ship', 'shipped'),
                ('do', 'done')]:
            self.client.call('stock.shipment.out', button, [shipment])
            self.assertEqual(self.client.read('stock.shipment.out', shipment, 'state')['state'], state)

    def posted(self, invoice):
        """A foreign tax is not the product's own: Tryton warns, and the connector's policy says skip."""
        try:
            self.client.call('account.invoice', 'post', [invoice])
        except Refused as warning:
            if warning.kind != 'UserWarning':
                raise
            self.client.call('res.user.warning', 'skip', warning.detail[0], False)
            self.client.call('account.invoice', 'post', [invoice])

    def test_a_sale_on_each_site_goes_from_quotation_to_paid(self):
        # Two sweaters and a bag of coffee, net; yen have no decimals, dinars three.
        cases = [
            ('RefArch-DE', '20.00', '0.19', '9.35', '0.07', '57.60'),
            ('RefArch-US', '20.00', '0.08875', '9.35', '0.08875', '53.73'),
            ('RefArch-GB', '20.00', '0.2', '9.35', '0', '57.35'),
            ('RefArch-JP', '2000', '0.1', '935', '0.08', '5410'),
            ('RefArch-KW', '20.005', '0', '9.355', '0', '49.365'),
        ]
        for site, sweater, tax, coffee, reduced, total in cases:
            with self.subTest(site=site):
                before = self.client.stock(SWEATER, site)
                made = self.sold([line(SWEATER, 2, sweater, tax), line(COFFEE, 1, coffee, reduced)], site)
                quoted = self.client.read('sale.sale', made, 'number', 'total_amount')
                self.assertTrue(quoted['number'])
                self.assertEqual(Decimal(quoted['total_amount']['decimal']), Decimal(total))
                payment = self.payment('receivable', FACTS['web_shops'][site]['currency'], quoted['total_amount'],
                    origin=f'sale.sale,{made}')
                state = self.confirmed(made)
                (shipment,), (invoice,) = state['shipments'], state['invoices']
                self.shipped(shipment)
                self.assertEqual(self.client.stock(SWEATER, site), before - 2)
                self.captured(payment)
                self.posted(invoice)
                paid = self.client.read('account.invoice', invoice, 'state', 'total_amount')
                self.assertEqual((paid['state'], paid['total_amount']), ('paid', quoted['total_amount']))
                self.assertEqual(self.client.read('sale.sale', made, 'state')['state'], 'done')

    def test_a_return_restocks_gives_a_credit_note_and_pays_it_back(self):
        first = self.sold([line(SWEATER, 1, '59.90')])
        bought = self.confirmed(first)
        self.shipped(bought['shipments'][0])
        self.posted(bought['invoices'][0])
        before = self.client.stock(SWEATER, HOME)
        back = self.confirmed(self.sold([line(SWEATER, -1, '59.90')], origin=f'sale.sale,{first}'))
        for button in ('receive', 'do'):
            self.client.call('stock.shipment.out.return', button, back['shipment_returns'])
        self.assertEqual(self.client.stock(SWEATER, HOME), before + 1)
        self.posted(back['invoices'][0])
        note = self.client.read('account.invoice', back['invoices'][0], 'number', 'total_amount', 'lines_to_pay')
        self.assertRegex(note['number'], '^CRN-')
        self.assertEqual(note['total_amount'], money('-71.28'))
        refund = self.payment('payable', 'EUR', money('71.28'), line=note['lines_to_pay'][0])
        self.client.call('account.payment', 'approve', [refund])
        self.captured(refund)
        self.assertEqual(self.client.read('account.invoice', back['invoices'][0], 'state')['state'], 'paid')

    def test_a_bundle_is_sold_whole_and_only_its_parts_are_shipped(self):
        made = self.sold([line('100301', 1, '42.90'), line(COFFEE, 1, '0'), line('100113-OS', 2, '0')])
        shipment = self.confirmed(made)['shipments'][0]
        moves = self.client.read('stock.shipment.out', shipment, 'outgoing_moves')['outgoing_moves']
        moved = self.client.call('stock.move', 'read', moves, ['product', 'quantity'])
        parts = {FACTS['products'][COFFEE]: 1.0, FACTS['products']['100113-OS']: 2.0}
        self.assertEqual({move['product']: move['quantity'] for move in moved}, parts)

    def test_the_same_web_id_is_taken_once(self):
        values = sale(self.customer, self.new_id(), [line(SWEATER, 1, '20.00')])
        made = self.client.create('sale.sale', values)
        self.refused('UserError', lambda: self.client.create('sale.sale', values))
        found = self.client.call('sale.sale', 'search_read', [['web_shop', '=', values['web_shop']],
            ['web_id', '=', values['web_id']]], 0, None, None, ['state'])
        self.assertEqual([row['id'] for row in found], [made])

    def test_a_quotation_may_be_cancelled_and_a_button_out_of_turn_is_refused(self):
        made = self.sold([line(SWEATER, 1, '20.00')])
        self.refused('UserError', lambda: self.client.call('sale.sale', 'quote', [made]))
        self.client.call('sale.sale', 'cancel', [made])
        self.assertEqual(self.client.read('sale.sale', made, 'state')['state'], 'cancelled')

    def test_too_little_stock_is_no_error_but_a_state(self):
        state = self.confirmed(self.sold([line(SOLD_OUT, 1, '249.00')]))
        self.client.call('stock.shipment.out', 'assign_try', state['shipments'])
        self.assertEqual(self.client.read('stock.shipment.out', state['shipments'][0], 'state')['state'], 'waiting')

    def test_money_as_a_float_is_refused(self):
        priced = {**line(SWEATER, 1, '20.10'), 'unit_price': 20.1}
        self.refused('UserError', lambda: self.client.create('sale.sale', sale(self.customer, self.new_id(), [priced])))

    def test_another_tax_than_the_products_is_a_warning_that_can_be_skipped(self):
        other = line(SWEATER, 1, '59.90', '0.07')
        invoices = self.confirmed(self.sold([other]))['invoices']
        warning = self.refused('UserWarning', lambda: self.client.call('account.invoice', 'post', invoices))
        self.client.call('res.user.warning', 'skip', warning.detail[0], False)
        self.client.call('account.invoice', 'post', invoices)
        self.assertEqual(self.client.read('account.invoice', invoices[0], 'state')['state'], 'posted')

    def test_a_user_without_rights_and_a_dead_session_are_refused(self):
        weak = Client(FACTS['weak'])
        self.refused('UserError', lambda: weak.call('sale.sale', 'search', [], 0, 1, None))
        weak.headers['Authorization'] = 'Session ' + base64.b64encode(b'hub:4:00').decode()
        self.refused('HTTP 401', lambda: weak.call('sale.sale', 'search', [], 0, 1, None))


if __name__ == '__main__':
    with open(sys.argv.pop(1)) as facts:
        FACTS = json.load(facts)
    unittest.main(verbosity=2, warnings='ignore')  # connections end with the process
