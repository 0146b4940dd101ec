"""The masks of a study: chosen from shared localizations, and controls of the same budget."""

from collections.abc import Mapping

from worker.contract.mask import ControlRule, MaskRule, MaskSpec
from worker.contract.named import needs_budget
from worker.contract.result import Result
from worker.contract.spec import StudySpec
from worker.contract.study import StudyLocalization
from worker.engine.study.outcome import Child, Outcome

Located = dict[tuple[str, int], Child]
"""(localization's key, seed) -> its child."""


def key_of(localization: StudyLocalization) -> str:
    """What two masks that choose from the same localization have in common."""
    return localization.model_dump_json()


class Masks:
    """Makes each mask's spec for a seed; the budget is that of the study's budget mask."""

    def __init__(
        self, spec: StudySpec, located: Located, parameters: Mapping[str, int], outcome: Outcome
    ) -> None:
        self._spec, self._located, self._parameters = spec, located, parameters
        self._outcome = outcome

    def spec(self, name: str, seed: int) -> MaskSpec | None:
        """The mask's spec, or None (with the reason noted) when its localization failed."""
        budget = self._budget(seed)
        needs = needs_budget(self._spec.masks[name])
        if needs and budget is None and self._spec.budget is not None:
            words = f"{self._spec.masks[self._spec.budget].title}, which sets the budget, failed"
            self._outcome.failures.append((f"{name}, seed {seed}", words))
            return None
        return self._make(name, seed, budget)

    def _budget(self, seed: int) -> int | None:
        """The parameters of the mask that sets the budget; None without one, or where it failed."""
        if self._spec.budget is None:
            return None
        mask = self._make(self._spec.budget, seed, None)
        if mask is None or mask.components is None:
            return None
        return sum(self._parameters[name] for name in mask.components)

    def _make(self, name: str, seed: int, budget: int | None) -> MaskSpec | None:
        mask = self._spec.masks[name]
        if mask.components is not None:
            return MaskSpec(components=mask.components)
        if mask.control is not None:
            return MaskSpec(control=ControlRule(kind=mask.control, parameters=budget))
        assert mask.localization is not None
        child = self._located[key_of(mask.localization), seed]
        if child.result is None:
            self._outcome.failures.append((f"{name}, seed {seed}", child.reason))
            return None
        if mask.takes_suggested:
            return self._suggested(name, seed, child.result)
        rule = mask.rule
        if rule is None:
            assert budget is not None, "a study without a budget gives every mask a rule"
            rule = MaskRule(parameters=budget, only=mask.only)
        return MaskSpec(localization=child.handle, rule=rule)

    def _suggested(self, name: str, seed: int, result: Result) -> MaskSpec | None:
        suggested = result.attribution.suggested if result.attribution else None
        if suggested is None:
            why = result.attribution.no_choice if result.attribution else ""
            words = why or "it suggests no components"
            self._outcome.failures.append((f"{name}, seed {seed}", words))
            return None
        return MaskSpec(components=suggested.components)
