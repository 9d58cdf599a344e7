"""The verbs of a component's own: which there are, and what each must be told."""

from __future__ import annotations

import pytest

from hakit.agent.errors import Failure
from hakit.agent.network import settling, tasks
from hakit.agent.tasks import verb


def test_a_verb_is_found_in_its_module() -> None:
    assert verb("confirm", tasks.VERBS, {"id": "1"}, "hakit.agent.network", "a network") is settling.confirm


@pytest.mark.parametrize(
    ("do", "arguments", "said"),
    [
        ("destroy", {}, "a network has no verb 'destroy' on this host"),
        ("confirm", {}, "the verb confirm needs id"),
        ("confirm", {"id": "1", "why": ""}, "the verb confirm knows no why"),
    ],
)
def test_what_a_host_does_not_know_is_refused(do: str, arguments: dict[str, str], said: str) -> None:
    with pytest.raises(Failure, match=said):
        verb(do, tasks.VERBS, arguments, "hakit.agent.network", "a network")
