"""Files from the Hugging Face hub, at a fixed revision; a failure is one line."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def cached(hub_id: str, revision: str, patterns: Sequence[str], repo_type: str = "model") -> Path | None:
    """The folder of the files in the local cache, if a download of them is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        where = {"repo_type": repo_type, "allow_patterns": list(patterns), "local_files_only": True}
        return Path(snapshot_download(hub_id, revision=revision, **where))
    except LocalEntryNotFoundError:
        return None


def download(hub_id: str, revision: str, patterns: Sequence[str], repo_type: str = "model") -> Path:
    """The folder of the files that match `patterns`, downloaded if the cache lacks them.

    ValueError, in one line with the remedy, for a repository that is gated or absent, a missing token, an
    unknown revision, no network and a full disk; the disk is looked at before the first byte is fetched.
    """
    from huggingface_hub import errors, snapshot_download

    options = {"repo_type": repo_type, "allow_patterns": list(patterns)}
    try:
        _check_disk(hub_id, snapshot_download(hub_id, revision=revision, dry_run=True, **options))
        return Path(snapshot_download(hub_id, revision=revision, **options))
    except errors.GatedRepoError:
        raise ValueError(_gated(hub_id)) from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{hub_id} has no revision {revision}: copy a commit from its page") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"{hub_id} is not on the hub, or is private: check the id, and log in with `hf auth login`"
        ) from None
    except errors.HfHubHTTPError as error:
        raise ValueError(_refused(hub_id, error)) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError):
        found = cached(hub_id, revision, patterns, repo_type)
        if found is not None:
            return found
        raise ValueError(
            f"{hub_id} is not in the local cache and the hub cannot be reached: go online once, or give the "
            "path of a folder that holds the files"
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ValueError(f"the disk is full while {hub_id} is downloaded: free some space") from None
        raise


def _check_disk(hub_id: str, files: Sequence) -> None:
    """`files`: what a dry run of the download reports."""
    from huggingface_hub.constants import HF_HUB_CACHE

    needed = sum(file.file_size for file in files if file.will_download)
    place = Path(HF_HUB_CACHE)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f"{hub_id} needs {needed / 1e9:.1f} GB in {HF_HUB_CACHE}, {free / 1e9:.1f} GB are free: "
            "free some, or set HF_HOME to a larger disk"
        )


def _gated(hub_id: str) -> str:
    from huggingface_hub import get_token

    if get_token() is None:
        return f"{hub_id} is gated and there is no token: run `hf auth login` or set HF_TOKEN"
    return (
        f"{hub_id} is gated: ask for access at https://huggingface.co/{hub_id} with the account of your token"
    )


def _refused(hub_id: str, error: Any) -> str:
    status = getattr(error.response, "status_code", None)
    if status in (401, 403):
        return f"the hub refuses {hub_id} to this token: run `hf auth login` again"
    return f"the hub answered {status} for {hub_id}: try again later"
