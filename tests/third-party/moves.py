"""A player (aiortc) whose port changes in the middle, as behind a NAT that has forgotten it: its checks go on without nominating
anything, since to itself nothing has changed. Reads a request as JSON; answers with how many pictures came before and after."""

import asyncio
import json
import re

from aiortc import RTCPeerConnection, RTCSessionDescription

from whip import REQUEST, http, publish


class Way(asyncio.DatagramProtocol):
    """One side of the NAT."""

    def __init__(self, take):
        self.take = take

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.take(data, address)


class Nat:
    """Takes the player's datagrams on one port, and sends them on to the server's from another, which can change."""

    async def start(self, server):
        self.server, self.player = server, None
        loop = asyncio.get_running_loop()
        self.inside, _ = await loop.create_datagram_endpoint(lambda: Way(self.go_out), local_addr=(server[0], 0))
        self.outside = None
        await self.move()
        return self.inside.get_extra_info("sockname")[1]

    async def move(self):
        former = self.outside
        loop = asyncio.get_running_loop()
        self.outside, _ = await loop.create_datagram_endpoint(lambda: Way(self.come_in), local_addr=(self.server[0], 0))
        if former:
            former.close()

    def go_out(self, data, address):
        self.player = address
        self.outside.sendto(data, self.server)

    def come_in(self, data, _):
        if self.player:
            self.inside.sendto(data, self.player)


async def main():
    base, room = REQUEST["url"], REQUEST["room"]
    publisher, _ = await publish(base, room, REQUEST["publisher"], [200, 40, 40])
    player = RTCPeerConnection()
    player.addTransceiver("video", direction="recvonly")
    count = 0

    async def look(track):
        nonlocal count
        while True:
            await track.recv()
            count += 1

    tasks = []
    player.on("track", lambda track: tasks.append(asyncio.ensure_future(look(track))))
    await player.setLocalDescription(await player.createOffer())
    url = f"{base}/whep/{room}?user={REQUEST['user']}"
    _, _, body = await asyncio.to_thread(http, "POST", url, REQUEST["player"], player.localDescription.sdp)
    found = re.search(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) ", body, re.I)
    nat = Nat()
    port = await nat.start((found[1], int(found[2])))
    lines = [line for line in body.splitlines() if not line.startswith("a=candidate:") or line == body[found.start() : body.index("\r\n", found.start())]]
    body = "\r\n".join(line.replace(f"{found[1]} {found[2]} ", f"{found[1]} {port} ") for line in lines) + "\r\n"
    await player.setRemoteDescription(RTCSessionDescription(body, "answer"))

    async def reach(wanted, seconds):
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while count < wanted and loop.time() < end:
            await asyncio.sleep(0.1)

    await reach(30, 20)
    before = count
    await nat.move()
    await asyncio.sleep(1)
    left = count
    # It shows nothing before it has 512 packets more, which takes long where the machine is busy.
    await reach(left + 30, 75)
    print(json.dumps({"before": before, "after": count - left, "state": player.connectionState}), flush=True)
    for task in tasks:
        task.cancel()
    await player.close()
    await publisher.close()


asyncio.run(main())
