"""vLLM engines: opened for one model, with the settings that make draws repeatable, and shut down.

The start is made cheap, since a stage of the miniature draws for seconds: see `_import_without_garbage_collection` and
`_kv_cache_bytes`. What is drawn, and how, is not decided here (vr/engines/sampling/sampler.py).
"""

import atexit
import gc
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vr.renderers.model_directory import in_one_line, positions, require_fit, require_model, weight_bytes
from vr.settings.machine import Machine, gpus

logger = logging.getLogger(__name__)


@contextmanager
def open_engine(model: str | Path, precision: str, machine: Machine) -> Iterator[Any]:
    """A vLLM engine with the model loaded, shut down when the block ends.

    On a CPU it runs in this process, where shutting one engine down ends all others.

    Args:
        precision: float32 | bfloat16 | auto, vLLM's `dtype` (its auto computes float32 weights in bfloat16).

    Raises:
        FileNotFoundError, ValueError: no such model, or it is not whole.
        RuntimeError: vLLM cannot start with this model.
    """
    require_model(model)
    with _import_without_garbage_collection():
        require_fit(model)  # vLLM leaves what is missing as the memory was
    try:
        engine = _start(model, precision, machine)
    except Exception as error:  # of many classes, its own and others
        raise RuntimeError(f"{model}: vLLM cannot start with it: {in_one_line(error)}") from error
    _wake_at_death(engine.engine_core)
    try:
        yield engine
    finally:
        engine.engine_core.shutdown()


def _start(model: str | Path, precision: str, machine: Machine) -> Any:
    with _import_without_garbage_collection():
        settings = engine_settings(model, precision, machine)  # first: it sets what vLLM reads while it is imported
        from vllm import EngineArgs, LLMEngine  # seconds: only where a model is sampled from

        config = EngineArgs(**settings).create_engine_config()
    logging.getLogger("vllm.logging_utils.dump_input").disabled = True  # pages of settings before an error
    if not gpus():
        config.cache_config.kv_cache_memory_bytes = _kv_cache_bytes(config)
        logger.info(
            "vLLM on CPU: %s, %s thread(s), up to %d sequences at once, %.2f GiB for keys and values",
            str(config.model_config.dtype).removeprefix("torch."),
            os.environ["OMP_NUM_THREADS"],
            config.scheduler_config.max_num_seqs,
            config.cache_config.kv_cache_memory_bytes / 2**30,
        )
    return LLMEngine.from_vllm_config(config, disable_log_stats=True)


@contextmanager
def _import_without_garbage_collection() -> Iterator[None]:
    """Spare the garbage collector the objects of vLLM's thousands of modules, which all stay to the end.

    Otherwise it searches them in vain: several times during the import, at the engine's start and at the exit of the
    interpreter, which takes 4 of 15 seconds of processor time for one short text.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()
    atexit.register(gc.freeze)


def _kv_cache_bytes(config: Any) -> int:
    """Memory for keys and values of a full batch of texts as long as the model takes; at most what the config says.

    vLLM writes zeros to all of it at the start, which takes about a second for each GiB.
    """
    model, block = config.model_config, config.cache_config.block_size
    layers, heads = model.get_num_layers(config.parallel_config), model.get_num_kv_heads(config.parallel_config)
    token_bytes = 2 * layers * heads * model.get_head_size() * model.dtype.itemsize
    blocks_a_text = -(-model.max_model_len // block)
    blocks = config.scheduler_config.max_num_seqs * blocks_a_text + 1  # vLLM keeps one for itself
    return min(config.cache_config.kv_cache_memory_bytes, blocks * block * token_bytes)


def _wake_at_death(client: Any) -> None:
    """Let a step that waits for an engine process see that the process was killed.

    vLLM 0.28 notices the death and ends the thread that receives, but not the wait for what that thread would pass
    on. An engine within this process has no such thread.
    """
    receiver = getattr(client, "output_queue_thread", None)
    if receiver is None:
        return
    from vllm.v1.engine.exceptions import EngineDeadError

    def wake() -> None:
        receiver.join()
        client.outputs_queue.put(EngineDeadError())

    threading.Thread(target=wake, daemon=True, name="wake-at-engine-death").start()


def engine_settings(model: str | Path, precision: str, machine: Machine) -> dict[str, Any]:
    """The arguments of vLLM's EngineArgs; also sets the environment variables that vLLM reads."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # its warnings at each start are about its own defaults
    os.environ["VLLM_RAISE_ON_LOGIT_NANS"] = "1"  # of NaN it would draw token 0, text after text
    return {
        "model": str(model),
        "dtype": precision,
        "load_format": "safetensors",  # its default falls back on pickles
        "trust_remote_code": False,
        "generation_config": "vllm",  # nothing in the model's directory changes the sampling
        "logprobs_mode": "raw_logprobs",  # of the logits before temperature and top_p
        "max_num_seqs": machine.max_sequences,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        **(_gpu_settings(machine) if gpus() else _cpu_settings(model, machine)),
    }


def _gpu_settings(machine: Machine) -> dict[str, Any]:
    return {
        "tensor_parallel_size": machine.tensor_parallel or gpus(),
        "gpu_memory_utilization": machine.gpu_memory,
    }


def _cpu_settings(model: str | Path, machine: Machine) -> dict[str, Any]:
    """In one process, with each prefill in one piece (a split one crashes on requests with seeds)."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    threads = machine.threads_of(weight_bytes(model))
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by vLLM; torch may have been imported before
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    # vLLM compiles the rank that it adds to each log-prob: 17 s and a C++ compiler, of no use to small models.
    torch.compiler.set_stance("force_eager")
    length = positions(model)
    return {
        "kv_cache_memory_bytes": machine.kv_cache_bytes,
        "distributed_executor_backend": "uni",
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(length, machine.max_sequences, 8192),
    }
