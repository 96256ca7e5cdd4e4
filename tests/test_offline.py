"""The tests run with the network cut off. These show that they do."""

import socket
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

# 192.0.2.0/24 is reserved for documentation: nobody has such an address.
ELSEWHERE = "192.0.2.1"


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection((ELSEWHERE, 80), timeout=2),
        lambda: socket.socket().connect((ELSEWHERE, 80)),
        lambda: socket.socket().connect_ex((ELSEWHERE, 80)),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (ELSEWHERE, 53)),
        lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80, 0, 0)),
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: urllib.request.urlopen("http://example.org", timeout=2),
    ],
    ids=["create_connection", "connect", "connect_ex", "sendto", "IPv6", "getaddrinfo", "urlopen"],
)
def test_another_host_is_out_of_reach(reach):
    with pytest.raises(OSError, match="network cut off: no connection to"):
        reach()


def test_a_child_process_is_cut_off_too():
    code = f"import socket; socket.create_connection(({ELSEWHERE!r}, 80), timeout=2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"network cut off: no connection to {ELSEWHERE}" in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_localhost_works(host):
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert (
            urllib.request.urlopen(f"http://{host}:{server.server_port}/", timeout=10).read()
            == b"hello"
        )


def test_localhost_works_in_a_child_process():
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        " socket.create_connection(s.getsockname())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets on this system")
def test_unix_sockets_work():
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"hello")
        assert right.recv(5) == b"hello"


def test_a_notebook_is_cut_off_and_has_one_thread():
    code = (
        "import os,"
        f" socket\nprint(os.environ['OMP_NUM_THREADS'])\nsocket.create_connection(({ELSEWHERE!r},"
        " 80), timeout=2)"
    )
    notebook = new_notebook(cells=[new_code_cell(code)])
    with pytest.raises(CellExecutionError, match="network cut off"):
        NotebookClient(notebook, timeout=60).execute()
    assert notebook.cells[0].outputs[0].text == "1\n"
