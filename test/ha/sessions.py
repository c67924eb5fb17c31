"""Many sessions of a VPC's host with an echo outside, and what became of their public endpoints."""

import signal
from pathlib import Path

from pair import FAR_ADDRESS, HOST, eventually

PORT = 7007
MOST_OTHERS = 8
HERE = Path(__file__).resolve().parent


class Sessions:
    def __init__(self, network, count, wait=True, life=None):
        self.network, self.count, self.others, self.rounds, self.last_prefix = network, count, [], 0, ""
        self.echo = network.outside.start("/usr/bin/python3", HERE / "udp_echo.py", FAR_ADDRESS, PORT, *([] if life is None else [life]))
        eventually("the echo listens", lambda: f"{FAR_ADDRESS}:{PORT}" in network.outside.run("ss -Hlun"))
        self.asker = network.red.start("/usr/bin/python3", HERE / "udp_ask.py", HOST, FAR_ADDRESS, PORT, count)
        if wait:
            self.wait_until_open()

    def wait_until_open(self):
        eventually("every session is answered", lambda: f"answered {self.count}" in self.asker.output(), seconds=40)

    def more(self, count):
        """Others ask the same echo, under names of their own; it is not waited for their answers. They end when many have come after them."""
        self.rounds += 1
        self.last_prefix = f"{self.rounds}-"
        # Ports that no asker before had, for a port of its own is what a session is known by inside. Below those that Linux gives out, above
        # the tunnel's own.
        first_port = 5024 + self.rounds * count % 27_000
        words = [HERE / "udp_ask.py", HOST, FAR_ADDRESS, PORT, count, self.last_prefix, first_port]
        self.others.append(self.network.red.start("/usr/bin/python3", *words))
        if len(self.others) > MOST_OTHERS:
            self.others.pop(0).kill()

    def ask_again(self):
        """Each session asks until it is answered, once its first question has been."""
        for asker in (self.asker, *self.others):
            eventually("every session is answered", lambda asker=asker: "answered" in asker.output(), seconds=40)
            before = asker.output().count("again")
            asker.send(signal.SIGUSR1)
            eventually("every session is answered again", lambda asker=asker, before=before: asker.output().count("again") > before, seconds=40)

    def seen(self):
        """Sessions whose first packet has come through."""
        return [line for line in self.echo.output().splitlines() if line.startswith("seen")]

    def changed(self):
        """Sessions whose public endpoint is another one than it was."""
        return [line for line in self.echo.output().splitlines() if line.startswith("changed")]

    def shared(self):
        """Public endpoints that two sessions have had: the harm that must never be."""
        return [line for line in self.echo.output().splitlines() if line.startswith("shared")]

    def close(self):
        self.echo.kill()
        for asker in (self.asker, *self.others):
            asker.kill()
