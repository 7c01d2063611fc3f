"""What a user may have registered."""

from __future__ import annotations

import collections
import enum
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Key:
    part: object


class Row(NamedTuple):
    number: object
    text: object


class Color(enum.Enum):
    RED = 1


CLASSES = (Key, Row, Color, collections.deque)
