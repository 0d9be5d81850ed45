r"""Published benchmarks: where the rows lie, how a question is put, and how many there are.

Prompts, sets and filters are those of the paper's code (zhouxiangxin1998/SkyThought@6454fea,
variational_reasoning/eval/eval.sh and its task files), byte for byte; but for GSM8K, which the paper does not use.
n is the paper's (App. D; GSM8K: 1). Where no commit of a set is known, its main branch is read and its size checked.
"""

from vr.sources import gsm8k
from vr.sources.benchmarks.choices import RIGHT, WRONG, gpqa, mmlu_pro
from vr.sources.benchmarks.entry import QUESTION, Entry
from vr.sources.benchmarks.mathematics import final_answers, grade_school, short_answer, whole_number
from vr.sources.benchmarks.programs import STDIN, livecodebench
from vr.sources.wordings import IN_A_BOX

_BOXED = IN_A_BOX + QUESTION


def _livecodebench(difficulty: str, size: int) -> Entry:
    """release_v2, whose rows are those of two files."""
    return Entry(
        hub="livecodebench/code_generation_lite",
        revision="0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
        config=None,
        split="test",
        files=("test.jsonl", "test2.jsonl"),
        keep=("difficulty", difficulty),
        id="question_id",
        question="question_content",
        columns=("public_test_cases", "private_test_cases", "metadata"),
        prompt=STDIN,
        verifier="stdin",
        filled=livecodebench,
        n=8,
        size=size,
        licence="cc",
    )


CATALOGUE: dict[str, Entry] = {
    "math500": Entry(
        hub="qq8933/MATH500",
        revision=None,
        config=None,
        split="test",
        id="unique_id",
        question="problem",
        columns=("answer", "solution"),
        may_be_null=("solution",),
        prompt=_BOXED,
        verifier="math",
        filled=short_answer,
        n=2,
        size=500,
        licence="MIT",
    ),
    "aime24": Entry(
        hub="AI-MO/aimo-validation-aime",
        revision=None,
        config=None,
        split="train",
        keep=("url", "2024"),
        id="id",
        question="problem",
        columns=("answer", "solution"),
        may_be_null=("solution",),
        prompt=_BOXED,
        verifier="math",
        filled=whole_number,
        n=32,
        size=30,
        licence="Apache-2.0",
    ),
    "aime25": Entry(
        hub="zhouxiangxin/AIME2025",
        revision=None,
        config=None,
        split="train",
        question="question",
        columns=("answer",),
        # the only one with the instruction after the question
        prompt=f"{QUESTION}\nReturn your final response within \\boxed{{}}",
        verifier="math",
        filled=whole_number,
        n=32,
        size=30,
        licence="not stated",
    ),
    "amc23": Entry(
        hub="AI-MO/aimo-validation-amc",
        revision=None,
        config=None,
        split="train",
        keep=("url", "2023"),
        id="id",
        question="problem",
        columns=("answer",),
        prompt=_BOXED,
        verifier="math",
        filled=whole_number,
        n=32,
        size=40,
        licence="Apache-2.0",
    ),
    "olympiadbench": Entry(
        hub="Hothan/OlympiadBench",
        revision="91184b52131e7fc9455fef848035173aea8cc01a",
        config="OE_TO_maths_en_COMP",
        split="train",
        id="id",
        question="question",
        columns=("final_answer", "is_multiple_answer", "error", "solution"),
        may_be_null=("error",),
        prompt=_BOXED,
        verifier="math",
        filled=final_answers,
        official="the first final answer alone, without tolerance",
        n=2,
        size=674,
        licence="Apache-2.0",
    ),
    "gpqa_diamond": Entry(
        hub="Idavidrein/gpqa",
        revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
        config="gpqa_diamond",
        split="train",
        id="Record ID",
        question="Question",
        columns=(RIGHT, *WRONG),
        prompt=(
            "Return your final response within \\boxed{} and only include the letter choice (A, B, C, or D) as your "
            f"final response. {QUESTION}"
        ),
        verifier="choice",
        filled=gpqa,
        n=8,
        size=198,
        licence="CC-BY-4.0; gated: its questions may not be published, so the tables that hold them may not either",
    ),
    "livecodebench_easy": _livecodebench("easy", 182),
    "livecodebench_medium": _livecodebench("medium", 206),
    "livecodebench_hard": _livecodebench("hard", 123),
    "mmlu_pro": Entry(
        hub="TIGER-Lab/MMLU-Pro",
        revision="b189ec765aa7ed75c8acfea42df31fdae71f97be",
        config="default",
        split="test",
        id="question_id",
        question="question",
        columns=("options", "answer_index"),
        prompt=_BOXED,
        verifier="choice",
        filled=mmlu_pro,
        n=1,
        size=12_032,
        licence="MIT",
    ),
    "gsm8k": Entry(
        hub="openai/gsm8k",
        revision="e53f048856ff4f594e959d75785d2c2d37b678ee",
        config=gsm8k.CONFIG,
        split="test",
        question="question",
        columns=("answer",),
        prompt=_BOXED,
        verifier="math",
        filled=grade_school,
        n=1,
        size=1319,
        licence="MIT",
    ),
}
"""Maps a benchmark's name in params.yaml to its entry."""
