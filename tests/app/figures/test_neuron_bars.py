"""Neurons as bars: the direct effect beside what setting each to zero does."""

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.neuron_bars import offers
from tests.app.figures.conftest import source


def made() -> Source:
    """Two neurons; of the second no exact change was computed."""
    first = {"neuron": 5, "activation": 1.5, "direct": -0.25, "attribution": 0.5, "zeroed": 0.125}
    second = {"neuron": 2, "activation": 2.0, "direct": 0.75, "attribution": -0.5}
    promoted = [{"token": " golf"}, {"token": "!"}]
    rows = [first | {"promoted": promoted}, second | {"promoted": []}]
    plain = source("explore", {}, {})
    update = {"spec": {"view": "neurons"}, "view": {"neurons": rows}}
    return Source(plain.result.model_copy(update=update), plain.open)


def test_a_neuron_has_a_bar_for_each_effect_and_none_where_it_was_not_computed() -> None:
    plot = draw("neuron_bars", made(), {}).figure()
    assert [(bar["name"], list(bar["x"])) for bar in plot["data"]] == [
        ("direct", [-0.25, 0.75]),
        ("set to zero", [0.125]),
    ]
    assert list(plot["layout"]["yaxis"]["ticktext"]) == ["5", "2"]
    assert plot["layout"]["xaxis"]["title"]["text"] == "logit difference"


def test_the_download_has_every_number_and_the_tokens_that_a_neuron_promotes() -> None:
    header, *rows = draw("neuron_bars", made(), {}).rows()
    assert list(header) == ["neuron", "activation", "direct", "attribution", "zeroed", "promotes"]
    assert [str(cell) for cell in rows[0]] == ["5", "1.5", "-0.25", "0.5", "0.125", " golf !"]
    assert rows[1][-1] == "" and str(rows[1][1]) in ("2", "2.0")


def test_only_a_view_of_neurons_is_offered(localization: Source) -> None:
    assert [offer.figure for offer in offers(made().result)] == ["neuron_bars"]
    assert offers(localization.result) == []
