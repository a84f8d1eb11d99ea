"""The peer on aioxmpp."""

import asyncio

import aioxmpp
import aioxmpp.ibb
import aioxmpp.security_layer
import OpenSSL.SSL
from aioxmpp.connector import STARTTLSConnector


class Stream(asyncio.Protocol):
    def __init__(self, inbox):
        self.inbox = inbox
        self.room = asyncio.Event()
        self.room.set()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        self.inbox.end()

    def data_received(self, data):
        self.inbox.add(data)

    def pause_writing(self):
        self.room.clear()

    def resume_writing(self):
        self.room.set()


class ChainVerifier(aioxmpp.security_layer.CertificateVerifier):
    """The certificate leads to the given authority, which has certified one server only. aioxmpp's own verifier
    reads the name with a function that pyOpenSSL no longer has."""

    async def pre_handshake(self, domain, host, port, metadata):
        pass

    def verify_callback(self, connection, certificate, error, depth, verified):
        return verified

    async def post_handshake(self, transport):
        pass


class Peer:
    def __init__(self, jid, password, ca_file, inbox):
        def context():
            made = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
            made.load_verify_locations(ca_file)
            return made

        async def tell_password(jid, attempt):
            return password if attempt == 0 else None

        login = aioxmpp.security_layer.PasswordSASLProvider(tell_password)
        self.security = aioxmpp.security_layer.SecurityLayer(context, ChainVerifier, True, (login,))
        self.jid, self.new_inbox = jid, inbox

    async def connect(self, host, port):
        self.client = aioxmpp.PresenceManagedClient(
            aioxmpp.JID.fromstr(self.jid),
            self.security,
            override_peer=[(host, port, STARTTLSConnector())],
        )
        self.ibb = self.client.summon(aioxmpp.ibb.IBBService)
        self.ibb.session_limit = 64
        self.ibb.default_protocol_factory = self.new_stream
        self.streams = asyncio.Queue()
        self.ibb.on_session_accepted.connect(self.streams.put_nowait)
        self.connected = self.client.connected()
        await self.connected.__aenter__()
        return self.client.local_jid

    async def disconnect(self):
        await self.connected.__aexit__(None, None, None)

    def new_stream(self):
        return Stream(self.new_inbox())

    def start(self, session):
        self.transport, self.stream = session
        self.inbox = self.stream.inbox
        info = self.transport.get_extra_info
        return {"sid": info("sid"), "block": info("block_size")}

    async def accept(self):
        return self.start(await self.streams.get())

    async def open(self, to, block, mode):
        session = await self.ibb.open_session(
            self.new_stream,
            aioxmpp.JID.fromstr(to),
            stanza_type=aioxmpp.ibb.IBBStanzaType(mode),
            block_size=block,
        )
        return self.start(session)

    async def send(self, data):
        """Hands it to the library, which doesn't report when it has been sent."""
        view = memoryview(data)
        for start in range(0, len(view), 65536):
            await self.stream.room.wait()
            self.transport.write(bytes(view[start : start + 65536]))

    async def close(self, data):
        await self.send(data)
        self.transport.close()
        await self.inbox.take()
