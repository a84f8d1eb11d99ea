"""A third-party client at the other end of a bytestream, controlled line by line.

usage: peer.py slixmpp|aioxmpp HOST PORT CA_FILE JID PASSWORD_FILE [MAX_BLOCK]

Each line of standard input is a JSON object {"do": …}, each line of standard output its answer {"is": …}:

    accept              waits for a stream that the other end opens
    open TO BLOCK MODE  opens one ("iq" or "message")
    exchange SIZE       sends SIZE bytes and reads as many, at once
    send SIZE           sends SIZE bytes, and waits until the library says that they have gone
    take SIZE           reads SIZE bytes
    wrap SIZE           the same in iqs made by hand, whose base64 is broken into lines (slixmpp only)
    close SIZE          sends SIZE bytes and closes the stream
    drain               reads until the other end has closed
    relay-accept        waits for a SOCKS5 bytestream that the other end offers (slixmpp only, and so on)
    relay-offer TO      offers one, through a relay of the own server
    relay-send SIZE     sends SIZE bytes through it and closes it
    relay-drain         reads from it until the other end has closed

Answers name the SHA-256 of what was sent and of what was read. The first answer, "online", comes without a question.
"""

import asyncio
import hashlib
import json
import random
import sys
import time


class Inbox:
    """What a stream has received."""

    def __init__(self):
        self.bytes = bytearray()
        self.ended = False
        self.news = asyncio.Event()

    def add(self, data):
        self.bytes += data
        self.news.set()

    def end(self):
        self.ended = True
        self.news.set()

    async def take(self, size=None):
        """`size` bytes, or everything until the end."""
        while not self.ended if size is None else len(self.bytes) < size:
            if self.ended:
                raise EOFError(f"the stream ended after {len(self.bytes)} of {size} bytes")
            self.news.clear()
            await self.news.wait()
        size = len(self.bytes) if size is None else size
        taken = bytes(self.bytes[:size])
        del self.bytes[:size]
        return taken


def digest(data):
    return hashlib.sha256(data).hexdigest()


async def obey(peer, order, noise):
    what = order["do"]
    data = b"" if what == "take" else noise.randbytes(order.get("size", 0))
    if what == "accept":
        return {"is": "open", **await peer.accept()}
    if what == "open":
        return {"is": "open", **await peer.open(order["to"], order["block"], order["mode"])}
    if what == "exchange":
        _, read = await asyncio.gather(peer.send(data), peer.inbox.take(len(data)))
        return {"is": "exchanged", "sent": digest(data), "read": digest(read)}
    if what == "send":
        start = time.perf_counter()
        await peer.send(data)
        seconds = time.perf_counter() - start
        return {"is": "sent", "sent": digest(data), "seconds": seconds}
    if what == "take":
        return {"is": "taken", "read": digest(await peer.inbox.take(order["size"]))}
    if what == "wrap":
        await peer.wrap(data)
        return {"is": "sent", "sent": digest(data)}
    if what == "close":
        await peer.close(data)
        return {"is": "closed", "sent": digest(data)}
    if what == "drain":
        read = await peer.inbox.take()
        return {"is": "drained", "size": len(read), "read": digest(read)}
    if what == "relay-accept":
        await peer.relay_accept()
        return {"is": "open"}
    if what == "relay-offer":
        await peer.relay_offer(order["to"])
        return {"is": "open"}
    if what == "relay-send":
        await peer.relay_send(data)
        return {"is": "sent", "sent": digest(data)}
    if what == "relay-drain":
        read = await peer.relay_drain()
        return {"is": "drained", "size": len(read), "read": digest(read)}
    raise ValueError(f"no order {what}")


def say(answer):
    print(json.dumps(answer), flush=True)


async def main():
    library, host, port, ca_file, jid, password_file, *more = sys.argv[1:]
    if library == "slixmpp":
        from slix import Peer
    elif library == "aioxmpp":
        from aio import Peer
    else:
        raise SystemExit(__doc__)
    with open(password_file, encoding="utf-8") as file:
        password = file.read().strip()
    peer = Peer(jid, password, ca_file, Inbox, *map(int, more))
    own = await peer.connect(host, int(port))
    say({"is": "online", "jid": str(own)})

    orders = asyncio.StreamReader()
    reader = lambda: asyncio.StreamReaderProtocol(orders)
    await asyncio.get_running_loop().connect_read_pipe(reader, sys.stdin)
    noise = random.Random(jid)
    while line := await orders.readline():
        try:
            say(await obey(peer, json.loads(line), noise))
        except Exception as error:  # The test wants to know of any.
            say({"is": "failed", "why": f"{type(error).__name__}: {error}"})
    await peer.disconnect()


asyncio.run(main())
