"""The peer on slixmpp."""

import asyncio
import base64
import textwrap

import slixmpp
from slixmpp.xmlstream import ET

IBB = "http://jabber.org/protocol/ibb"


class Peer:
    def __init__(self, jid, password, ca_file, inbox, max_block=None):
        self.client = client = slixmpp.ClientXMPP(jid, password)
        client.ca_certs = ca_file
        client.register_plugin("xep_0047", {"auto_accept": True})
        if max_block:
            # Its own limit is 8192.
            client["xep_0047"].max_block_size = max_block
        client.register_plugin("xep_0065", {"auto_accept": True})
        client.add_event_handler("ibb_stream_start", self.on_start)
        client.add_event_handler("ibb_stream_data", self.on_data)
        client.add_event_handler("ibb_stream_end", self.on_end)
        self.new_inbox = inbox
        self.streams = asyncio.Queue()
        # It tells only one stream from others: there is one at a time.
        self.relayed, self.relayed_inbox = asyncio.Queue(), inbox()
        client.add_event_handler("socks5_stream", self.relayed.put_nowait)
        client.add_event_handler("socks5_data", self.relayed_inbox.add)
        client.add_event_handler("socks5_closed", lambda _: self.relayed_inbox.end())

    async def connect(self, host, port):
        online = asyncio.get_running_loop().create_future()
        self.client.add_event_handler("session_start", lambda _: online.set_result(None))
        self.client.add_event_handler("failed_all_auth", lambda _: online.set_exception(PermissionError()))
        self.client.connect(host, port)
        await online
        self.client.send_presence()
        return self.client.boundjid

    async def disconnect(self):
        await self.client.disconnect()

    def on_start(self, stream):
        stream.inbox = self.new_inbox()
        self.streams.put_nowait(stream)

    def on_data(self, stream):
        stream.inbox.add(stream.recv_queue.get_nowait())

    def on_end(self, stream):
        stream.inbox.end()

    def start(self, stream):
        self.stream, self.inbox = stream, stream.inbox
        return {"sid": stream.sid, "block": stream.block_size}

    async def accept(self):
        return self.start(await self.streams.get())

    async def open(self, to, block, mode):
        await self.client["xep_0047"].open_stream(slixmpp.JID(to), block_size=block, use_messages=mode == "message")
        return await self.accept()

    async def send(self, data):
        await self.stream.sendall(data)

    async def wrap(self, data):
        """In lines, as MIME and `base64` write it."""
        stream, size = self.stream, self.stream.block_size
        for start in range(0, len(data), size):
            text = base64.b64encode(data[start : start + size]).decode()
            stream.send_seq = (stream.send_seq + 1) % 65536
            element = ET.Element(f"{{{IBB}}}data", {"seq": str(stream.send_seq), "sid": stream.sid})
            element.text = "\n" + "\r\n".join(textwrap.wrap(text, 76)) + "\n"
            iq = self.client.make_iq_set(element, ito=stream.peer_jid)
            await iq.send()

    async def relay_accept(self):
        self.relay = await self.relayed.get()

    async def relay_offer(self, to):
        self.relay = await self.client["xep_0065"].handshake(slixmpp.JID(to))
        if not self.relay:
            raise ConnectionError("no stream")

    async def relay_send(self, data):
        await self.relay.write(data)
        self.relay.transport.close()

    async def relay_drain(self):
        return await self.relayed_inbox.take()

    async def close(self, data):
        await self.send(data)
        await self.stream.close()
