"""Edits of one example as players: what the explained quantity is with only some of them made."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import BadInput, NotAnswerable
from pellucid.core.subject import Edit, Inputs, Subject
from pellucid.engine.batching import in_batches
from pellucid.engine.targets import Target


class Edits:
    """``edits(masks)`` is the explained quantity with only the edits made that each row of ``masks`` (``[n, edits]``, bool)
    names, in their order: ``[n]``, float64. ``one`` is a single example, ``target`` the question about it.

    Where an example has a raw form, edited forms are prepared anew, else its point is edited.
    """

    def __init__(self, subject: Subject, one: Inputs, target: Target, edits: Sequence[Edit]) -> None:
        self._subject, self._one, self._target, self._edits = subject, one, target, tuple(edits)

    def raw(self, mask: Sequence[bool]) -> Any:
        """The raw input with the edits made that ``mask`` names."""
        chosen = [edit for edit, made in zip(self._edits, mask, strict=True) if made]
        return reduce(lambda raw, edit: edit.apply(raw), chosen, raw_form(self._one))

    def inputs(self, masks: Tensor) -> Inputs:
        """The prepared inputs, one example for each row of ``masks``."""
        return made_from(self._subject, self._one, [self.raw(mask) for mask in masks.tolist()])

    def ends(self) -> Inputs:
        """Nothing edited, and everything.

        Raises ``BadInput`` where the raw form does not come to the input that was given when it is prepared, and
        ``NotAnswerable`` where edits move the positions that are answered about.
        """
        made = self.inputs(torch.tensor([[False], [True]]).expand(2, len(self._edits)))
        plain, given = made.value[0], self._one.value[0]
        if made.mask is not None and self._one.mask is not None:
            plain, given = plain[made.mask[0]], given[self._one.mask[0]]
        if plain.shape != given.shape or not torch.allclose(plain, given.to(plain), rtol=1e-4, atol=1e-4):
            raise BadInput(
                "the tensor that was given is not what its own raw form comes to when it is prepared; give the raw input "
                "(the picture, the row) to edit"
            )
        index = self._target.index
        moved = made.mask is not None and len(set(made.mask.sum(1).tolist())) > 1
        if index is not None and index.shape[1] > 1 and moved:
            raise NotAnswerable(
                "the answer is about a position, and the edits insert or delete some; edit without moving positions"
            )
        return made

    def __call__(self, masks: Tensor) -> Tensor:
        def work(part: slice) -> Tensor:
            made = self.inputs(masks[part])
            run = self._subject.run(made, capture=self._target.capture)
            return self._target.rows(torch.zeros(len(made), dtype=torch.long))(run).double()

        return in_batches(len(masks), self._subject.batch_size(self._one), work, "asking about the edits")


def raw_form(one: Inputs) -> Any:
    """An example as its origin holds it; its point where it has no other form."""
    return one.origins[0].raw if has_raw_form(one) else one.value[0]


def has_raw_form(one: Inputs) -> bool:
    """Whether an example has another form than its point."""
    return bool(one.origins) and one.origins[0].raw is not None


def made_from(subject: Subject, one: Inputs, raws: Sequence[Any]) -> Inputs:
    """Prepared inputs from edited forms of one example; inputs other than the point stay as they are."""
    if has_raw_form(one):
        return subject.prepare(list(raws))
    return one.rows(torch.zeros(len(raws), dtype=torch.long)).at(torch.stack(list(raws)))
