"""Bad input ends in one line that names file, entry and value, before any work: a table for each kind of file.

Most cases go through the functions by which a stage reports, a few through a stage's own process. The table of bad
Parquet files is in tests/tables/test_parquet.py.
"""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from test_stages import save_tables_of_one_trace

from stages import _check, _run, _settings
from vr.sources import benchmarks

ROOT = Path(__file__).parent.parent
RECIPE = (ROOT / "vr" / "recipes" / "miniature.yaml").read_text(encoding="utf-8")
HUGE = "9" * 31
LAST = RECIPE.count("\n") + 1
"""The line after the recipe's."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the miniature's params and prompts, in which a test stands."""
    (tmp_path / "params.yaml").write_text(RECIPE)
    (tmp_path / "vr" / "recipes" / "prompts").mkdir(parents=True)
    for file in (ROOT / "vr" / "recipes" / "prompts").glob("*.txt"):
        (tmp_path / "vr" / "recipes" / "prompts" / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def changed(old: str, new: str) -> str:
    """The recipe with one text for another, which stands there once."""
    assert RECIPE.count(old) == 1, old
    return RECIPE.replace(old, new)


def assert_one_line(*words: str) -> None:
    """The check of everything finds one error, of one line, in which these words are."""
    found = _check.errors()
    assert len(found) == 1, found
    assert found[0] == _settings.one_line(found[0]), found[0]
    assert len(found[0]) < 400, found[0]
    for word in words:
        assert word in found[0]


def test_what_is_right_is_not_complained_of(project):
    assert _check.errors() == []
    (project / "machine.yaml").write_text("threads: 2\n")
    (project / "params.yaml").write_bytes(b"\xef\xbb\xbf" + RECIPE.replace("\n", "\r\n").encode())  # as Windows writes
    assert _check.errors() == []


VALUES = {
    "estimator": ("accuracy", "ACC", "[acc]", "1", "null", "true", "x" * 500),
    "K": ("0", "-1", "1.0", "1.5", "'4'", "true", "null", "[4]", ".inf", "5", HUGE, "0x" + "f" * 5000, "four"),
    "seeds": ("[]", "0", "{}", "null", "[0, 0, 1, 2]", "[0, 1, 2, -3]", f"[0, 1, 2, {HUGE}]", "[0, 1, 2, 3.0]",
              "[0, 1, 2, '3']", "[0, 1, 2, true]", "[0, 1, 2, 2147483648]"),
    "proposal": ("q", "null"),
    "hint": ("none", "''"),
    "template": ("C", "b", "1"),
    "posterior_logps": ("vllm", "false"),
    "baselines": ("null", "sft", "[rft]", "[final]", "[sft, sft]", "[1]", "{}"),
    "prompts": ("''", "null", "7"),
    "benchmark_folder": ("''", "7", "[]", "/nowhere/at/all", "benchmarks"),
    "problems.sources": ("[]", "{}", "null", "miniature", "[1]", "[miniature, miniature]", "[gsm8k]", "[gsm]",
                         "[sources]", "['']"),
    "problems.miniature.train": ("0", "-5", "1e3", "'1500'", HUGE, "50001", "true"),
    "problems.miniature.programs": (".nan", ".inf", "-.inf", "-0.1", "1.1", "'0.2'", "true", "20%"),
    "problems.miniature.slips": ("1.5", "null"),
    "problems.miniature.guesses": ("-1", "[]"),
    "problems.miniature.seed": ("-1", HUGE, "2147483648", "0.5", "'0'", "false", "null"),
    "subsets.disjoint": ("'true'", "1", "yes", "null"),
    "base.source": ("''", "null", "5", "/nowhere/at/all", "../nowhere"),
    "base.revision": ("7", "true", "1e5"),
    "base.hidden_size": ("0", "-64", "64.0", HUGE, "4096"),
    "base.layers": ("0", HUGE, "33"),
    "base.heads": ("0", HUGE),
    "base.vocabulary": ("279", HUGE),
    "base.markers": ("both",),
    "base.seed": ("-1", HUGE),
    "training.source": ("''", "7", "[]"),
    "training.revision": ("7", "1e5", "true"),
    "training.method": ("LoRA", "null", "qlora"),
    "training.lora": ("null", "16", "[16]", "{rank: 0, alpha: 32, targets: all}", "{rank: 16, alpha: 0, targets: all}",
                      "{rank: 16.0, alpha: 32, targets: all}", f"{{rank: {HUGE}, alpha: 32, targets: all}}",
                      "{rank: 16, alpha: 32, targets: q_proj}", "{rank: 16, alpha: 32, targets: []}",
                      "{rank: 16, alpha: 32, targets: [1]}", "{rank: 16, alpha: 32, targets: ['q, v']}",
                      "{rank: 16, alpha: 32}", "{rank: 16, alpha: 32, targets: all, dropout: 0.1}"),
    "training.epochs": (".inf", ".nan", "0", "-1", "1e300", "'12'", "true", "null"),
    "training.batch_size": (HUGE, "0", "-16", "16.0", "'16'", "1501"),
    "training.learning_rate": ("0", "1", "-1e-3", ".nan", "'2e-5'", "2e-5x"),
    "training.scheduler": ("linear_with_warmup", "null"),
    "training.adam_beta1": ("1", "-0.1", ".nan"),
    "training.adam_beta2": ("1.0",),
    "training.adam_epsilon": ("0", "1", ".inf"),
    "training.max_grad_norm": ("-1", ".inf"),
    "training.cutoff_len": ("0", HUGE),
    "training.normalizer": ("mean",),
    "training.precision": ("fp16",),
    "training.seed": ("-1", HUGE),
    "training.warmup_ratio": ("1.5", ".nan", "-0.1"),
    "training.weight_decay": ("-1", "1", ".inf"),
    "train_posterior.warmup_ratio": ("2", "null"),
    "sample_traces.temperature": ("-1", "6", ".nan", "'0.7'"),
    "sample_traces.top_p": ("0", "1.1", "true"),
    "sample_traces.max_tokens": ("0", HUGE, "96.0"),
    "sample_traces.precision": ("fp32", "32"),
    "score_initial.token_logps": ("'no'", "0", "null"),
    "score_posterior.token_logps": ("1",),
    "score_initial.precision": ("auto", "bf16"),
    "sample_answers.samples": ("0", HUGE, "10001", "'4'"),
    "sample_answers.max_tokens": ("-1",),
    "likelihood_acc.seed": ("-1", HUGE),
    "weigh.ratio": ("off", "1", "null"),
    "weigh.max_trace_tokens": ("0", HUGE),
    "weigh.weak_verifier_sources": ("null", "chain_sum", "[1]", "{}"),
    "build_final.selection": ("all", "null"),
    "build_final.mix": ("'yes'", "0"),
    "evaluate.models": ("[]", "{}", "null", "final", "[final, final]", "[../final]", "[.hidden]", "['']", "[1]",
                        "[mine]"),
    "evaluate.benchmarks": ("[]", "{}", "null", "[math.500]", "[miniature_test, miniature_test]", "[a/b]"),
    "evaluate.samples": ("{}", "8", "null", "{miniature_test: 0}", "{miniature_test: true}", "{miniature_test: '8'}",
                         "{miniature_test: 8, math: 1}", f"{{miniature_test: {HUGE}}}"),
    "evaluate.temperature": (".inf",),
    "evaluate.top_p": ("-.inf",),
    "evaluate.untrained": ("null", "base", "[bsae]", "[base, base]"),
    "evaluate.boxed_without_solution": ("1",),
    "evaluate.seed": ("-1", HUGE),
    "report.pass_at": ("[]", "[0]", "[1, 1]", "[16]", "[1, 2.0]", f"[{HUGE}]"),
    "report.bootstrap": ("99", "1e4", HUGE, "100001"),
    "report.seed": ("-1", HUGE),
}  # fmt: skip
"""Values that an entry must not have."""


def with_value(entry: str, value: str) -> str:
    """The recipe with another value for one entry."""
    *sections, key = entry.split(".")
    begin = 0
    for depth, name in enumerate((*sections, key)):
        begin = RECIPE.index(f"\n{'  ' * depth}{name}:", begin) + 1
    return f"{RECIPE[:begin]}{'  ' * len(sections)}{key}: {value}{RECIPE[RECIPE.index(chr(10), begin) :]}"


@pytest.mark.parametrize(("entry", "value"), [(entry, value) for entry, values in VALUES.items() for value in values])
def test_a_bad_value_in_params_is_named_in_one_line_with_its_entry(project, entry, value):
    (project / "params.yaml").write_text(with_value(entry, value))
    assert_one_line("params.yaml: ", entry)


PARAMS = {
    "an unknown section": (RECIPE + "benchmarks: {}\n", "benchmarks = {}: no such entry or section"),
    "an unknown list": (RECIPE + "models: []\n", "models = []: no such entry or section"),
    "an unknown number": (RECIPE + "k: 4\n", "k = 4: no such entry or section"),
    "a large unknown section": (RECIPE + f"more: [{'1, ' * 9000}1]\n", "more = [1, 1"),
    "an unknown entry of a section": (changed("  ratio:", "  colour: red\n  ratio:"), "weigh.colour = 'red'"),
    "an unknown entry of an entry": (changed("{size: all,", "{size: all, n: 3,"), "subsets.final.n = 3"),
    "an unknown entry of a benchmark": (changed("miniature_dev: {q", "miniature_dev: {n: 1, q"), "miniature_dev.n = 1"),
    "a shared entry inside a section": (changed("  ratio:", "  K: 3\n  ratio:"), "weigh.K: K stands at the top level"),
    "a baseline that is evaluated and not trained": (
        changed("models: [initial, final]", "models: [initial, sft, final]"),
        "evaluate.models names sft, but baselines does not; add it: -S 'baselines=[sft]'"),
    "an override of no training": (changed("train_final: {}", "train_final: {epoch: 3}"), "train_final.epoch = 3"),
    "a bad override": (changed("train_initial: {}", "train_initial: {epochs: .inf}"), "train_initial.epochs = inf"),
    "an override beyond the questions": (changed("train_final: {}", "train_final: {batch_size: 9999}"),
                                         "train_final.batch_size = 9999 is more than the 1500 questions"),
    "a benchmark nobody has": (changed("  miniature_dev: {q", "  miniature_tset: {q").replace("miniature_dev: 8, ", ""),
                               "benchmark.miniature_tset: no such benchmark"),
    "a generator nobody has": (
        changed("  miniature_dev: {questions: 300, programs: 0.2, seed: 0}",
                "  gym_sums: {generator: sums, split: test, questions: 9, config: {}, seed: 0}").replace(
            "miniature_dev: 8, ", ""),
        "benchmark.gym_sums.generator = 'sums': reasoning_gym has no such generator"),
    "no benchmark at all": (re.sub(r"\n  miniature_\w+: {q.*", "", changed("benchmark:   ", "benchmark: {}  ")).replace(
        "miniature_dev: 8, ", ""), "benchmark.miniature_test is missing"),
    "a section that is missing": (changed("\nlikelihood_acc:\n  seed: 0  ", "\n"), "missing likelihood_acc"),
    "a section without entries": (changed("train_initial: {}", "train_initial:"), "train_initial = None: should be a"),
    "a section that is a list": (changed("train_initial: {}", "train_initial: [1]"), "train_initial = [1]: should be"),
    "a section that is text": (changed("train_final: {}", "train_final: none"), "train_final = 'none': should be"),
    "an entry that is missing": (changed("  ratio: per_token ", "  #"), "weigh.ratio: Field required"),
    "a source without its section": (changed("sources: [miniature] ", "sources: [gym, miniature] "),
                                     "problems.gym is missing, but problems.sources names it"),
    "a source that nobody has": (changed("sources: [miniature] ", "sources: [minature] "),
                                 "'minature': no such source (there are: miniature, bespoke_stratos, gsm8k,"),
    "no source": (changed("sources: [miniature] ", "sources: [] "),
                  "problems.sources = []: name a source (there are: miniature, bespoke_stratos, gsm8k,"),
    "a section of a source that nobody has": (changed("  miniature:\n", "  more: {}\n  miniature:\n"),
                                              "problems.more = {}"),
    "a published model without a source": (changed("published: {} ", "published: {a: {revision: null}} "),
                                           "published.a.source: Field required"),
    "published models in a list": (changed("published: {} ", "published: [a] "), "published = ['a']: should be a sec"),
    "a published model with the name of another": (
        changed("published: {} ", "published: {final: {source: a/b, revision: null}} "),
        "published.final: the name of a model that is made here"),
    "a published model whose name is a path": (
        changed("published: {} ", "published: {a/b: {source: a/b, revision: null}} "),
        "published.a/b: a name has letters, digits, "),
    "a published model whose name has a dot": (
        changed("published: {} ", "published: {q2.5: {source: a/b, revision: null}} "),
        "published.q2.5: a name has letters, digits, "),
    "a published model that is not there": (
        changed("published: {} ", "published: {a: {source: ../nowhere, revision: null}} "),
        "published.a.source = '../nowhere': no such directory"),
    "a table that is not there": (
        changed("sources: [miniature] ", "sources: [miniature, table] ").replace(
            "  miniature:\n", "  table: {path: mine.parquet, name: mine}\n  miniature:\n"),
        "problems.table.path = 'mine.parquet': no such file"),
    "a model in place of a training that is not there": (
        changed("train_initial: {}", "train_initial: {source: ./nowhere}"),
        "train_initial.source = './nowhere': no such directory"),
    "a benchmark without an entry": (
        changed("benchmarks: [miniature_test] ", "benchmarks: [math500] ").replace("miniature_dev: 8", "math500: 2"),
        "benchmark.math500 is missing, but evaluate.benchmarks or evaluate.samples names it (there are: miniat"),
    "slips and guesses": (changed("slips: 0.3", "slips: 0.8"), "slips + guesses = 1.1: at most 1"),
    "more of a subset than there is": (changed("size: all", "size: 1501"), "subsets.final.size = 1501 is more than"),
    "a subset of no number": (changed("size: all", "size: most"), "subsets.final.size = 'most'"),
    "a subset of a large number": (changed("size: all", f"size: {HUGE}"), "subsets.final.size = 999"),
    "a subset that leaves nothing": (changed("disjoint: false", "disjoint: true"), "leaves no question"),
    "a subset that leaves nothing, as a number": (
        changed("disjoint: false", "disjoint: true").replace("size: all", "size: 1500"), "leaves no question"),
    "log-probs that are not kept": (changed("token_logps: false    # true: sum", "token_logps: true  #"),
                                    "weigh.token_logps needs score_initial.token_logps and score_posterior"),
    "prompts that are not there": (changed("vr/recipes/prompts ", "recipes "), "prompts = 'recipes': no such folder"),
    "a file of prompts": (changed("vr/recipes/prompts ", "params.yaml "), "prompts = 'params.yaml': no such folder"),
    "nothing": ("", "params.yaml: no entries"),
    "comments alone": ("# nothing\n\n", "params.yaml: no entries"),
    "null": ("null\n", "params.yaml: no entries"),
    "a list": ("- K: 4\n", "should be keys and values, is list"),
    "a word": ("K=4\n", "should be keys and values, is str"),
    "two documents": (RECIPE + "---\nK: 4\n", f"line {LAST}: not YAML: but found another document"),
    "a key twice": (changed("\nK: 4 ", "\nK: 4\nK: 3 "), "line 7: not YAML: found duplicate key \"K\""),
    "a key twice in a section": (changed("  ratio:", "  token_logps: true\n  ratio:"), "duplicate key \"token_logps\""),
    "a tab": (changed("  ratio:", "\tratio:"), "not YAML"),
    "a bracket that is left open": (changed("seeds: [0, 1, 2, 3]", "seeds: [0, 1, 2, 3"), "not YAML"),
    "a quote that is left open": (changed("estimator: acc", "estimator: 'acc"), "not YAML"),
    "a number as a key": (RECIPE + "1: 2\n", "params.yaml: 1: a key should be a word"),
    "a number as a key in a section": (changed("{size: all,", "{1: 2, size: all,"), "subsets.final.1: a key should be"),
    "true as a key": (RECIPE + "true: 2\n", "True: a key should be a word"),
    "null as a key": (RECIPE + "~: 2\n", "None: a key should be a word"),
    "a list as a key": (RECIPE + "? [a, b]\n: 2\n", "('a', 'b'): a key should be a word"),
    "an empty key": (RECIPE + "'': 2\n", "'': a key should be a word"),
    "a key of two lines": (RECIPE + '"a\\nb": 2\n', r"'a\nb': a key should be a word"),
    "a key that colours the terminal": (RECIPE + '"\\e[31m": 2\n', r"'\x1b[31m': a key should be a word"),
    "a date that is none": (changed("K: 4", "K: 2026-13-45"), "line 6: not YAML: '2026-13-45': month must be in 1..12"),
    "a date": (changed("K: 4", "K: 2026-11-24"), "K = datetime.date(2026, 11, 24)"),
    "5,000 digits": (changed("K: 4", "K: " + "1" * 5000), "line 6: not YAML: '111"),
    "a tag of Python": (changed("K: 4", "K: !!python/object/apply:os.getcwd []"), "line 6: not YAML: could not"),
    "a tag that does not fit": (changed("K: 4", "K: !!int four"), "line 6: not YAML: 'four': invalid literal"),
    "a tag without a number": (changed("K: 4", "K: !!float ''"), "line 6: not YAML: '': "),
    "a set": (changed("[initial, final] ", "!!set {initial, final} "), "evaluate.models = "),
    "an alias": (changed("{size: all,", "&final {size: all,") + "more: *final\n", f"line {LAST}: *final: write"),
    "an alias that merges": (changed("train_initial: {}", "train_initial: &same {}") + "more:\n  <<: *same\n",
                             "*same: write the value out"),
    "an alias of nothing": (RECIPE + "more: *nothing\n", f"line {LAST}: *nothing"),
    "a bomb of aliases": ("".join(f"{a}: &{a} [{', '.join([f'*{b}'] * 9) if b else 'x'}]\n"
                                  for a, b in zip("abcdefghij", " abcdefghi".replace(" ", "") and ["", *"abcdefghi"],
                                                  strict=True)), "line 2: *a: write the value out"),
    "brackets without end": (RECIPE + "more: " + "[" * 100_000, f"line {LAST}: more than 20 levels"),
    "sections without end": (RECIPE + "more: " + "{a: " * 30_000, f"line {LAST}: more than 20 levels"),
    "levels by indentation": (RECIPE + "".join(f"{' ' * n}a:\n" for n in range(300)), "more than 20 levels"),
    "a file of megabytes": (RECIPE + "# " + "x" * (1 << 20), "params.yaml: has more than 131072 bytes"),
    "another version of YAML": ("%YAML 9.9\n---\n" + RECIPE, "line 1: not YAML"),
    "a control character": (changed("estimator: acc", "estimator: a\x07cc"), "not YAML: unacceptable character #x0007"),
}  # fmt: skip
"""A params.yaml, and what has to be said of it."""


@pytest.mark.parametrize("case", PARAMS)
def test_a_bad_params_file_is_named_in_one_line(project, case):
    text, words = PARAMS[case]
    (project / "params.yaml").write_text(text)
    assert_one_line("params.yaml: ", words)


BYTES = {
    "not UTF-8": (changed("# true: sum", "# \u00e9").encode("latin-1"), "byte 0xe9 is not"),
    "UTF-16": (RECIPE.encode("utf-16"), "params.yaml: line 1: byte 0xff is not UTF-8"),
    "bytes of a program": (b"\x7fELF\x02\x01\x01" + bytes(100), "params.yaml: not YAML: unacceptable character"),
    "a surrogate": (RECIPE.encode() + b"x: \xed\xa0\x80\n", f"params.yaml: line {LAST}: byte 0xed is not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("case", BYTES)
def test_bytes_that_are_no_text_are_named_with_their_file(project, case):
    content, words = BYTES[case]
    (project / "params.yaml").write_bytes(content)
    assert_one_line("params.yaml: ", words)


@pytest.mark.parametrize("name", ["params.yaml", "machine.yaml", "vr/recipes/prompts/reasoner.txt"])
def test_a_folder_in_place_of_a_file_is_named(project, name):
    (project / name).unlink(missing_ok=True)
    (project / name).mkdir()
    assert_one_line(f"{name}: Is a directory")


@pytest.mark.parametrize("name", ["params.yaml", "vr/recipes/prompts/posterior_A.txt"])
def test_a_file_that_is_missing_is_named(project, name):
    (project / name).unlink()
    assert_one_line(f"{name}: No such file or directory")


def test_a_link_to_no_machine_file_is_not_taken_for_no_file(project):
    (project / "machine.yaml").symlink_to("nowhere.yaml")
    assert_one_line("machine.yaml: No such file or directory")


SLIPS = [
    *(b"[", b"]", b"{", b"}", b":", b"&a ", b"*a", b"!!int ", b"!!set ", b"? ", b"- ", b"|", b"'", b'"', b"#", b"%"),
    *(b"\t", b"\n", b"  ", b"<<: ", b"null", b"1e400", b"2001-01-01", b"\xff", b"\0", b"---\n", b"9" * 5000),
]


def test_slips_of_the_pen_anywhere_in_params_end_in_lines_that_name_the_file(project):
    draw = random.Random(0)
    for _ in range(150):
        content = bytearray(RECIPE.encode())
        for _ in range(draw.randint(1, 3)):
            begin = draw.randrange(len(content))
            content[begin : begin + draw.choice((0, 0, 1, 20))] = draw.choice(SLIPS)
        (project / "params.yaml").write_bytes(content)
        lines = _settings.config_errors()
        assert all(line.startswith("params.yaml: ") and line.isprintable() for line in lines), lines


MACHINE = {
    "1: 2": "machine.yaml: 1: a key should be a word",
    "true: 2": "machine.yaml: True: a key should be a word",
    "- threads": "machine.yaml: should be keys and values, is list",
    "threads": "machine.yaml: should be keys and values, is str",
    "threads: 1000000": "machine.yaml: threads = 1000000: Input should be less than or equal to 1024",
    "threads: 0": "machine.yaml: threads = 0",
    "threads: true": "machine.yaml: threads = True",
    "threads: '2'": "machine.yaml: threads = '2'",
    "threads: 2.0": "machine.yaml: threads = 2.0",
    "threads: [2]": "machine.yaml: threads = [2]",
    "threads: 1\nthreads: 2": "machine.yaml: line 2: not YAML: found duplicate key",
    "threads: 2\n\tshard_rows: 3": "machine.yaml: line 2: not YAML",
    "thread: 2": "machine.yaml: thread = 2: Extra inputs are not permitted",
    "train_ranks: 1000000": "machine.yaml: train_ranks = 1000000",
    "train_micro_batch: 0": "machine.yaml: train_micro_batch = 0",
    "zero_stage: 0": "machine.yaml: zero_stage = 0",
    "zero_stage: '2'": "machine.yaml: zero_stage = '2'",
    "checkpoint_steps: -1": "machine.yaml: checkpoint_steps = -1",
    f"shard_rows: {HUGE}": "machine.yaml: shard_rows = 999",
    "score_ranks: 100000": "machine.yaml: score_ranks = 100000",
    "score_zero3: 1": "machine.yaml: score_zero3 = 1",
    "score_tokens: 0": "machine.yaml: score_tokens = 0",
    "verify_workers: 100000": "machine.yaml: verify_workers = 100000",
    "stages_at_once: 100000": "machine.yaml: stages_at_once = 100000",
    "tensor_parallel: 100000": "machine.yaml: tensor_parallel = 100000",
    "kv_cache_gib: 1000000": "machine.yaml: kv_cache_gib = 1000000",
    "max_sequences: 0": "machine.yaml: max_sequences = 0",
    "gpu_memory: .nan": "machine.yaml: gpu_memory = nan",
    "gpu_memory: 90": "machine.yaml: gpu_memory = 90",
    "gpu_memory: 0": "machine.yaml: gpu_memory = 0",
    "allow_unsafe_execution: 'no'": "machine.yaml: allow_unsafe_execution = 'no'",
    "a: &a 1\nb: *a": "machine.yaml: line 2: *a: write the value out",
    "a: " + "[" * 50_000: "machine.yaml: line 1: more than 20 levels",
    "a: [": "machine.yaml: line 1: not YAML",
    "x" * 200_000: "machine.yaml: has more than 131072 bytes",
}


@pytest.mark.parametrize("text", MACHINE, ids=lambda text: text[:20])
def test_a_bad_machine_file_is_named_in_one_line(project, text):
    (project / "machine.yaml").write_text(text)
    assert_one_line(MACHINE[text])


def test_a_batch_that_the_machine_cannot_lay_out_is_found_before_the_first_training(project):
    (project / "machine.yaml").write_text("train_ranks: 16\n")
    (project / "params.yaml").write_text(changed("train_final: {}", "train_final: {batch_size: 4}"))
    assert_one_line("train_final: a global batch of 8 rows cannot be reached with 16 ranks")  # 2 rows a question: mix


def test_a_benchmark_that_the_folder_lacks_is_found_before_a_run(project):
    entry = "math500: {questions: all, size: published, official: false, seed: 0}"
    text = changed("  miniature_dev: {q", f"  {entry}\n  miniature_dev: {{q").replace("miniature_dev: 8", "math500: 2")
    text = text.replace("benchmarks: [miniature_test] ", "benchmarks: [math500] ")
    (project / "params.yaml").write_text(text.replace("benchmark_folder: null ", "benchmark_folder: sets "))
    (project / "sets").mkdir()
    assert_one_line("params.yaml: benchmark_folder: benchmark.math500 needs the folder sets/")
    (project / "sets" / benchmarks.CATALOGUE["math500"].hub).mkdir(parents=True)
    assert _check.errors() == []


def test_a_model_that_is_taken_and_not_trained_has_no_batch_to_lay_out(project):
    (project / "machine.yaml").write_text("train_ranks: 16\n")
    (project / "params.yaml").write_text(changed("train_final: {}", "train_final: {batch_size: 9999, source: a/b}"))
    assert _check.errors() == []


@pytest.mark.parametrize("text", ["", "# threads: 2\n", "---\n", "null\n", "{}\n"])
def test_a_machine_file_without_entries_is_as_good_as_none(project, text):
    (project / "machine.yaml").write_text(text)
    assert _check.errors() == []
    assert _settings.machine().threads is None


PROMPTS = {
    b"": "the prompt is empty",
    b" \n\t\n": "the prompt is empty",
    b"\xef\xbb\xbf": "the prompt is empty",
    b"Think\n\xff\xfe": "line 2: byte 0xff is not UTF-8",
    "Überlege".encode("latin-1"): "line 1: byte 0xdc is not UTF-8",
    "Think.".encode("utf-16"): "line 1: byte 0xff is not UTF-8",
    "Think.".encode("utf-16-le"): r"line 1: the control character '\x00' is no text",
    b"Think\x1b[31m.": r"line 1: the control character '\x1b' is no text",
    b"Think.\n\nThen\x00": r"line 3: the control character '\x00' is no text",
    b"Think.<|im_end|>\n<|im_start|>user": "line 1: <|im_end|> would end the turn of the prompt",
    b"\nThink.\n<|im_start|>user": "line 3: <|im_start|> would end the turn of the prompt",
    b"Think.<|endoftext|>": "line 1: <|endoftext|> would end the turn of the prompt",
    b"Think. " * 20_000: "has more than 131072 bytes",
}
"""A prompt file, and what has to be said of it."""


@pytest.mark.parametrize("content", PROMPTS, ids=lambda content: repr(content[:20]))
@pytest.mark.parametrize("name", ["reasoner", "untrained"])
def test_a_bad_prompt_is_named_in_one_line(project, content, name):
    (project / "vr" / "recipes" / "prompts" / f"{name}.txt").write_bytes(content)
    assert_one_line(f"vr/recipes/prompts/{name}.txt: {PROMPTS[content]}")


def test_a_prompt_is_its_text_without_what_editors_put_round_it(project):
    file = project / "prompt.txt"
    file.write_bytes("\ufeffThink.\r\nThen <|begin_of_solution|>\tanswer: \u00a0é\n\n".encode())
    assert _check.system_prompt(file) == "Think.\nThen <|begin_of_solution|>\tanswer: \u00a0é"


def test_a_message_of_another_library_is_one_line_of_bounded_length():
    assert _settings.one_line("a\n  b\x1b[31m\r\n\tc") == "a b?[31m c"
    long = _settings.one_line("begin " + "x" * 100_000 + " end")
    assert len(long) < 2100 and long.startswith("begin x") and long.endswith("x end")


def test_what_a_model_needs_and_has_not_is_found_before_it_is_evaluated(project):
    (project / "params.yaml").write_text(changed("models: [initial, final]", "models: [initial, mine]"))
    assert_one_line("params.yaml: evaluate.models: 'mine': there is no folder models/mine")
    (project / "models" / "mine").mkdir(parents=True)
    assert _check.errors() == []


def test_every_stage_says_what_it_writes():
    for file in (ROOT / "stages").glob("[a-z]*.py"):
        if file.stem == "reproduce":
            continue
        module = __import__(f"stages.{file.stem}", fromlist=["main"])
        written = {name.removesuffix("_out").upper() for name in _run._outputs(module.main)}
        assert written, file
        assert all(name in module.__doc__ for name in written), file


# Through the processes of stages


def fails(folder: Path, *command: str) -> str:
    """Run a module of the project in `folder`; the one line that it ends with."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done
    assert done.stdout == "" and done.stderr.count("\n") == 1, done
    return done.stderr


@pytest.fixture
def tables(project):
    """All that a stage reads for one problem and seed 0; params ask for that seed."""
    (project / "params.yaml").write_text(changed("K: 4 ", "K: 1 ").replace("seeds: [0, 1, 2, 3]", "seeds: [0]"))
    save_tables_of_one_trace(project, "acc")
    return project


WEIGH = (
    "stages.weigh",
    "problems.parquet",
    "subset.parquet",
    "traces",
    "initial",
    "posterior",
    "acc",
    "w/w.parquet",
)
PROMPT = "vr/recipes/prompts/reasoner.txt"
BASE = ("stages.base", "problems.parquet", "vr/recipes/prompts", "base")
SAMPLE = ("stages.sample_traces", "problems.parquet", "subset.parquet", "models/none", PROMPT, PROMPT)


def test_the_tables_of_these_tests_are_right_as_they_stand(tables):
    subprocess.run([sys.executable, "-m", *WEIGH], cwd=tables, env={"PYTHONPATH": str(ROOT)}, check=True)
    assert (tables / "w" / "w.parquet").is_file()


TABLES = {
    "no problem": ("problems.parquet", lambda f: f.clear(), "problems.parquet: the table has no rows"),
    "no question in the subset": ("subset.parquet", lambda f: f.clear(), "subset.parquet: the table has no rows"),
    "no trace": ("traces/seed=0.parquet", lambda f: f.clear(), "traces/seed=0.parquet: the table has no rows"),
    "seeds as text": (
        "initial/seed=0.parquet", lambda f: f.cast({"seed": pl.String}), "seed=0.parquet: column 'seed' is String"),
    "a wrong number of tokens": (
        "traces/seed=0.parquet", lambda f: f.with_columns(trace_tokens=3), "'trace_tokens': 3, 'n_proposal': 2"),
    "a log-prob above 0": (
        "posterior/seed=0.parquet", lambda f: f.with_columns(trace_logp_sum=0.5), "parquet: trace_logp_sum: max"),
    "a log-prob that is NaN": (
        "posterior/seed=0.parquet", lambda f: f.with_columns(trace_logp_sum=float("nan")), "'trace_logp_sum': 'nan'"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", TABLES)
def test_a_stage_names_a_bad_table_in_one_line_and_writes_nothing(tables, case):
    name, change, words = TABLES[case]
    change(pl.read_parquet(tables / name)).write_parquet(tables / name)
    line = fails(tables, *WEIGH)
    assert line.startswith("weigh: error: ") and words in line
    assert not (tables / "w").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "empty"),
    [
        (SAMPLE, "subset.parquet"),
        (("stages.base", "problems.parquet", "vr/recipes/prompts", "base"), "problems.parquet"),
    ],
)
def test_a_stage_without_any_question_fails(tables, stage, empty):
    pl.read_parquet(tables / empty).clear().write_parquet(tables / empty)
    out = "t/posterior/seed=0.parquet"
    assert f"{empty}: the table has no rows" in fails(tables, *stage, *([out] if stage is SAMPLE else []))
    assert not (tables / "base").exists() and not (tables / "t").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("t/posterior/seed=99999999999.parquet", "should be seed=N.parquet with N below 2147483648"),
        ("t/posterior/0.parquet", "should be seed=N.parquet"),
        ("t/prior/seed=0.parquet", "the table's folder should be one of posterior, initial"),
        ("subset.parquet/posterior/seed=0.parquet", "cannot be written: "),
        ("/proc/1/posterior/seed=0.parquet", "cannot be written: "),
    ],
)
def test_a_stage_whose_output_has_no_place_fails_before_its_work(tables, out, words):
    assert words in fails(tables, *SAMPLE, out)  # not a word of the model, which is missing too


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "params", "prompt", "start", "words"),
    [
        (("stages",), changed("epochs: 12", "epochs: .inf"), b"Think.", "", "training.epochs = inf"),
        (("stages",), RECIPE, b"\xff", "", f"{PROMPT}: line 1: byte 0xff is not UTF-8"),
        (
            ("stages.problems", "p.parquet", "l.parquet"),
            changed("size: all", "size: 1501"),
            b"",
            "problems: error: ",
            "size = 1501",
        ),
        (
            ("stages.problems", "p.parquet", "l.parquet"),
            RECIPE + "a: &a [1]\nb: *a\n",
            b"",
            "problems: error: ",
            f"line {LAST + 1}: *a",
        ),
        (("stages.reproduce",), RECIPE, b"", "error: ", "machine.yaml: 1: a key should be a word"),
    ],
)
def test_a_command_ends_with_status_1_and_one_line(project, command, params, prompt, start, words):
    (project / "params.yaml").write_text(params)
    (project / PROMPT).write_bytes(prompt)
    if command[0] == "stages.reproduce":
        (project / "machine.yaml").write_text("1: 2\n")
    line = fails(project, *command)
    assert line.startswith(start) and words in line
    assert not (project / "p.parquet").exists()
