"""Many sessions of a VPC's host with an echo outside, and what became of their public endpoints."""

import signal
from pathlib import Path

from pair import FAR_ADDRESS, HOST, eventually

PORT = 7007
HERE = Path(__file__).resolve().parent


class Sessions:
    def __init__(self, network, count, wait=True):
        self.network, self.count, self.others = network, count, []
        self.echo = network.outside.start("/usr/bin/python3", HERE / "udp_echo.py", FAR_ADDRESS, PORT)
        eventually("the echo listens", lambda: f"{FAR_ADDRESS}:{PORT}" in network.outside.run("ss -Hlun"))
        self.asker = network.red.start("/usr/bin/python3", HERE / "udp_ask.py", HOST, FAR_ADDRESS, PORT, count)
        if wait:
            self.wait_until_open()

    def wait_until_open(self):
        eventually("every session is answered", lambda: f"answered {self.count}" in self.asker.output(), seconds=40)

    def more(self, count):
        """Others ask the same echo, under names of their own; it is not waited for their answers."""
        self.others.append(self.network.red.start("/usr/bin/python3", HERE / "udp_ask.py", HOST, FAR_ADDRESS, PORT, count, "other-"))

    def ask_again(self):
        """Each session asks until it is answered."""
        before = self.asker.output().count("again")
        self.asker.send(signal.SIGUSR1)
        eventually("every session is answered again", lambda: self.asker.output().count("again") > before, seconds=40)

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
