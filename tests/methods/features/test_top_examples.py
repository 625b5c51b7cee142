"""Top examples: a sort of everything, ties, a planted detector, and what cannot be asked."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from engine.networks import seeded
from methods.features.planted import SQUARE, pictures, subject
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.methods import TopExamples


class Maps(nn.Module):
    """Whole numbers, so that many activations tie."""

    def __init__(self):
        super().__init__()
        self.maps, self.head = nn.Conv2d(1, 5, 3, padding=1, bias=False), nn.Linear(5, 2)
        self.maps.weight.data = torch.randint(-1, 2, (5, 1, 3, 3)).float()

    def forward(self, pixels):
        return self.head(self.maps(pixels).amax((2, 3)))


def whole_numbers(number=40):
    return torch.randint(0, 3, (number, 1, 6, 7), generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("budget", [2_000, 100_000_000])
def test_the_top_nine_are_those_of_sorting_everything_also_where_activations_tie(budget):
    network, data = seeded(Maps), whole_numbers()
    with pl.byte_budget(budget):
        reports = [TopExamples()(pl.wrap(network), pl.Unit("maps", channel, data=data)) for channel in range(5)]
    peaks = network.maps(data).detach().flatten(2)
    for channel, report in enumerate(reports):
        values = peaks[:, channel].amax(1).float()
        order = sorted(range(len(data)), key=lambda row: (-float(values[row]), row))[:9]
        assert report.examples.tolist() == order
        torch.testing.assert_close(report.measures["activation"], values)
        places = [divmod(int(peaks[row, channel].argmax()), 7) for row in order]
        assert report.places == tuple((channel, *place) for place in places)
    assert any(len(set(report.measures["activation"][report.examples].tolist())) < 9 for report in reports)


def test_all_of_the_top_nine_of_a_planted_detector_contain_what_it_detects():
    data, boxes = pictures()
    report = TopExamples()(subject(), pl.Unit("square", 0, data=data))
    assert bool((boxes[report.examples] >= 0).all())
    inside = boxes[report.examples]
    assert bool((report.regions[:, :2] <= inside[:, :2]).all())
    assert bool((report.regions[:, 2:] >= inside[:, 2:]).all())
    assert int((report.regions[:, 2:] - report.regions[:, :2]).max()) <= SQUARE + 4


def test_without_an_index_it_is_the_channel_with_the_strongest_activation_of_all():
    network, data = seeded(Maps), whole_numbers()
    report = TopExamples(k=3)(pl.wrap(network), pl.Unit("maps", data=data))
    strongest = network.maps(data).detach().flatten(2).amax((0, 2))
    assert report.index == int(strongest.argmax())
    torch.testing.assert_close(report.channels, strongest.float())
    assert (
        report.examples.tolist()
        == TopExamples(k=3)(pl.wrap(network), pl.Unit("maps", report.index, data=data)).examples.tolist()
    )


def test_one_place_of_a_map_is_a_unit_of_its_own():
    network, data = seeded(Maps), whole_numbers()
    report = TopExamples(k=2)(pl.wrap(network), pl.Unit("maps", (1, 0, 6), data=data))
    torch.testing.assert_close(report.measures["activation"], network.maps(data)[:, 1, 0, 6].detach().float())
    assert report.places == ((1, 0, 6),) * 2
    assert report.regions.tolist() == [[0, 5, 2, 7]] * 2


def test_a_layer_without_extent_sees_everything():
    report = TopExamples(k=2)(subject(), pl.Unit("head", 1, data=pictures(6, 2)[0]))
    assert report.regions.tolist() == [[0, 0, 32, 32]] * 2


def test_a_class_is_a_unit_of_the_layer_that_returns_the_scores():
    data = pictures(12, 4)[0]
    report = TopExamples(k=12)(subject(), pl.Unit(target="b", data=data))
    assert (report.layer, report.index) == ("head", 1)
    torch.testing.assert_close(report.measures["activation"], subject().scores(data)[:, 1])

    class Nameless(nn.Module):
        def forward(self, pixels):
            return pixels.mean((2, 3))

    with pytest.raises(NotAnswerable, match="no layer of its own returns the scores"):
        TopExamples()(pl.wrap(Nameless()), pl.Unit(target=0, data=data))


def test_the_strongest_of_texts_is_found_at_a_word_that_is_no_padding():
    texts, network = ["so", "a longer line, and yet another one", "to be"], pl.load("char-lstm")
    report = TopExamples(k=3)(network, pl.Unit("classifier", 4, data=texts))
    assert max(place[0] for place in report.places) > 2
    assert report.regions is None
    for number, place in zip(report.examples.tolist(), report.places, strict=True):
        scores = network.scores([texts[number]])[0, :, 4]
        assert place == (int(scores.argmax()), 4)
        assert float(report.measures["activation"][number]) == pytest.approx(float(scores.max()), rel=1e-5)


def test_files_that_cannot_be_read_are_left_out_counted_and_named(tmp_path):
    paths = []
    for number, picture in enumerate(pictures(4, 2)[0]):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray((255 * picture.permute(1, 2, 0).numpy()).astype(np.uint8)).save(paths[-1])
    paths[1].write_bytes(b"no picture")
    report = TopExamples(k=3)(subject(), pl.Unit("square", 0, data=paths))
    assert set(report.names) == {"0.png", "2.png", "3.png"}
    assert any("1 of 4 inputs cannot be read and are left out (1.png" in note for note in report.notes)
    with pytest.raises(BadInput, match="none of 1 inputs can be read"):
        TopExamples()(subject(), pl.Unit("square", 0, data=paths[1:2]))


def test_a_unit_that_is_the_same_for_all_says_so():
    network = seeded(Maps)
    network.maps.weight.data[2] = 0
    report = TopExamples()(pl.wrap(network), pl.Unit("maps", 2, data=whole_numbers()))
    assert any("is 0 for every example: the order says nothing" in note for note in report.notes)
    assert report.examples.tolist() == list(range(9))


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (pl.Unit("squares", 0), "no layer 'squares'.* did you mean 'square'"),
        (pl.Unit("square", 3), "channels 0 to 2, and no unit 3"),
        (pl.Unit("square", (0, 99, 0)), "no unit"),
        (pl.Unit("square", (0, 1)), "is a channel, or an index into"),
        (pl.Unit("square", 0, 1), "a layer or a class"),
        (pl.Unit(None, 0), "a layer or a class"),
        (pl.Unit(target="c"), "there is no class 'c'"),
    ],
)
def test_what_is_no_unit_is_refused_with_what_there_is(unit, said):
    data = pictures(3, 1)[0]
    with pytest.raises(UsageError, match=said):
        TopExamples()(subject(), pl.Unit(unit.layer, unit.index, unit.target, data))


def test_the_picture_is_cut_to_the_regions_and_a_file_holds_no_picture(tmp_path):
    report = TopExamples(k=4)(subject(), pl.Unit("square", 0, data=pictures()[0]))
    reds = np.asarray(report.plot()).astype(int)
    assert ((reds[:, :, 0] > 200) & (reds[:, :, 1] < 60)).mean() > 0.1
    loaded = pl.Result.load(report.save(tmp_path / "unit.pellucid"))
    assert loaded.table() == report.table()
    assert loaded.shown is None
    assert "receptive" not in loaded._repr_html_()
    assert loaded.plot().size[0] > 0
