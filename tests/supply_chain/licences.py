"""Every installed package has a permissive licence, or one that was reviewed by name.

`python -m tests.supply_chain.licences [SITE_PACKAGES ...]` prints what is wrong, one line a
package, and ends with 1 if anything is. Without an argument it checks this environment.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

import msgspec
from license_expression import ExpressionError, get_spdx_licensing
from packaging.utils import canonicalize_name

REVIEWED = Path(__file__).with_name("licences.yaml")

# SPDX ids of licences that ask for no more than a notice.
PERMISSIVE = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear"}
PERMISSIVE |= {"BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "LLVM-exception", "MIT", "MIT-0"}
PERMISSIVE |= {"MIT-CMU", "PSF-2.0", "Unlicense", "Zlib", "ZPL-2.1"}
# What packages write that have no SPDX expression, in lower case without punctuation.
_SPELLINGS = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license iscl": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 mpl 2.0": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
}
_CLASSIFIER = "License :: OSI Approved :: "
_SPDX = get_spdx_licensing()


class Review(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision about one package. `licence`: as it was found; another one needs a new review."""

    licence: str
    why: str


def check(packages: Iterable[Distribution], reviews: Mapping[str, Review]) -> Iterator[str]:
    """Yield what is wrong, one line a package."""
    for package in sorted(packages, key=name_of):
        name, found = name_of(package), declared(package)
        review = reviews.get(name)
        if review is not None and review.licence == found:
            continue
        if review is not None:
            yield f"{name} is reviewed as {review.licence}, and declares {found or 'no licence'}"
        elif not is_permissive(found):
            found = found or "no licence"
            yield f"{name} declares {found}: review it in {REVIEWED.name}, or drop it"


def declared(package: Distribution) -> str:
    """The licence that a package's metadata declares, as an SPDX expression where it can be.

    The expression of PEP 639 counts before the classifiers, and these before the free text.
    """
    metadata = package.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [
        str(text).removeprefix(_CLASSIFIER)
        for text in metadata.get_all("Classifier") or []
        if str(text).startswith("License ::")
    ]
    named = [_spdx(text) for text in classifiers if not text.endswith("OSI Approved")]
    if named:
        return " AND ".join(named)
    text = metadata["License"].strip() if "License" in metadata else ""
    first = text.splitlines()[0].strip() if text else ""
    return "" if first == "UNKNOWN" else _spdx(first)


def is_permissive(licence: str) -> bool:
    """Whether an SPDX expression can be met by permissive licences alone."""
    try:
        parsed = _SPDX.parse(licence, validate=True)
    except ExpressionError:
        return False
    if parsed is None:
        return False
    # In disjunctive form each part is one way to meet it.
    ways = _SPDX.dnf(parsed)
    parts = ways.args if isinstance(ways, _SPDX.OR) else (ways,)
    return any(
        {symbol.key for symbol in _SPDX.license_symbols(part, decompose=True)} <= PERMISSIVE
        for part in parts
    )


def name_of(package: Distribution) -> str:
    """The normalized name of a package (PEP 503)."""
    return canonicalize_name(package.name)


def read_reviews() -> dict[str, Review]:
    """The reviewed packages by name."""
    return msgspec.yaml.decode(REVIEWED.read_bytes(), type=dict[str, Review])


def _spdx(text: str) -> str:
    plain = re.sub(r"[^a-z0-9.\- ]", "", text.lower()).strip()
    return _SPELLINGS.get(plain, text)


def main(arguments: Sequence[str]) -> int:
    """Check an environment; give the exit code."""
    packages = distributions(path=list(arguments)) if arguments else distributions()
    wrong = list(check(packages, read_reviews()))
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
