"""params.yaml is checked as a whole, and every error names its entry and value."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import _settings
from vr.settings import params, sources, training

RECIPE = Path(__file__).parents[2] / "vr" / "recipes" / "miniature.yaml"
TEXT = RECIPE.read_text(encoding="utf-8")
DOCUMENT = YAML(typ="safe", pure=True).load(TEXT)
READERS = [(cls, name) for cls in params.Params.sections() for name in cls.names(DOCUMENT)]
OVERRIDES = {"train_initial", "train_posterior", "train_final", "train_baseline"}
OPEN = {"benchmark", "evaluate.samples"}
"""Sections in which any name may stand."""


def entries(node: dict[str, Any], *path: str) -> Iterator[tuple[str, ...]]:
    """The path of every entry and section."""
    for key, value in node.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from entries(value, *path, key)


def changed(entry: str, value: object) -> dict[str, Any]:
    """The recipe with another value, or a further entry."""
    document = copy.deepcopy(DOCUMENT)
    *folders, key = entry.split(".")
    node = document
    for folder in folders:
        node = node[folder]
    node[key] = value
    return document


def without(entry: str) -> dict[str, Any]:
    """The recipe without one entry."""
    document = changed(entry, None)
    *folders, key = entry.split(".")
    node = document
    for folder in folders:
        node = node[folder]
    del node[key]
    return document


def errors(document: dict[str, Any]) -> list[str]:
    """What all readers have to say of a document."""
    found: list[str] = []
    for cls in params.Params.sections():
        for name in cls.names(document):
            try:
                cls.read(document, *name)
            except ValueError as error:
                found += str(error).splitlines()
    return found


ENTRIES = [".".join(path) for path in entries(DOCUMENT)]


def in_open_section(entry: str) -> bool:
    return entry.rpartition(".")[0] in OPEN


@pytest.mark.parametrize(("cls", "name"), READERS, ids=lambda value: getattr(value, "__name__", None))
def test_the_recipe_of_the_miniature_is_valid(cls, name):
    assert cls.read(DOCUMENT, *name).model_dump()


def test_every_field_of_every_class_stands_in_the_recipe():
    for cls, name in READERS:
        given = set(cls.shared)
        for key in cls.keys(*name):
            node: Any = DOCUMENT
            for part in key.split("."):
                node = node[part]
            given |= set(node) if isinstance(node, dict) and cls is not params.Evaluate else {key.rpartition(".")[2]}
        if cls is params.Evaluate:
            given |= {"models", "benchmarks", "samples"}
        fields = type(cls.read(DOCUMENT, *name)).model_fields
        required = {field for field, info in fields.items() if info.is_required()}
        assert required <= given <= set(fields), cls.__name__


def test_no_field_has_a_default_and_only_the_sources_that_nobody_names_may_be_left_out():
    entries_of_sources = [getattr(sources, name) for name in ("Miniature", "BespokeStratos", "Gsm8k", "Gym", "Table")]
    inner = [params.FinalSubset, training.Lora, *entries_of_sources]
    kinds = [*params.Params.sections(), *params.Benchmark.__subclasses__(), *inner]
    optional = [
        f"{cls.__name__}.{name}" for cls in kinds for name, field in cls.model_fields.items() if not field.is_required()
    ]
    assert optional == [f"Problems.{name}" for name in ("miniature", "bespoke_stratos", "gsm8k", "gym", "table")]


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.split(".")[0] not in OVERRIDES])
def test_an_entry_that_is_taken_out_is_named(entry):
    if in_open_section(entry) and not entry.endswith(".miniature_test"):
        assert errors(without(entry)) == []  # nobody asks for this name
    elif entry == "benchmark.miniature_test":
        with pytest.raises(ValueError, match=r"params.yaml: missing benchmark.miniature_test"):
            params.Benchmark.read(without(entry), "miniature_test")
    else:
        assert any(re.search(rf"\b{re.escape(entry)}\b", line) for line in errors(without(entry)))


@pytest.mark.parametrize("section", sorted(OVERRIDES))
def test_a_section_of_overrides_that_is_taken_out_is_named(section):
    assert errors(without(section)) == [f"params.yaml: missing {section}"]


@pytest.mark.parametrize("section", ["", *(entry for entry in ENTRIES if isinstance(DOCUMENT.get(entry), dict))])
def test_every_entry_is_read(section):
    if section:  # an entry that nobody reads is refused, so every entry that is there is read
        unknown = changed(f"{section}.colour", 1)
        assert any(line.startswith(f"params.yaml: {section}.colour = 1: ") for line in errors(unknown))
    else:
        assert params.Params.unknown(DOCUMENT) == []
        read = {key.split(".")[0] for cls, name in READERS for key in cls.keys(*name)}
        assert set(DOCUMENT) == read | {"published"}  # there is none


@pytest.mark.parametrize(
    ("cls", "entry", "value", "message"),
    [
        (params.Weigh, "estimator", "accuracy", r"params.yaml: estimator = 'accuracy'.*'acc', 'gml', 'l' or 'uniform'"),
        (params.Weigh, "K", 0, "params.yaml: K = 0"),
        (params.Weigh, "K", 6, r"K = 6 is more than the 4 seeds; add seeds: -S 'seeds=\[0, 1, 2, 3, 4, 5\]'"),
        (params.Weigh, "seeds", [1, 1, 2, 3], r"params.yaml: seeds = \[1, 1, 2, 3\]: 1 may stand there once"),
        (params.Weigh, "seeds", [], r"params.yaml: seeds = \[\]"),
        (params.Weigh, "weigh.ratio", "maybe", r"weigh.ratio = 'maybe'.*'per_token', 'sum' or 'none'"),
        (params.Weigh, "weigh.ratio", True, "params.yaml: weigh.ratio = True"),
        (params.Weigh, "weigh.colour", 1, "params.yaml: weigh.colour = 1: Extra inputs"),
        (params.Weigh, "weigh.K", 3, "params.yaml: weigh.K: K stands at the top level alone"),
        (training.TrainFinal, "training.learning_rate", -1, "params.yaml: training.learning_rate = -1"),
        (training.TrainFinal, "train_final.learning_rate", -1, "params.yaml: train_final.learning_rate = -1"),
        (training.TrainFinal, "train_final.normalizer", "mean", "params.yaml: train_final.normalizer = 'mean'"),
        (training.TrainFinal, "training.method", "LoRA", "params.yaml: training.method = 'LoRA'.*'full' or 'lora'"),
        (training.TrainFinal, "training.lora.rank", 0, "params.yaml: training.lora.rank = 0: .* greater than 0"),
        (training.TrainFinal, "training.lora.alpha", 0.5, "params.yaml: training.lora.alpha = 0.5: .* integer"),
        (training.TrainFinal, "training.lora.targets", [], r"training.lora.targets = \[\]: should be `all` or a list"),
        (training.TrainFinal, "training.lora.targets", ["a,b"], r"training.lora.targets = \['a,b'\]: should be `all`"),
        (training.TrainFinal, "training.lora.targets", "q_proj", "targets = 'q_proj': should be `all` or a list of n"),
        (training.TrainFinal, "train_final.lora", {"rank": 4, "alpha": 8}, "train_final.lora.targets: Field required"),
        (training.TrainPosterior, "train_posterior.foo", 1, "params.yaml: train_posterior.foo = 1: Extra inputs"),
        (training.TrainPosterior, "training.foo", 1, "params.yaml: training.foo = 1: Extra inputs"),
        (params.SampleTraces, "hint", "none", "params.yaml: hint = 'none'.*'solution' or 'answer'"),
        (params.SampleTraces, "sample_traces.top_p", 0, "params.yaml: sample_traces.top_p = 0"),
        (params.SampleAnswers, "sample_answers.precision", "bf16", "sample_answers.precision = 'bf16'"),
        (params.Shared, "proposal", "prior", "params.yaml: proposal = 'prior'.*'posterior' or 'initial'"),
        (params.Shared, "baselines", ["rft"], r"params.yaml: baselines.0 = 'rft': Input should be 'sft'"),
        (params.Shared, "baselines", ["sft", "sft"], r"baselines = \['sft', 'sft'\]: 'sft' may stand there once"),
        (params.Shared, "prompts", "", "params.yaml: prompts = ''"),
        (params.Evaluate, "evaluate.models", ["../best"], r"params.yaml: evaluate.models.0 = '../best'"),
        (params.Evaluate, "evaluate.models", ["a", "a"], r"evaluate.models = \['a', 'a'\]: 'a' may stand there once"),
        (params.Evaluate, "evaluate.models", [], r"params.yaml: evaluate.models = \[\]"),
        (params.Evaluate, "evaluate.benchmarks", ["math500"], "evaluate.samples.math500 is missing, but evaluate.b"),
        (params.Evaluate, "evaluate.samples", {"miniature_test": 0}, "evaluate.samples.miniature_test = 0"),
        (params.Problems, "problems.miniature.slips", 0.9, r"problems.miniature = .*slips \+ guesses = 1.2"),
        (params.Problems, "problems", 3, "params.yaml: problems = 3: should be a section"),
        (params.Subsets, "subsets.final.size", 0, "params.yaml: subsets.final.size = 0: should be `all` or a number"),
        (params.Subsets, "subsets.final.size", "some", "params.yaml: subsets.final.size = 'some'"),
        (params.Subsets, "subsets.final.size", True, "params.yaml: subsets.final.size = True"),
        (params.Subsets, "subsets.disjoint", True, "params.yaml: subsets: .*leaves no question for pi_0 and q"),
        (params.Subsets, "subsets.final", 100, "params.yaml: subsets.final = 100"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name(cls, entry, value, message):
    with pytest.raises(ValueError, match=message):
        cls.read(changed(entry, value))


GYM_BENCHMARK = {
    "generator": "gsm_symbolic", "split": "known", "questions": 5, "config": {"difficulty": 1.0}, "seed": 3,
}  # fmt: skip


def test_a_benchmark_is_read_by_its_name():
    entries = {
        "miniature_dev": {"questions": 5, "programs": 0.5, "seed": 3},
        "gym_words": GYM_BENCHMARK,
        "math500": {"questions": "all", "size": "published", "official": False, "seed": 3},
    }
    kinds = (params.MiniatureBenchmark, params.GymBenchmark, params.HubBenchmark)
    document = changed("benchmark", entries)
    for (name, entry), kind in zip(entries.items(), kinds, strict=True):
        assert params.Benchmark.read(document, name) == kind(**entry)
        assert params.Benchmark.keys(name) == (f"benchmark.{name}",)
    with pytest.raises(ValueError, match=r"params.yaml: missing benchmark.absent"):
        params.Benchmark.read(document, "absent")


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("miniature_dev", {"questions": 0, "programs": 0, "seed": 0}, r"benchmark.miniature_dev.questions = 0"),
        ("gym_words", GYM_BENCHMARK | {"questions": "all"}, "params.yaml: benchmark.gym_words.questions = 'all'"),
        ("gym_words", GYM_BENCHMARK | {"split": "train"}, "gym_words.split = 'train': .* 'dev', 'test' or 'known'"),
        ("gym_words", GYM_BENCHMARK | {"generator": ""}, "params.yaml: benchmark.gym_words.generator = ''"),
        ("gym_gsm_symbolic", {"questions": 5, "config": {}, "seed": 0},
         "benchmark.gym_gsm_symbolic.generator: Field required\nparams.yaml: benchmark.gym_gsm_symbolic.split: Field"),
        ("math500", {"questions": 0, "size": "any", "official": True, "seed": 0}, "benchmark.math500.questions = 0"),
        ("math500", {"questions": 9, "size": 9, "official": True, "seed": 0}, "size = 9: .*'published' or 'any'"),
        ("math500", {"questions": 9, "programs": 0.2, "seed": 0}, "benchmark.math500.size: Field required"),
    ],
)  # fmt: skip
def test_a_benchmark_has_the_entries_of_its_kind_alone(name, entry, message):
    with pytest.raises(ValueError, match=message):
        params.Benchmark.read(changed(f"benchmark.{name}", entry), name)


GSM8K = {"data": "openai/gsm8k", "revision": None, "rows": 100}
TABLE = {"path": "mine.parquet", "name": "mine"}
STRATOS = {"data": "a/b", "revision": None, "names": None, "numina": None, "apps": None, "taco": None, "ruc": None,
           "rows": "all"}  # fmt: skip
GYM = {"datasets": {"gsm_symbolic": {}}, "rows": 50, "seed": 0}


def mixed(names: list[str], **sections: object) -> dict[str, Any]:
    """The recipe with other training questions."""
    return changed("problems", {"sources": names} | sections)


def test_the_sources_that_are_named_need_a_section_and_others_may_have_one():
    read = params.Problems.read(mixed(["gym", "gsm8k"], gym=GYM, gsm8k=GSM8K, table=TABLE, bespoke_stratos=STRATOS))
    assert read.sources == ["gym", "gsm8k"]
    assert read.gsm8k == sources.Gsm8k(**GSM8K)
    assert read.table == sources.Table(**TABLE)
    assert read.miniature is None
    with pytest.raises(ValueError, match=r"problems.table is missing, but problems.sources names it"):
        params.Problems.read(mixed(["gsm8k", "table"], gsm8k=GSM8K))


def test_an_unknown_source_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match=re.escape(
        "params.yaml: problems.sources = ['gsm']: 'gsm': no such source "
        "(there are: miniature, bespoke_stratos, gsm8k, gym, table)"
    )):  # fmt: skip
        params.Problems.read(mixed(["gsm"], gsm8k=GSM8K))
    with pytest.raises(ValueError, match=r"params.yaml: problems.aime = \{\}: Extra inputs"):
        params.Problems.read(mixed(["gsm8k"], gsm8k=GSM8K, aime={}))


def test_an_entry_of_a_source_is_named_with_its_section():
    with pytest.raises(ValueError, match=r"params.yaml: problems.gsm8k.rows = 0: should be `all` or a number above 0"):
        params.Problems.read(mixed(["gsm8k"], gsm8k=GSM8K | {"rows": 0}))
    with pytest.raises(ValueError, match=r"params.yaml: problems.gym.datasets = {}"):
        params.Problems.read(mixed(["gym"], gym=GYM | {"datasets": {}}))
    with pytest.raises(ValueError, match=r"params.yaml: problems.table.path: Field required"):
        params.Problems.read(mixed(["table"], table={"name": "mine"}))


@pytest.mark.parametrize(
    ("names", "at_most"),
    [(["gsm8k", "gym"], 150), (["gym"], 50), (["gym", "table"], None), (["bespoke_stratos"], None)],
)
def test_how_many_questions_there_are_at_most_is_known_where_every_source_says_so(names, at_most):
    sections = {"gsm8k": GSM8K, "gym": GYM, "table": TABLE, "bespoke_stratos": STRATOS}
    assert params.Problems.read(mixed(names, **sections)).at_most == at_most


def test_a_published_model_is_read_by_its_name():
    document = changed("published", {"theirs": {"source": "owner/model", "revision": "abc"}})
    assert params.Published.names(document) == [("theirs",)]
    assert params.Published.read(document, "theirs").source == "owner/model"
    assert params.Published.names(DOCUMENT) == []
    with pytest.raises(ValueError, match=r"params.yaml: published.theirs.revision: Field required"):
        params.Published.read(changed("published", {"theirs": {"source": "owner/model"}}), "theirs")


def test_an_entry_of_a_trainings_own_section_wins_and_the_shared_one_holds_without_it():
    # miniature.yaml: training.warmup_ratio 0.1; train_posterior.warmup_ratio 0.05
    assert training.TrainInitial.read(DOCUMENT).warmup_ratio == 0.1
    assert training.TrainPosterior.read(DOCUMENT).warmup_ratio == 0.05
    assert training.TrainPosterior.read(without("train_posterior.warmup_ratio")).warmup_ratio == 0.1
    assert training.TrainFinal.read(changed("train_final.epochs", 2)).epochs == 2
    small = {"rank": 4, "alpha": 8, "targets": ["q_proj"]}
    assert training.TrainFinal.read(changed("train_final.lora", small)).lora == training.Lora(**small)


def test_the_final_subset_is_all_or_a_number_and_may_be_kept_from_the_others():
    assert params.Subsets.read(DOCUMENT).final.size == "all"
    document = changed("subsets", {"final": {"size": 1000, "seed": 1}, "disjoint": True})
    assert params.Subsets.read(document).final == params.FinalSubset(size=1000, seed=1)


@pytest.mark.parametrize(
    ("selection", "mix", "rows"),
    [("best", False, 1), ("best", True, 2), ("weighted", False, 3), ("weighted", True, 4)],
)
def test_a_question_has_one_row_or_k_and_one_more_with_mix(selection, mix, rows):
    document = DOCUMENT | {"K": 3, "build_final": {"selection": selection, "mix": mix}}
    assert params.BuildBaseline.read(document).rows_per_question == rows


def test_models_are_an_open_list():
    assert params.Evaluate.read(changed("evaluate.models", ["sft", "rft-2", "Qwen3.4B_x"])).models[2] == "Qwen3.4B_x"


def test_a_class_names_the_entries_that_its_stage_reads():
    assert params.Weigh.keys() == ("estimator", "seeds", "K", "template", "weigh")
    assert training.TrainPosterior.keys() == ("hint", "template", "training", "train_posterior")
    assert params.BuildBaseline.keys() == ("K", "build_final")
    assert params.Report.keys() == ("report",)


def test_an_evaluation_reads_its_own_n_and_no_list_of_what_is_evaluated():
    assert params.Evaluate.keys("miniature_dev") == (
        "evaluate.temperature",
        "evaluate.top_p",
        "evaluate.max_tokens",
        "evaluate.precision",
        "evaluate.untrained",
        "evaluate.boxed_without_solution",
        "evaluate.seed",
        "evaluate.samples.miniature_dev",
    )


def test_all_errors_come_at_once():
    document = DOCUMENT | {"weigh": DOCUMENT["weigh"] | {"max_trace_tokens": 0, "ratio": 7}}
    with pytest.raises(ValueError, match="max_trace_tokens = 0") as caught:
        params.Weigh.read(document)
    assert "weigh.ratio = 7" in str(caught.value)


def test_a_missing_section_or_entry_is_named():
    with pytest.raises(ValueError, match=r"params.yaml: missing K, weigh"):
        params.Weigh.read({key: value for key, value in DOCUMENT.items() if key not in ("K", "weigh")})
    with pytest.raises(ValueError, match=r"params.yaml: training.batch_size: Field required"):
        training.TrainFinal.read(without("training.batch_size"))


def test_numbers_as_dvc_writes_them_are_numbers(tmp_path, monkeypatch):
    # dvc exp run -S training.learning_rate=2e-5 writes 2e-05, which YAML 1.1 readers take for a string
    (tmp_path / "params.yaml").write_text(TEXT.replace("learning_rate: ", "learning_rate: 2e-05 # "))
    monkeypatch.chdir(tmp_path)
    assert _settings.params(training.TrainFinal).learning_rate == 2e-05


def test_the_check_before_a_run_finds_every_error_once(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert _settings.config_errors() == []
    text = TEXT.replace("estimator: acc", "estimator: best").replace("hint: solution", "hint: all")
    (tmp_path / "params.yaml").write_text(text.replace("K: 4", "K: many"))
    found = _settings.config_errors()
    assert len(found) == 3
    for start in ("params.yaml: estimator = 'best'", "params.yaml: hint = 'all'", "params.yaml: K = 'many'"):
        assert sum(line.startswith(start) for line in found) == 1
