"""A TLS peer on OpenSSL, through ssl.MemoryBIO, on the socket that is its standard input.

    openssl.py ROLE CERTIFICATE KEY ALPN MODE OTHER

ROLE, ALPN and MODE as in gnutls.c, without `update`; the mode `old` speaks TLS 1.2 at most, and `p256` offers that group alone.
OTHER is the other end's certificate: OpenSSL verifies it as its own trust anchor.
Everything it finds goes to standard error, one `name value` a line.
"""

import hashlib
import socket
import ssl
import sys


def tell(name, value):
    print(name, value, file=sys.stderr, flush=True)


class Peer:
    def __init__(self, role, certificate, key, alpn, mode, other):
        server = role == "server"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cafile=other)
        if mode != "bare":
            context.load_cert_chain(certificate, key)
        if mode == "old":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        if mode == "p256":
            context.set_ecdh_curve("prime256v1")
        context.set_alpn_protocols([alpn])
        self.wire = socket.socket(fileno=0)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server)

    def flush(self):
        while self.outgoing.pending:
            self.wire.sendall(self.outgoing.read())

    def drive(self, step):
        """Does `step`, moving bytes for as long as it requests some."""
        while True:
            try:
                result = step()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                received = self.wire.recv(65536)
                if received:
                    self.incoming.write(received)
                else:
                    self.incoming.write_eof()

    def send(self, data):
        rest = memoryview(data)
        while rest:
            rest = rest[self.drive(lambda: self.tls.write(rest)):]

    def read(self):
        """The next bytes; empty at close_notify, None if the wire was cut."""
        try:
            return self.drive(lambda: self.tls.read(16384))
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLEOFError:
            return None

    def close(self):
        """Sends close_notify, without waiting for the other one."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def report(self):
        tell("version", self.tls.version())
        certificate = self.tls.getpeercert(True)
        tell("certificate", hashlib.sha256(certificate).hexdigest())
        tell("alpn", self.tls.selected_alpn_protocol())
        tell("reused", int(self.tls.session_reused))

    def converse(self, mode):
        if mode == "first":
            self.send(b"first")
            self.close()
        total = 0
        while True:
            data = self.read()
            if data is None:
                tell("end", "cut")
                return
            if not data:
                break
            total += len(data)
            if mode != "first":
                self.send(data)
            if mode == "cut":
                return
        tell("end", "clean")
        tell("read", total)
        tell("ticket", int(self.tls.session.has_ticket))
        if mode != "first":
            self.send(b"bye")
            self.close()


def main():
    mode = sys.argv[5]
    peer = Peer(*sys.argv[1:])
    try:
        peer.drive(peer.tls.do_handshake)
        peer.report()
        peer.converse(mode)
    except ssl.SSLError as error:
        tell("failed", error.reason or error.strerror)
        peer.flush()
        sys.exit(1)


main()
