"""vr/engines/sampling on real vLLM engines, with models whose next-token probabilities are known.

All engines of this module are in one process, since importing vLLM takes most of the time.
"""

import dataclasses
import gc
import itertools
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from safetensors.torch import load_file, save_file
from tiny_models import DAMAGED, damaged, make_markov_model, token_id

from vr.engines import draws
from vr.engines.sampling import Request, Sample, engine, request_seed, sample, sampler
from vr.renderers import markers
from vr.renderers.tokenizer import decode, encode, load_tokenizer
from vr.settings.machine import Machine
from vr.settings.params import Sampling

END = markers.END_THOUGHT
MACHINE = Machine(kv_cache_gib=1)
PROBS = {"A": 0.5, "B": 0.3, "C": 0.15, markers.TURN_END: 0.05}
"""The known model's next token, whatever came before, except that an end marker always follows a D."""
DECODING = Sampling(temperature=1.0, top_p=1.0, max_tokens=24, precision="float32")

slow = pytest.mark.slow


def draw(
    llm: Any, requests: Sequence[Request], *, end_marker: str | None = END, logps: bool = False, **decoding: Any
) -> list[Sample]:
    """The samples in the order of the requests, which get their positions as indices."""
    indexed = [dataclasses.replace(request, index=i) for i, request in enumerate(requests)]
    settings = DECODING.model_copy(update=decoding)
    pairs = list(sampler.draw(llm, indexed, settings, total=len(requests), end_marker=end_marker, logps=logps))
    assert sorted(index for index, _ in pairs) == list(range(len(requests)))
    samples = dict(pairs)
    return [samples[i] for i in range(len(requests))]


def prompt_of(tokenizer: Any, question: str) -> list[int]:
    """A conversation in which the model is about to think."""
    return encode(tokenizer, markers.conversation("You add.", question) + markers.BEGIN_THOUGHT)


def requests_for(llm: Any, n: int, question: str = "Add 3 and 4.", stage: str = "test") -> list[Request]:
    """`n` requests on one prompt, each with its own seed."""
    prompt_ids = prompt_of(llm.get_tokenizer(), question)
    return [Request(i, prompt_ids, request_seed(stage, question, i)) for i in range(n)]


def request_with(llm: Any, text: str, index: int = 0) -> Request:
    """A request on a prompt that ends with the text."""
    tokenizer = llm.get_tokenizer()
    return Request(index, prompt_of(tokenizer, "Add.") + encode(tokenizer, text), index)


def reference_logps(model: Path, prompt_ids: list[int], ids: list[int]) -> list[float]:
    """log p of each id after the prompt, from one forward pass of the model in transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        logps_TV = loaded(torch.tensor([prompt_ids + ids])).logits[0].double().log_softmax(-1)
    return logps_TV[len(prompt_ids) - 1 : -1].gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()


@pytest.fixture(scope="module")
def random_engine(tiny_model: Path) -> Iterator[Any]:
    """Random weights: every token and the whole prompt matter."""
    with engine.open_engine(tiny_model, "float32", MACHINE) as opened:
        yield opened


@pytest.fixture(scope="module")
def known_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_markov_model(tmp_path_factory.mktemp("known"), "special", {"": PROBS, "D": {END: 1.0}})
    (folder / "generation_config.json").write_text('{"do_sample": true, "top_k": 1, "temperature": 0.1}')
    return folder


@pytest.fixture(scope="module")
def known_engine(known_model: Path) -> Iterator[Any]:
    with engine.open_engine(known_model, "float32", MACHINE) as opened:
        yield opened


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes A, B and then a marker of 11 tokens, or something like it: h is followed by o or t at even odds."""
    chain = ["<|", "end", "_of", "_t", "h"]
    probs = {"": {"A": 0.4, "B": 0.2, "<|": 0.3, ".<|": 0.1}, ".<|": {"end": 1.0}}
    probs |= {last: {then: 1.0} for last, then in itertools.pairwise(chain)}
    probs |= {"h": {"o": 0.5, "t": 0.5}, "o": {"u": 1.0}, "u": {"g": 1.0}, "g": {"h": 1.0}}
    probs |= {"t": {"|>": 0.5, "|>.\n": 0.5}}
    return make_markov_model(tmp_path_factory.mktemp("text"), "text", probs)


@pytest.fixture(scope="module")
def text_engine(text_model: Path) -> Iterator[Any]:
    with engine.open_engine(text_model, "float32", MACHINE) as opened:
        yield opened


def assert_frequencies(counts: Counter[str], probs: dict[str, float]) -> None:
    """Pearson's chi-square against the known probabilities: below the 99.9 % point."""
    total = sum(counts.values())
    assert set(counts) <= set(probs)
    chi_square = sum((counts[name] - total * p) ** 2 / (total * p) for name, p in probs.items())
    assert chi_square < {1: 10.83, 2: 13.82, 3: 16.27}[len(probs) - 1]


def first_tokens(llm: Any, n: int, stage: str, **decoding: Any) -> Counter[str]:
    samples = draw(llm, requests_for(llm, n, stage=stage), max_tokens=1, **decoding)
    return Counter(decode(llm.get_tokenizer(), drawn.ids) for drawn in samples)


@slow
def test_a_new_engine_gives_the_same_texts(tiny_model: Path) -> None:
    # The first test of the module: closing an engine ends all others of the process.
    prompt_ids = prompt_of(load_tokenizer(tiny_model), "Add 3 and 4.")
    requests = [Request(n, prompt_ids, request_seed("test", "new", n)) for n in range(5)]
    decoding = DECODING.model_copy(update={"temperature": 0.7, "top_p": 0.9})
    first, second = (dict(sample(tiny_model, requests, decoding, MACHINE, total=5, end_marker=END)) for _ in range(2))
    assert first == second and len(first) == 5 and first[0].ids


@slow
def test_a_model_that_computes_nan_is_an_error_at_once_and_draws_no_empty_texts(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Before the engines of the module, as the test above.
    model = Path(shutil.copytree(tiny_model, tmp_path / "nan"))
    tensors = load_file(model / "model.safetensors")
    tensors["model.layers.0.self_attn.v_proj.weight"].view(-1)[7] = math.nan
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    requests = [Request(n, prompt_of(load_tokenizer(model), "Add."), n) for n in range(3)]
    with pytest.raises(RuntimeError, match=r"nan: vLLM ended: .*NaNs detected in logits"):
        list(sample(model, requests, DECODING, MACHINE, total=3, end_marker=END))
    assert "Dumping" not in capfd.readouterr().err


@slow
def test_a_prompt_with_an_id_that_the_model_does_not_know_is_named(known_engine: Any) -> None:
    requests = [request_with(known_engine, "D", 4), Request(5, [1, 99_999], 0)]
    with pytest.raises(ValueError, match=r"^prompt 5: token id 99999, but the model has 311$"):
        list(sampler.draw(known_engine, requests, DECODING, total=2, end_marker=END))
    assert not known_engine.has_unfinished_requests()


def test_answers_to_a_trace_with_an_unknown_id_are_refused_before_an_engine_is_opened(tiny_model: Path) -> None:
    traces = pl.DataFrame({"problem_id": ["p", "q"], "seed": [0, 3], "trace_ids": [[1, 310], [7, 311, 2]]})
    drawn = draws.answers(draws.Sampler(tiny_model, None, DECODING, MACHINE), traces, 2, [0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^traces: .*'q', 'seed': 3}: token id 311, but .*special has 311$"):
        next(drawn)


@pytest.mark.parametrize("name", ["weights cut at the end", "half a config", "a pickle alone"])
def test_a_damaged_model_is_refused_before_an_engine_is_opened(tiny_model: Path, tmp_path: Path, name: str) -> None:
    model = damaged(tiny_model, tmp_path / "model", name)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(DAMAGED[name][1])):
        sample(model, [], DECODING, MACHINE, total=0, end_marker=None)


def test_weights_that_lack_a_tensor_are_refused_before_an_engine_is_opened(tiny_model: Path, tmp_path: Path) -> None:
    # vLLM takes them: of the two halves that it joins it misses neither
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    tensors = load_file(model / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with (
        pytest.raises(ValueError, match=r"model: the weights lack 1 tensors .* first model\.layers\.1\.mlp\.up_proj"),
        engine.open_engine(model, "float32", MACHINE),
    ):
        pytest.fail("the error has to come before the engine")


def test_vllm_writes_no_warnings_unless_asked_and_reads_no_pickles(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for asked, level in ((None, "ERROR"), ("DEBUG", "DEBUG")):
        monkeypatch.delenv("VLLM_LOGGING_LEVEL", raising=False)
        if asked:
            monkeypatch.setenv("VLLM_LOGGING_LEVEL", asked)
        settings = engine.engine_settings(tiny_model, "float32", MACHINE)
        assert os.environ["VLLM_LOGGING_LEVEL"] == level
        assert (settings["load_format"], settings["trust_remote_code"]) == ("safetensors", False)


@slow
def test_the_precision_is_the_one_asked_for_whatever_the_weights_have(tiny_model: Path) -> None:
    # The weights are float32. Precisions show in the log-probs: bfloat16 has 8 bits, float32 24.
    import torch

    prompt_ids = prompt_of(load_tokenizer(tiny_model), "Add 3 and 4.")
    distances = {}
    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with engine.open_engine(tiny_model, precision, MACHINE) as opened:
            assert opened.model_config.dtype == dtype
            (drawn,) = draw(opened, [Request(0, prompt_ids, 0)], logps=True)
        assert drawn.logps is not None
        exact = reference_logps(tiny_model, prompt_ids, drawn.ids)
        distances[precision] = max(abs(a - b) for a, b in zip(drawn.logps, exact, strict=True))
    assert distances["float32"] < 1e-3 < distances["bfloat16"] < 1


@slow
def test_same_request_gives_the_same_text_alone_and_in_any_batch(random_engine: Any) -> None:
    wanted = requests_for(random_engine, 6)
    others = [r for n in range(40) for r in requests_for(random_engine, 2, question=f"Add {n} and {n}." * (n % 5 + 1))]
    alone = [draw(random_engine, [request])[0] for request in wanted]
    mixed = draw(random_engine, [*others[:30], *wanted, *others[30:]])[30:36]
    assert mixed == alone
    assert draw(random_engine, wanted[::-1]) == alone[::-1]
    assert len({tuple(drawn.ids) for drawn in alone}) == 6


@slow
def test_the_same_seed_twice_gives_the_same_text(random_engine: Any) -> None:
    (request,) = requests_for(random_engine, 1)
    first, second = draw(random_engine, [request, request])
    assert first == second and first.ids


@slow
def test_eight_answers_on_one_prompt_are_distinct_draws(random_engine: Any) -> None:
    samples = draw(random_engine, requests_for(random_engine, 8))
    assert len({tuple(drawn.ids) for drawn in samples}) == 8


@slow
def test_samples_of_one_prompt_are_independent_of_each_other(known_engine: Any) -> None:
    # Two independent draws agree with probability sum p^2 = 0.25 + 0.09 + 0.0225 + 0.0025 = 0.365.
    prompt = requests_for(known_engine, 1)[0].prompt_ids
    pairs = [Request(0, prompt, request_seed("pairs", str(n), m)) for n in range(1500) for m in range(2)]
    ids = [drawn.ids for drawn in draw(known_engine, pairs, max_tokens=1)]
    agreeing = sum(a == b for a, b in zip(ids[::2], ids[1::2], strict=True)) / 1500
    assert abs(agreeing - 0.365) < 4 * math.sqrt(0.365 * 0.635 / 1500)


@slow
def test_frequencies_match_the_known_probabilities(known_engine: Any) -> None:
    # generation_config.json of this model asks for top_k = 1: it must have no say.
    assert_frequencies(first_tokens(known_engine, 3000, "plain"), PROBS)


@slow
def test_frequencies_within_texts_match_the_known_probabilities(known_engine: Any) -> None:
    tokenizer = known_engine.get_tokenizer()
    samples = draw(known_engine, requests_for(known_engine, 300, stage="within"))
    assert_frequencies(Counter(decode(tokenizer, [i]) for drawn in samples for i in drawn.ids), PROBS)


@slow
def test_temperature_sharpens_the_distribution(known_engine: Any) -> None:
    # T = 1/2: p^2, normalised by 0.365
    sharpened = {name: p * p / 0.365 for name, p in PROBS.items()}
    assert_frequencies(first_tokens(known_engine, 3000, "sharp", temperature=0.5), sharpened)


@slow
def test_top_p_keeps_the_likeliest_tokens_that_reach_it(known_engine: Any) -> None:
    # A alone has 0.5 < 0.6, A and B have 0.8
    assert_frequencies(first_tokens(known_engine, 2000, "top_p", top_p=0.6), {"A": 0.625, "B": 0.375})


@slow
def test_temperature_zero_takes_the_likeliest_token(known_engine: Any) -> None:
    assert {drawn.text for drawn in draw(known_engine, requests_for(known_engine, 3), temperature=0)} == {"A" * 24}


@slow
def test_greedy_ids_are_the_argmax_of_the_model_that_scores(random_engine: Any, tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    requests = [requests_for(random_engine, 1, question=f"Add {n} and 4.")[0] for n in range(5)]
    loaded = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    for request, drawn in zip(requests, draw(random_engine, requests, temperature=0), strict=True):
        with torch.inference_mode():
            logits_TV = loaded(torch.tensor([request.prompt_ids + drawn.ids])).logits[0]
        assert logits_TV[len(request.prompt_ids) - 1 : -1].argmax(-1).tolist() == drawn.ids


@slow
def test_log_probs_are_those_of_the_known_model(known_engine: Any) -> None:
    tokenizer = known_engine.get_tokenizer()
    for drawn in draw(known_engine, requests_for(known_engine, 20, stage="scored"), temperature=0.7, logps=True):
        assert drawn.logps == pytest.approx([math.log(PROBS[decode(tokenizer, [i])]) for i in drawn.ids], abs=1e-4)


@slow
@pytest.mark.parametrize("names", [("random_engine", "tiny_model"), ("text_engine", "text_model")])
def test_log_probs_are_at_temperature_1_whatever_is_sampled_at(
    names: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    llm, model = map(request.getfixturevalue, names)
    requests = requests_for(llm, 30, stage="logps")
    settings = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 120}
    samples = draw(llm, requests, logps=True, **settings)
    assert {"marker", "length"} <= {drawn.finish for drawn in samples}
    for given, drawn in zip(requests, samples, strict=True):
        assert drawn.logps == pytest.approx(reference_logps(model, given.prompt_ids, drawn.ids), abs=1e-3)
    assert [dataclasses.replace(drawn, logps=None) for drawn in samples] == draw(llm, requests, **settings)


@slow
def test_a_marker_of_one_special_token_ends_the_sample(known_engine: Any) -> None:
    (drawn,) = draw(known_engine, [request_with(known_engine, "D")])
    assert drawn == Sample(encode(known_engine.get_tokenizer(), END), 0, "", "marker", None)


@slow
def test_a_marker_of_several_tokens_ends_the_sample_and_only_the_whole_of_it(text_engine: Any) -> None:
    tokenizer = text_engine.get_tokenizer()
    samples = draw(text_engine, requests_for(text_engine, 200), max_tokens=80)
    ended = [drawn for drawn in samples if drawn.finish == "marker"]
    assert len(ended) > 100
    for drawn in ended:
        text = decode(tokenizer, drawn.ids)
        assert text.count(END) == 1 and text.removesuffix(".\n").endswith(END)
        assert drawn.text == text.partition(END)[0]
        assert decode(tokenizer, drawn.ids[: drawn.before_marker]) == drawn.text.removesuffix(".")
        assert END not in decode(tokenizer, drawn.ids[:-1])
    assert any("<|end_of_tht|>" in drawn.text for drawn in ended)  # like a marker, but none
    last = {decode(tokenizer, drawn.ids[-1:]) for drawn in ended}
    assert last == {"|>", "|>.\n"}  # the token that completes the marker stays whole
    assert {decode(tokenizer, [drawn.ids[drawn.before_marker]]) for drawn in ended} == {"<|", ".<|"}


@slow
def test_without_a_marker_only_the_end_of_the_turn_ends_a_text(known_engine: Any) -> None:
    tokenizer = known_engine.get_tokenizer()
    requests = [request_with(known_engine, "D", n) for n in range(50)]
    samples = draw(known_engine, requests, end_marker=None, max_tokens=300)
    assert {drawn.finish for drawn in samples} == {"eos"}
    end = token_id(tokenizer, markers.TURN_END)
    for drawn in samples:
        assert drawn.text.startswith(END)
        assert drawn.ids[-1] == end and end not in drawn.ids[:-1]
        assert drawn.text == decode(tokenizer, drawn.ids[:-1])
        assert drawn.before_marker == len(drawn.ids)


@slow
def test_a_text_cut_off_is_recorded_as_length(known_engine: Any) -> None:
    samples = draw(known_engine, requests_for(known_engine, 40), max_tokens=3)
    cut = [drawn for drawn in samples if drawn.finish == "length"]
    assert len(cut) > 20 and all(len(drawn.ids) == drawn.before_marker == len(drawn.text) == 3 for drawn in cut)


@slow
def test_max_tokens_is_lowered_where_the_model_ends(known_engine: Any, caplog: pytest.LogCaptureFixture) -> None:
    # 512 positions: a prompt of 510 leaves room for 2 tokens, 511 for 1, 512 for none.
    ids = encode(known_engine.get_tokenizer(), "A") * 600
    requests = [Request(n, ids[:length], seed=0) for n, length in enumerate((510, 511, 512, 600))]
    with caplog.at_level(logging.WARNING, "vr.engines.sampling"):
        samples = draw(known_engine, requests, temperature=0)
    assert [(len(s.ids), s.finish) for s in samples[:2]] == [(2, "length"), (1, "length")]
    assert samples[2] == samples[3] == Sample([], 0, "", "prompt_too_long", None)
    assert [record.getMessage() for record in caplog.records] == ["2 of 4 prompts do not fit in 512 tokens"]
    assert draw(known_engine, requests[2:], logps=True)[0].logps == []


@slow
def test_samples_come_as_they_finish_and_carry_the_index_of_their_request(known_engine: Any) -> None:
    # After an A or a C comes a text of some 20 tokens (or 512 = no room at all), after a D one end marker.
    ends = {70: "A", 3: "D", 12: "C", 1: "D", 500: "A" * 512}
    requests = [request_with(known_engine, text, index) for index, text in ends.items()]
    pairs = list(sampler.draw(known_engine, requests, DECODING, total=5, end_marker=END))
    assert [index for index, _ in pairs[:3]] == [500, 3, 1]
    assert {index for index, _ in pairs[3:]} == {70, 12}
    assert [drawn.finish for _, drawn in pairs[:3]] == ["prompt_too_long", "marker", "marker"]
    alone = {request.index: draw(known_engine, [request])[0] for request in requests}
    assert dict(pairs) == alone


@slow
def test_requests_are_taken_no_more_than_two_batches_ahead(known_engine: Any) -> None:
    taken = 0

    def counted() -> Iterator[Request]:
        nonlocal taken
        for taken, request in enumerate(requests_for(known_engine, 1200), start=1):  # noqa: B007
            yield request

    decoding = DECODING.model_copy(update={"max_tokens": 1})
    samples = sampler.draw(known_engine, counted(), decoding, total=1200, end_marker=END)
    for done, _ in enumerate(samples):
        assert taken - done <= 2 * MACHINE.max_sequences
    assert taken == done + 1 == 1200


@slow
def test_memory_for_keys_and_values_is_what_a_full_batch_can_need_and_no_more_than_allowed(
    known_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A token: key and value, 2 layers, 1 head of 32, 4 bytes. 256 texts of 512 tokens: 4 blocks of 128 each; 1 spare.
    config = known_engine.vllm_config
    assert config.cache_config.kv_cache_memory_bytes == (256 * 4 + 1) * 128 * (2 * 2 * 32 * 4) < 2**30
    monkeypatch.setattr(config.cache_config, "kv_cache_memory_bytes", 1000)
    assert engine._kv_cache_bytes(config) == 1000


@slow
def test_the_garbage_collector_works_again_once_an_engine_is_open(known_engine: Any) -> None:
    assert known_engine and gc.isenabled() and gc.get_freeze_count() > 0


@slow
def test_a_caller_that_stops_early_leaves_the_engine_clean(known_engine: Any) -> None:
    decoding = DECODING.model_copy(update={"max_tokens": 100})
    stream = sampler.draw(known_engine, requests_for(known_engine, 30), decoding, total=30, end_marker=None)
    next(stream)
    stream.close()
    assert not known_engine.has_unfinished_requests()
    assert len(draw(known_engine, requests_for(known_engine, 3))) == 3


@slow
@pytest.mark.parametrize(
    ("failure", "raised"), [(MemoryError("no room"), RuntimeError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_an_engine_that_fails_ends_the_sampling_with_one_clear_line(
    failure: BaseException,
    raised: type[BaseException],
    known_engine: Any,
    known_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step, steps, closed = known_engine.step, itertools.count(), []

    def failing_step() -> Any:
        if next(steps) == 5:
            raise failure
        return step()

    @contextmanager
    def known_engine_opened(*_: Any) -> Iterator[Any]:
        try:
            yield known_engine
        finally:
            closed.append(True)

    monkeypatch.setattr(known_engine, "step", failing_step)
    monkeypatch.setattr(sampler, "open_engine", known_engine_opened)
    requests = [request_with(known_engine, "D"), *requests_for(known_engine, 30)[1:]]
    samples = sample(known_model, requests, DECODING, MACHINE, total=30, end_marker=END)
    assert next(samples)[0] == 0
    with pytest.raises(raised) as caught:
        list(samples)
    assert raised is KeyboardInterrupt or str(caught.value) == f"{known_model}: vLLM ended: MemoryError('no room')"
    assert closed and not known_engine.has_unfinished_requests()


@slow
def test_an_engine_process_that_is_killed_ends_the_sampling(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on GPUs, where the engine is a process of its own; vLLM alone would wait for it for ever.
    from vllm import LLMEngine
    from vllm.v1.executor import Executor

    def in_a_process(config: Any, **_: Any) -> Any:
        return LLMEngine(config, Executor.get_class(config), log_stats=False, multiprocess_mode=True)

    monkeypatch.setattr(LLMEngine, "from_vllm_config", in_a_process)
    with engine.open_engine(tiny_model, "float32", MACHINE) as opened:
        decoding = DECODING.model_copy(update={"max_tokens": 400})
        samples = sampler.draw(opened, requests_for(opened, 300), decoding, total=300, end_marker=None)
        next(samples)
        (process,) = opened.engine_core.resources.engine_manager.processes
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="vLLM ended: EngineDeadError"):
            list(samples)


@slow
def test_no_requests_give_no_samples_and_open_no_engine(
    known_engine: Any, known_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert draw(known_engine, []) == []
    monkeypatch.setattr(sampler, "open_engine", None)
    assert list(sample(known_model, iter(()), DECODING, MACHINE, total=0, end_marker=END)) == []


def test_a_missing_model_is_named_before_vllm_is_imported() -> None:
    code = """
import sys
from vr.engines import sampling
from vr.settings.machine import Machine
from vr.settings.params import Sampling
assert not {"torch", "vllm", "transformers"} & set(sys.modules)
decoding = Sampling(temperature=1, top_p=1, max_tokens=1, precision="float32")
try:
    sampling.sample("nowhere", [], decoding, Machine(), total=0, end_marker=None)
except FileNotFoundError as error:
    assert "nowhere: no such model" in str(error)
    assert not {"torch", "vllm", "transformers"} & set(sys.modules)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_request_seeds_differ_by_stage_problem_and_every_number() -> None:
    names = itertools.product(("sample_traces", "sample_answers"), ("p1", "p2", "p12"), range(4), range(8))
    assert len({request_seed(stage, problem, k, m) for stage, problem, k, m in names}) == 2 * 3 * 4 * 8
    assert request_seed("s", "p", 1, 23) != request_seed("s", "p", 12, 3)
    assert request_seed("s", "p", 1) != request_seed("s", "p1")


def test_request_seeds_are_the_same_in_every_process_and_fit_in_63_bits() -> None:
    assert request_seed("sample_traces", "p1", 3) == 4971144843327373926
    assert all(0 <= request_seed("s", str(n)) < 2**63 for n in range(1000))
