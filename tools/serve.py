"""Show the built book on this machine: ``python tools/serve.py [--port 8000]``."""

import argparse
import errno
import functools
import gzip
import io
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BOOK = Path(__file__).resolve().parent.parent / "_build" / "html"
# What some systems have no type, or a wrong one, for. A browser refuses a module that is no JavaScript.
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
         ".json": "application/json", ".svg": "image/svg+xml", ".wasm": "application/wasm",
         ".onnx": "application/octet-stream", ".bin": "application/octet-stream", ".woff2": "font/woff2"}
COMPRESSED = {".html", ".js", ".mjs", ".css", ".json", ".svg", ".wasm", ".onnx", ".bin"}


class Handler(SimpleHTTPRequestHandler):
    """Serves files, compressed for a browser that says it takes that."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}

    def send_head(self):
        path = Path(self.translate_path(self.path))
        if path.is_dir() and self.path.split("?")[0].endswith("/"):
            path /= "index.html"
        if path.suffix not in COMPRESSED or not path.is_file():
            return super().send_head()
        self.varies = True
        changed = path.stat().st_mtime_ns
        modified = self.date_time_string(changed // 10**9)
        accepted = self.headers.get("Accept-Encoding", "").replace(" ", "").split(",")
        if "gzip" not in accepted or self.headers.get("If-Modified-Since") == modified:  # the latter needs no content
            return super().send_head()
        content = compressed(path, changed)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", modified)
        self.end_headers()
        return io.BytesIO(content)

    def end_headers(self):
        if getattr(self, "varies", False):
            self.send_header("Vary", "Accept-Encoding")
        super().end_headers()

    def log_request(self, code="-", size="-"):
        pass  # a page is fifty requests; only what goes wrong is worth a line


class Once:
    """Calls a function once for each of its arguments, even if several threads ask at the same time."""

    def __init__(self, function):
        self.function, self.locks, self.results, self.lock = function, {}, {}, threading.Lock()

    def __call__(self, *arguments):
        with self.lock:
            own = self.locks.setdefault(arguments, threading.Lock())
        with own:
            if arguments not in self.results:
                self.results[arguments] = self.function(*arguments)
            return self.results[arguments]


@Once
def compressed(path, changed):
    """A file's content by gzip; kept in memory, and made again when the file has ``changed``."""
    return gzip.compress(path.read_bytes(), compresslevel=6)


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
