"""Display names of labels that are identifiers, with other names that people search by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LabelNames:
    """What labels are called.

    Attributes:
        display: the name to show for a label, by the label's own name.
        others: further names that find it.
    """

    display: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def show(self, label: str) -> str:
        """Returns the display name of a label, or the label."""
        return self.display.get(label, label)

    def find(self, wanted: str) -> list[str]:
        """Returns the labels that are called so: exactly, or else but for case."""
        for key in (str, str.casefold):
            found = [label for label, name in self.display.items() if key(name) == key(wanted)]
            found += [
                label
                for label, names in self.others.items()
                if label not in found and any(key(name) == key(wanted) for name in names)
            ]
            if found:
                return found
        return []

    def keep(self, labels: Iterable[str]) -> LabelNames:
        """Returns the names of some labels only."""
        wanted = set(labels)
        return LabelNames(
            {k: v for k, v in self.display.items() if k in wanted},
            {k: v for k, v in self.others.items() if k in wanted},
        )
