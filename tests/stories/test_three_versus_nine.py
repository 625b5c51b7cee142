"""The story of three and nine: windows are what they are said to be, the page computes what torch does, the bars are met."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from examples.digits.page import HERE, page, parameters, picture, statements
from examples.digits.story import drawn_three, in_the_gap, show, tell
from examples.digits.strokes import (
    CHOSEN,
    DRAWS,
    METHODS,
    Outcome,
    changed,
    compared,
    outcome,
    random_windows,
    suggested,
    sums,
)
from torch import nn

import pellucid as pl
from pellucid.tasks.image import Image

MNIST = Path(__file__).resolve().parents[2] / "../shared/data/mnist-20k"
NODE = shutil.which("node")
LRP = "LRP epsilon"


@pytest.fixture(scope="module")
def subject():
    return pl.load("mnist-cnn")


@pytest.fixture(scope="module")
def threes():
    """The drawn three, and the same moved a little."""
    return torch.stack([drawn_three().roll((down, across), (1, 2)) for down in (-1, 0, 1) for across in (-1, 0, 1)])


@pytest.fixture(scope="module")
def small_story(subject, threes):
    return tell(subject, threes, torch.full((len(threes),), 3))


def linear_subject():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
    return pl.wrap(module, Image(size=28, mean=(0.0,), deviation=(1.0,)), labels=tuple("0123456789"))


def test_the_drawn_three_is_read_as_a_three_and_as_little_else(subject):
    shares = subject.scores(drawn_three()[None]).softmax(1)[0]
    assert float(shares[3]) > 0.99


def test_a_changed_window_is_paper_or_ink_and_nothing_else_changes(threes):
    windows = torch.arange(len(threes)) * 31
    for how, value in (("erase", 0.0), ("draw", 1.0)):
        after = changed(threes, windows, 5, how)
        for before, then, window in zip(threes[:, 0], after[:, 0], windows.tolist(), strict=True):
            row, column = divmod(window, 24)
            inside = torch.zeros(28, 28, dtype=torch.bool)
            inside[row : row + 5, column : column + 5] = True
            assert bool((then[inside] == value).all())
            assert torch.equal(then[~inside], before[~inside])


def test_sums_of_windows_are_those_of_a_loop():
    values = torch.rand(2, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = sums(values, 7)
    assert found.shape == (2, 22 * 22)
    for window in (0, 25, 483):
        row, column = divmod(window, 22)
        assert found[1, window] == pytest.approx(float(values[1, 0, row : row + 7, column : column + 7].sum()))


def test_on_a_linear_network_no_window_helps_more_than_the_suggested_one():
    subject = linear_subject()
    pictures = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    chosen = suggested(LRP, subject, pictures, 5, "erase")
    before = subject.scores(pictures)[:, 9]
    every = [subject.scores(changed(pictures, torch.full((4,), w), 5, "erase"))[:, 9] - before for w in range(24 * 24)]
    found = subject.scores(changed(pictures, chosen, 5, "erase"))[:, 9] - before
    assert torch.allclose(found, torch.stack(every).amax(0), atol=1e-5)


def test_on_a_linear_network_the_gradient_draws_where_it_helps_the_most():
    subject = linear_subject()
    pictures = torch.zeros(1, 1, 28, 28)
    chosen = suggested("gradient", subject, pictures, 3, "draw")
    before = subject.scores(pictures)[:, 9]
    every = [subject.scores(changed(pictures, torch.tensor([w]), 3, "draw"))[:, 9] - before for w in range(26 * 26)]
    found = subject.scores(changed(pictures, chosen, 3, "draw"))[:, 9] - before
    assert float(found) == pytest.approx(float(torch.stack(every).amax()), abs=1e-5)


@pytest.mark.parametrize(("how", "side"), [("erase", 9), ("draw", 3)])
def test_matched_windows_change_at_least_as_much_or_are_the_twenty_that_change_most(subject, threes, how, side):
    own = suggested(CHOSEN[how][0], subject, threes, side, how)
    drawn = random_windows(threes, own, side, how, matched=True)
    amounts = sums(threes if how == "erase" else 1 - threes, side)
    assert drawn.shape == (len(threes), DRAWS)
    least = torch.minimum(amounts.gather(1, own[:, None]), amounts.topk(DRAWS).values[:, -1:])
    held = amounts.gather(1, drawn)
    if how == "erase":
        assert bool((held >= least - 1e-6).all())
    rows, columns = drawn // (28 - side + 1), drawn % (28 - side + 1)
    if how == "draw":
        inked = (threes[:, 0] > 0.5).nonzero()
        for number in range(len(threes)):
            top, left = inked[inked[:, 0] == number][:, 1:].amin(0)
            bottom, right = inked[inked[:, 0] == number][:, 1:].amax(0)
            assert bool((rows[number] >= top).all() and (rows[number] + side - 1 <= bottom).all())
            assert bool((columns[number] >= left).all() and (columns[number] + side - 1 <= right).all())


def test_random_windows_depend_on_the_picture_alone(threes):
    windows = torch.arange(len(threes)) * 20
    for matched in (False, True):
        together = random_windows(threes, windows, 9, "erase", matched)
        alone = torch.cat([random_windows(t[None], w[None], 9, "erase", matched) for t, w in zip(threes, windows)])  # noqa: B905
        assert torch.equal(together, alone)
        assert len(together[0].unique()) > 5


def test_windows_anywhere_are_drawn_from_everywhere(threes):
    windows = torch.zeros(len(threes), dtype=torch.long)
    drawn = torch.cat([random_windows(threes.roll(n, 2), windows, 9, "erase", matched=False) for n in range(10)])
    assert int(drawn.min()) < 20
    assert int(drawn.max()) >= 380


def test_shares_count_threes_and_pairs():
    rises = torch.zeros(4, 10)
    rises[:, 9] = torch.tensor([2.0, 1.0, 0.0, -1.0])
    rises[:, 0] = 8 * torch.tensor([1.0, 2.0, -1.0, -2.0])
    drawn = torch.tensor([[1.0, 1.0], [0.0, 4.0], [-1.0, -1.0], [-2.0, 0.0]])
    found = Outcome(rises, drawn, drawn + 10)
    assert found.better(found.anywhere)[0] == pytest.approx(2 / 4)
    assert found.better(found.matched)[0] == 0
    assert found.pairs(found.anywhere)[0] == pytest.approx((2 + 1 + 2 + 1) / 8)
    assert found.beyond()[0] == pytest.approx(3 / 4)
    low, high = found.better(found.anywhere)[1:]
    assert 0 < low < 0.5 < high < 1


def test_the_gap_of_a_three_is_left_of_its_middle_and_above_it():
    three = drawn_three()[None].expand(4, -1, -1, -1)
    # Corners of 3 × 3 windows: in the upper gap, in the lower gap, right of the digit, above left of it.
    windows = torch.tensor([10 * 26 + 9, 17 * 26 + 9, 10 * 26 + 20, 0])
    assert in_the_gap(three, windows, 3).tolist() == [True, False, False, True]


def test_erasing_what_relevance_blames_helps_nine_in_the_drawn_three(subject):
    shown = show(subject, "drawn", drawn_three())
    assert float(shown.logits["erase"][9]) > float(shown.logits[None][9]) + 1
    assert shown.maps["erase"][9].sum() == pytest.approx(float(shown.logits[None][9]), rel=0.5)
    assert picture(shown).size[0] < 900


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_script_of_the_page_computes_the_logits_of_torch(subject, small_story, tmp_path):
    noise = torch.rand(6, 28, 28, generator=torch.Generator().manual_seed(2))
    sheets = torch.cat([torch.stack([shown.three for shown in small_story.shown]), noise, torch.zeros(1, 28, 28)])
    given = {"parameters": parameters(small_story), "sheets": sheets.flatten(1).tolist()}
    (tmp_path / "given.json").write_text(json.dumps(given), encoding="utf-8")
    program = (HERE / "network.js").read_text(encoding="utf-8") + (
        'const given = JSON.parse(require("fs").readFileSync(process.argv[2], "utf-8"));'
        "const parameters = decoded(given.parameters);"
        "const logits = given.sheets.map((sheet) => logitsOf(Float32Array.from(sheet), parameters));"
        "process.stdout.write(JSON.stringify({ logits, shares: logits.map(softmax) }));"
    )
    (tmp_path / "program.js").write_text(program, encoding="utf-8")
    said = subprocess.run(
        [NODE, str(tmp_path / "program.js"), str(tmp_path / "given.json")], capture_output=True, text=True, check=True
    )
    answer = json.loads(said.stdout)
    wanted = subject.scores(sheets[:, None])
    assert torch.allclose(torch.tensor(answer["logits"]), wanted, rtol=0, atol=1e-4)
    assert torch.allclose(torch.tensor(answer["shares"]), wanted.softmax(1), rtol=0, atol=1e-5)


def test_the_page_holds_all_it_needs_and_tells_the_story_without_its_scripts(small_story):
    html = page(small_story)
    assert not re.search(r"(?:src|href)=['\"](?!data:)", html)
    assert "http" not in re.sub(r"base64,[^'\"]*|\"base64\": \"[^\"]*\"", "", html)
    static = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "alt='Six panels" in static
    assert all(sentence.split(":")[0] in static for sentence in statements(small_story))
    assert static.count("LRP epsilon-gamma-box") == 2
    assert "<img alt=''" not in re.sub(r"<button.*?</button>", "", static, flags=re.DOTALL)
    assert len(html) < 500_000


def test_the_data_of_the_page_is_what_the_network_saw(small_story):
    story = json.loads(re.search(r"id='story'>(.*?)</script>", page(small_story), re.DOTALL).group(1))
    assert story["sides"] == {how: side for how, (_, side) in CHOSEN.items()}
    assert [list(small_story.shown[0].corners[how]) for how in ("erase", "draw")] == [
        story["threes"][0]["erase"],
        story["threes"][0]["draw"],
    ]
    assert len(story["threes"]) == len(small_story.shown)


def test_every_method_can_be_compared(subject, threes):
    found = compared(subject, threes[:2], "erase", list(METHODS), (9,))
    assert set(found) == {(method, 9) for method in METHODS}
    assert all(bool(each.rises.isfinite().all()) for each in found.values())


def test_a_useless_window_is_no_better_than_random_ones(subject, threes):
    nothing = torch.zeros(len(threes), dtype=torch.long)  # the upper left corner is paper already
    found = outcome(subject, threes, nothing, 5, "erase")
    assert torch.equal(found.nine, torch.zeros(len(threes)))


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason="the digits of MNIST are not beside the repository")
def test_erasing_what_speaks_against_nine_raises_nine_in_nine_of_ten_threes(subject):
    from scripts.train_mnist import held_out_digits

    story = tell(subject, *held_out_digits(MNIST))
    assert story.accuracy >= 0.98
    assert story.count == 500
    erase, gradient, chance = (story.outcomes["erase"][name] for name in (LRP, "gradient", "random"))
    assert erase.better(erase.anywhere)[1] > 0.9
    assert erase.better(erase.matched)[1] > 0.9
    assert erase.better(erase.matched)[1] > gradient.better(gradient.matched)[2]
    assert 0.4 < chance.better(chance.matched)[0] < 0.65
    assert erase.beyond()[1] > chance.beyond()[2]
    draw = story.outcomes["draw"]["LRP epsilon-gamma-box"]
    assert draw.better(draw.anywhere)[0] >= 0.9
    assert story.gap > 0.6
    assert all(cosine < 0.6 for cosine in story.agreement.values())
