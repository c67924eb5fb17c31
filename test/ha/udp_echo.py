"""Echoes datagrams: udp_echo.py ADDRESS PORT. A datagram is its session's name.

Says when a session is first seen, when a session's public endpoint changes, and when two sessions have had one endpoint.
"""

import socket
import sys

known, owners = {}, {}
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
    if owners.setdefault(peer, name) != name:
        print(f"shared {peer}: {owners[peer]!r} and {name!r}", flush=True)
    server.sendto(name, peer)
