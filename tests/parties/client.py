"""A third-party client at our server's end, on this machine and without TLS.

usage: client.py slixmpp|aioxmpp HOST PORT JID PASSWORD

Says {"is": "online", "jid": …} when it is logged in, or {"is": "refused"}; then {"is": "message", "from": …, "body": …} for each
message. Each line of standard input is a JSON object {"to": …, "body": …}, which it sends; at the end of the lines it logs out.
"""

import asyncio
import json
import sys


def say(**answer):
    print(json.dumps(answer), flush=True)


class Slixmpp:
    def __init__(self, jid, password):
        import slixmpp

        # It shows nobody a password without TLS unless it is told to.
        options = {"feature_mechanisms": {"unencrypted_plain": True}}
        self.client = client = slixmpp.ClientXMPP(jid, password, plugin_config=options)
        client.enable_starttls = client.enable_direct_tls = False
        client.enable_plaintext = True
        client.register_plugin("xep_0198")
        client.add_event_handler("message", lambda message: say(**{"is": "message"}, **self.read(message)))

    @staticmethod
    def read(message):
        return {"from": str(message["from"]), "body": message["body"]}

    async def connect(self, host, port):
        online = asyncio.get_running_loop().create_future()
        self.client.add_event_handler("session_start", lambda _: online.set_result(None))
        self.client.add_event_handler("failed_all_auth", lambda _: online.set_exception(PermissionError()))
        self.client.connect(host, port)
        await online
        self.client.send_presence()
        return self.client.boundjid

    def send(self, to, body):
        self.client.send_message(mto=to, mbody=body, mtype="chat")

    async def disconnect(self):
        await self.client.disconnect()


class Aioxmpp:
    def __init__(self, jid, password):
        import aioxmpp
        import aioxmpp.dispatcher
        import aioxmpp.security_layer

        self.aioxmpp = aioxmpp

        class Plain(aioxmpp.security_layer.PasswordSASLProvider):
            async def execute(self, client_jid, features, xmlstream, tls_transport):
                # It shows nobody a password without TLS.
                return await super().execute(client_jid, features, xmlstream, tls_transport or object())

        async def tell_password(jid, attempt):
            return password if attempt == 0 else None

        layer = aioxmpp.security_layer
        security = layer.SecurityLayer(None, layer.ErrorRecordingVerifier, False, (Plain(tell_password),))
        self.jid, self.security = aioxmpp.JID.fromstr(jid), security

    async def connect(self, host, port):
        import aiosasl
        from aioxmpp.connector import STARTTLSConnector

        aioxmpp = self.aioxmpp

        way = [(host, port, STARTTLSConnector())]
        self.client = aioxmpp.PresenceManagedClient(self.jid, self.security, override_peer=way)
        dispatcher = self.client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        dispatcher.register_callback(aioxmpp.MessageType.CHAT, None, self.on_message)
        self.connected = self.client.connected()
        try:
            await self.connected.__aenter__()
        except aiosasl.AuthenticationFailure as error:
            raise PermissionError() from error
        return self.client.local_jid

    def on_message(self, message):
        say(**{"is": "message", "from": str(message.from_), "body": message.body.any()})

    def send(self, to, body):
        message = self.aioxmpp.Message(to=self.aioxmpp.JID.fromstr(to), type_=self.aioxmpp.MessageType.CHAT)
        message.body[None] = body
        self.client.enqueue(message)

    async def disconnect(self):
        await self.connected.__aexit__(None, None, None)


async def main():
    library, host, port, jid, password = sys.argv[1:]
    client = {"slixmpp": Slixmpp, "aioxmpp": Aioxmpp}[library](jid, password)
    try:
        say(**{"is": "online", "jid": str(await client.connect(host, int(port)))})
    except PermissionError:
        return say(**{"is": "refused"})
    orders = asyncio.StreamReader()
    reader = lambda: asyncio.StreamReaderProtocol(orders)
    await asyncio.get_running_loop().connect_read_pipe(reader, sys.stdin)
    while line := await orders.readline():
        client.send(**json.loads(line))
    await client.disconnect()


asyncio.run(main())
