"""Time, memory and bytes of the tables at the paper's size: `python -m tests.benchmarks.bench_tables`.

16,710 questions with K = 8 traces of 5,500 tokens on average, all synthetic (synthetic_tables.py). The data set's own
solutions go through a word-level tokenizer, which takes about half the time of Qwen's.
Each measurement is a fresh process that makes the library's calls of one stage, files read and written: seconds of wall
and processor time, and the highest resident memory (VmHWM) above that before it began. VmHWM counts mapped files, such
as the saved training set, though the system may take them back at any time. Weights from lists are compared with a
row-by-row reference in the manner of the official scripts, on the same rows.
Prints a table and writes JSON. Nothing here is asserted. Takes about 6 minutes and 10 GB of temporary files.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from tests.benchmarks import synthetic_tables
from tests.benchmarks.measuring import MIB, ROOT, command_line, memory_bytes, write_json
from vr.engines.training import training_set
from vr.method import seed_tables, selection, weights
from vr.renderers import training_rows
from vr.renderers.renderer import PROBLEM_COLUMNS, Renderer, Wording
from vr.renderers.tokenizer import load_tokenizer
from vr.settings import params
from vr.settings.entries import Params
from vr.tables import parquet, schemas

N_QUESTIONS, N_TRACES = 16710, 8
SEEDS = range(N_TRACES)
N_LISTED = (500, 3000, 6000)
"""Questions whose traces have per-token lists: the first number is timed against the reference, all are measured."""
SUMS, ANSWER_SUMS = ("trace_logp_sum", "trace_tokens"), ("answer_logp_sum", "answer_tokens")


def settings(section: type[Params], **changes: Any) -> Any:
    """A section of the miniature's params, changed."""
    document = YAML(typ="safe", pure=True).load((ROOT / "vr" / "recipes" / "miniature.yaml").read_text())
    document |= {"estimator": "gml", "K": N_TRACES, "seeds": list(SEEDS)}
    document[section.section] |= changes
    return section.read(document)


def renderer(folder: Path) -> Renderer:
    """The renderer of a run's tokenizer."""
    system = "You think before you answer."
    wording = Wording(
        reasoner=system, posterior=system, untrained=system, hint="solution", template="B", proposal="posterior"
    )
    return Renderer(load_tokenizer(folder.parent / "base"), wording)


def weigh_all(folder: Path, *, token_logps: bool) -> dict[str, Any]:
    """The weights of all traces, several times."""
    options = settings(params.Weigh, max_trace_tokens=28000, token_logps=token_logps)

    def weigh() -> None:
        frame = weights.weigh(
            parquet.read(folder / "problems.parquet", schemas.Problems, ("problem_id", "source", "self_check")),
            seed_tables.read(folder / "traces", schemas.Traces, SEEDS, ("trace_tokens", "finish")),
            seed_tables.read_logps(folder / "logps_initial", SEEDS, (*SUMS, *ANSWER_SUMS), token_logps=token_logps),
            seed_tables.read_logps(folder / "logps_posterior", SEEDS, SUMS, token_logps=token_logps),
            seed_tables.read(folder / "likelihood", schemas.Likelihood, SEEDS, ("log_likelihood", "reason")),
            options,
        )
        parquet.write(frame, folder / "weights.parquet", schemas.Weights)

    runs = [seconds(weigh) for _ in range(5)]
    return {"wall_s": statistics.median(run[0] for run in runs), "cpu_s": statistics.median(run[1] for run in runs)}


def weigh_row_by_row(folder: Path) -> dict[str, Any]:
    """The same weights in the manner of the official scripts: data sets of each seed, a row taken from its data set
    wherever a column of it is needed, lists to tensors, groups in Python."""
    import torch
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()

    def of_seeds(name: str, columns: list[str]) -> list[Any]:
        paths = [str(folder / name / f"seed={seed}.parquet") for seed in SEEDS]
        return [Dataset.from_parquet(path, cache_dir=str(folder / "cache"), columns=columns) for path in paths]

    traces = of_seeds("traces", ["problem_id", "text", "trace_tokens"])
    initial = of_seeds("logps_initial", ["problem_id", "answer_logp_sum", "answer_tokens", "trace_logps"])
    posterior = of_seeds("logps_posterior", ["problem_id", "trace_logps"])
    found: list[float] = []

    def all_rows() -> None:
        for question in range(len(traces[0])):
            rho = []
            for seed in SEEDS:
                if traces[seed][question]["trace_tokens"] > 28000:
                    continue
                logps_posterior = torch.tensor(posterior[seed][question]["trace_logps"])
                logps_initial = torch.tensor(initial[seed][question]["trace_logps"])
                row = initial[seed][question]
                log_ratio = (logps_initial - logps_posterior).mean().item()
                rho.append(np.exp(log_ratio + row["answer_logp_sum"] / row["answer_tokens"]))
            found.extend(value / sum(rho) for value in rho)

    torch.set_num_threads(1)
    wall, cpu = seconds(all_rows)
    ours = pl.read_parquet(folder / "weights.parquet", columns=["problem_id", "seed", "weight"])
    weight = ours.sort("problem_id", "seed")["weight"]
    return {"wall_s": wall, "cpu_s": cpu, "max_difference": float((weight - pl.Series(found)).abs().max())}


def final_set(folder: Path) -> dict[str, Any]:
    """The final table: selection, mixing, tokenising the data set's own rows, writing."""

    def build() -> None:
        frames = selection.build(
            parquet.read_batches(folder / "problems.parquet", schemas.Problems, PROBLEM_COLUMNS),
            seed_tables.by_problem(folder / "traces", schemas.Traces, SEEDS, selection.TRACE_COLUMNS),
            seed_tables.by_problem(folder / "likelihood", schemas.Likelihood, SEEDS, selection.LIKELIHOOD_COLUMNS),
            parquet.read(folder / "weights.parquet", schemas.Weights),
            renderer(folder),
            settings(params.BuildFinal, selection="best", mix=True),
        )
        parquet.write_batches(frames, folder / "final.parquet", schemas.Final)

    wall, cpu = seconds(build)
    return {"wall_s": wall, "cpu_s": cpu}


def saved_training_set(folder: Path) -> dict[str, Any]:
    """The rows of the final table, saved as the set that LLaMA-Factory reads (which is mapped to be copied)."""
    final = folder / "final.parquet"
    found: list[training_set.TrainingSetStats] = []

    def save() -> None:
        rows = training_rows.final_rows(
            parquet.read_batches(final, schemas.Final, ("problem_id", "row", "weight", "trace_ids", "answer_ids")),
            parquet.read(folder / "problems.parquet", schemas.Problems, ("problem_id", "question", "system")),
            renderer(folder),
        )
        found.append(
            training_set.save(
                rows, folder / "rows", cutoff_len=16384, multiple_of=192, vocabulary=synthetic_tables.VOCABULARY
            )
        )

    wall, cpu = seconds(save)
    n_tokens = sum(list_elements(final, name) for name in ("trace_ids", "answer_ids"))
    return {"rows": found[0].rows, "tokens_per_row": round(n_tokens / found[0].rows), "wall_s": wall, "cpu_s": cpu}


def list_elements(path: Path, column: str) -> int:
    """Elements of a list column."""
    with pq.ParquetFile(path) as file:
        return sum(
            file.metadata.row_group(group).column(at).num_values
            for group in range(file.num_row_groups)
            for at in range(file.metadata.num_columns)
            if file.metadata.row_group(group).column(at).path_in_schema.startswith(f"{column}.")
        )


MEASUREMENTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "weigh_lists": partial(weigh_all, token_logps=True),
    "weigh_sums": partial(weigh_all, token_logps=False),
    "row_by_row": weigh_row_by_row,
    "final": final_set,
    "rows": saved_training_set,
}


def seconds(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - wall, time.process_time() - cpu


def in_a_process(name: str, folder: Path) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_tables", "--measure", name, "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, folder: Path) -> None:
    """What the fresh process does: prints its result as JSON."""
    before = memory_bytes("VmHWM")
    result = MEASUREMENTS[name](folder)
    peak = memory_bytes("VmHWM")
    print(json.dumps(result | {"extra_mib": round((peak - before) / MIB), "peak_mib": round(peak / MIB)}))


def sizes(path: Path, list_column: str) -> dict[str, Any]:
    """Bytes a token of a table's columns on disk, and what its row groups are like (uncompressed)."""
    n_tokens = list_elements(path, list_column)
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    of_column: dict[str, int] = {}
    for group in groups:
        for at in range(group.num_columns):
            column = group.column(at)
            name = column.path_in_schema.split(".")[0]
            of_column[name] = of_column.get(name, 0) + column.total_compressed_size
    return {
        "tokens": n_tokens,
        "list_bytes_per_token": round(of_column[list_column] / n_tokens, 2),
        "text_bytes_per_token": round(of_column.get("text", 0) / n_tokens, 2),
        "file_bytes_per_token": round(path.stat().st_size / n_tokens, 2),
        "row_groups": len(groups),
        "rows_per_group": max(group.num_rows for group in groups),
        "largest_group_mib": round(max(group.total_byte_size for group in groups) / MIB, 1),
    }


def bench(folder: Path, n_questions: int) -> dict[str, Any]:
    """Everything, one after another: the measurements by name, and what follows from them."""
    draws = synthetic_tables.Draws(0)
    synthetic_tables.write_base(folder / "base", draws.words)
    measured: dict[str, Any] = {}
    for n in N_LISTED:
        run = folder / f"lists-{n}"
        synthetic_tables.write_run(run, draws, n, SEEDS, listed=True)
        measured[f"weights from lists, {n * N_TRACES} traces"] = in_a_process("weigh_lists", run)
    measured[f"row by row, {N_LISTED[0] * N_TRACES} traces"] = in_a_process(
        "row_by_row", folder / f"lists-{N_LISTED[0]}"
    )
    for n in (n_questions // 8, n_questions):
        run = folder / f"run-{n}"
        synthetic_tables.write_run(run, draws, n, SEEDS)
        measured[f"weights from sums, {n * N_TRACES} traces"] = in_a_process("weigh_sums", run)
        measured[f"final table, {2 * n} rows"] = in_a_process("final", run)
        measured[f"final set saved, {2 * n} rows"] = in_a_process("rows", run)
    run, listed = folder / f"run-{n_questions}", folder / f"lists-{N_LISTED[-1]}"
    return {
        "measured": measured,
        "times as fast as row by row, a trace": times_as_fast(measured, n_questions),
        "bytes": {
            "traces": sizes(run / "traces" / "seed=0.parquet", "trace_ids"),
            "logps": sizes(listed / "logps_posterior" / "seed=0.parquet", "trace_logps"),
            "final": sizes(run / "final.parquet", "trace_ids"),
        },
    }


def times_as_fast(measured: dict[str, Any], n_questions: int) -> dict[str, dict[str, float]]:
    """How much less time a trace takes than row by row, by wall and by processor time."""
    few, many = N_LISTED[0] * N_TRACES, n_questions * N_TRACES

    def per_trace(step: str, n: int, kind: str) -> float:
        return measured[f"{step}, {n} traces"][kind] / n

    return {
        kind: {
            name: round(per_trace("row by row", few, kind) / per_trace(f"weights from {name}", n, kind), 1)
            for name, n in (("lists", few), ("sums", many))
        }
        for kind in ("wall_s", "cpu_s")
    }


def show(results: dict[str, Any]) -> None:
    """Print the results as a table."""
    print(f"{'':38}{'wall s':>9}{'cpu s':>9}{'extra MiB':>11}{'peak MiB':>10}")
    for name, row in results["measured"].items():
        print(f"{name:38}{row['wall_s']:>9.2f}{row['cpu_s']:>9.2f}{row['extra_mib']:>11}{row['peak_mib']:>10}")
        if "max_difference" in row:
            print(f"largest difference of a weight: {row['max_difference']:.1e}")
    print(f"times as fast as row by row, a trace: {results['times as fast as row by row, a trace']}")
    for name, row in results["bytes"].items():
        print(f"{name}: {row}")


def main() -> None:
    """Measure, print, write."""
    parser = command_line(__doc__, "bench_tables")
    parser.add_argument("--questions", type=int, default=N_QUESTIONS, help="how large the run is")
    parser.add_argument("--measure", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = bench(Path(folder), options.questions)
    show(results)
    write_json(results, options.json)


if __name__ == "__main__":
    main()
