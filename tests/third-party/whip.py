"""Another implementation of WebRTC (aiortc) publishes by WHIP and plays by WHEP; what it sent is recognised where it
arrives. Reads a request as JSON, answers with what it saw."""

import asyncio
import datetime
import fractions
import json
import sys
import urllib.request

import numpy
from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import AudioStreamTrack
from aiortc.rtcdtlstransport import RTCCertificate
from av import AudioFrame, VideoFrame
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

REQUEST = json.loads(sys.stdin.readline())


class Colour(VideoStreamTrack):
    """A picture of one colour, which can become another."""

    def __init__(self, rgb, height=240):
        super().__init__()
        self.rgb, self.height = rgb, height

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        image = numpy.full((self.height, self.height * 4 // 3, 3), self.rgb, dtype=numpy.uint8)
        frame = VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    """A tone of 440 Hz."""

    at = 0

    async def recv(self):
        samples = 960
        if self.at:
            await asyncio.sleep(0.02)
        times = (numpy.arange(samples) + self.at) / 48000
        wave = (numpy.sin(2 * numpy.pi * 440 * times) * 12000).astype(numpy.int16)
        frame = AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, self.at, fractions.Fraction(1, 48000)
        self.at += samples
        return frame


def http(method, url, token, body=None, **more):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp", **more}
    request = urllib.request.Request(url, method=method, data=body.encode() if body else None, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.status, dict(answer.headers), answer.read().decode()


async def agree(connection, url, token):
    """Offers, and takes the answer; returns where the session is, and the tag of its ICE."""
    await connection.setLocalDescription(await connection.createOffer())
    # urllib blocks, and the answer needs nothing of ours meanwhile.
    status, headers, body = await asyncio.to_thread(http, "POST", url, token, connection.localDescription.sdp)
    assert status == 201, status
    await connection.setRemoteDescription(RTCSessionDescription(body, "answer"))
    headers = {name.lower(): value for name, value in headers.items()}
    return headers["location"], headers["etag"]


def connect():
    """A connection; where the request names a relay, by way of that alone."""
    if "relay" not in REQUEST:
        return RTCPeerConnection()
    relay = RTCIceServer(**REQUEST["relay"])
    return RTCPeerConnection(RTCConfiguration([relay], iceTransportPolicy=RTCIceTransportPolicy.RELAY))


def rsa_certificate():
    """As GStreamer's webrtcbin makes it; browsers and aiortc by itself have ECDSA ones."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "encoder")])
    now = datetime.datetime.now(tz=datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    return RTCCertificate(key=key, cert=builder.sign(key, hashes.SHA256()))


async def publish(base, room, token, rgb):
    connection = connect()
    connection._RTCPeerConnection__certificates = [rsa_certificate()]
    # All publishers have the same names for their streams (SSRC), which are their own business.
    connection.addTrack(Tone())._ssrc = 1111
    connection.addTrack(Colour(rgb))._ssrc = 2222
    return connection, await agree(connection, f"{base}/whip/{room}", token)


async def play(base, room, token, user):
    """The colour in the middle of the 20th picture, and the strongest tone, in Hz."""
    connection = connect()
    connection.addTransceiver("audio", direction="recvonly")
    connection.addTransceiver("video", direction="recvonly")
    seen = asyncio.get_running_loop().create_future()
    heard = asyncio.get_running_loop().create_future()

    async def look(track):
        for _ in range(20):
            frame = await track.recv()
        image = frame.to_ndarray(format="rgb24")
        seen.set_result(image[image.shape[0] // 2, image.shape[1] // 2].tolist())
        while True:
            await track.recv()

    async def listen(track):
        for _ in range(50):
            frame = await track.recv()
        samples = frame.to_ndarray().reshape(-1, 2 if frame.layout.name == "stereo" else 1)[:, 0]
        spectrum = numpy.abs(numpy.fft.rfft(samples, 48000))
        heard.set_result(int(spectrum.argmax()))
        while True:
            await track.recv()

    tasks = []
    connection.on("track", lambda track: tasks.append(
        asyncio.ensure_future(look(track) if track.kind == "video" else listen(track))))
    where, _ = await agree(connection, f"{base}/whep/{room}?user={user}", token)
    result = await asyncio.wait_for(asyncio.gather(seen, heard), 30)
    for task in tasks:
        task.cancel()
    return connection, where, result


async def main():
    base, room = REQUEST["url"], REQUEST["room"]
    publisher, (published_at, tag) = await publish(base, room, REQUEST["publisher"], REQUEST["colour"])
    other, other_at = await publish(base, room, REQUEST["other"], REQUEST["other_colour"])
    second, second_at, (other_colour, _) = await play(base, room, REQUEST["player"], REQUEST["other_user"])
    await asyncio.to_thread(http, "DELETE", base + second_at, REQUEST["player"])
    await second.close()
    player, played_at, (colour, tone) = await play(base, room, REQUEST["player"], REQUEST["user"])
    print(json.dumps({"colour": colour, "other_colour": other_colour, "tone": tone}), flush=True)
    # Whoever started this looks around meanwhile.
    await asyncio.to_thread(sys.stdin.readline)
    trickle = {"If-Match": tag, "Content-Type": "application/trickle-ice-sdpfrag"}
    patched = lambda: http("PATCH", base + published_at, REQUEST["publisher"], "a=end-of-candidates", **trickle)
    statuses = [
        (await asyncio.to_thread(patched))[0],
        (await asyncio.to_thread(http, "DELETE", base + played_at, REQUEST["player"]))[0],
        (await asyncio.to_thread(http, "DELETE", base + published_at, REQUEST["publisher"]))[0],
        (await asyncio.to_thread(http, "DELETE", base + other_at[0], REQUEST["other"]))[0],
    ]
    print(json.dumps({"statuses": statuses}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await publisher.close()
    await other.close()
    await player.close()


if __name__ == "__main__":
    asyncio.run(main())
