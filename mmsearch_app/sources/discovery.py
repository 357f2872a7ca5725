"""Why no source is registered: where modules `mmsearch.py` were looked for, and where some are."""

from __future__ import annotations

import sys
from pathlib import Path

from django.apps import AppConfig, apps
from django.conf import settings


def explain_empty() -> str:
    """Return in sentences what is wrong if the registry is empty."""
    own = [config for config in apps.get_app_configs() if _is_of_the_shop(config)]
    names = [f"{config.name}.mmsearch" for config in own]
    found = ["No image source is registered."]
    if silent := ", ".join(name for name in names if name in sys.modules):
        found.append(f"{silent} registers none: is its class decorated with @register(…)?")
    if missed := ", ".join(map(str, _find_missed(own))):
        found.append(f"{missed} is in no installed app: add its app to INSTALLED_APPS.")
    if absent := ", ".join(name for name in names if name not in sys.modules):
        found.append(f"Looked in vain for {absent}.")
    if not names:
        found.append("No app of the shop is in INSTALLED_APPS.")
    return " ".join(found)


def _is_of_the_shop(config: AppConfig) -> bool:
    installed = {"site-packages", "dist-packages"}.intersection(Path(config.path).parts)
    return not installed and config.name != "mmsearch_app"


def _find_missed(own: list[AppConfig]) -> list[Path]:
    """Return the modules in or beside the shop's apps that autodiscovery does not see."""
    folders = {folder for config in own for folder in (Path(config.path), Path(config.path).parent)}
    folders |= {Path(settings.BASE_DIR)} if hasattr(settings, "BASE_DIR") else set()
    installed = {Path(config.path) for config in apps.get_app_configs()}
    modules = {path for folder in folders for path in folder.glob("*/mmsearch.py")}
    modules |= {folder / "mmsearch.py" for folder in folders if (folder / "mmsearch.py").is_file()}
    return sorted(path for path in modules if path.parent not in installed)
