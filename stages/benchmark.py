"""The held-out questions of one benchmark.

Writes BENCHMARK (schemas.Benchmark), whose file name is the benchmark's. Own solutions, where there are any, are
judged like any answer.
"""

import logging

from stages._run import Out, counts, run
from stages._settings import machine, params
from vr.method import judging
from vr.settings.params import Benchmark, BenchmarkFolder
from vr.sources import benchmarks
from vr.tables import parquet, schemas


def main(benchmark: Out) -> None:
    name, folder = benchmark.stem, params(BenchmarkFolder).benchmark_folder
    frame = benchmarks.load(name, params(Benchmark, name), folder)
    parquet.write(frame, benchmark, schemas.Benchmark)
    logging.info("%s: %d questions: %s", name, frame.height, counts(frame, "verifier"))
    judging.log_self_check(judging.self_check(frame, machine()))


if __name__ == "__main__":
    run(main)
