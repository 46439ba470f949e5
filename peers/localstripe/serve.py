"""localstripe, as it is, on a free port of 127.0.0.1; prints `READY ADDRESS` and serves until it is ended.

Its own command listens on every interface, and begins with what an earlier run of anybody on the machine left behind. Started
from here its code is untouched: nothing is changed, added or taught.
"""

import socket

from aiohttp import web
from localstripe.server import app

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
# Before the address is told: who comes at once waits, and is not refused.
listener.listen()
print(f"READY http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
web.run_app(app, sock=listener, print=None)
