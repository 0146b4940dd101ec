"""The page of models: what each is and needs, and whether this device can take it."""

from starlette.testclient import TestClient

from app.pages.site.models import state_of
from worker.contract.menu import Announcement, ModelInfo, Placement
from worker.engine.client import Engine

GB = 10**9


def menu_of(*models: ModelInfo) -> Announcement:
    return Announcement(
        methods=(), models=models, fact_sets=(), device="cpu", device_name="a CPU",
        memory_bytes=8 * GB,
    )  # fmt: skip


MODELS = (
    ModelInfo(id="broken", title="Broken", path="/models/broken", problem="only <b>pickles</b>"),
    ModelInfo(
        id="mine",
        title="Mine",
        architecture="LlamaForCausalLM",
        n_layers=16,
        n_heads=32,
        n_kv_heads=8,
        d_model=2048,
        n_parameters=1_235_814_400,
        dtype="bfloat16",
        tokenizer="LlamaTokenizerFast (BPE, 128,000 entries)",
        licence="apache-2.0",
        memory_bytes={"load": 5 * GB, "localize": 6 * GB, "unlearn": 20 * GB},
    ),
    ModelInfo(id="warm", title="Warm", memory_bytes={"load": GB}, loaded=True),
    ModelInfo(id="giant", title="Giant", memory_bytes={"load": 40 * GB}),
)


def test_a_models_state_is_told_from_what_the_worker_announced() -> None:
    menu = menu_of(*MODELS)
    shown = {info.id: state_of(info, menu) for info in MODELS}
    assert {id: one.state for id, one in shown.items()} == {
        "broken": "unsupported",
        "mine": "cold",
        "warm": "hot",
        "giant": "too large",
    }
    assert shown["mine"].too_large_for == ("Unlearn, all components",)
    assert "more memory than the device has" in shown["giant"].why
    assert state_of(MODELS[2], menu, is_alive=False).state == "cold", "nobody holds it"


def test_the_page_lists_every_model_with_what_it_is_and_needs(
    client: TestClient, engine: Engine
) -> None:
    engine.store.announce("test-host:cpu", "g", menu_of(*MODELS))
    page = client.get("/models").text
    for words in (
        "LlamaForCausalLM",
        "32 (8 for keys and values)",
        "bfloat16",
        "LlamaTokenizerFast (BPE, 128,000 entries)",
        "apache-2.0",
        "6.00 GB",
        "to within a fifth",
        "more than there is",
        "only &lt;b&gt;pickles&lt;/b&gt;",
        "lethe model add",
    ):
        assert words in page, words
    assert page.index("Giant") < page.index("Broken"), "what cannot be used comes last"
    assert client.get("/models", headers={"HX-Request": "true"}).text.startswith("<div")


def test_a_model_that_would_be_spread_says_where_and_how_much_slower(
    client: TestClient, engine: Engine
) -> None:
    placement = Placement(
        main="cuda:0", blocks=("cuda:0", "cuda:0", "cpu", "disk"), times_slower=12.4
    )
    spread = ModelInfo(
        id="wide",
        title="Wide",
        memory_bytes={"load": 5 * GB},
        memory_bytes_8bit={"load": 2 * GB, "localize": 3 * GB},
        placement=placement,
    )
    assert state_of(spread, menu_of(spread)).state == "cold"
    engine.store.announce("test-host:cpu", "g", menu_of(spread))
    page = client.get("/models").text
    for words in (
        "it would be spread over devices: 2 of 4 blocks are held on cuda:0, 1 in the",
        "1 on disk (offload): up to about 12 times slower",
        "Memory of cuda:0, estimated",
        "Localize, in 8 bits",
    ):
        assert words in page, words
    engine.store.announce("test-host:cpu", "g", menu_of(spread.model_copy(update={"loaded": True})))
    assert "It is spread over devices" in client.get("/models").text


def test_what_is_too_large_says_that_8_bits_would_do() -> None:
    info = MODELS[-1].model_copy(update={"memory_bytes_8bit": {"load": 6 * GB, "localize": 7 * GB}})
    assert "In 8 bits it can be localized in." in state_of(info, menu_of(info)).why
    assert "8 bits" not in state_of(MODELS[-1], menu_of(*MODELS)).why
