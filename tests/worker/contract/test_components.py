"""Names of components are read as they are written, and nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.contract.components import Component, parse_component
from worker.contract.errors import UserError

LAYERS = st.integers(0, 200)
COMPONENTS = st.one_of(
    st.builds(Component, LAYERS, st.sampled_from(["mlp", "attn"])),
    st.builds(Component, LAYERS, st.just("attn"), st.integers(0, 200)),
)


@given(COMPONENTS)
@settings(derandomize=True, max_examples=50)
def test_a_name_is_read_back_as_the_component_that_has_it(component: Component) -> None:
    assert parse_component(str(component)) == component


def test_names_are_transformer_lens() -> None:
    assert str(Component(3, "mlp")) == "blocks.3.mlp"
    assert str(Component(0, "attn", 0)) == "blocks.0.attn.head.0"
    assert parse_component("blocks.12.attn.head.5") == Component(12, "attn", 5)


def test_components_are_in_order_of_layers_and_cannot_change() -> None:
    assert sorted([Component(10, "mlp"), Component(2, "mlp")])[0].layer == 2
    with pytest.raises(AttributeError):
        Component(1, "mlp").layer = 2


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mlp3",
        "blocks.3",
        "blocks.x.mlp",
        "blocks.3.mlp.head.1",
        "blocks.3.attn.head",
        "a.blocks.3.mlp",
    ],
)
def test_what_names_no_component_is_refused_at_the_mask(name: str) -> None:
    with pytest.raises(UserError, match="is no component") as caught:
        parse_component(name)
    assert caught.value.problems[0][0] == "mask.components"
