"""Settings of the tests: the example shop, with parts that need neither weights nor servers."""

import atexit
import os
import shutil
import tempfile
from importlib.util import find_spec

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "SHOP_DATA" not in os.environ:
    os.environ["SHOP_DATA"] = tempfile.mkdtemp(prefix="mmsearch-tests-")
    atexit.register(shutil.rmtree, os.environ["SHOP_DATA"], ignore_errors=True)

if find_spec("MySQLdb") is None and find_spec("pymysql"):
    # mysqlclient is what Django recommends, but is built from source; PyMySQL needs no compiler.
    import pymysql

    pymysql.install_as_MySQLdb()

from example_shop.settings import *  # noqa: F403
from example_shop.settings import DATA_DIR, DATABASES, INSTALLED_APPS
from mmsearch_app.testing import IN_MEMORY

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in a shop: an in-memory SQLite has neither WAL nor several processes.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / f"test-{os.getpid()}.sqlite3"}

INSTALLED_APPS = [*INSTALLED_APPS, "taggit", "tests.shapes"]
MMSEARCH = IN_MEMORY
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
