"""Accounts whose files a power cut left apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.handlers.account import Users
from hakit.agent.resources.account import User
from hakit.agent.work import Work

if TYPE_CHECKING:
    from pathlib import Path

USERS = "keeper:x:3001:3001::/home/keeper:/bin/sh\n"


@pytest.mark.parametrize(
    ("group", "gshadow", "said"),
    [
        pytest.param("ops:x:2001:keeper\n", "ops:!::keeper\n", (), id="in both"),
        pytest.param("ops:x:2001:keeper\n", "ops:!::\n", ("join ops",), id="died between the two"),
        pytest.param("ops:x:2001:keeper\n", "", (), id="a group without a shadow"),
        pytest.param("ops:x:2001:\n", "ops:!::keeper\n", ("join ops",), id="only in the shadow"),
    ],
)
def test_a_membership_counts_when_both_files_have_it(
    tmp_path: Path, group: str, gshadow: str, said: tuple[str, ...]
) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    for name, text in (("passwd", USERS), ("group", "keeper:x:3001:\n" + group), ("shadow", ""), ("gshadow", gshadow)):
        (etc / name).write_text(text, encoding="utf-8")
    work = Work(str(tmp_path), lambda _: None)
    user = User(user="keeper", groups=("ops",))
    change = Users().diff(user, Users().read([user], work)[user.key], work)
    assert change.summary == said
