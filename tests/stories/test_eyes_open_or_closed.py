"""The story of open and closed eyes: recordings are read right, chance is counted right, the bars are met."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from examples.eyes.edf import read_edf
from examples.eyes.evidence import UNTRAINED
from examples.eyes.network import BLOCKS, GAP, HERTZ, LENGTH, RATE, FromSpectrum, spectrum, splits, trained, untrained
from examples.eyes.page import chance, page, picture, statements
from examples.eyes.relevance import (
    ALPHA,
    BACK,
    CLOSED,
    LRP,
    METHODS,
    STRENGTH,
    by_frequency,
    by_time,
    chance_of_band,
    chance_of_electrodes,
    in_band,
    neighbours,
    numbers_of,
    positive,
    triples,
    without,
)
from examples.eyes_open_or_closed import RUNS, TASKS, tell

from pellucid.render.scalp import positions

EEG = Path(__file__).resolve().parents[2] / "../shared/data/eeg-motor-imagery-S001"
needs_recordings = pytest.mark.skipif(not EEG.is_dir(), reason="the recordings are not beside the repository")
FINER = {f"{row}{number}" for row in ("AF", "PO") for number in (1, 2, 5, 6)}
NAMES = tuple(name for name in positions() if not name.endswith(("9", "10")) and name not in FINER)


def edf(path, records=3, names=("Fp1.", "Oz..", "EDF Annotations"), samples=(4, 4, 12), limits=(-200, 200, -100, 100)):
    """A file in the European Data Format whose n-th digital value is n; annotated in its second record."""
    texts = [f"{name:<16}" for name in names]
    header = "".join(texts) + "".join(f"{'':<80}" for _ in names) + "".join(f"{'uV':<8}" for _ in names)
    for limit in limits:
        header += "".join(f"{limit:<8}" for _ in names)
    header += "".join(f"{'':<80}" for _ in names) + "".join(f"{count:<8}" for count in samples) + 32 * " " * len(names)
    length = 256 * (len(names) + 1)
    head = f"{'0':<8}{'':<160}{'01.01.01':<8}{'00.00.00':<8}{length:<8}{'EDF+C':<44}{records:<8}{2:<8}{len(names):<4}"
    body, value = b"", 0
    for record in range(records):
        for name, count in zip(names, samples, strict=True):
            if name == "EDF Annotations":
                note = f"+{2 * record}\x14\x14\x00" + ("+2.5\x151.5\x14T1\x14\x00" if record == 1 else "")
                body += note.encode().ljust(2 * count, b"\x00")
            else:
                body += np.arange(value, value + count, dtype="<i2").tobytes()
                value += count
    path.write_bytes((head + header).encode("ascii") + body)
    return path


def test_a_recording_is_read_in_its_unit_with_its_names_and_events(tmp_path):
    found = read_edf(edf(tmp_path / "it.edf"))
    assert found.names == ("Fp1", "Oz")
    assert (found.rate, found.unit) == (2.0, "uV")
    # Records hold one signal after the other; digital −100 … 100 is physical −200 … 200.
    assert found.signals[0].tolist() == [2.0 * n for n in (0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19)]
    assert found.signals[1].tolist() == [2.0 * n for n in (4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23)]
    assert found.events == ((2.5, 1.5, "T1"),)


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\x00"])
def test_a_recording_of_another_size_than_its_header_says_is_refused(tmp_path, change):
    path = edf(tmp_path / "it.edf")
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    with pytest.raises(ValueError, match=rf"it.edf has {len(change(whole))} bytes, its header says {len(whole)}"):
        read_edf(path)


@pytest.mark.parametrize("length", [0, 100, 256, 900])
def test_a_recording_that_ends_within_its_header_is_refused(tmp_path, length):
    path = edf(tmp_path / "it.edf")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=f"it.edf has {length} bytes, and ends within its header"):
        read_edf(path)


@needs_recordings
def test_the_recordings_are_the_known_ones():
    third = read_edf(EEG / TASKS[0])
    assert third.signals.shape == (64, 20000)
    assert (third.rate, third.unit, len(third.events)) == (RATE, "uV", 30)
    assert {text for _, _, text in third.events} == {"T0", "T1", "T2"}
    logs = []
    for run in RUNS:
        found = read_edf(EEG / run)
        rows = sorted(numbers_of(BACK, found.names))
        windows = found.signals[rows].reshape(3, -1, LENGTH)
        power = np.abs(np.fft.rfft(windows - windows.mean(2, keepdims=True), axis=2)) ** 2
        logs.append(float(np.log(power[:, :, (HERTZ >= 8) & (HERTZ <= 13)].mean(2)).mean()))
    assert logs[1] - logs[0] == pytest.approx(6.28 - 3.79, abs=0.3)


def test_held_out_windows_cover_their_block_and_training_keeps_a_second_away():
    signals = [torch.arange(9600.0)[:, None].expand(-1, 3) + offset for offset in (0, 10000)]
    found = list(splits(signals))
    assert len(found) == BLOCKS
    seen = []
    for part in found:
        assert part.unseen.shape == (10, LENGTH, 3)
        assert part.unseen_labels.tolist() == [0] * 5 + [1] * 5
        for label in range(2):
            times = part.unseen[part.unseen_labels == label][:, :, 0] - 10000 * label
            first, last = float(times.min()), float(times.max())
            assert len(times.unique()) == times.numel() == last - first + 1
            learned = part.known[part.known_labels == label][:, :, 0] - 10000 * label
            assert bool(((learned < first - GAP) | (learned > last + GAP)).all())
        seen.append(part.unseen[:5, :, 0].flatten())
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(9600.0))


def test_a_signal_comes_back_from_its_spectrum():
    windows = torch.randn(2, LENGTH, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(FromSpectrum(LENGTH)(spectrum(windows)), windows, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_relevance_by_frequency_says_the_same_of_each_electrode_as_relevance_by_time(method):
    windows = 20 * torch.randn(2, LENGTH, 8, generator=torch.Generator().manual_seed(0))
    network, names = untrained(8, 3), NAMES[:8]
    time, frequency = by_time(method, network, windows, CLOSED, names), by_frequency(method, network, windows, CLOSED)
    assert frequency.shape == (2, LENGTH // 2 + 1, 8)
    if method != "gradient, absolute":  # which does not add up
        assert torch.allclose(time.sum(1), frequency.sum(1), atol=1e-4 * float(time.abs().sum(1).max()))


def test_the_epsilon_rule_is_gradient_times_input_here():
    windows = 20 * torch.randn(2, LENGTH, 8, generator=torch.Generator().manual_seed(1))
    network, names = untrained(8, 4), NAMES[:8]
    one, other = (by_time(name, network, windows, CLOSED, names) for name in (LRP, "gradient × input"))
    assert torch.allclose(one, other, atol=1e-3 * float(other.abs().max()))


def test_a_rhythm_without_its_band_is_gone_and_another_stays():
    seconds = torch.arange(LENGTH) / RATE
    waves = [torch.sin(2 * math.pi * hertz * seconds) for hertz in (10, 20)]
    windows = torch.stack([waves[0] + waves[1], waves[0]], dim=1)[None]
    everywhere = without(windows, ALPHA)
    assert torch.allclose(everywhere[0, :, 0], waves[1], atol=1e-5)
    assert everywhere[0, :, 1].abs().max() < 1e-5
    assert torch.allclose(without(windows, ALPHA, [0])[0, :, 1], waves[0], atol=1e-5)


def test_chance_counts_the_groups_that_hold_as_much():
    amounts = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    groups = triples(NAMES[:5])
    assert len(groups) == 10
    assert chance_of_electrodes(amounts, frozenset({0, 1, 2}), groups) == pytest.approx(1 / 10)
    assert chance_of_electrodes(amounts, frozenset({2, 3, 4}), groups) == pytest.approx(1)
    assert chance_of_electrodes(np.ones(5), frozenset({0, 1, 2}), groups) == pytest.approx(1)


def test_chance_counts_the_places_of_a_band():
    inside = in_band(ALPHA)
    assert (HERTZ[inside].min(), HERTZ[inside].max(), int(inside.sum())) == (8, 12, 9)
    places = len(HERTZ) - 9
    assert chance_of_band(inside.astype(float)) == pytest.approx(1 / places)
    assert chance_of_band(np.ones(len(HERTZ))) == pytest.approx(1)
    assert chance_of_band(HERTZ) > 0.8


def test_neighbours_are_near_and_the_back_of_the_head_is_among_them():
    found = neighbours(NAMES)
    assert numbers_of(BACK, NAMES) in found
    assert len(found) == len(set(found)) > len(NAMES)
    spots = np.array([positions()[name] for name in NAMES])
    widest = max(np.hypot(*(spots[a] - spots[b])) for group in found for a in group for b in group)
    assert widest < 0.6


def test_what_speaks_for_a_label_is_positive_after_its_segment_is_summed():
    scores = torch.tensor([[[1.0, -3.0], [2.0, 1.0]], [[-4.0, 0.0], [1.0, 5.0]]])
    assert positive(scores, 1).tolist() == [1.5, 2.5]


def test_relevance_finds_a_planted_burst_in_its_electrode_and_its_time():
    noise = torch.Generator().manual_seed(0)
    windows = torch.randn(140, 200, 32, generator=noise)
    labels = torch.arange(140) % 2
    windows[labels == 1, 60:140, 7] += 60 * torch.sin(2 * math.pi * 10 * torch.arange(80) / RATE)
    network = trained(windows[:100], labels[:100], steps=50)
    unseen = windows[100:][labels[100:] == 1]
    scores = by_time(LRP, network, unseen, CLOSED, NAMES[:32]).clamp(min=0)
    assert float(scores[:, 60:140, 7].sum() / scores.sum()) > 0.8


def test_training_leaves_the_random_numbers():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trained(torch.randn(8, 100, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2, steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_chances_are_written_without_exponents():
    assert [chance(value) for value in (0.000024, 0.003, 0.0066, 0.026, 0.5)] == [
        "0.000024",
        "0.0030",
        "0.0066",
        "0.026",
        "0.50",
    ]


@pytest.mark.slow
@needs_recordings
def test_the_network_looks_where_the_eyes_close():
    found = tell(EEG)
    lrp, signal = found.looked[LRP], found.looked[STRENGTH]
    assert found.accuracy()[0] >= 0.85
    assert min(found.called_open.values()) > 0.9
    assert lrp.anywhere < 0.001
    assert lrp.neighbours < 0.01
    assert lrp.band < 0.01
    assert lrp.back > 2 * signal.back
    assert lrp.alpha > 2 * signal.alpha
    assert len(found.untrained) == UNTRAINED
    assert sum(other.back >= lrp.back for other in found.untrained) <= 1
    assert sum(other.alpha >= lrp.alpha for other in found.untrained) <= 1
    blind = found.looked["LRP, ε and z⁺"]
    assert abs(blind.back - signal.back) < 0.03
    assert abs(blind.alpha - signal.alpha) < 0.03
    closed = int((found.removed["nothing"] > 0).sum())
    assert int((found.removed["8 to 12 Hz everywhere"] > 0).sum()) < 0.1 * closed
    assert all(
        int((margins > 0).sum()) >= 0.9 * closed for what, margins in found.removed.items() if "8 to 12" not in what
    )
    assert found.removal < 0.02
    html = page(found)
    assert not re.search(r"(?:src|href)=['\"](?!data:)", html)
    assert "<script" not in html
    assert len(re.findall(r"<img alt='[^']{20,}'", html)) == 3
    assert all(sentence[:40] in html for sentence in statements(found))
    assert picture(found).size == (1380, 500)
