"""Train decoder: a small generator that makes pictures from the codes of a layer of the network under study."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from torch.nn.functional import softplus

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.meter import count
from pellucid.core.method import fields_of, method
from pellucid.core.query import Fit
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.codes import code_statistics, codes_of, plain, relative_error
from pellucid.engine.decoders import Learner, Training, judged, new_adversary, new_decoder, stage_sizes
from pellucid.engine.standing import mean_intervals
from pellucid.results.decoder import Decoder, decoded

LOSSES = ("picture", "code", "adversarial", "adversary")
_SHOWN = 8
_WEAK = 0.1  # The adversary waits where its loss is less than this share of the decoder's (dosovitskiy2016generating).


@method
class TrainDecoder:
    """Pictures are reconstructed from codes of ``layer``; what they miss counts in three ways (dosovitskiy2016generating).

    The loss is ``picture · |x̂ − x|² + code · |C(x̂) − C(x)|² + adversarial · log(1 + exp(−D(x̂)))``: squared distances of
    pictures, and of what the subject's own layer ``comparator`` (``layer`` itself where none is named) makes of them, each
    divided by its variance over the data; and how easily an adversary D, trained beside it, tells reconstructions from
    pictures. The subject itself is not trained.

    A tenth of the data is held out, and how far reconstructions of it are off is told with a 95 % interval. With a
    ``folder`` training goes on where it was stopped, and ends with the same decoder as if it never had been.
    """

    spec: ClassVar = Spec(
        id="train-decoder",
        title="Train a decoder",
        question="How much of a picture can be read from this layer, and what would a picture of any code look like?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.VISUAL, Dimension.BY_EXAMPLE},
        view=View.MODEL,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS, Access.ACTIVATIONS},
        modalities={Modality.IMAGE},
        properties={"stochastic"},
        cost="1 F and 1 B per picture and step: 600 steps of 64 pictures; 2 F per picture of the data",
        references=("dosovitskiy2016generating",),
        serves=("B7", "B4"),
        caveat=(
            "What a reconstruction shows was put there by the decoder too: it fills in what pictures of the data usually "
            "have. Detail that looks real need not have been in the code."
        ),
        alternatives=("inversion", "occlusion"),
    )

    layer: Annotated[str, "the layer whose codes are decoded, such as blocks.3"]
    steps: Annotated[int, Ge(1), "steps of training"] = 600
    picture: Annotated[float, Ge(0), "weight of the distance between pictures"] = 1.0
    code: Annotated[float, Ge(0), "weight of the distance between codes in the comparator"] = 1.0
    adversarial: Annotated[float, Ge(0), "weight of the adversary's verdict; 0: there is none"] = 0.02
    comparator: Annotated[Union[str, None], "the layer where codes are compared; None: the one that is decoded"] = None
    width: Annotated[int, Ge(1), "channels of the decoder where its pictures are smallest"] = 32
    batch: Annotated[int, Ge(1), "pictures per step"] = 64
    rate: Annotated[float, Gt(0), "step size of Adam"] = 1e-3
    held_out: Annotated[float, Gt(0), Lt(1), "share of the data that is not trained on"] = 0.1
    folder: Annotated[Union[str, None], "where training is kept every 50 steps, to go on after a stop"] = None
    seed: Annotated[int, "of the weights at the start and the order of the data"] = 0

    def __post_init__(self) -> None:
        if not self.picture and not self.code:
            raise UsageError(
                "train-decoder: the weights of picture and code are both 0, so that nothing is reconstructed"
            )

    def __call__(self, subject: Subject, query: Fit) -> Decoder:
        inputs, kept, held = self._data(subject, query)
        seen = inputs.rows(kept)
        codes = code_statistics(subject, seen, self.layer)
        compared = codes if self.comparator is None else code_statistics(subject, seen, self.comparator)
        code, picture = tuple(codes.mean.shape), tuple(seen.value.shape[1:])
        sizes, bounds = stage_sizes(code, picture), _bounds(subject, inputs)
        make = functools.partial(decoded, scale=codes.scale, sizes=sizes, bounds=bounds)
        weights = new_decoder(code, picture, sizes, self.width, self._draws("decoder"))
        rival = new_adversary(picture, max(1, self.width // 2), self._draws("adversary"))
        decoder, adversary = Learner(weights, self.rate, (0.9, 0.999)), Learner(rival, self.rate / 2, (0.5, 0.999))
        key = digest([subject.fingerprint, fields_of(dataclasses.replace(self, folder=None)), seen.value])
        training = Training((decoder, adversary), (self.steps, len(LOSSES)), self.folder, key)
        scales = (
            _varying(seen.value.double().var(0, correction=0), "the pixels"),
            _varying(compared.variance, f"the codes of {self.comparator or self.layer}"),
        )
        for step in training.steps("train-decoder"):
            rows = seen.rows(self._batch(step, len(seen)))
            training.losses[step] = self._step(subject, rows, decoder, adversary, make, scales)
        weights = {name: weight.detach() for name, weight in decoder.weights.items()}
        shown, errors = self._judged(subject, inputs.rows(held), functools.partial(make, weights), seen)
        return Decoder(
            layer=self.layer,
            code=code,
            sizes=sizes,
            weights=weights,
            scale=codes.scale,
            mean=codes.mean,
            deviation=codes.variance.sqrt(),
            lowest=codes.lowest,
            held_out=held,
            errors=errors,
            intervals=mean_intervals(errors, self.seed),
            reconstructions=shown,
            curves=dict(zip(LOSSES, training.losses.T.contiguous(), strict=True)),
            low=None if bounds is None else bounds[0],
            high=None if bounds is None else bounds[1],
        )

    def _data(self, subject: Subject, query: Fit) -> tuple[Inputs, Tensor, Tensor]:
        """The pictures, the numbers of those to learn from, and of those that are held out."""
        if query.supervision is not None:
            raise UsageError("a decoder learns from the pictures alone: Fit(data), without supervision")
        inputs = subject.prepare(query.data)
        if len(inputs) < 2:
            raise NotAnswerable(
                "a decoder is trained on many pictures, and there is one; name a folder, or ask inversion or occlusion"
            )
        number = min(max(1, round(self.held_out * len(inputs))), len(inputs) - 1)
        # In an order of their own, so that the same pictures give the same decoder whatever order they come in.
        order = torch.tensor(sorted(range(len(inputs)), key=lambda row: digest(inputs.value[row])))
        order = order[torch.randperm(len(inputs), generator=self._draws("order"))]
        return inputs, order[number:], order[:number].sort().values

    def _step(
        self,
        subject: Subject,
        rows: Inputs,
        decoder: Learner,
        adversary: Learner,
        make: Callable[[Mapping[str, Tensor], Tensor], Tensor],
        scales: tuple[float, float],
    ) -> Tensor:
        """One step of the decoder and, unless it is much the stronger, of its adversary. Returns the losses."""
        real, comparator = plain(rows.value), self.comparator or self.layer
        code, aim = codes_of(subject, rows, self.layer, comparator)
        with torch.enable_grad():
            made = make(decoder.weights, code)
            (found,) = codes_of(subject, rows.at(made), comparator, differentiable=True)
            losses = torch.zeros(len(LOSSES))
            missed = (made - real).square().mean() / scales[0], (found - aim).square().mean() / scales[1]
            verdict = softplus(-judged(adversary.weights, made)).mean()
            decoder.step(self.picture * missed[0] + self.code * missed[1] + self.adversarial * verdict)
            count(backward=len(rows))
            losses[:3] = torch.stack([*missed, verdict]).detach()
            if self.adversarial:
                lied = softplus(judged(adversary.weights, made.detach())).mean()
                loss = lied + softplus(-judged(adversary.weights, real)).mean()
                losses[3] = loss.detach()
                if losses[3] >= _WEAK * losses[2]:
                    adversary.step(loss)
        return losses

    def _judged(
        self, subject: Subject, held: Inputs, make: Callable[[Tensor], Tensor], seen: Inputs
    ) -> tuple[Tensor, Tensor]:
        """The first reconstructions of pictures that were held out, and the errors of all, ``[2, rows]``."""
        mean, size = plain(seen.value.double().mean(0)), subject.batch_size(held)
        pictures, errors = [], []
        for start in range(0, len(held), size):
            part = held.rows(slice(start, start + size))
            (code,) = codes_of(subject, part, self.layer)
            made = make(code)
            (again,) = codes_of(subject, part.at(made), self.layer)
            real = plain(part.value)
            errors.append(torch.stack([relative_error(made - real, real - mean), relative_error(again - code, code)]))
            pictures.append(made[: max(0, _SHOWN - start)])
        return torch.cat(pictures), torch.cat(errors, 1)

    def _batch(self, step: int, total: int) -> Tensor:
        """The rows of one step: the data in one random order after the other."""
        places = torch.arange(step * self.batch, (step + 1) * self.batch)
        rounds = places // total
        chosen = torch.empty_like(places)
        for number in rounds.unique().tolist():
            order, here = torch.randperm(total, generator=self._draws(f"round {number}")), rounds == number
            chosen[here] = order[places[here] % total]
        return chosen

    def _draws(self, what: str) -> torch.Generator:
        return generator(self.seed, f"train-decoder {what}", torch.empty(0))


def _varying(variance: Tensor, what: str) -> float:
    """The mean variance, which losses are divided by; refused where nothing varies."""
    mean = float(variance.double().mean())
    if not mean > 0:
        raise BadInput(f"{what} of all these pictures are the same: there is nothing that a decoder could learn from")
    return mean


def _bounds(subject: Subject, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
    """The least and greatest value of each channel, ``[channels, 1, 1]``, where inputs are bounded."""
    found = subject.task.bounds(inputs)
    if found is None:
        return None
    low, high = (plain(side).expand(1, inputs.value.shape[1], 1, 1)[0].contiguous() for side in found)
    return low, high
