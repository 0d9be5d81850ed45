"""n answers of one model to every held-out question, judged (step 8).

Reads PROBLEMS, MODEL, the system prompt REASONER. Writes EVALS (tables.Evals).
The model's turn is prefilled with the begin marker of the thought, as in training; it writes the rest by itself.
"""

import logging
from pathlib import Path

import polars as pl

from stages import counts, machine, params, prompt, run
from vr import prompts, sampling, tables, tokens, verify
from vr.params import Evaluate


def main(problems: Path, model: Path, reasoner: Path, evals: Path) -> None:
    p, here, system = params(Evaluate), machine(), prompt(reasoner)
    columns = ("problem_id", "split", "benchmark", "question", "system", "verifier", "reference", "tests")
    held_out = tables.read(problems, tables.Problems, columns).filter(split=p.split)
    coder = tokens.Coder(tokens.load(model))
    rows, requests = [], []
    for benchmark, n in p.benchmarks.items():
        questions = held_out.filter(benchmark=benchmark)
        if questions.is_empty():
            there = held_out["benchmark"].unique().sort().to_list()
            raise ValueError(f"evaluate.benchmarks: {benchmark!r} is not in split {p.split!r} of {problems} ({there})")
        for row in questions.iter_rows(named=True):
            prompt_ids = coder.reasoner_prompt(row["question"], row["system"] or system)
            for sample in range(n):
                rows.append(row | {"sample": sample})
                seed = sampling.request_seed("evaluate", row["problem_id"], p.seed, sample)
                requests.append(sampling.Request(prompt_ids, seed))
    samples = list(
        sampling.sample(
            model,
            requests,
            temperature=p.temperature,
            top_p=p.top_p,
            max_tokens=p.max_tokens,
            end_marker=None,
            machine=here,
        )
    )
    tasks = [
        verify.Task(
            verifier=row["verifier"],
            answer=prompts.judged_part(sample.text, complete=sample.finish == "eos"),
            reference=row["reference"],
            tests=row["tests"],
        )
        for row, sample in zip(rows, samples, strict=True)
    ]
    verdicts = verify.verify(
        tasks, workers=here.verify_workers, allow_unsafe=here.allow_unsafe_execution, progress=True
    )
    frame = pl.DataFrame(
        {
            **{name: row[name] for name in ("benchmark", "problem_id", "sample", "verifier")},
            "text": sample.text,
            "response_tokens": len(sample.ids),
            "finish": sample.finish,
            "outcome": verdict.outcome,
            "detail": verdict.detail,
        }
        for row, sample, verdict in zip(rows, samples, verdicts, strict=True)
    )
    tables.write(frame, evals, tables.Evals)
    logging.info("%s: %d answers: %s", model.name, frame.height, counts(frame, "outcome"))


if __name__ == "__main__":
    run(main)
