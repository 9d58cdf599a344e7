"""What is derived from a whole site, worked out once for it and not again for each of its hosts."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.inventory.model import Site

T = TypeVar("T")


def once_per_site(derive: Callable[[Site], T]) -> Callable[[Site], T]:
    """A pure function of a site that remembers its last answer, as long as it is asked about that very site.

    The site is told by identity: it is immutable, and comparing or hashing it would cost more than deriving anew. The
    answer is shared, so it must be immutable or left alone. The site stays in memory until another one is asked about.
    """
    last: list[tuple[Site, T]] = []

    @wraps(derive)
    def remembered(site: Site) -> T:
        # One read and one write of the list: safe between threads, which at worst derive the same twice.
        for known, answer in last[:1]:
            if known is site:
                return answer
        answer = derive(site)
        last[:] = [(site, answer)]
        return answer

    return remembered
