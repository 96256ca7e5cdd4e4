"""Show the built book on this machine: ``python tools/serve.py [--port 8000]``."""

import argparse
import contextlib
import errno
import functools
import gzip
import io
import os
import sys
import threading
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

BOOK = Path(__file__).resolve().parent.parent / "_build" / "html"
# What some systems have no type, or a wrong one, for. A browser refuses a module that is no
# JavaScript.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
    ".bin": "application/octet-stream",
    ".woff2": "font/woff2",
}
COMPRESSED = {".html", ".js", ".mjs", ".css", ".json", ".svg", ".wasm", ".onnx", ".bin"}


class Handler(SimpleHTTPRequestHandler):
    """Serves files, compressed for a browser that says it takes that.

    The answers differ in nothing else.
    """

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}

    def send_head(self):
        """Send the status and the headers; return the content as a file, or None without any."""
        try:
            path = self.translate_path(self.path)
            if os.path.isdir(path):
                if not urlsplit(self.path).path.endswith("/"):
                    return super().send_head()  # to the same address with a slash at its end
                path = os.path.join(path, "index.html")  # or nothing: folders are not listed
            # a file is no folder, whatever the address says; such a path keeps its slash
            changed = os.stat(path).st_mtime_ns if not path.endswith("/") else None
            content = Path(path).read_bytes() if changed is not None else None
        except (
            OSError,
            ValueError,
        ):  # not there, not readable, too long a name, or one with a null character
            content = None
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND, "File not found")
            return None
        return self.send_found(Path(path), content, changed)

    def send_found(self, path, content, changed):
        compressible = path.suffix in COMPRESSED
        packed = compressible and takes_gzip(self.headers.get("Accept-Encoding", ""))
        unchanged = self.has_since(changed // 10**9)
        self.send_response(HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK)
        if compressible:
            self.send_header("Vary", "Accept-Encoding")
        self.send_header("Last-Modified", self.date_time_string(changed // 10**9))
        if unchanged:
            self.end_headers()
            return None
        if packed:
            content = compressed(path, changed)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return io.BytesIO(content)

    def has_since(self, changed):
        """Whether the browser says that it has the file as it was in this second, or later."""
        try:
            since = parsedate_to_datetime(self.headers["If-Modified-Since"])
        except (TypeError, ValueError, IndexError, OverflowError):
            return False  # no date, or none that can be read
        if since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        return changed <= since.timestamp()

    def handle(self):
        # A reader who leaves a page breaks off its downloads.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def finish(self):
        with contextlib.suppress(ConnectionError):
            super().finish()

    def log_request(self, code="-", size="-"):
        pass  # a page is fifty requests; only what goes wrong is worth a line


def takes_gzip(accepted):
    """Whether a browser that sends this Accept-Encoding takes gzip.

    It does if gzip is named, or all are, and not with q=0.
    """
    weights = {}
    for part in accepted.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            weights[name] = float(quality)
        except ValueError:
            weights[name] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


class Once:
    """Calls a function once for each of its arguments, even if several threads ask at once."""

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
            sys.exit(
                f"Port {port} is taken by another program. Try another: make serve PORT={port + 1}"
            )
        sys.exit(f"Cannot listen on port {port}: {error}")
    print(f"The book is at http://127.0.0.1:{server.server_port}/ - Ctrl-C stops it.", flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
