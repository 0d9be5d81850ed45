"""ranks.py with real processes: the same scores as in one process, and what happens when a rank dies."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from scoring_examples import make_examples, score_examples
from tiny_models import new_model

from vr.engines.scoring import forward, ranks, scorer
from vr.renderers.example import Example
from vr.settings.machine import Machine

slow = pytest.mark.slow


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def large_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose head is large enough for ZeRO-3 to partition it: weights below 100,000 elements stay whole."""
    folder = tmp_path_factory.mktemp("large")
    new_model(vocabulary=4000, tied=request.param).save_pretrained(folder)
    return folder


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_batches_are_shared_out_by_tokens_not_by_count() -> None:
    assert ranks.deal([10, 10, 60, 10, 10, 10, 10], 2) == [[2], [0, 1, 3, 4, 5, 6]]
    assert ranks.deal([5, 4, 3, 3, 3], 2) == [[0, 3], [1, 2, 4]]  # 5 + 3 and 4 + 3 + 3


def test_every_batch_is_dealt_once_and_ranks_may_go_empty() -> None:
    shares = ranks.deal([7, 7, 1], 5)
    assert sorted(n for share in shares for n in share) == [0, 1, 2]
    assert len(shares) == 5 and [] in shares


def test_a_batch_costs_its_padding_too() -> None:
    batch = [Example([1] * 10, 1, (1, 10)), Example([1] * 4, 1, (1, 4))]
    assert forward.cost(batch) == 2 * 9  # the last token is not read


@slow
@pytest.mark.parametrize("n_ranks", [2, 3])
def test_scores_are_the_same_to_the_last_bit_for_any_number_of_ranks(tiny_model: Path, n_ranks: int) -> None:
    examples = [*make_examples(40), Example([1] * 600, 1, (1, 600))]  # one is too long
    blocks = [examples[:30], examples[30:], [], examples[:1]]  # one batch alone leaves ranks without any
    expected = [score_examples(tiny_model, block, score_tokens=300) for block in blocks]
    with scorer.scorer(tiny_model, "float32", Machine(score_tokens=300, score_ranks=n_ranks)) as score:
        assert [score(block, True) for block in blocks] == expected
        assert len(multiprocessing.active_children()) == n_ranks
    assert multiprocessing.active_children() == []


@slow
def test_a_model_in_parts_gives_the_same_scores(large_model: Path) -> None:
    blocks = [make_examples(31), make_examples(1)]  # the second is one batch: a rank has none
    with scorer.scorer(large_model, "float32", Machine(score_tokens=300, score_ranks=2, score_zero3=True)) as score:
        for block in blocks:
            expected = score_examples(large_model, block, score_tokens=300)
            for left, right in zip(score(block, True), expected, strict=True):
                assert left.trace_logps == pytest.approx(right.trace_logps, abs=1e-5)
                assert left.answer_logp_sum == pytest.approx(right.answer_logp_sum, abs=1e-4)


@slow
@pytest.mark.parametrize("zero3", [False, True])
def test_a_killed_rank_is_named_at_once_and_leaves_no_process(tiny_model: Path, zero3: bool) -> None:
    took = float("inf")

    def kill_one_at_work() -> None:
        nonlocal took
        with scorer.scorer(tiny_model, "float32", Machine(score_ranks=2, score_zero3=zero3)) as score:
            score(make_examples(4), False)
            (victim,) = [child for child in multiprocessing.active_children() if child.name == "scoring rank 1"]
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGSTOP)  # so that it dies at work
            threading.Timer(1, os.kill, (victim.pid, signal.SIGKILL)).start()
            begin = time.monotonic()
            try:
                score(make_examples(40), False)
            finally:
                took = time.monotonic() - begin

    with pytest.raises(RuntimeError, match=r"scoring rank 1 was ended by SIGKILL \(out of memory\?\)"):
        kill_one_at_work()
    assert 1 <= took < 6
    assert multiprocessing.active_children() == []


@slow
def test_what_goes_wrong_in_a_rank_is_reported(
    tiny_model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "vocabulary", lambda _: 10**7)  # or else the id would be refused before
    with pytest.raises(RuntimeError, match="scoring rank 0: IndexError: index out of range"):
        score_examples(tiny_model, [Example([1, 10**6, 1], 1, (1, 3))], score_ranks=2)
    assert "Traceback" in capfd.readouterr().err
    assert multiprocessing.active_children() == []


WORK_FOR_EVER = """
import multiprocessing, sys
from vr.engines.scoring import ranks
from vr.renderers.example import Example

with ranks.start(sys.argv[1], "float32", int(sys.argv[2]), zero3=False, threads=1) as score_batches:
    examples = [Example([1] * 500, 1, (1, 500))] * 8
    score_batches([examples], False)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    while True:
        score_batches([examples] * 1000, False)
"""


@slow
@pytest.mark.parametrize(("how", "n_ranks"), [(signal.SIGKILL, 2), (signal.SIGTERM, 1), (signal.SIGINT, 1)])
def test_ranks_end_with_their_parent_however_it_ends(tiny_model: Path, how: signal.Signals, n_ranks: int) -> None:
    command = [sys.executable, "-c", WORK_FOR_EVER, str(tiny_model), str(n_ranks)]
    parent: subprocess.Popen[Any] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == n_ranks and all(map(alive, pids))
    time.sleep(0.5)  # they are at work
    parent.send_signal(how)
    parent.communicate()
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, pids))
