"""What a run is asked to do: one frozen JSON object per run."""

from typing import Annotated, Any, Literal, Self, Union

from pydantic import (
    Discriminator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from worker.contract.base import Contract, parse, unknown
from worker.contract.errors import UserError
from worker.contract.interventions import MOST, Intervention
from worker.contract.mask import MaskSpec
from worker.contract.selection import FactsSpec
from worker.contract.study import Score, StudyMask, StudyMethod

RunKind = Literal["localize", "unlearn", "evaluate", "explore", "study", "export", "add"]


class EditedModel(Contract):
    """A base model and the stack of edits on it, applied in order."""

    base: str
    edits: tuple[str, ...] = ()
    """Ids of finished `unlearn` runs."""


ModelSpec = Union[str, EditedModel]
LoadIn = Literal["8bit"]
"""Other than as stored: every block's matrices rounded to 8 bits, for localization only."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""In which numbers a model is computed: `auto` is the stored dtype, on a CPU float32."""


class _Spec(Contract):
    model: ModelSpec = "demo"
    seed: int = Field(0, ge=0, le=2**31 - 1)
    load_in: LoadIn | None = Field(None, exclude_if=lambda value: value is None)
    dtype: Dtype = Field("auto", exclude_if=lambda value: value == "auto")

    @field_validator("load_in")
    @classmethod
    def _is_a_localization(cls, value: LoadIn | None, info: ValidationInfo) -> LoadIn | None:
        if value is not None and cls.model_fields["kind"].default != "localize":
            raise ValueError(
                "only a localization can be computed on a base of 8 bits: an edit, and what is "
                "measured of one, needs the stored weights; leave load_in out"
            )
        model = info.data.get("model")
        if value is not None and isinstance(model, EditedModel) and model.edits:
            raise ValueError(
                "the model has edits, which were made on the stored weights; expected a base "
                "without edits, or no load_in"
            )
        return value

    @property
    def base(self) -> str:
        """The base model's id."""
        return self.model if isinstance(self.model, str) else self.model.base

    @property
    def edits(self) -> tuple[str, ...]:
        """Ids of the runs whose edits lie on the base."""
        return () if isinstance(self.model, str) else self.model.edits


class LocalizeSpec(_Spec):
    """Ask where the facts are kept."""

    kind: Literal["localize"] = "localize"
    facts: FactsSpec
    method: str
    options: dict[str, Any] = {}


class UnlearnSpec(_Spec):
    """Take the facts out, or change them, through the mask's components alone."""

    kind: Literal["unlearn"] = "unlearn"
    facts: FactsSpec
    mask: MaskSpec
    method: str = "localized_finetuning"
    options: dict[str, Any] = {}


class EvaluateSpec(_Spec):
    """Ask what a model, usually an edited one, still knows, before and after its edits."""

    kind: Literal["evaluate"] = "evaluate"
    facts: FactsSpec
    evaluations: tuple[str, ...] = ("probes",)
    options: dict[str, dict[str, Any]] = {}
    """Evaluation name -> its options."""
    mask: MaskSpec | None = None
    """What evaluations of a mask ask about, for example `faithfulness`."""
    interventions: tuple[Intervention, ...] = Field(
        (), max_length=MOST, exclude_if=lambda value: not value
    )
    """What is switched on in the model that is measured `after`, beside its edits."""


class ExploreSpec(_Spec):
    """Look at one prompt, or at a clean and a corrupted one."""

    kind: Literal["explore"] = "explore"
    view: str
    options: dict[str, Any] = {}


class ExportSpec(_Spec):
    """Write a model with its edits as a Hugging Face folder, packed into one zip file."""

    kind: Literal["export"] = "export"
    results: tuple[str, ...] = ()
    """Ids of finished evaluations whose numbers go onto the model card."""

    @model_validator(mode="after")
    def _has_edits(self) -> Self:
        if not self.edits:
            raise ValueError(
                "the model has no edit, so its folder is the base's own; expected at least one edit"
            )
        return self


class AddSpec(_Spec):
    """Fetch what a recipe names and make its model, which is then there to work on."""

    kind: Literal["add"] = "add"
    model: str
    """The recipe's name, and the model's."""


class StudySpec(_Spec):
    """A tournament: masks × methods × seeds under the same evaluations."""

    kind: Literal["study"] = "study"
    facts: FactsSpec
    """`random:N` draws other facts for every seed; any other selection keeps them."""
    masks: dict[str, StudyMask] = Field(min_length=1)
    methods: dict[str, StudyMethod] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1)
    evaluations: tuple[str, ...] = ("probes",)
    options: dict[str, dict[str, Any]] = {}
    """Evaluation name -> its options."""
    budget: str | None = None
    """The mask whose parameter count the others are equalized to; None leaves every rule alone."""
    reference: str | None = None
    """The mask that the others are compared with in paired differences."""
    score: Score | None = None
    """How the search compares its trials; needed when a method searches."""

    @model_validator(mode="after")
    def _names_are_masks(self) -> Self:
        for field in ("budget", "reference"):
            name = getattr(self, field)
            if name is not None and name not in self.masks:
                raise ValueError(
                    f"{field} is {name!r}, which is no mask of this study; expected one of "
                    f"{', '.join(self.masks)}"
                )
        if self.score is None and any(method.search for method in self.methods.values()):
            raise ValueError("a method searches its options, but no score says how; expected score")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds occur twice; expected different seeds")
        return self


SpecWithoutFacts = ExploreSpec | ExportSpec | AddSpec
"""The kinds that ask about no fact set."""
Spec = Annotated[
    Union[LocalizeSpec, UnlearnSpec, EvaluateSpec, ExploreSpec, StudySpec, ExportSpec, AddSpec],
    Discriminator("kind"),
]
SPECS: dict[str, type[_Spec]] = {
    "localize": LocalizeSpec,
    "unlearn": UnlearnSpec,
    "evaluate": EvaluateSpec,
    "explore": ExploreSpec,
    "study": StudySpec,
    "export": ExportSpec,
    "add": AddSpec,
}
_adapter: TypeAdapter[Spec] = TypeAdapter(Spec)


def parse_spec(data: Any) -> Spec:
    """Validate a JSON object as a spec; raise UserError with a sentence per field."""
    if not isinstance(data, dict):
        raise UserError(
            f"A spec is one JSON object; this is a {type(data).__name__}.", field="spec"
        )
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in SPECS:
        raise unknown("kind of run", str(kind), list(SPECS), field="kind")
    try:
        return _adapter.validate_python(data)
    except ValidationError:
        parse(SPECS[kind], data)
        raise
