"""What sampling costs over bare vLLM: ``python -m tests.benchmarks.bench_sampling``.

The same requests (same prompts, seeds, limits and stop strings) through `LLM.generate` and through
`sampling.draw`, without and with log-probs, on one engine in one process: a model of the miniature's size with random
weights, on one thread of the CPU. Repeats are interleaved, so that a busy machine slows all alike. Prints a table
of medians and writes JSON. Nothing here is asserted.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import command_line, write_json
from vr.engines import sampling
from vr.renderers import markers, renderer
from vr.settings.machine import Machine
from vr.sources.models import make_miniature

N_REQUESTS, MAX_TOKENS, N_REPEATS = 300, 96, 5
MACHINE = Machine(threads=1, kv_cache_gib=1)
TEMPERATURE, TOP_P, END = 0.7, 0.9, markers.END_THOUGHT


def small_model(folder: Path) -> Path:
    """A random model with the miniature's shape, its tokenizer learnt from made-up sums."""
    rng = random.Random(0)
    numbers = [[rng.randrange(1000) for _ in range(3)] for _ in range(2000)]
    texts = [
        f"First add {a} and {b}, then double what {c} gives: the answer is {a + b + 2 * c}.\n" for a, b, c in numbers
    ]
    shape: dict[str, Any] = {"hidden_size": 64, "layers": 3, "heads": 4, "vocabulary": 512}
    make_miniature(texts, folder / "model", **shape, markers="special", seed=0)
    return folder / "model"


def some_requests(vocabulary: int) -> list[sampling.Request]:
    """Prompts of 30 to 50 random ids."""
    rng = random.Random(1)
    lengths = [rng.randint(30, 50) for _ in range(N_REQUESTS)]
    return [sampling.Request(n, rng.choices(range(vocabulary), k=length), n) for n, length in enumerate(lengths)]


def generated(llm: Any, requests: list[sampling.Request], *, logps: bool) -> int:
    """Tokens of the bare way: parameters made, everything handed over at once, outputs left as they come."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input

    shared = {
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
        "max_tokens": MAX_TOKENS,
        "stop": END,
        "stop_token_ids": sampling._turn_ends(renderer.Renderer(llm.get_tokenizer())),
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "logprobs": 0 if logps else None,
    }
    params = [SamplingParams(seed=request.seed, **shared) for request in requests]
    outputs = llm.generate([tokens_input(request.prompt_ids) for request in requests], params, use_tqdm=False)
    return sum(len(output.outputs[0].token_ids) for output in outputs)


def drawn(llm: Any, requests: list[sampling.Request], *, logps: bool) -> int:
    """Tokens of ours."""
    samples = sampling.draw(
        llm.llm_engine,
        requests,
        total=len(requests),
        temperature=TEMPERATURE,
        top_p=TOP_P,
        max_tokens=MAX_TOKENS,
        end_marker=END,
        logps=logps,
    )
    return sum(len(sample.ids) for _, sample in samples)


def timed(work: Callable[[], int]) -> tuple[int, float, float]:
    """(result, wall seconds, processor seconds of this process)."""
    wall, cpu = time.monotonic(), time.process_time()
    result = work()
    return result, time.monotonic() - wall, time.process_time() - cpu


def bench(llm: Any, requests: list[sampling.Request]) -> dict[str, dict[str, Any]]:
    """Medians of each way, and their ratios to the barest one's; a first round warms up and does not count."""
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


def main() -> None:
    """Measure, print, write."""
    parser = command_line(__doc__, "bench_sampling")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = sampling.engine_settings(small_model(Path(folder)), MACHINE)
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
    write_json({"repeats": N_REPEATS, "results": results}, options.json)


if __name__ == "__main__":
    main()
