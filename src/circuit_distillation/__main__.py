"""Run the packaged project: `python -m circuit_distillation --params task=entity`."""

import sys
from pathlib import Path

try:
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project
except ModuleNotFoundError:
    sys.exit("the pipelines need Kedro: pip install 'circuit-distillation[pipeline]'")


def main(*args, **kwargs):
    """Hand over to `kedro run` of the installed package."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
