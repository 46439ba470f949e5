"""localstripe on a free port of 127.0.0.1; prints `READY ADDRESS` and serves until it is ended.

Its own command listens on every interface and keeps its state in a file that all runs of a machine share; here it does
neither. It refuses three parameters that Stripe documents, and its intents lack two fields, so they are taught to it:
`metadata` of a capture, `cancellation_reason` of a cancellation, `created[gte]` of a list; `amount_capturable` and
`amount_received`. What the money does is localstripe's own code.
"""

import socket

from aiohttp import web
from localstripe import resources

resources.store.dump_to_disk = lambda: None

intents = resources.PaymentIntent
capture, cancel, list_all = intents._api_capture, intents._api_cancel, intents._api_list_all


def capture_with_metadata(id, metadata=None, **data):
    intent = capture(id, **data)
    intent._received = int(data.get("amount_to_capture") or intent.amount)
    intent.metadata.update(metadata or {})
    return intent


def cancel_for_a_reason(id, cancellation_reason=None, **data):
    intent = cancel(id, **data)
    intent.cancellation_reason = cancellation_reason
    return intent


def list_created_since(url, created=None, **data):
    found = list_all(url, **data)
    since = int((created or {}).get("gte", 0))
    found._list = sorted((one for one in found._list if one.created >= since), key=lambda one: -one.created)
    return found


# The routes are made from this table and these names when the server's module is read.
taught = {capture: capture_with_metadata, cancel: cancel_for_a_reason}
resources.extra_apis[:] = [(method, url, taught.get(call, call)) for method, url, call in resources.extra_apis]
intents._api_list_all = list_created_since
intents.amount_capturable = property(lambda intent: intent.amount if intent.status == "requires_capture" else 0)
intents.amount_received = property(lambda intent: getattr(intent, "_received", 0))

from localstripe.server import app  # noqa: E402

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(f"READY http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
web.run_app(app, sock=listener, print=None)
