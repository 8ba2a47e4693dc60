"""Packaging of node_session.

The settings of the tools are in pyproject.toml. So are, as dependency groups, the needs of tests and tools, which no
user of the package installs.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "node_session" / "__init__.py").read_text("utf-8"))
if VERSION is None:
    raise RuntimeError("node_session/__init__.py has no __version__")

# The lowest versions have no published advisory; CHANGELOG.md names those of the versions before.
POSTGRESQL = ["asyncpg>=0.30"]
MYSQL = ["asyncmy>=0.2.12", "cryptography>=48.0.1"]  # MySQL's own kind of password needs cryptography
REDIS = ["redis[hiredis]>=5.3"]
CRYPTOGRAPHY = ["cryptography>=48.0.1"]  # encrypts sessions in less than half the time

setup(
    name="node-session",
    version=VERSION.group(1),
    description="Server-side sessions for Tornado: npm's node-session, on the same cookie and records",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    project_urls={
        "The npm original": "https://www.npmjs.com/package/node-session",
        "Source of the original": "https://github.com/quorrajs/NodeSession",
    },
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
