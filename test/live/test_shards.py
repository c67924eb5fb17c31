"""The same traffic through gateways of one, two and four shards: what hosts see does not depend on how many decide."""

import copy
import json
import socket
import threading

import pytest

from exposition import scrape
from net import Failed, eventually, run
from topology import FAR_ADDRESS, GREEN_HOST, MAPPED_EXTERNAL, MAPPED_HOST, ORDINARY_DROPS, POOL, SLUICE, STATIC_EXTERNAL, STATIC_HOST, Gateway, Pings, all_answered, on_wires, ping, without_neighbours

HOSTS = [f"10.0.1.{last}" for last in range(64, 88)]  # Beside those that red and blue have; homes in all of four shards.
ECHO_PORT, METRICS_PORT = 9700, 9467
GREEN_LIMIT, GREEN_MORE = 5, 3
WIRES = ("net_softflow0,wire=net_pcap0:rx_iface_in=fab0:tx_iface=fab0", "net_softflow1,wire=net_pcap1:rx_iface_in=ext0:tx_iface=ext0")


@pytest.fixture(scope="module", name="hosts")
def more_hosts(network):
    """Hosts of red and of blue, as many addresses of their namespaces."""
    for namespace in (network.red, network.blue):
        for address in HOSTS:
            namespace.ip("address", "add", f"{address}/24", "dev", "vx0")
    yield [(namespace, address) for namespace in (network.red, network.blue) for address in HOSTS]
    for namespace in (network.red, network.blue):
        for address in HOSTS:
            namespace.ip("address", "del", f"{address}/24", "dev", "vx0")


@pytest.fixture(name="echo")
def echoing_server(network):
    """Sends datagrams back to whoever they seem to be from, and says who that is."""
    server = network.outside.socket(socket.SOCK_DGRAM, (FAR_ADDRESS, ECHO_PORT), seconds=0.2)
    done = threading.Event()

    def echo():
        while not done.is_set():
            try:
                data, peer = server.recvfrom(65536)
                server.sendto(json.dumps(peer).encode() + b" " + data, peer)
            except OSError:
                pass

    thread = threading.Thread(target=echo)
    thread.start()
    yield (FAR_ADDRESS, ECHO_PORT)
    done.set()
    thread.join()


def sharded(network, config, folder, shards):
    """A gateway of so many shards that learns its neighbours."""
    config = without_neighbours(on_wires(config, *WIRES))
    for vpc in config["vpcs"]:
        if vpc["name"] == "green":
            vpc["limits"] = {"sessions": GREEN_LIMIT}
    config["metrics"] = {"address": f"127.0.0.1:{METRICS_PORT}"}
    gateway = Gateway(network, config, folder, arguments=["--shards", shards] if shards > 1 else [])
    return gateway.wait_until_it_runs()


def ask(client, destination, text=b"?", tries=3):
    """What comes back. A datagram may be lost while a neighbour is asked for. @returns the public endpoint, or None"""
    for _ in range(tries):
        client.sendto(text, destination)
        try:
            answer, peer = client.recvfrom(65536)
        except socket.timeout:
            continue
        assert peer == destination
        seen, _, said = answer.partition(b" " + text[:1])
        assert text[:1] + said == text
        return tuple(json.loads(seen))
    return None


def answered_up_to_a_limit(network, gateway, echo):
    """So many flows of green as it may have are answered, and the others are counted."""
    first, *others = [network.green.socket(socket.SOCK_DGRAM, (GREEN_HOST, 6000 + i), seconds=2) for i in range(GREEN_LIMIT + GREEN_MORE)]
    assert ask(first, echo, tries=10) is not None
    for client in others:
        client.sendto(b"?", echo)
        client.settimeout(0.01)
    answered = set()

    def collect():
        for client in others:
            try:
                client.recvfrom(100)
                answered.add(client)
            except socket.timeout:
                pass
        return len(answered) == GREEN_LIMIT - 1 and gateway.counters()["drops"].get("vpc-limit") == GREEN_MORE

    eventually("as many answers as the limit allows", collect, seconds=20)


def by_key(session):
    return (session["vpc"], session["protocol"], session["inside"]["address"], session["inside"]["port"], session["remote"]["address"], session["remote"]["port"])


def hairpins(gateway, clients, ends):
    """Each host calls the public endpoint of another one, which answers; all are of the same VPC or of two."""
    called = 0
    for at, client in enumerate(clients):
        other = (at * 7 + 5) % len(clients)
        if other == at:
            continue
        client.sendto(b"hairpin", ends[other])
        data, caller = clients[other].recvfrom(100)
        assert (data, caller) == (b"hairpin", ends[at])
        clients[other].sendto(b"back", caller)
        assert client.recvfrom(100) == (b"back", ends[other])
        called += 1
    return called


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_hosts_see_the_same_of_any_number_of_shards(network, hosts, echo, config, tmp_path, shards):
    network.forget_neighbours()
    network.end_connections()
    gateway = sharded(network, config, tmp_path, shards)
    try:
        for namespace in (network.red, network.blue):
            eventually("the first reply", lambda namespace=namespace: all_answered(namespace, FAR_ADDRESS), seconds=20)
        # Sessions of many hosts, with replies; each has an endpoint of its own.
        clients = [namespace.socket(socket.SOCK_DGRAM, (address, 5000)) for namespace, address in hosts]
        ends = [ask(client, echo) for client in clients]
        assert None not in ends and len(set(ends)) == len(hosts)
        assert {address for address, _ in ends} <= set(POOL)
        # Endpoint-independent: the same one towards somebody else.
        assert [ask(client, echo, b"again") for client in clients] == ends
        called = hairpins(gateway, clients, ends)
        # Fragments both ways, TCP from outside to both kinds of static bindings.
        for namespace, address in (hosts[0], hosts[11], hosts[-1]):
            assert ping(namespace, FAR_ADDRESS, count=2, size=4000, source=address, fragment=True) == (0, 2)
        assert ask(clients[3], echo, b"x" * 9000) == ends[3]
        for listening, called_at in (((STATIC_HOST, 9701), (STATIC_EXTERNAL, 9701)), (MAPPED_HOST, MAPPED_EXTERNAL)):
            listener = network.red.listen(*listening)
            caller = network.outside.socket(bind=(FAR_ADDRESS, 0))
            caller.connect(called_at)
            server, peer = listener.accept()
            assert peer == caller.getsockname()
            caller.sendall(b"through")
            assert server.recv(100) == b"through"
            server.close(), caller.close(), listener.close()
        # A limit is one of all shards together.
        answered_up_to_a_limit(network, gateway, echo)
        compare(gateway, ends, called, hosts)
        compare_metrics(gateway, scrape(network, METRICS_PORT)[1])
        all_is_given_back(gateway)
        assert gateway.stop() == 0
        assert gateway.faults() == []
        assert not gateway.socket_path.exists()
    finally:
        gateway.kill()


def compare(gateway, ends, called, hosts):
    """The dump, the counters and the rest of what is told agree with what hosts have seen."""
    sessions = gateway.sessions()
    assert len({session["id"] for session in sessions}) == len(sessions)
    assert len({by_key(session) for session in sessions}) == len(sessions)
    out = {(s["vpc"], s["inside"]["address"]): s["nat"] for s in sessions if s["remote"] == {"address": FAR_ADDRESS, "port": ECHO_PORT} and s["inside"]["port"] == 5000}
    names = ["red"] * (len(hosts) // 2) + ["blue"] * (len(hosts) // 2)
    for name, (_, address), (public, port) in zip(names, hosts, ends):
        assert out[(name, address)] == {"address": public, "port": port}
    assert sum(session["class"] == "hairpin" for session in sessions) == called
    status = json.loads(gateway.get("/v1/status"))
    assert status["sessions"] == len(sessions)
    assert status["nicRules"] == sum((s["forward"]["path"] == "offloaded") + (s["reverse"]["path"] == "offloaded") for s in sessions)
    by_vpc = {vpc["name"]: vpc["sessions"] for vpc in json.loads(gateway.get("/v1/vpcs"))}
    assert sum(by_vpc.values()) == len(sessions)
    assert by_vpc["green"] == GREEN_LIMIT
    # A page after the other is the whole list; a sorted one begins with the largest.
    pages = []
    while page := [json.loads(line) for line in gateway.get(f"/v1/flows?limit=7{'&after=' + pages[-1]['id'] if pages else ''}").splitlines()]:
        pages += page
    assert [flow["id"] for flow in pages] == [session["id"] for session in sessions]
    largest = [flow["forward"]["bytes"] + flow["reverse"]["bytes"] for flow in map(json.loads, gateway.get("/v1/flows?sort=bytes&limit=9").splitlines())]
    everyone = sorted((s["forward"]["bytes"] + s["reverse"]["bytes"] for s in sessions), reverse=True)
    assert largest == everyone[:9]
    public, port = ends[0]
    [holder] = json.loads(gateway.get(f"/v1/holders?address={public}&port={port}&protocol=udp"))["holders"]
    assert (holder["vpc"], holder["inside"]) == ("red", {"address": hosts[0][1], "port": 5000})
    counters = gateway.counters()
    assert counters["drops"].pop("vpc-limit") == GREEN_MORE
    assert set(counters["drops"]) <= ORDINARY_DROPS, counters["drops"]
    assert json.loads(gateway.get("/v1/drops"))["total"]["vpc-limit"] == GREEN_MORE


def compare_metrics(gateway, metrics):
    """Sums over all shards, of sessions, drops, packets and pools."""
    sums = {}
    for (name, *_), value in metrics.items():
        sums[name] = sums.get(name, 0) + value
    status, counters = json.loads(gateway.get("/v1/status")), gateway.counters()
    assert (sums["sluice_sessions"], sums["sluice_sessions_max"]) == (status["sessions"], 10000)
    assert sums["sluice_mappings"] == status["mappings"]
    assert sums["sluice_nic_rules_wanted"] == status["nicRules"] <= sums["sluice_nic_rules_most"]
    assert metrics[("sluice_drops_total", "vpc-limit")] == GREEN_MORE
    assert metrics[("sluice_sessions", "vpc-to-external", "green")] == GREEN_LIMIT
    assert metrics[("sluice_misses_total",)] == counters["slowPath"]["misses"] > status["sessions"]
    assert sums["sluice_first_packet_seconds_count"] >= status["sessions"]
    owned = {(pool["pool"], pool["towards"] or "", pool["protocol"]): pool["owned"] for pool in json.loads(gateway.get("/v1/pools"))}
    told = {(labels[1], labels[3], labels[2]): value for (name, *labels), value in metrics.items() if name == "sluice_pool_ports_owned"}
    assert told == owned and owned[("internet", "", "udp")] > 0


def all_is_given_back(gateway):
    sessions = len(gateway.sessions())
    ended = json.loads(gateway.ask("DELETE", "/v1/flows?filter=all"))["ended"]
    assert ended >= sessions
    eventually("no session is left", lambda: json.loads(gateway.get("/v1/status"))["nicRules"] == 0 and gateway.sessions() == [])
    status = json.loads(gateway.get("/v1/status"))
    assert (status["sessions"], status["mappings"], status["nicRules"]) == (0, 0, 0)
    assert {pool["owned"] for pool in json.loads(gateway.get("/v1/pools"))} == {0}


def test_what_several_shards_cannot_do_is_said_in_one_line_each_and_nothing_starts(network, config, tmp_path):
    config = copy.deepcopy(config)
    config["nat"] |= {"mapping": "address-and-port-dependent", "log": "blocks"}
    gateway = Gateway(network, config, tmp_path, arguments=["--shards", 2])
    assert gateway.process.wait(20) == 1
    mapping, log = gateway.process.errors().splitlines()
    assert mapping.startswith("/nat/mapping: ") and "endpoint-independent" in mapping
    assert log.startswith("/nat/log: ") and "sessions" in log
    assert not gateway.socket_path.exists()
    with pytest.raises(Failed, match="expected 1..16"):
        run(SLUICE, "gateway", "--config", str(gateway.file), "--shards", 17)


def test_a_configuration_that_changes_is_followed_by_all_shards_and_sessions_lose_nothing(network, hosts, echo, config, tmp_path):
    network.forget_neighbours()
    network.end_connections()
    gateway = sharded(network, config, tmp_path, 4)
    try:
        for namespace in (network.red, network.blue):
            eventually("the first reply", lambda namespace=namespace: all_answered(namespace, FAR_ADDRESS), seconds=20)
        clients = [namespace.socket(socket.SOCK_DGRAM, (address, 5100)) for namespace, address in hosts]
        ends = [ask(client, echo) for client in clients]
        assert None not in ends
        pings = [Pings(network.red, FAR_ADDRESS, source=hosts[at][1]) for at in (0, 5, 9)]
        eventually("replies", lambda: all(len(one.replies()) > 5 for one in pings))
        flows = {flow["id"] for flow in gateway.sessions()}
        document = json.loads(gateway.file.read_text(encoding="utf-8"))
        # Static bindings of hosts of any shard over endpoints of mappings of others.
        moved = copy.deepcopy(document)
        for number, (address, port) in enumerate(ends[:6]):
            moved["staticBindings"].append({"vpc": "red", "protocol": "udp", "private": f"{HOSTS[-1 - number]}:53", "external": f"{address}:{port}"})
        narrow = copy.deepcopy(document)
        narrow["externalPools"][0]["ranges"] = POOL[:1]
        for number, changed in enumerate((moved, narrow, document), 1):
            gateway.reload(changed)
            eventually("the reload", lambda number=number: gateway.log().count("new configuration is in force") == number, seconds=20)
            assert [ask(client, echo, b"again", tries=1) for client in clients] == ends, f"after reload {number}"
            assert flows <= {flow["id"] for flow in gateway.sessions()}
            # What opens now has what the configuration gives.
            fresh = [ask(namespace.socket(socket.SOCK_DGRAM, (address, 5100 + number)), echo) for namespace, address in hosts]
            assert None not in fresh and len(set(fresh)) == len(hosts) and not set(fresh) & set(ends)
            if changed is narrow:
                assert {address for address, _ in fresh} == set(POOL[:1])
        for one in pings:
            answered = one.replies()
            assert answered == list(range(1, len(answered) + 1)), "lost or reordered replies over the reloads"
            one.stop()
        all_is_given_back(gateway)
        assert gateway.stop() == 0
        assert gateway.faults() == []
    finally:
        gateway.kill()
