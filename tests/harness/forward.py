"""An address that stays while the server behind it changes: what a virtual address or a proxy is in production."""

import socket
import threading


class Forward:
    """Forwards TCP connections on `port` to a server's port, which can be changed; then all connections are cut."""

    def __init__(self, to):
        self.to = to
        self.lock = threading.Lock()
        self.sockets = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.sockets |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one, other):
        try:
            while True:
                data = one.recv(1 << 16)
                if not data:
                    break
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            with self.lock:
                self.sockets.discard(end)
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def move(self, to):
        self.to = to
        with self.lock:
            sockets = list(self.sockets)
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        self.move(self.to)
