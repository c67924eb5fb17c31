"""Opens UDP sessions and keeps them: udp_ask.py SOURCE ADDRESS PORT COUNT [PREFIX FIRST_PORT]. Prints `answered COUNT` once all are; on SIGUSR1 asks each again."""

import resource
import select
import signal
import socket
import sys
import time

prefix, first_port = (sys.argv[5], int(sys.argv[6])) if len(sys.argv) > 5 else ("", 0)
source, server, count = sys.argv[1], (sys.argv[2], int(sys.argv[3])), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
sockets = []
for _ in range(count):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((source, first_port + len(sockets) if first_port else 0))
    made.connect(server)
    sockets.append(made)
poller = select.epoll()
by_number = {made.fileno(): (made, f"{prefix}{i}".encode()) for i, made in enumerate(sockets)}
for number in by_number:
    poller.register(number, select.EPOLLIN)


def ask_all(word):
    waiting = set(by_number)
    while waiting:
        for i, number in enumerate(list(waiting)):
            by_number[number][0].send(by_number[number][1])
            if i % 200 == 199:
                collect(waiting, 0.002)
        end = time.monotonic() + 0.3
        while waiting and time.monotonic() < end:
            collect(waiting, 0.05)
    print(f"{word} {count}", flush=True)


def collect(waiting, seconds):
    for number, _ in poller.poll(seconds):
        made, name = by_number[number]
        try:
            while True:
                if made.recv(64) == name:
                    waiting.discard(number)
        except OSError:
            pass


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
ask_all("answered")
while True:
    signal.sigwait({signal.SIGUSR1})
    ask_all("answered again")
