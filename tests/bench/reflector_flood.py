"""What a peer loses at a reflector that a stranger floods in the peer's name: `python -m tests.bench.reflector_flood`.

Needs root, for the raw socket that spoofs. Three processes on this machine: the reflector, the flooder, and here the
peer, which sends 100 probes a second. `overflow` of the reflector is what its kernel dropped, by chance or by
its filter: where that is not 0, the machine cannot take the flood beside the flooder.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import struct
import sys
import time
from multiprocessing.connection import Connection

from probes.latency.reflector import Reflector
from probes.latency.stamp_packet import StampRequest, encode_request

PEER = "127.0.0.9"
SECONDS, PROBES_PER_S, BURST = 10.0, 100, 40


def reflect(pipe: Connection) -> None:
    async def answer() -> None:
        reflector = Reflector(0, bind=["127.0.0.1"], peers=lambda: ({PEER}, ()))
        pipe.send(reflector.port)
        running = asyncio.create_task(reflector.run())
        await asyncio.to_thread(pipe.recv)
        running.cancel()
        pipe.send((reflector.answered, dict(reflector.dropped)))

    asyncio.run(answer())


def flood(port: int, per_s: int) -> None:
    """Spoofed requests in the peer's name, from ever new ports."""
    request = encode_request(StampRequest(1, 2 << 32, 3, 6))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as forger:
        forger.bind((PEER, 0))
        time.sleep(0.5)  # the peer was there before
        started, sent = time.monotonic(), 0
        while (passed := time.monotonic() - started) < SECONDS + 1:
            for _ in range(BURST if sent < passed * per_s else 0):
                sent += 1
                header = struct.pack("!HHHH", 1024 + sent % 60_000, port, 8 + len(request), 0)
                forger.sendto(header + request, ("127.0.0.1", 0))
        print(f"flooded {sent / (time.monotonic() - started):,.0f}/s")


def main() -> None:
    per_s = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    ours, theirs = multiprocessing.Pipe()
    reflecting = multiprocessing.Process(target=reflect, args=(theirs,), daemon=True)
    reflecting.start()
    port = ours.recv()
    flooding = multiprocessing.Process(target=flood, args=(port, per_s), daemon=True)
    flooding.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((PEER, 0))
        sent, replies = _probe(peer, port)
    flooding.join()
    ours.send("stop")
    answered, dropped = ours.recv()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; answered {answered:,}, dropped {dropped}")
    print(f"the peer sent {sent}, lost {sent - replies}: {(sent - replies) / sent:.2%}")


def _probe(peer: socket.socket, port: int) -> tuple[int, int]:
    started, sent, replies = time.monotonic(), 0, 0
    peer.settimeout(0.001)
    while (passed := time.monotonic() - started) < SECONDS + 0.5:
        if passed < SECONDS and sent < passed * PROBES_PER_S:
            sent += 1
            peer.sendto(encode_request(StampRequest(sent, 2 << 32, 3, 5)), ("127.0.0.1", port))
        try:
            replies += peer.recvfrom(2048)[1][1] == port
        except TimeoutError:
            continue
    return sent, replies


if __name__ == "__main__":
    main()
