"""What people are called in everything that a run stores: codes, from which nobody reads a name."""

from __future__ import annotations

import hmac
import re

CODE = re.compile(r"p?\d{1,5}|n\d{6}|p[0-9a-f]{12}")
"""Names that are codes already: numbers and p01 (as in CelebA, or of who numbers people; a date of birth is longer),
VGGFace2's n000061, and pseudonyms."""
PUBLISHED = ("celebahq", "lfw", "vggface2")
"""Data sets that many have, whose names salt the names of their people: so all who have one use the same pseudonyms."""


def pseudonym(name: str, salt: str) -> str:
    """A person's code: "p" and 48 bits of a keyed hash (HMAC-SHA-256, RFC 2104) of the name; codes stay as they are.

    Args:
        name: in Unicode's composed form.
        salt: who has it can find out whose code it is, by trying names.
    """
    if is_code(name):
        return name
    return f"p{hmac.new(salt.encode(), name.encode(), 'sha256').hexdigest()[:12]}"


def is_code(name: str) -> bool:
    """Whether a name tells nobody who that is."""
    return CODE.fullmatch(name) is not None
