"""Network namespaces, links, sockets and processes of a live test, all removed again whatever happens.

A namespace's name starts with `slc-PID-`, so that runs beside each other do not meet and what a killed run left is known for what it
is: the next run sweeps it. Processes die with the run (PR_SET_PDEATHSIG), and only those started here are ever signalled.
"""

import atexit
import ctypes
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

NAMESPACES = Path("/run/netns")
PREFIX = "slc"
COMMAND_SECONDS = 20
CLONE_NEWNET = 0x40000000  # linux/sched.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h

libc = ctypes.CDLL(None, use_errno=True)


class Failed(AssertionError):
    """A command of the test's own surroundings went wrong, or something awaited did not come."""


def run(*command, seconds=COMMAND_SECONDS):
    """Runs a command to its end and returns what it printed. @raises Failed"""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def eventually(what, probe, seconds=5, pause=0.02):
    """Waits until `probe` returns something true, and returns it. An exception of the last try is part of the message."""
    end = time.monotonic() + seconds
    while True:
        last = None
        try:
            result = probe()
            if result:
                return result
        except (OSError, Failed) as error:
            last = error
        if time.monotonic() >= end:
            raise Failed(f"not within {seconds} s: {what}" + (f" ({last})" if last else ""))
        time.sleep(pause)


def missing_here():
    """Why this machine cannot run live tests, or None. Whatever else is wrong must fail, not skip."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"{PREFIX}-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if made.returncode != 0:
        return f"no network namespaces: {made.stderr.strip()}"
    try:
        for kind in (["v0", "type", "veth", "peer", "name", "v1"], ["b0", "type", "bridge"], ["x0", "type", "vxlan", "id", "1", "dstport", "4789", "local", "192.0.2.1"]):
            made = subprocess.run(["ip", "-n", name, "link", "add", *kind], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
            if made.returncode != 0:
                return f"the kernel makes no {kind[2]} device: {made.stderr.strip()}"
    finally:
        run("ip", "netns", "del", name)
    return None


def inside(namespace_path, function):
    """Runs a function on a thread that has entered a network namespace; sockets made there stay there."""
    outcome = []

    def enter():
        try:
            with open(namespace_path, "rb") as handle:
                if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns", str(namespace_path))
            outcome.append((function(), None))
        except BaseException as error:  # pylint: disable=broad-except
            outcome.append((None, error))

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    thread.join(COMMAND_SECONDS)
    if not outcome:
        raise Failed(f"no answer from inside {namespace_path}")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


class Process:
    """A program running in a namespace; its output goes to files, so that no pipe ever fills."""

    def __init__(self, command, stdout, stderr):
        self.command = [str(word) for word in command]
        self.stdout, self.stderr = Path(stdout), Path(stderr)
        with open(self.stdout, "wb") as out, open(self.stderr, "wb") as err:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, preexec_fn=die_with_parent)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def running(self):
        return self.popen.poll() is None

    def output(self):
        return self.stdout.read_text(errors="replace")

    def errors(self):
        return self.stderr.read_text(errors="replace")

    def send(self, number):
        self.popen.send_signal(number)

    def wait(self, seconds):
        """The exit status, as Popen gives it: negative for a signal. @raises Failed when it still runs."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"still runs after {seconds} s: {' '.join(self.command)}") from None

    def kill(self):
        if self.running:
            self.popen.kill()
        self.popen.wait(COMMAND_SECONDS)

    def end(self, number=signal.SIGTERM, seconds=5):
        """Asks it to end and waits; kills it when it does not. @returns the exit status"""
        if self.running:
            self.send(number)
        try:
            return self.wait(seconds)
        finally:
            self.kill()


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Namespace:
    """A network namespace of a lab."""

    def __init__(self, lab, name):
        self.lab, self.short_name = lab, name
        self.name = f"{PREFIX}-{os.getpid()}-{name}"
        self.path = NAMESPACES / self.name

    def ip(self, *arguments):
        """`ip` in here; one string is split at blanks."""
        return run("ip", "-n", self.name, *words(arguments))

    def run(self, *arguments, seconds=COMMAND_SECONDS):
        """A command in here, to its end. @raises Failed"""
        return run("ip", "netns", "exec", self.name, *words(arguments), seconds=seconds)

    def start(self, *arguments):
        """A program in here, in the background. `ip netns exec` becomes the program, so the pid is the program's own."""
        return self.lab.start("ip", "netns", "exec", self.name, *words(arguments), name=self.short_name)

    def inside(self, function):
        return inside(self.path, function)

    def socket(self, kind=socket.SOCK_STREAM, bind=None, seconds=10):
        """A socket in here with a time limit on every operation, closed with the lab."""

        def make():
            made = socket.socket(socket.AF_INET, kind)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.settimeout(seconds)
            if bind is not None:
                made.bind(bind)
            return made

        return self.lab.owned(self.inside(make))

    def listen(self, address, port):
        """A listening TCP socket in here."""
        listener = self.socket(bind=(address, port))
        listener.listen(8)
        return listener

    def sysctl(self, name, value):
        self.inside(lambda: Path("/proc/sys/net", name).write_text(str(value), encoding="ascii"))

    def interfaces(self):
        return sorted(name for _, name in self.inside(socket.if_nameindex))

    def packets(self, interface):
        """Frames that an interface has received and sent so far."""
        # /proc/net is that of the main thread.
        for line in self.inside(lambda: Path("/proc/thread-self/net/dev").read_text(encoding="ascii")).splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == interface:
                return int(numbers.split()[0 + 1]) + int(numbers.split()[8 + 1])
        raise Failed(f"no interface {interface}")

    def capture(self, interface, path):
        return Capture(self, interface, path)


class Capture:
    """A tcpdump of one interface, both directions."""

    def __init__(self, namespace, interface, path):
        self.namespace, self.interface, self.path = namespace, interface, Path(path)
        self.process = namespace.start("tcpdump", "-n", "-U", "-i", interface, "-s", "0", "-B", "65536", "-Z", "root", "-w", str(path))
        eventually(f"tcpdump listens on {interface}", lambda: "listening on" in self.process.errors())
        self.before = namespace.packets(interface)

    def stop(self):
        """Ends the capture once tcpdump has written what had passed until now. @returns the frames that the kernel could not keep"""
        passed = self.namespace.packets(self.interface) - self.before
        try:
            eventually(f"tcpdump has written {passed} frames of {self.interface}", lambda: frames_in(self.path) >= passed, seconds=15, pause=0.1)
        finally:
            self.process.end(signal.SIGINT)
        lost = re.search(r"(\d+) packets? dropped by kernel", self.process.errors())
        if lost is None:
            raise Failed(f"tcpdump ended badly: {self.process.errors()}")
        return int(lost.group(1))


def frames_in(path):
    """Whole frames in a classic pcap file that may still grow."""
    data = memoryview(path.read_bytes())
    count, at = 0, 24
    while at + 16 <= len(data):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        count += at <= len(data)
    return count


class Lab:
    """All namespaces, processes and sockets of one run."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.namespaces, self.processes, self.resources = [], [], []
        self.started = 0
        sweep()
        atexit.register(self.close)
        self.handlers = {number: signal.signal(number, self.ended_by) for number in (signal.SIGTERM, signal.SIGHUP)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ended_by(self, number, _frame):
        self.close()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def namespace(self, name):
        """A new namespace with loopback up and without IPv6, whose own chatter would only be noise."""
        made = Namespace(self, name)
        self.namespaces.append(made)
        run("ip", "netns", "add", made.name)
        for conf in ("all", "default"):
            try:
                made.sysctl(f"ipv6/conf/{conf}/disable_ipv6", 1)
            except OSError:
                pass  # A kernel without IPv6, or a container whose /proc/sys cannot be written.
        made.ip("link set lo up")
        return made

    def start(self, *command, name="process"):
        self.started += 1
        stem = self.folder / f"{self.started:03d}-{name}"
        process = Process(command, f"{stem}.out", f"{stem}.err")
        self.processes.append(process)
        return process

    def owned(self, resource):
        """Something with close(), closed with the lab."""
        self.resources.append(resource)
        return resource

    def veth(self, one, one_name, other, other_name, mtu=1500, one_mac=None, other_mac=None):
        """A cable between two namespaces, up at both ends."""
        one.ip("link", "add", one_name, *address(one_mac), "mtu", mtu, "type", "veth", "peer", "name", other_name, *address(other_mac), "mtu", mtu, "netns", other.name)
        for namespace, name in ((one, one_name), (other, other_name)):
            namespace.ip("link", "set", name, "up")

    def close_resources(self):
        while self.resources:
            self.resources.pop().close()

    def close(self):
        """Can be called twice, and goes on after a failure; the first failure is raised at the end."""
        failures = []

        def attempt(action):
            try:
                action()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        while self.processes:
            attempt(self.processes.pop().kill)
        attempt(self.close_resources)
        while self.namespaces:
            namespace = self.namespaces.pop()
            if namespace.path.exists():
                attempt(lambda name=namespace.name: run("ip", "netns", "del", name))
        atexit.unregister(self.close)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}
        if failures:
            raise failures[0]


def words(arguments):
    return arguments[0].split() if len(arguments) == 1 and isinstance(arguments[0], str) else [str(word) for word in arguments]


def address(mac):
    return [] if mac is None else ["address", mac]


def sweep():
    """Removes the namespaces of runs that were killed: their run's pid is in their name and is nobody's any more."""
    for path in NAMESPACES.glob(f"{PREFIX}-*"):
        parts = path.name.split("-")
        if len(parts) > 2 and parts[1].isdigit() and not Path("/proc", parts[1]).exists():
            subprocess.run(["ip", "netns", "del", path.name], capture_output=True, timeout=COMMAND_SECONDS, check=False)


def leftovers():
    """Namespaces of this run that still exist."""
    return sorted(path.name for path in NAMESPACES.glob(f"{PREFIX}-{os.getpid()}-*"))
