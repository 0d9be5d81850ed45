"""A server of the tests' own that answers as the Hugging Face hub does (huggingface_hub 1.33), for sets and models."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """Sets and models by name: open ones have files; of the others each request gives a status and an error code."""

    kept: ClassVar[Mapping[str, Any]] = {}
    asked: ClassVar[list[str]] = []
    """The files that were asked for."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/api")
        path = path.removeprefix("/datasets").removeprefix("/models").removeprefix("/")
        name, files = next(((n, files) for n, files in self.kept.items() if path.startswith(n)), ("", (404, "Other")))
        if isinstance(files, tuple):
            status, code = files
            self._answer(status, b"", {"X-Error-Code": code})
        elif "/resolve/" in path:
            data = files[path.removeprefix(f"{name}/resolve/").partition("/")[2]]
            self.asked.append(path)
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            self._answer(200, data, {"ETag": etag, "X-Repo-Commit": COMMIT})
        elif "/tree/" in path:
            tree = [{"type": "file", "path": file, "size": len(data), "oid": "0"} for file, data in files.items()]
            self._answer_json(tree)
        else:
            siblings = [{"rfilename": file} for file in files]
            self._answer_json(
                {"_id": "0", "id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
            )

    do_HEAD = do_GET

    def _answer_json(self, content: Any) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hub_with(kept: Mapping[str, Any], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let huggingface_hub ask this hub, which keeps these sets or models: files, or a status and an error code."""
    from huggingface_hub import constants

    Hub.kept = kept
    Hub.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        yield
        server.shutdown()


def hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub ask at a port where nobody listens."""
    from huggingface_hub import constants

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        nobody = server.server_port
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{nobody}")
