"""What the test ERP holds when it is new: a company that sells in several currencies, its books, goods and users.

    content.py TRYTOND_CONF DATABASE CONTENT_JSON FACTS_JSON

Runs once on a database whose modules are active, inside Tryton's own environment (proteus, in process, no server).
CONTENT_JSON says what to make; FACTS_JSON receives the ids and keys that a connector needs. Not idempotent: `setup`
runs it on a new database and keeps a copy of the result.
"""
import datetime as dt
import json
import pathlib
import secrets
import sys
from decimal import Decimal

from proteus import Model, Wizard
from proteus import config as proteus_config


def model(name):
    return Model.get(name)


def make(kind, /, **values):
    record = model(kind)(**values)
    record.save()
    return record


def one(name, *domain):
    found = model(name).find(list(domain), limit=1)
    if not found:
        raise LookupError(f'{name} has no record for {domain}')
    return found[0]


class Content:
    def __init__(self, plan, config):
        self.plan = plan
        self.config = config
        self.ids = {}

    def data(self, name):
        """The id of a record that a module brought, by `module.name`."""
        return model('ir.model.data').get_id(name, self.config.context)

    def make_all(self):
        self.currencies()
        self.countries_and_company()
        self.chart_of_accounts()
        self.fiscal_years()
        self.taxes_and_categories()
        self.products()
        self.locations()
        self.opening_stock()
        self.carrier()
        self.payment()
        self.shops()
        self.users()

    # -- company and books ---------------------------------------------------

    def currencies(self):
        self.currency = {}
        for row in self.plan['currencies']:
            digits = row['digits']
            currency = model('currency.currency')(name=row['code'], code=row['code'], symbol=row['symbol'],
                digits=digits, rounding=Decimal(1).scaleb(-digits))
            # One rate for ever: sums in foreign currency stay the same on every day of a test.
            currency.rates.new(date=dt.date(2000, 1, 1), rate=Decimal(row['rate']))
            currency.save()
            self.currency[row['code']] = currency
        self.home = self.currency[self.plan['currencies'][0]['code']]

    def address(self, party, row):
        return make('party.address', party=party, street_unstructured=row['street'], postal_code=row['postal_code'],
            city=row['city'], country=self.country[row['country']])

    def countries_and_company(self):
        self.country = {code: make('country.country', name=name, code=code)
            for code, name in self.plan['countries'].items()}
        row = self.plan['company']
        party = model('party.party')(name=row['name'])
        while party.addresses:  # the default empty one
            party.addresses.pop()
        party.save()
        self.company_address = self.address(party, row)
        wizard = Wizard('company.company.config')
        wizard.execute('company')
        wizard.form.party = party
        wizard.form.currency = self.home
        wizard.execute('add')
        self.company = one('company.company')
        self.config._context = model('res.user').get_preferences(True, {})

    def account(self, **fields):
        return one('account.account', ('company', '=', self.company.id), ('closed', '!=', True),
            *((name.replace('__', '.'), '=', value) for name, value in fields.items()))

    def chart_of_accounts(self):
        wizard = Wizard('account.create_chart')
        wizard.execute('account')
        wizard.form.account_template = model('account.account.template')(self.data('account.account_template_root_en'))
        wizard.form.company = self.company
        wizard.execute('create_account')
        self.revenue = self.account(type__revenue=True)
        self.expense = self.account(type__expense=True)
        self.cash = self.account(code='1.1.1')
        self.tax_account = self.account(code='6.3.6')
        wizard.form.account_receivable = self.account(type__receivable=True)
        wizard.form.account_payable = self.account(type__payable=True)
        wizard.form.category_account_expense = self.expense
        wizard.form.category_account_revenue = self.revenue
        wizard.execute('create_properties')
        # An invoice in a foreign currency leaves a cent between its lines and its sum: it needs a place to go.
        settings = model('account.configuration')(1)
        settings.currency_exchange_debit_account = self.expense
        settings.currency_exchange_credit_account = self.revenue
        settings.save()

    def strict_sequence(self, kind, name, prefix=''):
        return make('ir.sequence.strict', name=name, sequence_type=one('ir.sequence.type', ('name', '=', kind)),
            company=self.company, prefix=prefix)

    def fiscal_years(self):
        this_year = dt.date.today().year
        for year in (this_year, this_year + 1):
            record = model('account.fiscalyear')(name=str(year), company=self.company)
            record.start_date, record.end_date = dt.date(year, 1, 1), dt.date(year, 12, 31)
            record.move_sequence = self.strict_sequence('Account Move', str(year))
            sequences, = record.invoice_sequences
            invoice = self.strict_sequence('Invoice', f'{year} invoice', f'INV-{year}-')
            credit = self.strict_sequence('Invoice', f'{year} credit', f'CRN-{year}-')
            sequences.out_invoice_sequence = sequences.in_invoice_sequence = invoice
            sequences.out_credit_note_sequence = sequences.in_credit_note_sequence = credit
            record.save()
            record.click('create_period')

    # -- what is sold, and where it lies -------------------------------------

    def taxes_and_categories(self):
        """Taxes by rate: what a connector has in hand is the storefront's rate, not the name of a tax."""
        self.tax, self.category = {}, {}
        for rate in self.plan['tax_rates']:
            name = f'{(Decimal(rate) * 100).normalize():f} %'
            tax = make('account.tax', name=f'Tax {name}', description=f'Tax {name}', type='percentage',
                rate=Decimal(rate), invoice_account=self.tax_account, credit_note_account=self.tax_account)
            category = make('product.category', name=f'Sold with {name}', accounting=True,
                account_revenue=self.revenue, account_expense=self.expense)
            category.customer_taxes.append(model('account.tax')(tax.id))  # keeps only on a saved record
            category.save()
            self.tax[rate], self.category[rate] = tax, category

    def products(self):
        self.unit = one('product.uom', ('symbol', '=', 'u'))
        self.product = {}
        for row in self.plan['products']:
            template = model('product.template')(name=row['name'], default_uom=self.unit,
                type=row['type'], salable=True, list_price=Decimal(row['price']),
                account_category=self.category[row['tax']])
            product = template.products[0] if template.products else template.products.new()
            product.suffix_code = row['code']
            product.cost_price = Decimal(row['price']) / 2
            template.save()
            self.product[row['code']] = one('product.product', ('code', '=', row['code']))

    def locations(self):
        """Distribution centers and stores are warehouses alike; Tryton's own first warehouse stays empty."""
        lost_and_found = one('stock.location', ('type', '=', 'lost_found'))
        self.location = {}
        for row in self.plan['places']:
            parts = {f'{part}_location': make('stock.location', name=f"{row['name']} {part}",
                code=f"{row['code']}-{part}", type='storage') for part in ('input', 'storage', 'output')}
            self.location[row['code']] = make('stock.location', name=row['name'], code=row['code'], type='warehouse',
                lost_found_location=lost_and_found, address=self.address(self.company.party, row), allow_pickup=True,
                **parts)

    def opening_stock(self):
        for row in self.plan['places']:
            inventory = model('stock.inventory')(location=self.location[row['code']].storage_location)
            for product in self.plan['products']:
                if product['type'] == 'goods' and product.get('stock', True):
                    line = inventory.lines.new(product=self.product[product['code']])
                    line.quantity, line.expected_quantity = float(row['stock']), 0.0
            inventory.click('confirm')

    def carrier(self):
        row = self.plan['carrier']
        party = make('party.party', name=row['name'])
        self.carrier = make('carrier', party=party, carrier_product=self.product[row['product']])

    # -- money in ------------------------------------------------------------

    def payment(self):
        term = model('account.invoice.payment_term')(name='Immediate')
        term.lines.new(type='remainder')
        term.save()
        self.term = term
        journal = one('account.journal', ('type', '=', 'cash'))
        self.cash_method = make('account.invoice.payment.method', name='Cash', company=self.company, journal=journal,
            credit_account=self.cash, debit_account=self.cash)
        clearing = make('account.account', name='Payment provider clearing', code='1.1.9', company=self.company,
            parent=self.cash.parent, type=self.cash.type, reconcile=True, deferral=True)
        self.payment_journal = {code: make('account.payment.journal', name=f'Payment provider {code}',
            company=self.company, process_method='manual', currency=currency, clearing_journal=journal,
            clearing_account=clearing) for code, currency in self.currency.items()}

    def shops(self):
        """One web shop a site. The pair of shop and web id is unique in the database: the order's natural key."""
        self.shop = {}
        for site, row in self.plan['shops'].items():
            shop = model('web.shop')(name=site, company=self.company, currency=self.currency[row['currency']])
            shop.warehouses.append(model('stock.location')(self.location[row['warehouse']].id))
            shop.save()
            self.shop[site] = shop

    # -- who may call --------------------------------------------------------

    def user(self, name, login, groups):
        password = secrets.token_hex(16)
        user = model('res.user')(name=name, login=login, password=password)
        for group in groups:
            user.groups.append(model('res.group')(self.data(group)))
        user.companies.append(model('company.company')(self.company.id))
        user.company = self.company
        user.save()
        return {'login': login, 'password': password, 'id': user.id}

    def users(self):
        """The hub's user with just its rights, and one with none, to show what a refusal looks like."""
        self.hub = self.user('Integration hub', 'hub', self.plan['hub_groups'])
        self.weak = self.user('No rights', 'weak', [])
        self.rest = make('res.user.application', user=model('res.user')(self.hub['id']), application='rest',
            key=secrets.token_hex(32))
        if self.rest.state == 'requested':
            self.rest.click('validate_')

    def facts(self):
        def ids(records):
            return {key: record.id for key, record in records.items()}
        return {
            'hub': {**self.hub, 'bearer': self.rest.key},
            'weak': self.weak,
            'company': self.company.id,
            'currencies': ids(self.currency),
            'countries': ids(self.country),
            'taxes': ids(self.tax),
            'unit': self.unit.id,
            'products': ids(self.product),
            'product_taxes': {row['code']: row['tax'] for row in self.plan['products']},
            'locations': {code: {'warehouse': place.id, 'storage': place.storage_location.id,
                'address': place.address.id} for code, place in self.location.items()},
            'carrier': self.carrier.id,
            'payment_term': self.term.id,
            'payment_method_cash': self.cash_method.id,
            'payment_journals': ids(self.payment_journal),
            'web_shops': {site: {'id': self.shop[site].id, 'currency': row['currency'],
                'warehouse': row['warehouse']} for site, row in self.plan['shops'].items()},
        }


def main():
    config_file, database, plan, facts = sys.argv[1:]
    config = proteus_config.set_trytond(database, config_file=config_file)
    content = Content(json.loads(pathlib.Path(plan).read_text()), config)
    content.make_all()
    target = pathlib.Path(facts)
    target.touch(mode=0o600)
    target.write_text(json.dumps(content.facts(), indent=1))


main()
