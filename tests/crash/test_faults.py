from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.crash._faults import COMMITS, Call, Fault, Outcome, try_every_fault
from tests.crash._process import in_own_process, memory_directory
from tests.crash._support import check_after_crash


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_directory() as name:
        yield Path(name)


def outcomes(folder: Path, call: Call, error: type[apsw.Error], *, lasting: bool, in_views: bool) -> list[Outcome]:
    """What came of a fault in every place, after reopening each log on healthy storage."""
    fault = Fault(call, 0, error, lasting)
    *found, last = in_own_process(try_every_fault, folder, fault, in_views=in_views)
    assert not last.refusals
    assert len(found) >= COMMITS
    for number, outcome in enumerate([*found, last], 1):
        check_after_crash(folder / str(number), outcome.acknowledged)
    print(f"{len(found)} faults, {sum(bool(outcome.refusals) for outcome in found)} of them refused commits")
    return found


@pytest.mark.parametrize("lasting", [False, True])
def test_a_full_disk_refuses_clearly_and_takes_commits_again_when_there_is_room(folder, lasting):
    for outcome in outcomes(folder, Call.WRITE, apsw.FullError, lasting=lasting, in_views=False):
        assert set(outcome.refusals) <= {"the disk is full: nothing more can be recorded until there is room"}
        assert lasting or len(outcome.refusals) <= 1
        assert outcome.recovered


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("lasting", [False, True])
def test_an_io_error_seals_the_log_until_it_is_opened_again(folder, call, lasting):
    for outcome in outcomes(folder, call, apsw.IOError, lasting=lasting, in_views=False):
        assert all("restart the server when the storage is healthy" in refusal for refusal in outcome.refusals)
        assert outcome.recovered is not bool(outcome.refusals)


@pytest.mark.parametrize(("error", "lasting"), [(apsw.FullError, True), (apsw.IOError, False)])
def test_views_that_cannot_be_written_refuse_to_be_read_and_more_commits_and_catch_up_by_themselves(
    folder, error, lasting
):
    for outcome in outcomes(folder, Call.WRITE, error, lasting=lasting, in_views=True):
        assert all(refusal.startswith("the views cannot follow") for refusal in outcome.refusals)
        assert outcome.recovered
