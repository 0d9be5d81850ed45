"""The text format of responses: how they are split and written, and which part of one is judged."""

import pytest

from vr.renderers import markers

PUBLIC = (
    "<|begin_of_thought|>\n\n3 + 4\n\nis 7.\n\n<|end_of_thought|>\n\n"
    "<|begin_of_solution|>\n\n\\boxed{7}\n\n<|end_of_solution|>"
)  # a row of the public data set


def test_a_response_of_the_public_data_comes_back_unchanged() -> None:
    assert markers.split_response(PUBLIC) == ("3 + 4\n\nis 7.", "\\boxed{7}")
    assert markers.join_response("3 + 4\n\nis 7.", "\\boxed{7}") == PUBLIC


@pytest.mark.parametrize(
    "response",
    [
        PUBLIC.replace("<|begin_of_solution|>\n\n", "<|begin_of_solution|>"),  # as in the STILL-2 rows
        PUBLIC.replace("|>\n\n", "|>").replace("\n\n<|", "<|"),  # no blank line anywhere
        PUBLIC.replace("|>\n\n", "|> \t\n").replace("\n\n<|", "\r\n\r\n<|"),
        f"Sure: {PUBLIC}<|im_end|>",
    ],
)
def test_white_space_beside_a_marker_is_format(response: str) -> None:
    assert markers.split_response(response) == ("3 + 4\n\nis 7.", "\\boxed{7}")
    assert markers.join_response(*markers.split_response(response)) == PUBLIC


def test_white_space_beside_a_marker_is_written_once() -> None:
    assert markers.join_response(" \n3 + 4\n\nis 7.\n\n", "\n\n\\boxed{7} ") == PUBLIC


def test_a_thought_may_speak_of_the_markers() -> None:
    thought = "After <|end_of_thought|> comes <|begin_of_solution|>"
    assert markers.split_response(markers.join_response(thought, "7")) == (thought, "7")


@pytest.mark.parametrize("marker", markers.MARKERS[:4])
def test_a_response_without_one_of_its_markers_is_an_error(marker: str) -> None:
    with pytest.raises(ValueError, match="without its four markers in order"):
        markers.split_response(PUBLIC.replace(marker, ""))


@pytest.mark.parametrize(("part", "name"), [("3 + 4\n\nis 7.", "thought"), ("\\boxed{7}", "solution")])
def test_an_empty_part_is_an_error(part: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"nothing between its {name} markers"):
        markers.split_response(PUBLIC.replace(part, ""))


def test_an_empty_system_prompt_gives_no_system_turn() -> None:
    assert markers.conversation("", "x?") == "<|im_start|>user\nx?<|im_end|>\n<|im_start|>assistant\n"
    assert markers.conversation("Add.", "x?").startswith("<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\nx?")


@pytest.mark.parametrize(("template", "name"), [("A", "explanation"), ("B", "thought")])
def test_the_posterior_sees_the_hint_and_then_its_begin_marker(template: str, name: str) -> None:
    lead = f"<|begin_of_solution|>\n\n7\n\n<|end_of_solution|>\n\n<|begin_of_{name}|>\n\n"
    assert markers.posterior_lead("7", template) == lead
    assert markers.trace_markers(template) == (f"<|begin_of_{name}|>", f"<|end_of_{name}|>")


@pytest.mark.parametrize("reference", [None, ""])
def test_a_hint_without_reference_is_the_solution(reference: str | None) -> None:
    assert markers.hint_text("answer", "so 7", reference) == "so 7"
    assert markers.hint_text("answer", "so 7", "7") == "7"
    assert markers.hint_text("solution", "so 7", "7") == "so 7"


@pytest.mark.parametrize(
    ("overhang", "left"),
    [
        ("", "\n\n<|begin_of_solution|>\n\n"),
        ("\n", "\n<|begin_of_solution|>\n\n"),
        ("\n\n", "<|begin_of_solution|>\n\n"),
        ("\n\n\n", "<|begin_of_solution|>\n\n"),  # white space that the format does not have: no more of it
        (" ", "<|begin_of_solution|>\n\n"),
        ("\r\n\r\n", "<|begin_of_solution|>\n\n"),
        ("\n\n<", "|begin_of_solution|>\n\n"),
        ("<|", "begin_of_solution|>\n\n"),
        (".\n", "\n\n<|begin_of_solution|>\n\n"),  # text that is no format: the whole lead follows
        ("�", "\n\n<|begin_of_solution|>\n\n"),
    ],
)
def test_what_a_token_says_beyond_the_end_marker_is_not_said_again(overhang: str, left: str) -> None:
    assert markers.left_to_say(markers.ANSWER_LEAD, overhang) == left


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (PUBLIC, "\\boxed{7}"),
        ("so\n<|begin_of_solution|>\n\n1\n\n<|end_of_solution|> <|begin_of_solution|>2<|end_of_solution|>", "1"),
        ("<|begin_of_solution|>1<|end_of_solution|> then <|begin_of_solution|>2", "1"),
        ("I write <|begin_of_solution|> last. <|begin_of_solution|>2<|end_of_solution|>", "2"),
        ("<|end_of_solution|><|begin_of_solution|>2<|end_of_solution|>", "2"),
        ("<|begin_of_solution|><|end_of_solution|>", ""),
    ],
)
@pytest.mark.parametrize("complete", [False, True])
def test_the_first_complete_solution_is_judged(text: str, part: str, complete: bool) -> None:
    judged = markers.judged_part(text, complete=complete, boxed_without_solution=True)
    assert judged == (part, "solution")


@pytest.mark.parametrize("ending", ["", "\n", "<|im_end|>"])
def test_a_solution_that_the_response_ended_in_is_complete(ending: str) -> None:
    text = f"so <|begin_of_solution|>\n\n7{ending}"
    assert markers.judged_part(text, complete=True, boxed_without_solution=False) == ("7", "solution")


@pytest.mark.parametrize("ending", ["", "<|im_end|>", "<|end_of_solution|>"])
def test_a_response_that_ended_without_solution_markers_is_judged_whole(ending: str) -> None:
    text = f"The sum is \\boxed{{7}}.{ending}"
    assert markers.judged_part(text, complete=True, boxed_without_solution=True) == (
        "The sum is \\boxed{7}.", "response",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("so \\boxed{6} or \\boxed{7} and", "\\boxed{7}"),
        ("so \\boxed{\\frac{1}{2}} and", "\\boxed{\\frac{1}{2}}"),
        ("so \\boxed{7} and \\boxed{8", "\\boxed{7}"),
        ("so \\boxed{\\text{a \\} b}} and", "\\boxed{\\text{a \\} b}}"),
        ("so \\boxed{\\boxed{7}} and", "\\boxed{\\boxed{7}}"),
        ("so \\boxed{ 6 + \\boxed{7}", "\\boxed{7}"),
        ("so } \\boxed {7}", "\\boxed {7}"),
        ("<|begin_of_thought|> \\boxed{7} <|end_of_thought|> <|begin_of_solution|> so", "\\boxed{7}"),
    ],
)
def test_a_response_cut_before_its_solution_ended_is_judged_by_its_last_box_where_allowed(text: str, box: str) -> None:
    assert markers.judged_part(text, complete=False, boxed_without_solution=True) == (box, "box")
    assert markers.judged_part(text, complete=False, boxed_without_solution=False) == (None, "nothing")


@pytest.mark.parametrize("text", ["", "so", "so \\boxed{7", "<|begin_of_solution|> 7", "\\boxed 7"])
def test_a_response_cut_without_solution_and_box_is_not_judged(text: str) -> None:
    assert markers.judged_part(text, complete=False, boxed_without_solution=True) == (None, "nothing")


def test_a_flood_of_open_boxes_costs_no_more_than_its_length() -> None:
    assert markers.last_box("\\boxed{7}" + "\\boxed{" * 200_000) == "\\boxed{7}"
