"""A connection to PostgreSQL that fails at the worst moment: while a transaction commits.

The proxy passes everything on, reads along what clients send, and knows a COMMIT when it goes by, as a simple query or as a
statement that is prepared. What it then does to that connection is told by `plan`, called once for each COMMIT: one of HARMS or None.
"""

import random
import socket
import struct
import threading
import time

HARMS = {
    "lost": "the server never sees the COMMIT, and loses its client",
    "unanswered": "the server has committed; its answer is lost with the connection",
    "abandoned": "the COMMIT is on its way when both ends are cut",
    "late": "the client is cut; the server gets the COMMIT `delay_s` later",
    "answer held": "the answer comes `delay_s` late",
    "commit held": "the COMMIT reaches the server `delay_s` late; the client waits",
}

_NO_TYPE = {80877103, 80877104, 80877102}  # requests for TLS, GSS encryption, cancellation: not followed by typed messages


class _Reader:
    """Splits what a client sends into messages."""

    def __init__(self):
        self.buffer = b""
        self.started = False

    def feed(self, data):
        """The messages that are whole now."""
        buffer, at = self.buffer + data, 0
        while True:
            head = 1 if self.started else 0
            if len(buffer) < at + head + 4:
                break
            size = head + struct.unpack_from("!I", buffer, at + head)[0]
            if len(buffer) < at + size:
                break
            message = buffer[at:at + size]
            at += size
            if not self.started and (size < 8 or struct.unpack_from("!I", message, 4)[0] not in _NO_TYPE):
                self.started = True
            yield message
        self.buffer = buffer[at:]


def _is_commit(message):
    kind, body = message[:1], message[5:]
    if kind == b"Q":
        return body.rstrip(b"\0; ").upper() == b"COMMIT"
    if kind == b"P":
        return body.split(b"\0")[1].rstrip(b"; ").upper() == b"COMMIT"
    return False


class CommitProxy:
    """Listens on `port`. `plan` is called by several threads; its answers are counted in `done`."""

    def __init__(self, server_port, plan, delay_s=2.0):
        self.server_port, self.plan, self.delay_s = server_port, plan, delay_s
        self.commits = 0
        self.done = dict.fromkeys(HARMS, 0)
        self.lock = threading.Lock()
        self.sockets = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.lock:
            sockets, self.sockets = list(self.sockets), None
        _close(self.listener)
        for one in sockets:
            _close(one)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                if self.listener.fileno() < 0:
                    return
                _close(client)  # the server is away
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                if self.sockets is None:
                    _close(client)
                    _close(server)
                    return
                self.sockets |= {client, server}
            _Connection(self, client, server).start()

    def forget(self, *sockets):
        with self.lock:
            if self.sockets is not None:
                self.sockets -= set(sockets)


class _Connection:
    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.harm = None
        self.mute = threading.Event()  # the next answer is not passed on

    def start(self):
        threading.Thread(target=self._requests, daemon=True).start()
        threading.Thread(target=self._answers, daemon=True).start()

    def _answers(self):
        try:
            while True:
                data = self.server.recv(65536)
                if not data:
                    break
                if self.mute.is_set():
                    if self.harm == "answer held":
                        time.sleep(self.proxy.delay_s)
                        self.mute.clear()
                    else:
                        break  # it has answered: that was all we waited for
                self.client.sendall(data)
        except OSError:
            pass
        self._end()

    def _requests(self):
        reader = _Reader()
        try:
            while True:
                data = self.client.recv(65536)
                if not data:
                    break
                for message in reader.feed(data):
                    if not _is_commit(message) or not self._harm():
                        self.server.sendall(message)
                        continue
                    self.server.sendall(message)
                    if self.harm == "abandoned":
                        raise OSError()
                    return  # _answers ends the connection when the server has answered
        except OSError:
            pass
        self._end()

    def _harm(self):
        """True: the COMMIT is the last that this connection sends. An OSError ends it at once."""
        with self.proxy.lock:
            self.proxy.commits += 1
            self.harm = self.proxy.plan()
            if self.harm is None:
                return False
            self.proxy.done[self.harm] += 1
        if self.harm == "lost":
            raise OSError()
        if self.harm == "commit held":
            time.sleep(self.proxy.delay_s)
            return False
        self.mute.set()
        if self.harm == "late":
            _close(self.client)
            time.sleep(self.proxy.delay_s)
        return self.harm != "answer held"

    def _end(self):
        self.proxy.forget(self.client, self.server)
        _close(self.client)
        _close(self.server)


def _close(one):
    """In order, or with a reset: a client may meet either."""
    try:
        if random.random() < 0.5:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()
