"""Who is wrong where environments disagree: what most of them say, what float64 says, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

EXPORT = "the export"
"""Who is blamed where the model itself differs from what was made of it; no environment has such a name."""


class Sure(StrEnum):
    """What a blame rests on, from the surest down."""

    BOTH = "arbiter and majority"
    ARBITER = "arbiter alone"
    MAJORITY = "majority alone"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Suspect:
    """An environment with outputs. `sound`: what the arbiter says of it, None where it says nothing.

    `noisy`: it differs from itself beyond the tolerance. `shares`: it is lowered by what the arbiter is lowered by.
    `object`: it is the model itself, of which the others and the arbiter ran an export.
    """

    name: str
    backend: str
    sound: bool | None = None
    noisy: bool = False
    shares: bool = False
    object: bool = False


@dataclass(frozen=True)
class Blame:
    """`names`: who differs from the others, or the parties between which it cannot be told, of which one may be
    `EXPORT`, of the environment `object`. `reason` is one line.
    """

    names: tuple[str, ...]
    sure: Sure
    reason: str
    object: str | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The environments where it shows: a wrong export in the one that runs none, since all others follow it."""
        return tuple(self.object if name == EXPORT and self.object else name for name in self.names)


def attribute(suspects: Sequence[Suspect], agree: Callable[[str, str], bool | None]) -> tuple[Blame, ...]:
    """Name the odd ones out. `agree` says of two environments whether they do (None: nothing was learned).

    The majority is the largest set of environments that all agree with each other, if it holds more than half of
    them and at least two backends (four levels of one engine share their mistakes, and count as one voice), and no
    other set is as large. Best ask `agree` of the outputs alone: an answer that heeds the arbiter is no second witness.

    - BOTH: outside the majority (it differs from most of that), and unsound by the arbiter, which finds no fault with
      the majority.
    - ARBITER: unsound, and not outside a majority; it finds others sound.
    - MAJORITY: outside the majority, and no arbiter.
    - UNKNOWN: neither; or they contradict each other (the arbiter's engine may be wrong itself, as where it finds none
      sound of several backends); or it is noisy.

    An environment that is sound is never blamed: it differs from others by no more than its precision explains. Nor is
    the model itself, which is right by definition: where an environment like it would be blamed, its export is.
    Empty where no two disagree and none is unsound.
    """
    unsound = [suspect for suspect in suspects if suspect.sound is False]
    if not unsound and not any(agree(a.name, b.name) is False for a, b in combinations(suspects, 2)):
        return ()
    majority = _majority(suspects, agree)
    inside = [suspect for suspect in suspects if suspect.name in majority]
    sound = [suspect for suspect in suspects if suspect.sound]
    doubted = 2 * sum(suspect.sound is False for suspect in inside) > len(inside)
    lone = not majority and not sound and len({suspect.backend for suspect in unsound if not suspect.noisy}) > 1
    blames: list[Blame] = []
    unclear: list[Suspect] = []
    for suspect in suspects:
        disagrees = any(agree(suspect.name, other.name) is False for other in suspects if other is not suspect)
        apart = sum(agree(suspect.name, other.name) is False for other in inside if other is not suspect)
        outside = suspect.name not in majority and 2 * apart > len(inside)
        if suspect.sound is not False and (suspect.name in majority or not disagrees):
            continue
        if suspect.noisy:
            why = (
                "it differs from itself when run again, so what it differs from others by cannot be blamed on anything"
            )
            blames.append(Blame((suspect.name,), Sure.UNKNOWN, why))
        elif suspect.sound is False and outside:
            blames.append(_by_both(suspect, inside))
        elif suspect.sound is False and not (lone or (doubted and suspect.name in majority)):
            if suspect.object and not sound and not disagrees:
                continue  # what ran the export is off float64 as it is, so that the export has not changed it
            why = _unsound(suspect) + (f" and {'finds ' * suspect.object}{_names(sound)} sound" if sound else "")
            blames.append(_blame([suspect], Sure.ARBITER, why))
        elif suspect.sound is None and outside:
            why = f"{_names(inside)} agree with each other and not with {_it(suspect)}; no arbiter judged it"
            blames.append(_blame([suspect], Sure.MAJORITY, why))
        elif suspect.sound is None:
            unclear.append(suspect)
    if doubted:
        blames += _majority_unsound(suspects, inside)
    if lone:
        why = "float64 finds none of them sound, so the arbiter itself may be wrong; no majority agrees"
        blames.append(_blame([suspect for suspect in unsound if not suspect.noisy], Sure.UNKNOWN, why))
    if unclear:
        why = "there is no arbiter, and " + (
            f"too few of {_names(inside)}, which agree with each other, differ from each"
            if majority
            else "no majority agrees: add an environment, or let the arbiter look"
        )
        blames.append(_blame(unclear, Sure.UNKNOWN, why))
    return tuple(blames)


def _blame(suspects: Sequence[Suspect], sure: Sure, why: str) -> Blame:
    names = tuple(EXPORT if suspect.object else suspect.name for suspect in suspects)
    found = next((suspect.name for suspect in suspects if suspect.object), None)
    return Blame(names, sure, why if found is None else f"{why}; {found} is the model itself", found)


def _it(suspect: Suspect) -> str:
    return suspect.name if suspect.object else "it"


def _unsound(suspect: Suspect) -> str:
    return f"float64 of it differs from {suspect.name}" if suspect.object else "float64 finds it unsound"


def _by_both(suspect: Suspect, majority: Sequence[Suspect]) -> Blame:
    faulted = [other for other in majority if other.sound is False]
    if faulted:
        also = f"also {'from ' * suspect.object}{_names(faulted)} of the majority that disagrees with {_it(suspect)}"
        return _blame([suspect], Sure.ARBITER, f"{_unsound(suspect)}, but {also}")
    why = f"{_unsound(suspect)}, and {_names(majority)} agree with each other and not with {_it(suspect)}"
    return _blame([suspect], Sure.BOTH, why)


def _majority_unsound(suspects: Sequence[Suspect], majority: Sequence[Suspect]) -> list[Blame]:
    sound = [suspect for suspect in suspects if suspect.sound]
    if sound and all(suspect.shares for suspect in sound):
        why = (
            f"float64 finds only {_names(sound)} sound, which shares the arbiter's lowering; "
            f"{_names(majority)} agree with each other, so the arbiter itself may be wrong"
        )
    else:
        why = f"{_names(majority)} agree with each other, but float64 finds them unsound"
    return [Blame(tuple(suspect.name for suspect in majority if not suspect.object), Sure.UNKNOWN, why)]


def _majority(suspects: Sequence[Suspect], agree: Callable[[str, str], bool | None]) -> frozenset[str]:
    """The names of the majority; empty where there is none."""
    backends = {suspect.name: suspect.backend for suspect in suspects if not suspect.noisy}
    friends = {name: {other for other in backends if other != name and agree(name, other)} for name in backends}
    found = _cliques(friends, set(), set(friends), set(), len(suspects) // 2 + 1)
    groups = [group for group in found if len({backends[name] for name in group}) > 1]
    most = max(map(len, groups), default=0)
    largest = [group for group in groups if len(group) == most]
    return frozenset(largest[0]) if len(largest) == 1 else frozenset()


def _cliques(
    friends: Mapping[str, set[str]], chosen: set[str], open_: set[str], closed: set[str], least: int
) -> Iterator[set[str]]:
    """The sets of names that are all friends, each as large as it can be and of `least` names at least (Bron and
    Kerbosch, CACM 1973, with pivot).
    """
    if len(chosen) + len(open_) < least:
        return
    if not open_ and not closed:
        yield chosen
        return
    pivot = max(open_ | closed, key=lambda name: len(friends[name] & open_))
    for name in sorted(open_ - friends[pivot]):
        yield from _cliques(friends, chosen | {name}, open_ & friends[name], closed & friends[name], least)
        open_ = open_ - {name}
        closed = closed | {name}


def _names(suspects: Sequence[Suspect]) -> str:
    return ", ".join(suspect.name for suspect in suspects)
