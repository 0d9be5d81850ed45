"""Why the hub gave nothing, in one line. The hub's own words are left out: they may quote what was sent."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hub_errors(where: str, revision: str | None, kind: str) -> Iterator[None]:
    """Make an error of the hub's library one line that names what was asked for and says what to do.

    Args:
        kind: what was asked for: `set` or `model`.

    Raises:
        FileNotFoundError: the hub gave nothing.
    """
    import httpx
    from huggingface_hub import errors  # half a second to import

    at = f"{where} at {revision}" if revision else where
    try:
        yield
    except errors.GatedRepoError as error:
        reason = f"the {kind} is gated: accept its terms on its page on the hub, then log in here with `hf auth login`"
        raise FileNotFoundError(f"{at}: {reason}") from error
    except errors.RepositoryNotFoundError as error:
        reason = f"no such folder here, and no such {kind} on the hub (a private one needs `hf auth login`)"
        raise FileNotFoundError(f"{at}: {reason}") from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{at}: the {kind} on the hub has no such revision") from error
    except errors.HfHubHTTPError as error:
        raise FileNotFoundError(f"{at}: the hub answers {error.response.status_code}: try again later") from error
    except (httpx.HTTPError, ConnectionError, errors.LocalEntryNotFoundError) as error:
        reason = f"no such folder here, and the hub cannot be reached ({type(error).__name__}): name a local copy"
        raise FileNotFoundError(f"{at}: {reason}") from error
