"""A strict reader of Prometheus' text format, version 0.0.4: what it accepts, every scraper does.

Each family is announced by HELP and TYPE, in that order, before its samples, and comes once; names and labels fit their
grammar; a series comes once; counters end in _total and are not negative; a histogram's buckets rise to +Inf, which equals
its _count, and it has a _sum.
"""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)')
TYPES = ("counter", "gauge", "histogram")


def labels_of(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"labels: {text}"
        assert match[1] not in labels, f"label {match[1]} twice: {text}"
        labels[match[1]] = match[2]
        at = match.end()
    assert not text.endswith(","), text
    return labels


def number(text):
    assert re.fullmatch(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf)|NaN", text), f"value {text}"
    return float(text)


def check_histogram(name, samples):
    series = {}
    for sample, labels, value in samples:
        key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        series.setdefault(key, []).append((sample, labels.get("le"), value))
    for key, rows in series.items():
        buckets = [(number(le), value) for sample, le, value in rows if sample == name + "_bucket"]
        assert buckets == sorted(buckets) and len({b for b, _ in buckets}) == len(buckets), (name, key)
        assert buckets[-1][0] == math.inf, (name, key)
        counts = [value for sample, _, value in rows if sample == name + "_count"]
        assert counts == [buckets[-1][1]], (name, key)
        assert len([1 for sample, _, _ in rows if sample == name + "_sum"]) == 1, (name, key)


def parse(text):
    """{family: {"type", "help", "samples": [(name, labels, value)]}}; AssertionError for what is not strictly right."""
    assert text.endswith("\n") and "\r" not in text
    families, current, seen = {}, None, set()
    lines = text.split("\n")[:-1]
    for i, line in enumerate(lines):
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert re.fullmatch(NAME, name) and words and name not in families, line
            assert i + 1 < len(lines) and lines[i + 1].startswith(f"# TYPE {name} "), line
            continue
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert kind in TYPES and lines[i - 1].startswith(f"# HELP {name} "), line
            current = families[name] = {"type": kind, "help": lines[i - 1].split(" ", 3)[3], "samples": []}
            current_name = name
            continue
        match = SAMPLE.fullmatch(line)
        assert match and current, f"no sample: {line!r}"
        name, labels, value = match[1], labels_of(match[2] or ""), number(match[3])
        suffixes = ("_bucket", "_sum", "_count") if current["type"] == "histogram" else ("",)
        assert name in [current_name + suffix for suffix in suffixes], f"{name} in the family {current_name}"
        series = (name, tuple(sorted(labels.items())))
        assert series not in seen, f"twice: {line}"
        seen.add(series)
        current["samples"].append((name, labels, value))
    for name, it in families.items():
        if it["type"] == "counter":
            assert name.endswith("_total") and all(value >= 0 for _, _, value in it["samples"]), name
        if it["type"] == "histogram":
            check_histogram(name, it["samples"])
    return families


def value(families, name, **labels):
    """The one sample's value."""
    family = name if name in families else name.removesuffix("_count").removesuffix("_sum")
    found = [v for n, have, v in families[family]["samples"] if n == name and have == labels]
    assert len(found) == 1, (name, labels, found)
    return found[0]
