"""Encoders that name their streams otherwise than browsers do (aiortc, its offers and packets changed on their way): layers by any
name, streams without a name, streams that begin anew. Reads a request as JSON, answers with what came of it."""

import asyncio
import json
import sys

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket, is_rtcp

from whip import REQUEST, Colour, http

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"


def sections(sdp):
    """A description's session, and its m-lines."""
    head, *lines = sdp.split("\r\nm=")
    return head + "\r\n", ["m=" + line.removesuffix("\r\n") + "\r\n" for line in lines]


def without(section, *beginnings):
    return "".join(line + "\r\n" for line in section.split("\r\n") if line and not line.startswith(beginnings))


def unnamed(section):
    """An m-line whose packets say of themselves only what they hold."""
    kept = without(section, "a=ssrc:", "a=ssrc-group:", "a=msid:")
    return "".join(line + "\r\n" for line in kept.split("\r\n") if line and MID not in line)


async def take_twice(connection, answer):
    """Both of its streams are answered as the first one: of several m-lines aiortc looks for candidates at the last one only."""
    head, (line, *_) = sections(answer)
    plain = without(line, "a=rid:", "a=simulcast:")
    head = without(head, "a=group:") + "a=group:BUNDLE 0 1\r\n"
    await connection.setRemoteDescription(RTCSessionDescription(head + plain + plain.replace("a=mid:0", "a=mid:1"), "answer"))


def change_packets(sender, change, *extensions):
    """Each RTP packet on the sender's transport goes through `change`, and has these extensions then."""
    transport, ids = sender.transport, HeaderExtensionsMap()
    ids.configure(RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(id=id, uri=uri) for id, uri in extensions]))
    send = transport._send_rtp

    async def changed(data):
        if is_rtcp(data):
            return await send(data)
        packet = RtpPacket.parse(data, HeaderExtensionsMap())
        change(packet)
        return await send(packet.serialize(ids))

    transport._send_rtp = changed


async def offer(*tracks):
    connection = RTCPeerConnection()
    senders = [connection.addTrack(track) for track in tracks]
    await connection.setLocalDescription(await connection.createOffer())
    return connection, senders, *sections(connection.localDescription.sdp)


async def post(path, token, sdp):
    _, _, body = await asyncio.to_thread(http, "POST", REQUEST["url"] + path, token, sdp)
    return body


async def layers():
    """Two layers of one stream, by names that browsers would not take: underscores, and more letters than eight."""
    names = REQUEST["names"]
    connection, senders, head, lines = await offer(*(Colour([200, 40, 40], height) for height in REQUEST["heights"]))
    rids = "".join(f"a=rid:{name} send\r\n" for name in names)
    # The numbers of extensions that aiortc does not have itself.
    line = f"{without(lines[0], 'a=ssrc', 'a=msid:')}a=extmap:10 {RID}\r\n{rids}a=simulcast:send {';'.join(names)}\r\n"
    answer = await post("/whip/" + REQUEST["room"], REQUEST["publisher"], head.replace("BUNDLE 0 1", "BUNDLE 0") + line)
    await take_twice(connection, answer)
    rid_of = {sender._ssrc: name for sender, name in zip(senders, names)}

    def name(packet):
        packet.extensions.mid, packet.extensions.rtp_stream_id = "0", rid_of[packet.ssrc]

    # They share a transport.
    change_packets(senders[0], name, (1, MID), (10, RID))
    print(json.dumps({"answer": answer}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await connection.close()


async def renewed():
    """A stream by its payload type alone, which begins anew under another SSRC, as an encoder's does that was started again."""
    track = Colour([200, 40, 40], 120)
    connection, (sender,), head, (line,) = await offer(track)
    answer = await post("/whip/" + REQUEST["room"], REQUEST["publisher"], head + unnamed(line))
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    far = 0

    def begin_anew(packet):
        packet.sequence_number = (packet.sequence_number + far) % 2**16
        packet.timestamp = (packet.timestamp + far * 90_000) % 2**32

    change_packets(sender, begin_anew)
    player = RTCPeerConnection()
    player.addTransceiver("video", direction="recvonly")
    latest = None

    async def look(track):
        nonlocal latest
        while True:
            image = (await track.recv()).to_ndarray(format="rgb24")
            latest = image[image.shape[0] // 2, image.shape[1] // 2].tolist()

    tasks = []
    player.on("track", lambda track: tasks.append(asyncio.ensure_future(look(track))))
    await player.setLocalDescription(await player.createOffer())
    answer = await post(f"/whep/{REQUEST['room']}?user={REQUEST['user']}", REQUEST["player"], player.localDescription.sdp)
    await player.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    seen = []
    for rgb, ssrc in [([200, 40, 40], 3333), ([40, 60, 200], 4444), ([30, 160, 30], 0)]:
        track.rgb = rgb
        for _ in range(200):
            if latest and max(abs(one - other) for one, other in zip(latest, rgb)) < 48:
                break
            await asyncio.sleep(0.1)
        seen.append(latest)
        far += 20_000
        sender._ssrc = ssrc
        sender.transport._rtp_router.register_sender(sender, ssrc=ssrc)
    print(json.dumps({"seen": seen}), flush=True)
    for task in tasks:
        task.cancel()
    await player.close()
    await connection.close()


async def ambiguous():
    """Two pictures whose packets say nothing by which one could be told from the other."""
    connection, _, head, lines = await offer(Colour([200, 40, 40], 120), Colour([40, 60, 200], 120))
    answer = await post("/whip/" + REQUEST["room"], REQUEST["publisher"], head + "".join(map(unnamed, lines)))
    await take_twice(connection, answer)
    print(json.dumps({"answer": answer}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await connection.close()


asyncio.run({"layers": layers, "renewed": renewed, "ambiguous": ambiguous}[REQUEST["do"]]())
