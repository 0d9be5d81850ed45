"""What sampling costs over bare vLLM, and what its start costs: `python -m tests.benchmarks.bench_sampling`.

The same requests (same prompts, seeds, limits and stop strings) go through `LLM.generate` and through `sampler.draw`,
without and with log-probs, on one engine in one process: a model of the miniature's size with random weights, on one
thread of the CPU. Repeats are interleaved, so that a busy machine slows all ways alike. The start is measured in
processes that sample one text. Prints a table of medians and writes JSON. Nothing here is asserted.
"""

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import ROOT, command_line, write_json
from vr.engines.sampling import Request, engine, sampler
from vr.renderers import markers, tokenizer
from vr.settings.machine import Machine
from vr.settings.params import Base, Sampling
from vr.sources.miniature_model import make_miniature

N_REQUESTS, N_REPEATS, N_STARTS = 300, 5, 3
MACHINE = Machine(threads=1, kv_cache_gib=1)
DECODING = Sampling(temperature=0.7, top_p=0.9, max_tokens=96, precision="float32")
END = markers.END_THOUGHT


def small_model(folder: Path) -> Path:
    """A random model with the miniature's shape, its tokenizer learnt from made-up sums."""
    rng = random.Random(0)
    numbers = [[rng.randrange(1000) for _ in range(3)] for _ in range(2000)]
    texts = [
        f"First add {a} and {b}, then double what {c} gives: the answer is {a + b + 2 * c}.\n" for a, b, c in numbers
    ]
    shape = Base(
        source="miniature",
        revision=None,
        hidden_size=64,
        layers=3,
        heads=4,
        vocabulary=512,
        markers="special",
        seed=0,
    )
    make_miniature(texts, folder / "model", shape)
    return folder / "model"


def some_requests(vocabulary: int) -> list[Request]:
    """Prompts of 30 to 50 random ids."""
    rng = random.Random(1)
    lengths = [rng.randint(30, 50) for _ in range(N_REQUESTS)]
    return [Request(n, rng.choices(range(vocabulary), k=length), seed=n) for n, length in enumerate(lengths)]


def generated(llm: Any, requests: list[Request], *, logps: bool) -> int:
    """Tokens from bare vLLM: all requests are handed over at once, and nothing is done with the outputs."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input

    shared = {
        "temperature": DECODING.temperature,
        "top_p": DECODING.top_p,
        "max_tokens": DECODING.max_tokens,
        "stop": END,
        "stop_token_ids": tokenizer.turn_ends(llm.get_tokenizer()),
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "logprobs": 0 if logps else None,
    }
    params = [SamplingParams(seed=request.seed, **shared) for request in requests]
    outputs = llm.generate([tokens_input(request.prompt_ids) for request in requests], params, use_tqdm=False)
    return sum(len(output.outputs[0].token_ids) for output in outputs)


def drawn(llm: Any, requests: list[Request], *, logps: bool) -> int:
    """Tokens from `sampler.draw`."""
    samples = sampler.draw(llm.llm_engine, requests, DECODING, total=len(requests), end_marker=END, logps=logps)
    return sum(len(sample.ids) for _, sample in samples)


def timed(work: Callable[[], int]) -> tuple[int, float, float]:
    """(result, wall seconds, processor seconds of this process)."""
    wall, cpu = time.monotonic(), time.process_time()
    result = work()
    return result, time.monotonic() - wall, time.process_time() - cpu


def bench(llm: Any, requests: list[Request]) -> dict[str, dict[str, Any]]:
    """Medians of each way, and their ratios to those of `LLM.generate`; a first round warms up and does not count."""
    ways: dict[str, Callable[[], int]] = {
        "LLM.generate": lambda: generated(llm, requests, logps=False),
        "draw": lambda: drawn(llm, requests, logps=False),
        "LLM.generate, log-probs": lambda: generated(llm, requests, logps=True),
        "draw, log-probs": lambda: drawn(llm, requests, logps=True),
    }
    rounds = [{name: timed(way) for name, way in ways.items()} for _ in range(1 + N_REPEATS)][1:]
    found: dict[str, dict[str, Any]] = {}
    for name in ways:
        wall, cpu = (statistics.median(one[name][i] for one in rounds) for i in (1, 2))
        found[name] = {
            "requests": len(requests),
            "tokens": rounds[0][name][0],
            "wall_s": round(wall, 3),
            "cpu_s": round(cpu, 3),
        }
    bare = found["LLM.generate"]
    for row in found.values():
        row |= {f"{kind}_ratio": round(row[f"{kind}_s"] / bare[f"{kind}_s"], 3) for kind in ("wall", "cpu")}
    return found


def start_one(model: str) -> None:
    """Sample one text of one token."""
    decoding = DECODING.model_copy(update={"max_tokens": 1})
    print(len(list(sampler.sample(model, [Request(0, [1, 2, 3], 0)], decoding, MACHINE, total=1, end_marker=END))))


def start_seconds(model: Path) -> dict[str, float]:
    """Medians of wall and processor seconds of a process that samples one text."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_sampling", "--start", str(model)]
    walls, cpus = [], []
    for _ in range(N_STARTS):
        wall, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.monotonic() - wall)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall_s": round(statistics.median(walls), 1), "cpu_s": round(statistics.median(cpus), 1)}


def main() -> None:
    """Measure, print, write."""
    parser = command_line(__doc__, "bench_sampling")
    parser.add_argument("--start", metavar="MODEL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        start_one(options.start)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = small_model(Path(folder))
        start = start_seconds(model)
        settings = engine.engine_settings(model, DECODING.precision, MACHINE)
        from vllm import LLM

        llm = LLM(**settings)
        results = bench(llm, some_requests(llm.model_config.get_vocab_size()))
        llm.llm_engine.engine_core.shutdown()
    print(f"{'':24}{'requests':>9}{'tokens':>8}{'wall s':>8}{'cpu s':>8}{'wall ratio':>12}{'cpu ratio':>11}")
    for name, row in results.items():
        print(
            f"{name:24}{row['requests']:>9}{row['tokens']:>8}{row['wall_s']:>8}{row['cpu_s']:>8}"
            f"{row['wall_ratio']:>12}{row['cpu_ratio']:>11}"
        )
    print(f"a process that samples one text: {start['wall_s']} s, {start['cpu_s']} s of processor time")
    write_json({"repeats": N_REPEATS, "start": start, "results": results}, options.json)


if __name__ == "__main__":
    main()
