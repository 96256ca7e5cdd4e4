"""Show the built book on this machine: ``python tools/serve.py [--port 8000]``."""

import argparse
import errno
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BOOK = Path(__file__).resolve().parent.parent / "_build" / "html"


class Handler(SimpleHTTPRequestHandler):
    def log_request(self, code="-", size="-"):
        pass  # a page is fifty requests; only what goes wrong is worth a line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    if not (BOOK / "index.html").is_file():
        sys.exit("The book is not built yet. Run `make book` (or `jupyter-book build .`) first.")
    handler = functools.partial(Handler, directory=BOOK)
    try:
        # 127.0.0.1: this machine only, nobody else on the network
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            sys.exit(f"Port {port} is taken by another program. Try another: make serve PORT={port + 1}")
        sys.exit(f"Cannot listen on port {port}: {error}")
    print(f"The book is at http://127.0.0.1:{server.server_port}/ - Ctrl-C stops it.", flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
