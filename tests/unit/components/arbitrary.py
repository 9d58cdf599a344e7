"""Strategies made from the models of settings: a new setting is covered by itself.

Values come from the JSON Schema of a model: what a string may be is told by the vocabulary type that it names
(`x-expects`), numbers by their bounds. The ends of what is allowed are drawn more often than the middle.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

Strategy = st.SearchStrategy[Any]

MANY = 10**12
"""Where a model sets no upper bound."""
FIRST = "ABCXYZabcxyz0189_"
NAMES = st.one_of(
    st.sampled_from(
        ["web", "api", "front", "x-1.y_2", "0", "1.2.3.4", "a.", "_", "A-", "global", "defaults", "GLOBAL", "MASTER"]
    ),
    st.sampled_from(
        [
            "n" * 64,
            "9" * 64,
            "Web",
            "group",
            "none",
            "weight",
            "vrrp_instance",
            "FRONTEND",
            "hakit",
            "on",
            "haproxy_lives",
            "haproxy_answers",
            "hakit_maintenance",
            "hakit-health",
            "hakit-stats",
        ]
    ),
    st.builds(str.__add__, st.sampled_from(FIRST), st.text(FIRST + ".-", max_size=8)),
)
PORTS = st.one_of(st.sampled_from([1, 80, 1024, 5432, 8404, 8405, 65535]), st.integers(1, 65535))
IPV4 = st.one_of(
    st.integers(1, 254).map(lambda last: f"10.77.0.{last}"),
    st.sampled_from(["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.18", "10.77.0.0", "10.77.0.255"]),  # noqa: S104 - text of a configuration
)
IPV6 = st.one_of(
    st.integers(1, 0xFFFF).map(lambda last: str(ipaddress.IPv6Address("fd00:77::") + last)),
    st.sampled_from(["::1", "::", "fe80::1", "ff02::12", "::ffff:10.77.0.9", "fd00:1:2:3:4:5:6:7"]),
)
IPS = st.one_of(IPV4, IPV4, IPV6)
HOST_NAMES = st.sampled_from(
    ["www.example.org", "a_b", "x", "db-1.example.org", "l" * 63, ".".join(["l" * 61] * 4), "1a", "A.B"]
)
USUAL = st.sampled_from(["1s", "2s", "5s", "30s", "100ms", "500ms", "2m", "1h"])
DURATIONS = st.one_of(
    USUAL,
    USUAL,
    st.sampled_from(["1500ms", "1d", "1m30s", "0.5s", "2.5s", "600s"]),
    st.sampled_from(
        ["0s", "1ms", "10ms", "0.4ms", "0.000001s", "0.9999s", "40s", "15ms", "40.95s", "41s", "255s", "1000s"]
    ),
    st.sampled_from(["24d", "25d", "49d", "50d", "3600s", "1h1s", "999999999ms", "999999999d", "1.0001s", "86400s"]),
)
INTERFACES = st.one_of(
    st.sampled_from(["eth0", "eth0", "eth1"]),
    st.sampled_from(["bond0", "br-lan", "eth0.100", "i" * 15, "0", "-e", "_", "a@b", "@", "..."]),
)
WORDS = st.one_of(
    st.sampled_from(["admin", "a:b", "#", "'", '"', "\\", "$HOME", "${x}", "`id`", "$(id)", "ü", "x#y", "!", "{", "}"]),
    st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=9),
)
VOCABULARY: dict[str, Strategy] = {
    "a name of letters, digits, '.', '_' and '-'": NAMES,
    "a word without spaces": WORDS,
    "an IPv4 or IPv6 address": IPS,
    "a host name": HOST_NAMES,
    "an address with its prefix length": st.one_of(
        st.builds("{}/{}".format, IPV4, st.sampled_from([24, 24, 24, 32, 0, 1])),
        st.builds("{}/{}".format, IPV6, st.sampled_from([64, 64, 128, 0])),
    ),
    "the name of a locale": st.sampled_from(["C", "POSIX", "C.UTF-8", "C.utf8", "C UTF-8", "'", ""]),
    "a network": st.sampled_from(
        ["10.77.0.0/24", "10.0.0.0/8", "10.77.0.9", "10.77.0.9/24", "0.0.0.0/0", "fd00:77::/64", "::/0", "::1", "10/8"]
    ),
    "address:port, *:port for all": st.builds(
        "{}:{}".format, st.one_of(IPV4, st.sampled_from(["*", ""]), IPV6.map("[{}]".format), HOST_NAMES), PORTS
    ),
    "an absolute path": st.sampled_from(
        ["/etc/hostname", "/run/x", "/", "/a b".replace(" ", "~"), "/tmp/$(id)", "/tmp/#x", "/" + "p" * 200, "/é/{}"]  # noqa: S108 - text of a configuration
    ),
    "the name of a network interface": INTERFACES,
    "a duration with its unit such as 500ms, 3s, 2m, 1h": DURATIONS,
    "a user or group name": st.sampled_from(["root", "keepalived_script", "nobody", "a" * 32, "_x-"]),
    "a secret by its name: {secret: NAME}": st.just({"secret": "planted"}),
    "an amount of WAL such as 16MB": st.sampled_from(
        ["16MB", "512kB", "1GB", "0kB", "16 MB", "1", "MB", "9999999999TB"]
    ),
}


class Arbitrary:
    """Strategies of one installation's settings; `fields` replaces those of single fields, by model and field."""

    def __init__(self, fields: Mapping[tuple[str, str], Strategy]) -> None:
        self.fields = dict(fields)

    def settings(self, model: type[BaseModel]) -> Strategy:
        """Mappings as an inventory has them below a component's name. Raises LookupError where nobody said how."""
        schema = model.model_json_schema(mode="validation")
        return self._object(schema, schema.get("$defs", {}))

    def _object(self, schema: dict[str, Any], known: dict[str, Any]) -> Strategy:
        required: dict[str, Strategy] = {}
        optional: dict[str, Strategy] = {}
        for name, inner in schema["properties"].items():
            own = (schema["title"], name)
            strategy = self.fields[own] if own in self.fields else self._value(inner, known)
            (required if name in schema.get("required", ()) else optional)[name] = strategy
        return st.fixed_dictionaries(required, optional=optional)

    def _value(self, schema: dict[str, Any], known: dict[str, Any]) -> Strategy:
        if "$ref" in schema:
            definition = known[schema["$ref"].rpartition("/")[2]]
            return st.deferred(lambda: self._object(definition, known))
        if "anyOf" in schema:
            # Null means left out: that is drawn as such.
            branches = [one for one in schema["anyOf"] if one.get("type") != "null"]
            return st.one_of([self._value(one, known) for one in branches])
        if schema.get("x-expects") in VOCABULARY:
            return VOCABULARY[schema["x-expects"]]
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "const" in schema:
            return st.just(schema["const"])
        return self._plain(schema, known)

    def _plain(self, schema: dict[str, Any], known: dict[str, Any]) -> Strategy:
        kind = schema.get("type")
        if kind == "boolean":
            return st.booleans()
        if kind == "integer":
            low, high = schema.get("minimum", -MANY), schema.get("maximum", MANY)
            middle = st.integers(low, min(high, max(low + 20, 20)))
            return st.one_of(middle, st.sampled_from([low, high]), st.integers(low, high))
        if kind == "number":
            low, high = schema.get("minimum", -MANY), schema.get("maximum", MANY)
            return st.floats(low, high, allow_nan=False) | st.sampled_from([low, high, 0.5])
        if kind == "array":
            least = schema.get("minItems", 0)
            return st.lists(self._value(schema["items"], known), min_size=least, max_size=max(least, 3))
        if kind == "object" and "patternProperties" in schema:
            (inner,) = schema["patternProperties"].values()
            keys = VOCABULARY[schema["propertyNames"]["x-expects"]]
            values = self._value(inner, known)
            return st.one_of([st.dictionaries(keys, values, min_size=least, max_size=3) for least in (0, 1, 2)])
        raise LookupError(f"no strategy for {schema}: name its vocabulary type, or the field")
