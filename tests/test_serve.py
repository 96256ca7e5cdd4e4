"""The server of the built book: what it answers, compressed and plain, and what it refuses."""

import gzip
import http.client
import os
import socket
import struct
import sys
import threading
import time
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import serve

PAGE = b"<p>" + b"a page " * 1000
LARGE = bytes(range(256)) * 40_000  # more than a socket takes at once


@pytest.fixture
def server(tmp_path):
    """A server of a small folder, in a thread; server.server_port is its port."""
    (tmp_path / "folder").mkdir()
    for name, content in {
        "page.html": PAGE,
        "index.html": b"start",
        "module.mjs": b"export {}",
        "folder/picture.png": b"png",
        "engine.wasm": b"\0asm",
        "large.bin": LARGE,
        "list.json": b"{}",
    }.items():
        (tmp_path / name).write_bytes(content)
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(serve.Handler, directory=tmp_path)
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path, method="GET", **headers):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/page.html", "text/html; charset=utf-8"),
        ("/module.mjs", "text/javascript"),
        ("/engine.wasm", "application/wasm"),
        ("/large.bin", "application/octet-stream"),
        ("/list.json", "application/json"),
        ("/", "text/html; charset=utf-8"),
        ("/page.html?try=1", "text/html; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_answer_is_the_same_with_and_without_gzip(server, path, kind, method):
    (status, plain, body), (packed_status, packed, packed_body) = (
        ask(server, path, method, Accept_Encoding=accepted) for accepted in ("identity", "gzip, br")
    )
    assert status == packed_status == 200
    for name in ("Content-Type", "Last-Modified", "Vary", "Server"):
        assert plain[name] == packed[name] is not None, name
    assert plain["Content-Type"] == kind and plain["Vary"] == "Accept-Encoding"
    assert (plain["Content-Encoding"], packed["Content-Encoding"]) == (None, "gzip")
    if method == "GET":
        assert len(body) == int(plain["Content-Length"]) and len(packed_body) == int(
            packed["Content-Length"]
        )
        assert gzip.decompress(packed_body) == body
    else:
        assert body == packed_body == b""
        assert plain["Content-Length"] == ask(server, path)[1]["Content-Length"]


def test_what_is_compressed_already_is_sent_as_it_is(server):
    status, headers, body = ask(server, "/folder/picture.png", Accept_Encoding="gzip")
    assert (status, body, headers["Content-Type"]) == (200, b"png", "image/png")
    assert headers["Content-Encoding"] is None and headers["Vary"] is None


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
@pytest.mark.parametrize(
    "path",
    [
        "/nothing.html",
        "/page.html/",
        "/%00",
        "/page.html%00",
        "/" + "a" * 5000 + ".html",
        "/" + "b/" * 3000,
        "/folder/",
        "/folder/nothing/",
        "/../serve.py",
        "/%2e%2e/serve.py",
    ],
)
def test_what_is_not_there_is_404_and_folders_are_not_listed(server, path, accepted, capfd):
    status, headers, body = ask(server, path, Accept_Encoding=accepted)
    assert status == 404 and b"picture.png" not in body
    assert "Traceback" not in capfd.readouterr().err


def test_a_folder_without_its_slash_leads_to_the_one_with_it(server):
    status, headers, _ = ask(server, "/folder")
    assert status == 301 and headers["Location"].endswith("/folder/")


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_a_file_that_the_browser_has_is_not_sent_again(server, accepted):
    modified = ask(server, "/page.html")[1]["Last-Modified"]
    status, headers, body = ask(
        server, "/page.html", Accept_Encoding=accepted, If_Modified_Since=modified
    )
    assert (status, body, headers["Vary"]) == (304, b"", "Accept-Encoding")
    for since, expected in (
        ("Mon, 01 Jan 1990 00:00:00 GMT", 200),
        ("Mon, 01 Jan 2190 00:00:00 GMT", 304),
        ("yesterday", 200),
    ):
        assert (
            ask(server, "/page.html", Accept_Encoding=accepted, If_Modified_Since=since)[0]
            == expected
        )


def test_a_file_that_changed_is_compressed_again(server, tmp_path):
    assert gzip.decompress(ask(server, "/page.html", Accept_Encoding="gzip")[2]) == PAGE
    (tmp_path / "page.html").write_bytes(b"another")
    os.utime(tmp_path / "page.html", (1, 1))
    assert gzip.decompress(ask(server, "/page.html", Accept_Encoding="gzip")[2]) == b"another"


@pytest.mark.parametrize(
    "accepted, takes",
    [
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0, gzip", True),
        ("gzip;q=much", False),
    ],
)
def test_what_a_browser_says_of_gzip_counts(accepted, takes):
    assert serve.takes_gzip(accepted) is takes


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_a_download_that_is_broken_off_is_no_error(server, accepted, capfd):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as reader:
        reader.sendall(f"GET /large.bin HTTP/1.0\r\nAccept-Encoding: {accepted}\r\n\r\n".encode())
        reader.recv(100)
        reader.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # closed by a reset, not politely
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as reader:
        reader.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # before it asked for anything
    time.sleep(0.3)
    assert ask(server, "/page.html")[0] == 200
    assert capfd.readouterr().err == ""
