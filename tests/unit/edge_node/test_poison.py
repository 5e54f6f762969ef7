"""A record that crashes the scorer is set aside, an innocent neighbour never."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge_node.poison import NO_RECORDS_FAULT, PoisonGuard, Records, bisect
from services.runtime.log import Partition, ReadRecord

P, Q = Partition("records", 0), Partition("records", 1)


def record(offset: int, partition: Partition = P) -> ReadRecord:
    return ReadRecord(partition.topic, partition.partition, offset, 0, b"k", b"{}", ())


def batch(*offsets: int, partition: Partition = P) -> dict[Partition, list[ReadRecord]]:
    return {partition: [record(o, partition) for o in offsets]}


# -- exceptions ------------------------------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=64))
def test_bisecting_finds_every_bad_item_and_works_on_all_others(bad: list[bool]) -> None:
    calls = 0

    def work(part: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if any(bad[i] for i in part):
            raise ValueError("poison")
        return list(part)

    done, failed = bisect(work, list(range(len(bad))))
    assert [i for i, _ in failed] == [i for i, is_bad in enumerate(bad) if is_bad]
    assert [i for _, part in done for i in part] == [i for i, is_bad in enumerate(bad) if not is_bad]
    assert all(start == part[0] for start, part in done)
    assert calls <= 1 + 2 * sum(bad) * 8
    assert all(why == "ValueError: poison" for _, why in failed)


def test_only_exceptions_of_the_work_are_caught() -> None:
    def work(part: Sequence[int]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bisect(work, [1, 2])


@pytest.mark.parametrize("error", NO_RECORDS_FAULT)
def test_what_no_record_is_to_blame_for_is_raised(error: type[Exception]) -> None:
    calls = []

    def work(part: Sequence[int]) -> None:
        calls.append(len(part))
        raise error("no record's fault")

    with pytest.raises(error):
        bisect(work, [1, 2, 3], NO_RECORDS_FAULT)
    assert calls == [3]


# -- crashes of the process ------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


class Lives:
    """Processes one after another on one marker file; each reads the log again from `start`."""

    def __init__(self, path: Path, poison: set[tuple[Partition, int]]) -> None:
        self.path, self.poison = path, poison
        self.scored: set[tuple[Partition, int]] = set()
        self.set_aside: set[tuple[Partition, int]] = set()
        self.lives = 0

    def live(self, polls: Sequence[Records]) -> bool:
        """One life over these polls; False if it was killed in it."""
        self.lives += 1
        guard = PoisonGuard(self.path)
        try:
            for records in polls:
                for part in guard.split(records):
                    self._handle(guard, part)
        except Killed as killed:
            guard.close()
            self.path.write_bytes(killed.args[0])
            return False
        guard.close()
        return True

    def _handle(self, guard: PoisonGuard, records: Records) -> None:
        for partition, all_of_it in records.items():
            self.set_aside |= {(partition, r.offset) for r in all_of_it if guard.condemned(r)}
            rest = [r for r in all_of_it if not guard.condemned(r)]
            if not rest:
                continue
            with guard.marked({partition: rest}):
                if any((partition, r.offset) in self.poison for r in rest):
                    raise Killed(self.path.read_bytes())  # after kill -9 the file stays as it is now
            self.scored |= {(partition, r.offset) for r in rest}


def survive(lives: Lives, polls: Sequence[Records], most: int = 40) -> None:
    for _ in range(most):
        if lives.live(polls):
            return
    raise AssertionError("it crashes for ever")


@given(st.sets(st.integers(0, 19), max_size=4), st.integers(1, 20))
def test_all_poison_and_only_poison_is_set_aside(
    tmp_path_factory: pytest.TempPathFactory, poison: set[int], size: int
) -> None:
    lives = Lives(tmp_path_factory.mktemp("guard") / "marker", {(P, o) for o in poison})
    survive(lives, [batch(*range(i, min(20, i + size))) for i in range(0, 20, size)])
    assert lives.set_aside == {(P, o) for o in poison}
    assert lives.scored == {(P, o) for o in set(range(20)) - poison}


def test_it_dies_at_most_three_times_for_one_record(tmp_path: Path) -> None:
    lives = Lives(tmp_path / "marker", {(P, 7)})
    survive(lives, [batch(*range(20))])
    assert lives.lives == 4  # in its batch, twice alone, then set aside


def test_poison_in_one_partition_leaves_the_other_alone(tmp_path: Path) -> None:
    lives = Lives(tmp_path / "marker", {(Q, 1)})
    survive(lives, [batch(0, 1, 2) | batch(0, 1, 2, partition=Q)])
    assert lives.set_aside == {(Q, 1)}
    assert len(lives.scored) == 5


def test_after_a_step_back_to_a_checkpoint_earlier_poison_is_found_again(tmp_path: Path) -> None:
    """Set aside, forgotten when its batch was done, and then the process steps back behind it once more."""
    lives = Lives(tmp_path / "marker", {(P, 3)})
    survive(lives, [batch(*range(10)), batch(*range(10, 20))])
    lives.poison.add((P, 15))
    assert not lives.live([batch(*range(10, 20))])
    lives.set_aside.clear()
    survive(lives, [batch(*range(20))])
    assert lives.set_aside == {(P, 3), (P, 15)}


def test_a_new_log_owes_nothing_to_the_old_one(tmp_path: Path) -> None:
    lives = Lives(tmp_path / "marker", {(P, 0)})
    assert [lives.live([batch(0)]) for _ in range(3)] == [False, False, False]
    guard = PoisonGuard(tmp_path / "marker")
    assert guard.condemned(record(0))
    guard.forget(P)
    assert not guard.condemned(record(0))
    assert not guard.suspicious
    guard.close()


def test_forgetting_a_partition_spares_its_namesakes(tmp_path: Path) -> None:
    lives = Lives(tmp_path / "marker", {(Partition("records", 10), 0)})
    polls = [{Partition("records", 10): [record(0, Partition("records", 10))]}]
    assert [lives.live(polls) for _ in range(3)] == [False] * 3
    guard = PoisonGuard(tmp_path / "marker")
    guard.forget(Partition("records", 1))
    assert guard.condemned(record(0, Partition("records", 10)))
    guard.close()


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"\0",
        b"\0" * 8,
        (50).to_bytes(8, "big") + b'{"suspects": {"rec',
        b"\xff" * 100,
        (2).to_bytes(8, "big") + b"[]",
    ],
)
def test_a_marker_that_was_cut_off_counts_as_none(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "marker").write_bytes(left)
    guard = PoisonGuard(tmp_path / "marker")
    assert not guard.suspicious
    assert list(guard.split(batch(1, 2))) == [batch(1, 2)]
    guard.close()


def test_an_exception_leaves_its_batch_under_suspicion(tmp_path: Path) -> None:
    guard = PoisonGuard(tmp_path / "marker")
    with pytest.raises(ValueError, match="half done"), guard.marked(batch(1, 2)):
        raise ValueError("half done")
    guard.close()
    assert len(list(PoisonGuard(tmp_path / "marker").split(batch(1, 2)))) == 2


@pytest.mark.parametrize("lives", [1, 3])
def test_a_signal_accuses_no_record(tmp_path: Path, lives: int) -> None:
    for _ in range(lives):
        guard = PoisonGuard(tmp_path / "marker")
        with pytest.raises(KeyboardInterrupt), guard.marked(batch(1)):
            raise KeyboardInterrupt
        guard.close()
    guard = PoisonGuard(tmp_path / "marker")
    assert not guard.suspicious
    assert guard.calm
    guard.close()


@pytest.mark.parametrize("error", NO_RECORDS_FAULT)
def test_what_no_record_is_to_blame_for_leaves_no_suspects(tmp_path: Path, error: type[Exception]) -> None:
    guard = PoisonGuard(tmp_path / "marker")
    with pytest.raises(error), guard.marked(batch(1, 2)):
        raise error("no record's fault")
    guard.close()
    guard = PoisonGuard(tmp_path / "marker")
    assert not guard.suspicious
    guard.close()


def test_a_clean_end_leaves_no_suspects(tmp_path: Path) -> None:
    guard = PoisonGuard(tmp_path / "marker")
    with guard.marked(batch(*range(1000))):
        assert PoisonGuard(tmp_path / "marker").suspicious
    guard.close()
    assert not PoisonGuard(tmp_path / "marker").suspicious


@given(st.integers(0, 9), st.integers(0, 9), st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_splitting_loses_nothing_and_keeps_the_order(
    tmp_path_factory: pytest.TempPathFactory, first: int, last: int, offsets: list[int]
) -> None:
    path = tmp_path_factory.mktemp("guard") / "marker"
    if first <= last:
        Lives(path, {(P, first)}).live([batch(*range(first, last + 1))])
    guard = PoisonGuard(path)
    records = batch(*sorted(offsets)) | batch(5, 6, partition=Q)
    parts = list(guard.split(records))
    for partition, expected in records.items():
        assert [r for part in parts for r in part.get(partition, [])] == expected
    suspects = [part for part in parts if P in part and first <= part[P][0].offset <= last]
    assert all(len(part) == len(part[P]) == 1 for part in suspects)
    guard.close()
