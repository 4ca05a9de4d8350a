"""Configuration environments that stand on others, so that a family states only what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework.cli.utils import KedroCliError

LIKE = "like"
Files = dict[Path, Any]


class WrongEnvironmentError(KedroCliError):
    """An environment that stands on one that is not there, or on itself."""


class LayeredConfigLoader(OmegaConfigLoader):
    """Kedro's loader; `like: llama3` in an environment's globals.yml puts its files over those of llama3.

    The order is base, then the environments that the chosen one is like, then itself. Within these last a
    block changes only the keys that it names.
    """

    _lower: tuple[str, ...] = ()  # the environments between base and the chosen one, the lowest first

    def _read_raw_config(self, key: str) -> tuple[Files, Files, str, str, set[Path]]:
        base, own, base_path, env_path, read = super()._read_raw_config(key)
        if key == "globals":
            self._lower = self._environments_below(own)
        shared: Files = {}
        for environment in self._lower:
            shared |= self._files(environment, key, read)
        return base, shared | own, base_path, env_path, read

    def _environments_below(self, files: Files) -> tuple[str, ...]:
        below: tuple[str, ...] = ()
        while like := next((config[LIKE] for config in files.values() if LIKE in config), None):
            if like in (self.env, *below):
                raise WrongEnvironmentError(f"`like: {like}` in globals.yml leads back to itself")
            below, files = (like, *below), self._files(like, "globals", set())
        return below

    def _files(self, environment: str, key: str, read: set[Path]) -> Files:
        path = self._get_conf_env_path(environment)
        try:
            return self._read_dir_configs(path, self.config_patterns[key], key, read)
        except MissingConfigException:
            raise WrongEnvironmentError(
                f"`like: {environment}` in globals.yml: there is no environment {environment} in conf/"
            ) from None
