"""Runs Debian's dpdk-testpmd over softflow ports whose wires are captures.

The ports are 0 and 2: each wire is an ethdev too and has the number after its port's.
"""

import pathlib
import re
import shutil
import subprocess
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DRIVER = REPOSITORY / "build" / "native" / "librte_net_softflow.so"
MAX_LINE = 512  # testpmd reads no longer command


class Testpmd:
    """Two softflow ports; their wires replay `received[i]` and write what is sent."""

    __test__ = False  # no test class, whatever its name

    def __init__(self, folder, received, arguments=("", ""), extra=()):
        from scapy.utils import wrpcap

        self.folder = pathlib.Path(folder)
        self.outputs = []
        # Line by line, and errors in their place: otherwise answers do not stand behind their commands.
        self.command = [
            "stdbuf", "-oL", shutil.which("dpdk-testpmd") or "dpdk-testpmd",
            "-l", "0,1", "--no-huge", "-m", "256", "--no-pci", "--no-shconf", "--no-telemetry",
            "-d", str(DRIVER),
        ]
        for index, packets in enumerate(received):
            source = self.folder / f"in{index}.pcap"
            sink = self.folder / f"out{index}.pcap"
            wrpcap(str(source), packets, linktype=1)
            self.outputs.append(sink)
            wire = f"net_pcap{index}:rx_pcap=[{source}]:tx_pcap=[{sink}]"
            self.command += ["--vdev", f"net_softflow{index},wire={wire}{arguments[index]}"]
        self.command += ["--", "-i", "--total-num-mbufs=4096", "--no-flush-rx", *extra]

    def run(self, commands, seconds=60):
        """Types the commands and returns what testpmd said.

        A number is a pause in seconds, a pair a command and what it has to answer: it is typed again until it does.
        """
        transcript = self.folder / "testpmd.log"
        with open(transcript, "w", encoding="utf-8") as log:
            process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True)
            for command in [*commands, "quit"]:
                if isinstance(command, str):
                    self._type(process, command)
                elif isinstance(command, tuple):
                    self._until(process, transcript, *command)
                else:
                    self._settle(transcript, seconds)
                    time.sleep(command)
            process.stdin.close()
            try:
                code = process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
        output = transcript.read_text(encoding="utf-8", errors="replace")
        assert code == 0, output
        return output

    def _type(self, process, command):
        assert len(command) <= MAX_LINE, command
        process.stdin.write(command + "\n")
        process.stdin.flush()

    def _until(self, process, transcript, command, wanted, seconds=20):
        """Gives up silently: what is then missing is the test's to say."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            said = transcript.read_text(encoding="utf-8", errors="replace")
            if any(asked == command and wanted in answer for asked, answer in answers(said)):
                return
            self._type(process, command)
            time.sleep(0.2)

    def _settle(self, transcript, seconds):
        """Waits until testpmd has started and read what was typed: a pause before that would be none."""
        deadline = time.monotonic() + seconds
        while "testpmd> start" not in transcript.read_text(encoding="utf-8", errors="replace"):
            assert time.monotonic() < deadline, transcript.read_text(encoding="utf-8", errors="replace")
            time.sleep(0.05)

    def sent(self, port):
        from scapy.utils import rdpcap

        return rdpcap(str(self.outputs[port]))


# Lets every packet of a short capture through: testpmd polls in a loop while it forwards.
FORWARD = ["start", 0.3, "stop"]


def answers(output):
    """What testpmd said to each command, in order: (command, text)."""
    parts = re.split(r"^testpmd> (.*)$", output, flags=re.MULTILINE)
    return [(parts[i], parts[i + 1]) for i in range(1, len(parts) - 1, 2)]
