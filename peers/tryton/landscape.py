#!/usr/bin/env python3
"""The demo's landscape with Tryton for its ERP: what `crossdock demo --landscape` and `crossdock-trials tryton` run on.

    landscape.py API_JSON FOLDER [--url URL] [--settling 65s] [--rounding-within 5]

Copies `landscapes/demo` to FOLDER (which is made anew) and writes its `systems/erp.yaml` from API_JSON, the file that
`setup` leaves. The password goes into a file beside API_JSON, readable by its owner; the landscape names that file.
"""
import argparse
import json
import os
import pathlib
import shutil

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parents[1] / 'landscapes' / 'demo'


def erp(facts, password, url, settling, rounding_within):
    """The system as the hub is told of it; YAML takes JSON as it is."""
    settings = {
        'database': facts['database'],
        'company': facts['company'],
        'language': 'en',
        'settling': settling,
        **{name: facts[name] for name in ('unit', 'payment_term', 'carrier')},
        **{name: facts[name] for name in ('currencies', 'payment_journals', 'countries', 'taxes', 'products')},
        'locations': {code: {key: place[key] for key in ('warehouse', 'address')}
            for code, place in facts['locations'].items()},
        'web_shops': {site: {key: shop[key] for key in ('id', 'warehouse')}
            for site, shop in facts['web_shops'].items()},
        'items': {'gift_card': 'GIFT-CARD', 'digital': 'DIGITAL', 'shipping': 'SHIPPING', 'rounding': 'ROUNDING'},
        'skip_warnings': ['invoice_taxes'],
        'rounding_within': rounding_within,
        'match_tax': True,
    }
    lines = [f'{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}' for name, value in settings.items()]
    return '\n'.join([
        '# Tryton, set up by `peers/tryton/setup`. Ids and address are of that database; made by `peers/tryton/landscape.py`.',
        'connector: tryton',
        'roles: [erp]',
        f'url: {json.dumps(url or facts["url"])}',
        'auth:',
        f'  user: {json.dumps(facts["hub"]["login"])}',
        f'  password: {json.dumps("file:" + str(password))}',
        '  session: 1h',
        '# It answers 503 when more orders are in its hands at once.',
        'limits:',
        '  concurrency: 2',
        '  timeout: 60s',
        'settings:',
        *(f'  {line}' for line in lines),
        '',
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('facts', type=pathlib.Path, metavar='API_JSON')
    parser.add_argument('folder', type=pathlib.Path, metavar='FOLDER')
    parser.add_argument('--url', help='where the hub reaches Tryton, if not directly')
    parser.add_argument('--settling', default='65s', help='how long a call whose end is unclear may still go on')
    parser.add_argument('--rounding-within', type=int, default=5, help='up to so many minor units a difference is rounding')
    given = parser.parse_args()
    facts = json.loads(given.facts.read_text())
    password = given.facts.resolve().with_name('hub-password')
    with open(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as out:
        out.write(facts['hub']['password'])
    if given.folder.exists():
        if not (given.folder / 'crossdock.yaml').exists():
            parser.error(f'{given.folder} is there and is no landscape')
        shutil.rmtree(given.folder)
    shutil.copytree(DEMO, given.folder)
    text = erp(facts, password, given.url, given.settling, given.rounding_within)
    (given.folder / 'systems' / 'erp.yaml').write_text(text)
    print(f'landscape {given.folder}')


if __name__ == '__main__':
    main()
