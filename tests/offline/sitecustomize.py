"""Cut a Python process off from the network: only this machine can be reached.

conftest.py runs this file in the test process and puts its folder on PYTHONPATH.
Python imports a module of this name when it starts, so every Python that a test
starts, the notebooks' kernels among them, is cut off too. Unix sockets and
localhost keep working; kernels talk over them.
"""

import ipaddress
import socket


class NetworkCutOff(OSError):
    """An OSError, as it would be without a network, so that code under test can handle it."""

    def __init__(self, where):
        super().__init__(f"the tests run with the network cut off: no connection to {where}")


def is_local(host):
    if not host or host == "localhost":
        return True
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a name, which would have to be looked up
        return host in ("localhost", "localhost.localdomain", socket.gethostname())
    return address.is_loopback or address.is_unspecified


def check(address):
    # ("host", port, ...) in the internet families; a path for a unix socket
    if isinstance(address, tuple) and not is_local(address[0]):
        raise NetworkCutOff(f"{address[0]}:{address[1]}")


def guard(method):
    original = getattr(socket.socket, method)

    def guarded(self, *args):
        # connect(address), connect_ex(address), sendto(data, [flags,] address)
        if self.family in (socket.AF_INET, socket.AF_INET6) and args:
            check(args[-1])
        return original(self, *args)

    setattr(socket.socket, method, guarded)


def cut_off():
    if getattr(socket, "cut_off_by_the_tests", False):
        return
    for method in ("connect", "connect_ex", "sendto"):
        guard(method)
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if not is_local(host):
            raise NetworkCutOff(host)
        return look_up(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
    socket.cut_off_by_the_tests = True


cut_off()
