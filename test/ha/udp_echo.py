"""Echoes datagrams: udp_echo.py ADDRESS PORT [LIFE]. A datagram is its session's name.

Says when a session is first seen, when its public endpoint changes, and when two sessions have had one endpoint (within LIFE seconds, if given).
"""

import socket
import sys
import time

known, owners = {}, {}
life = float(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
server.bind((sys.argv[1], int(sys.argv[2])))
while True:
    name, peer = server.recvfrom(64)
    if name not in known:
        print(f"seen {name!r}", flush=True)
    if known.setdefault(name, peer) != peer:
        print(f"changed {name!r}: {known[name]} to {peer}", flush=True)
        known[name] = peer
    now = time.monotonic()
    owner, seen = owners.get(peer, (name, now))
    # An endpoint serves another session in time, once its own is over.
    if owner != name and now - seen < life:
        print(f"shared {peer}: {owner!r} and {name!r}", flush=True)
    owners[peer] = (name, now)
    server.sendto(name, peer)
