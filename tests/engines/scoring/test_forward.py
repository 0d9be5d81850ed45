"""forward.py: tiles of logits change nothing, however unlikely the target; no tensor is as large as all logits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from scoring_examples import assert_same, make_examples, plain_logps, score_examples
from tiny_models import new_model
from torch.utils._python_dispatch import TorchDispatchMode

from vr.engines.scoring import forward
from vr.renderers.example import Example


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


def test_no_tensor_grows_with_tokens_times_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary, tokens = 20_000, 400
    model = new_model(vocabulary, tied=True)
    example = Example([n % vocabulary for n in range(tokens)], 1, (1, tokens))
    monkeypatch.setattr(forward, "TILES", {"cpu": (50, 2000)})
    with Largest() as largest:
        forward.score_batch(model.base_model, model.lm_head, [example], False)
    assert largest.elements == 50 * 2000 < tokens * vocabulary


@pytest.mark.parametrize("tile", [(7, 1000), (1000, 100), (7, 311), (1, 1)])
def test_tiles_do_not_change_the_scores(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tile: tuple[int, int]
) -> None:
    examples = make_examples(5)
    whole = score_examples(tiny_model, examples)
    monkeypatch.setattr(forward, "TILES", {"cpu": tile})
    assert_same(score_examples(tiny_model, examples), whole)


@pytest.mark.parametrize("tile", [(3, 1000), (2, 7)])
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_log_probs_are_exact_however_unlikely_the_target_and_with_a_bias(
    monkeypatch: pytest.MonkeyPatch, tile: tuple[int, int], spread: float
) -> None:
    monkeypatch.setattr(forward, "TILES", {"cpu": tile})
    torch.manual_seed(0)
    weight_VD, bias_V, hidden_ND = torch.randn(40, 8) * spread, torch.randn(40), torch.randn(10, 8)
    targets_N = torch.arange(10) * 4 + 1
    for bias in (bias_V, None):
        logits_NV = torch.nn.functional.linear(hidden_ND, weight_VD, bias)
        expected_N = logits_NV.double().log_softmax(1).gather(1, targets_N[:, None])[:, 0].float()
        assert spread == 1.0 or expected_N.min() < -88  # e^88 is where float32 ends
        found_N = forward._logps(weight_VD, bias, hidden_ND, targets_N)
        torch.testing.assert_close(found_N, expected_N, rtol=1e-5, atol=1e-5 * spread)  # logits are as wide as that


def test_a_log_prob_is_never_above_zero() -> None:
    weight_VD = torch.eye(2).repeat(1, 500) * 20  # token 0 is certain, but for rounding
    hidden_ND = torch.eye(2).repeat(1, 500)[:1] + torch.rand(2000, 1000)
    logps_N = forward._logps(weight_VD, None, hidden_ND, torch.zeros(2000, dtype=torch.long))
    assert logps_N.max() <= 0


def test_a_model_with_a_sliding_window_keeps_it(tmp_path: Path) -> None:
    model = new_model(320, tied=True)
    model.config.layer_types = ["sliding_attention"] * 2
    model.config.use_sliding_window, model.config.sliding_window = True, 4
    model.save_pretrained(tmp_path)
    examples = make_examples(6)
    windowed = score_examples(tmp_path, examples)
    for example, result in zip(examples, windowed, strict=True):
        assert result.trace_logps == pytest.approx(plain_logps(tmp_path, example)[slice(*example.trace)], abs=1e-5)
    model.config.layer_types = ["full_attention"] * 2
    model.save_pretrained(tmp_path)
    assert score_examples(tmp_path, examples) != windowed
