# SPDX-License-Identifier: Apache-2.0
"""What every resource of the Neutron in memory has: an id, tags, a revision, a quota."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, Generic, Protocol, TypeVar

from kurier.model.errors import Code, KurierError

MOST_TAGS = 50
LONGEST_TAG = 255


class Tagged(Protocol):
    """A resource with tags; a revision is not told of every kind."""

    @property
    def id(self) -> Any: ...
    @property
    def tags(self) -> frozenset[str]: ...


_Resource = TypeVar("_Resource", bound=Tagged)


class Store(Generic[_Resource]):
    """All resources of one kind."""

    def __init__(self, noun: str, chance: Random) -> None:
        self.noun = noun
        self._chance = chance
        self.there: dict[Any, _Resource] = {}
        self.quota = -1
        """How many there may be; -1: any number."""
        self.made = 0
        """How many there ever were."""

    def new_id(self) -> str:
        """An id as Neutron's are: a UUID's 36 characters."""
        digits = f"{self._chance.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def get(self, identity: str) -> _Resource:
        """NOT_FOUND."""
        try:
            return self.there[identity]
        except KeyError:
            raise KurierError(
                Code.NOT_FOUND, f"There is no {self.noun} {identity} in Neutron."
            ) from None

    def require_room(self, number: int = 1) -> None:
        """QUOTA."""
        if 0 <= self.quota < len(self.there) + number:
            raise KurierError(Code.QUOTA, f"The project's quota of {self.noun}s is used up.")

    def add(self, resource: _Resource) -> _Resource:
        self.there[resource.id] = resource
        self.made += 1
        return resource

    def change(self, identity: str, **values: Any) -> _Resource:
        """Changes fields; the revision grows where there is one. NOT_FOUND."""
        before: Any = self.get(identity)
        if hasattr(before, "revision"):
            values["revision"] = before.revision + 1
        after: _Resource = replace(before, **values)
        self.there[identity] = after
        return after

    def compare(self, identity: str, revision: int | None) -> None:
        """CHANGED where the revision is another one (If-Match)."""
        found: Any = self.get(identity)
        if revision not in (None, found.revision):
            raise KurierError(Code.CHANGED, f"{self.noun} {identity} changed meanwhile.")

    def add_tag(self, identity: str, tag: str) -> None:
        """NOT_FOUND; what is there may be added again."""
        found = self.get(identity).tags
        if tag not in found:
            self.set_tags(identity, found | {tag})

    def remove_tag(self, identity: str, tag: str) -> None:
        """A tag or resource that is gone counts as removed."""
        found = self.there.get(identity)
        if found is not None and tag in found.tags:
            self.set_tags(identity, found.tags - {tag})

    def set_tags(self, identity: str, tags: Sequence[str] | frozenset[str]) -> None:
        """All of them at once; BAD_REQUEST where these are too many or too long."""
        self.check_tags(identity, tags)
        self.change(identity, tags=frozenset(tags))

    def check_tags(self, whose: str, tags: Sequence[str] | frozenset[str]) -> None:
        """BAD_REQUEST."""
        if len(set(tags)) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in tags):
            raise KurierError(
                Code.BAD_REQUEST, f"The tags of {self.noun} {whose} are too many or too long."
            )
