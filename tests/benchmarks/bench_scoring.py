"""How fast scoring is, side by side with the obvious way: `python -m tests.benchmarks.bench_scoring`.

Short examples (about 70 tokens) under a model of the miniature's size, and examples of 4,096 tokens under a two-layer
model with a real model's vocabulary of 151,936. Each is scored in three ways, in turns, in one process with equal
threads:
  ours          scorer.scorer, from examples to scores, without the loading of the model
  reference     one example at a time, as the official code does it: logits and log-softmax of all positions at once
  forward       only the model's part of ours: hidden states and output projection, in the same batches and tiles
Times are medians of processor time, which a busy machine changes less than wall time. Extra memory is that of one long
example beyond the loaded model, each way in a process of its own. Prints a table and writes JSON. Nothing here is
asserted.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging as transformers_logging

from tests.benchmarks.measuring import ROOT, command_line, memory_bytes, write_json
from vr.engines.scoring import forward, scorer
from vr.renderers.example import Example
from vr.settings.machine import Machine

MINIATURE = {"hidden_size": 64, "layers": 3, "vocabulary": 512}
STAND_IN = {"hidden_size": 256, "layers": 2, "vocabulary": 151_936}
N_SHORT, SHORT_REPEATS, N_LONG, LONG_REPEATS, LONG = 300, 9, 2, 3, 4096
BUDGETS = (1024, 4096, 16384)

Way = Callable[[], Any]


def make_model(folder: Path, hidden_size: int, layers: int, vocabulary: int) -> Path:
    """A Qwen3 of seeded random weights, with heads of 32 and tied embeddings, as in vr/sources/miniature_model.py."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=LONG,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def make_examples(n: int, vocabulary: int, shortest: int, longest: int) -> list[Example]:
    """Examples of random ids: short ones are two fifths prompt, as in the miniature, long ones have 100 prompt ids."""
    rng = random.Random(0)
    examples = []
    for _ in range(n):
        length = rng.randint(shortest, longest)
        begin = min(2 * length // 5, 100)
        middle = (begin + 2 * length) // 3
        ids = [rng.randrange(vocabulary) for _ in range(length)]
        examples.append(Example(ids, begin, (begin, middle), (middle + 3, length - 1)))
    return examples


@torch.inference_mode()
def reference(model: Any, examples: Sequence[Example]) -> list[tuple[float, float]]:
    """Sums of trace and answer, each example alone, from the log-softmax over the vocabulary at all its positions."""
    sums = []
    for example in examples:
        ids_1T = torch.tensor([example.ids])
        logits_TV = model(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T)).logits[0, :-1]
        logps_TV = torch.log_softmax(logits_TV.float(), dim=-1)
        logps_T = logps_TV.gather(1, ids_1T[0, 1:, None])[:, 0].double()
        assert example.answer is not None
        trace, answer = (float(logps_T[begin - 1 : end - 1].sum()) for begin, end in forward.spans(example))
        sums.append((trace, answer))
    return sums


@torch.inference_mode()
def forward_only(model: Any, batches: Sequence[tuple[Any, Any]]) -> None:
    """The hidden states and the output projection that `forward.score_batch` needs, in its tiles; nothing is kept."""
    positions, vocabulary = forward.TILES["cpu"]
    for ids_BT, places_N in batches:
        hidden_ND = model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state.flatten(0, 1)[places_N]
        for hidden_nD in hidden_ND.split(positions):
            for weight_vD in model.lm_head.weight.split(vocabulary):
                torch.nn.functional.linear(hidden_nD, weight_vD)


def prepared(examples: Sequence[Example], budget: int) -> list[tuple[Any, Any]]:
    """ids and positions of the batches that ours forms."""
    lengths = {i: forward.length(example) for i, example in enumerate(examples)}
    made = [forward.arrays([examples[i] for i in batch]) for batch in scorer.batches(lengths, budget)]
    return [(torch.from_numpy(ids_BT), torch.from_numpy(places_N)) for ids_BT, places_N, _ in made]


def timed(ways: dict[str, Way], repeats: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Median processor seconds of each way, in turns, and what each gives."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    given = {}
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.process_time()
            given[name] = way()
            seconds[name].append(time.process_time() - begin)
    return {name: statistics.median(each) for name, each in seconds.items()}, given


def measure(
    folder: Path, examples: Sequence[Example], repeats: int, threads: int, budgets: Sequence[int]
) -> dict[str, Any]:
    """Times of all ways on the same examples; ours also with other token budgets."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    begin = time.process_time()
    forward.load(folder, "float32", "cpu", threads)
    load_s = time.process_time() - begin
    batches = prepared(examples, scorer.token_budget(Machine(), 0))
    with ExitStack() as stack:
        ways: dict[str, Way] = {}
        for name, budget in {"ours": None, **{f"ours, score_tokens {budget}": budget for budget in budgets}}.items():
            score = stack.enter_context(scorer.scorer(folder, "float32", Machine(threads=threads, score_tokens=budget)))
            score(examples[:1], False)  # loads the model
            ways[name] = partial(score, examples, False)
        ways |= {"reference": partial(reference, model, examples), "forward": partial(forward_only, model, batches)}
        seconds, given = timed(ways, repeats)
    sums = [(score.trace_logp_sum, score.answer_logp_sum) for score in given["ours"]]
    differences = [abs(a - b) for ab in zip(sums, given["reference"], strict=True) for a, b in zip(*ab, strict=True)]
    tokens = sum(len(example.ids) for example in examples)
    found = {
        name: {
            "median_s": round(s, 4),
            "examples_per_s": round(len(examples) / s, 2),
            "tokens_per_s": round(tokens / s),
        }
        for name, s in seconds.items()
    }
    return {
        "ways": found,
        "times_the_reference": round(seconds["reference"] / seconds["ours"], 2),
        "share_of_forward": round(seconds["forward"] / seconds["ours"], 3),
        "forward_times_the_reference": round(seconds["reference"] / seconds["forward"], 2),
        "largest_difference_nats": max(differences),
        "load_s": round(load_s, 2),
    }


def extra_memory(folder: Path, way: str, threads: int) -> int:
    """MiB at the highest point of scoring one long example, beyond those of the process with its loaded model."""
    (example,) = make_examples(1, STAND_IN["vocabulary"], LONG, LONG)
    start = [Example(example.ids[:20], 1, (1, 10), (11, 20))]
    model = None if way == "ours" else AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with scorer.scorer(folder, "float32", Machine(threads=threads)) as score:

        def work(examples: Sequence[Example]) -> Any:
            return reference(model, examples) if model else score(examples, False)

        work(start)
        before = memory_bytes("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        work([example])
    return (memory_bytes("VmHWM") - before) // 2**20


def in_a_new_process(folder: Path, way: str, threads: int) -> int:
    """`extra_memory`, measured where nothing else has run."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_scoring", "--threads", str(threads)]
    done = subprocess.run([*command, "--memory", str(folder), way], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return int(done.stdout.split()[-1])


def main() -> None:
    """Measure, print, write."""
    parser = command_line(__doc__, "bench_scoring")
    parser.add_argument("--threads", type=int, default=1, help="compute threads of every way")
    parser.add_argument("--memory", nargs=2, metavar=("MODEL", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers_logging.disable_progress_bar()
    if options.memory:
        print(extra_memory(Path(options.memory[0]), options.memory[1], options.threads))
        return
    with tempfile.TemporaryDirectory() as name:
        miniature = make_model(Path(name) / "miniature", **MINIATURE)
        stand_in = make_model(Path(name) / "stand_in", **STAND_IN)
        short = make_examples(N_SHORT, MINIATURE["vocabulary"], 50, 90)
        long = make_examples(N_LONG, STAND_IN["vocabulary"], LONG, LONG)
        results = {
            "short": measure(miniature, short, SHORT_REPEATS, options.threads, BUDGETS),
            "long": measure(stand_in, long, LONG_REPEATS, options.threads, ()),
        }
        extra = {way: in_a_new_process(stand_in, way, options.threads) for way in ("ours", "reference")}
    results["long"] |= {"extra_mib": extra, "share_of_memory": round(extra["ours"] / extra["reference"], 4)}
    for kind, result in results.items():
        print(f"\n{kind + ' examples':28}{'median s':>10}{'examples/s':>12}{'tokens/s':>10}")
        for way, found in result["ways"].items():
            print(f"{way:28}{found['median_s']:>10}{found['examples_per_s']:>12}{found['tokens_per_s']:>10}")
        print("\n".join(f"  {key}: {value}" for key, value in result.items() if key != "ways"))
    write_json({"threads": options.threads, "results": results}, options.json)


if __name__ == "__main__":
    main()
