"""Prometheus' text format 0.0.4, read strictly: what a lenient reader would let pass is an error here."""

import http.client
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
TYPES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
VALUE = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN")


class Malformed(Exception):
    """A line that the format does not allow there."""


def read(text):
    """@returns the type of each metric, and the value of each sample by its name and its sorted labels. @raises Malformed"""
    types, samples, family = {}, {}, None
    if not text.endswith("\n"):
        raise Malformed("the last line has no end")
    for line in filter(None, text.split("\n")):
        if line.startswith("# HELP "):
            family = matched(re.compile(rf"# HELP ({NAME}) \S.*"), line)[1]
            if family in types:
                raise Malformed(f"{family} stands in two places")
        elif line.startswith("#"):
            _, name, kind = matched(re.compile(rf"# TYPE ({NAME}) (\w+)"), line).group(0, 1, 2)
            if name != family or name in types or kind not in TYPES:
                raise Malformed(line)
            types[name] = kind
        else:
            name, labels, value = matched(SAMPLE, line).groups()
            if family not in types or name not in {family + end for end in TYPES[types[family]]}:
                raise Malformed(f"after {family}: {line}")
            matched(VALUE, value)
            key = (name, labels_of(labels or "", line))
            if key in samples:
                raise Malformed(f"twice: {line}")
            samples[key] = float(value)
    return types, samples


def matched(pattern, text):
    found = pattern.fullmatch(text)
    if found is None:
        raise Malformed(text)
    return found


def labels_of(text, line):
    labels, at = [], 0
    while at < len(text):
        found = LABEL.match(text, at)
        if found is None:
            raise Malformed(line)
        labels.append(found.group(1, 2))
        at = found.end()
    if len(dict(labels)) < len(labels):
        raise Malformed(line)
    return tuple(sorted(labels))


def scrape(network, port):
    """What a monitoring system gets, read strictly. @returns types by metric, and values by name and label values"""

    def get():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert response.status == 200 and response.getheader("Content-Type").startswith("text/plain; version=0.0.4")
        return response.read().decode()

    types, samples = read(network.gateway.inside(get))
    return types, {(name, *(value for _, value in labels)): value for (name, labels), value in samples.items()}
